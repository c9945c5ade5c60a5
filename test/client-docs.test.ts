/** docs/client.md: every snippet runs, and every option and member is there. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runCommand, startServer, type TestServer, waitFor } from './helpers.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const text = readFileSync(join(root, 'docs/client.md'), 'utf8');
const snippets = [...text.matchAll(/^## (.*)$|^```js\n([\s\S]*?)^```$/gm)].reduce<{ title: string; code: string }[]>(
  (found, [, title, code]) => {
    if (title !== undefined) found.push({ title, code: '' });
    else found.at(-1)!.code = code!;
    return found;
  },
  [{ title: 'the first one', code: '' }],
);

describe('the snippets of docs/client.md', () => {
  let server: TestServer;
  const tokens = createServer((_, response) => response.end('not.a.jwt'));
  before(async () => {
    server = await startServer(['--client-publish', 'chat']);
    tokens.listen(0, '127.0.0.1');
    await once(tokens, 'listening');
  });
  after(async () => {
    tokens.close();
    await server.stop();
  });

  for (const { title, code } of snippets.filter(({ code }) => code !== '')) {
    test(`${title}: runs as it is`, async () => {
      const program = code
        .replaceAll('https://push.example.org', `http://127.0.0.1:${server.ports.client}`)
        .replaceAll('https://app.example.org', `http://127.0.0.1:${(tokens.address() as AddressInfo).port}`);
      const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '--eval', program], { cwd: root });
      const exited = once(child, 'exit');
      let printed = '';
      let complained = '';
      child.stdout!.on('data', (chunk) => (printed += chunk));
      child.stderr!.on('data', (chunk) => (complained += chunk));
      const expected =
        title === 'Going on later'
          ? /before 'hello \d+'\nafter 'hello \d+'|before hello \d+\nafter hello \d+/
          : /hello|published at/;
      try {
        await waitFor(`it to print ${expected}`, async () => {
          assert.equal(complained, '');
          await server.publish('news', `hello ${Date.now()}`);
          return expected.test(printed);
        });
      } finally {
        child.kill('SIGKILL');
        await exited;
      }
    });
  }

  test('are there', () => {
    assert.ok(snippets.filter(({ code }) => code !== '').length >= 7);
  });
});

test('the reference names every option and member that the types have', () => {
  const types = readFileSync(join(root, 'src/client/types.ts'), 'utf8');
  const membersOf = (name: string) => {
    const [, body] = new RegExp(`export interface ${name}\\b.*?\\{\\n([\\s\\S]*?)\\n\\}`).exec(types)!;
    return [...body!.matchAll(/^ {2}(?:readonly )?(\w+)[?]?(?:<.*)?[:(<]/gm)].map(([, member]) => member!);
  };
  const reference = text.slice(text.indexOf('## Reference'));
  const options = membersOf('ConnectOptions');
  const members = membersOf('Client');
  assert.deepEqual(options.length, 9);
  assert.ok(members.includes('subscribe') && members.includes('cursor'), members.join());
  for (const name of options) assert.ok(reference.includes(`| \`${name}\` |`), name);
  for (const name of members) assert.match(reference, new RegExp(`\`[^|]*\\b${name}\\b[^|]*\``), name);
});

test('the types are complete for a program of a browser, and for one of Node', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'megacomet-types-'));
  const types = join(root, 'dist/src/client/index.js');
  const program = `
    import { connect, type Gap, MegaCometError, type Message } from ${JSON.stringify(types)};
    const client = connect<{ score: number }>('https://push.example.org', {
      channels: ['a'], after: 'start', token: async () => 't', transports: ['sse'], signal: AbortSignal.timeout(1), WebSocket,
    });
    client.on('message', ({ data }) => data.score.toFixed());
    client.on('gap', ({ channel }: Gap) => channel?.length);
    client.on('error', (error: MegaCometError) => error.code.length);
    // @ts-expect-error: there is no such event
    client.on('massage', () => {});
    // @ts-expect-error: nor such a transport
    connect('https://push.example.org', { transports: ['smoke'] });
    for await (const { data, time } of client) { const sum: number = data.score + time; console.log(sum); }
    for await (const event of client.events()) if (event.type === 'gap') event.lost?.length; else event.data.score.toFixed();
    const first: Message<{ score: number }> | undefined = (await client[Symbol.asyncIterator]().next()).value ?? undefined;
    const { cursor }: { cursor: string } = await client.publish('a', first);
    client.subscribe(cursor, { after: 'now' });
  `;
  try {
    writeFileSync(join(directory, 'page.mts'), program);
    const config = {
      strict: true,
      noEmit: true,
      target: 'es2022',
      module: 'nodenext',
      exactOptionalPropertyTypes: true,
    };
    const compile = async (more: object, files: string[]) => {
      const path = join(directory, 'tsconfig.json');
      writeFileSync(path, JSON.stringify({ compilerOptions: { ...config, ...more }, files }));
      const script = join(root, 'node_modules/typescript/bin/tsc');
      const { exitCode, stdout } = await runCommand(['-p', path], { script });
      assert.equal(exitCode, 0, stdout);
    };
    await compile({ lib: ['es2022', 'dom'], types: [] }, ['page.mts']);
    const ws = `import WebSocket from 'ws';\n${program}`;
    writeFileSync(
      join(directory, 'node.mts'),
      ws.replace("from 'ws'", `from ${JSON.stringify(join(root, 'node_modules/ws/wrapper.mjs'))}`),
    );
    const typeRoots = [join(root, 'node_modules/@types')];
    await compile(
      {
        lib: ['es2023'],
        types: ['node'],
        typeRoots,
        paths: { [join(root, 'node_modules/ws/wrapper.mjs')]: [join(root, 'node_modules/@types/ws/index.d.mts')] },
      },
      ['node.mts'],
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});
