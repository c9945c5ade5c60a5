/**
 * Loaded before a program (node --import): it finds itself on a system that is not Linux, koffi cannot be loaded, and there is no
 * /proc. What is left is what Node offers everywhere.
 */

import fs from 'node:fs';
import { register, syncBuiltinESMExports } from 'node:module';

// Of a POSIX system, since the kernel below is still this one. FAKE_PLATFORM can keep it Linux, for which LMDB is built.
Object.defineProperty(process, 'platform', { value: process.env['FAKE_PLATFORM'] ?? 'freebsd' });

const hooks = `
  export async function resolve(specifier, context, next) {
    if (specifier === 'koffi' || specifier.startsWith('@koromix/')) throw new Error('koffi is not built for this system');
    return next(specifier, context);
  }
`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

/** Makes a function of node:fs fail for what lies under /proc as it does where there is none. */
function hide<Name extends 'readFileSync' | 'readdirSync' | 'statSync' | 'openSync' | 'existsSync'>(name: Name): void {
  const real = fs[name] as (...parameters: unknown[]) => unknown;
  const hidden = (path: unknown, ...rest: unknown[]) => {
    if (typeof path === 'string' && /^\/(proc|sys)(\/|$)/.test(path)) {
      if (name === 'existsSync') return false;
      throw Object.assign(new Error(`ENOENT: no such file or directory, ${path}`), { code: 'ENOENT' });
    }
    return real(path, ...rest);
  };
  Object.defineProperty(fs, name, { value: hidden });
}

for (const name of ['readFileSync', 'readdirSync', 'statSync', 'openSync', 'existsSync'] as const) hide(name);
syncBuiltinESMExports();
