/**
 * The C library's functions, through koffi: one binding for each system call, nothing more.
 *
 * Pointers are numbers (addresses from native-memory.ts): passing a number costs about 60 ns, passing a Buffer 300 ns and
 * a conversion. A Linux user-space address has at most 47 bits (48 on arm64), so a double holds it exactly. The memory
 * behind a pointer must be native memory: the garbage collector moves JavaScript's.
 *
 * Calls return -1 on failure, as in C; `lastErrno()` tells why and is valid until the next call.
 */

import koffi from 'koffi';

function loadLibc(): ReturnType<typeof koffi.load> {
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const candidates = ['libc.so.6', `libc.musl-${machine}.so.1`, `/lib/libc.musl-${machine}.so.1`];
  const failures: string[] = [];
  for (const name of candidates) {
    try {
      return koffi.load(name);
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
  throw new Error(`no C library found, tried ${candidates.join(', ')}: ${failures.join('; ')}`);
}

if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) {
  throw new Error(`MegaComet needs Linux on x64 or arm64; this is ${process.platform} on ${process.arch}`);
}

const library = loadLibc();

/** All parameters and results are numbers; that the definition says so too is up to the line that uses it. */
export function bind<Parameters extends number[]>(definition: string): (...parameters: Parameters) => number {
  return library.func(definition);
}

/** As `bind`; undefined where this C library has no such function. */
function optional<Parameters extends number[]>(
  definition: string,
): ((...parameters: Parameters) => number) | undefined {
  try {
    return bind(definition);
  } catch (error) {
    if (/find function/.test((error as Error).message)) return undefined;
    throw error;
  }
}

/** errno of the last failed call of this thread. */
export const lastErrno: () => number = koffi.errno;

// Memory: mmap(2), munmap(2). The result is signed so that MAP_FAILED is -1.
export const mmap = bind<
  [address: number, length: number, protection: number, flags: number, fd: number, offset: number]
>('int64_t mmap(uint64_t, size_t, int, int, int, int64_t)');
export const munmap = bind<[address: number, length: number]>('int munmap(uint64_t, size_t)');

// Sockets: socket(2), bind(2), listen(2), accept4(2), connect(2), send(2), recv(2), shutdown(2), socketpair(2) …
export const socket = bind<[family: number, type: number, protocol: number]>('int socket(int, int, int)');
export const socketpair = bind<[family: number, type: number, protocol: number, pair: number]>(
  'int socketpair(int, int, int, uint64_t)',
);
export const bindSocket = bind<[fd: number, address: number, length: number]>('int bind(int, uint64_t, uint32_t)');
export const listen = bind<[fd: number, backlog: number]>('int listen(int, int)');
export const accept4 = bind<[fd: number, address: number, length: number, flags: number]>(
  'int accept4(int, uint64_t, uint64_t, int)',
);
export const connect = bind<[fd: number, address: number, length: number]>('int connect(int, uint64_t, uint32_t)');
export const send = bind<[fd: number, bytes: number, length: number, flags: number]>(
  'int64_t send(int, uint64_t, size_t, int)',
);
export const recv = bind<[fd: number, bytes: number, length: number, flags: number]>(
  'int64_t recv(int, uint64_t, size_t, int)',
);
export const sendmsg = bind<[fd: number, message: number, flags: number]>('int64_t sendmsg(int, uint64_t, int)');
export const recvmsg = bind<[fd: number, message: number, flags: number]>('int64_t recvmsg(int, uint64_t, int)');
export const shutdown = bind<[fd: number, how: number]>('int shutdown(int, int)');
export const getsockname = bind<[fd: number, address: number, length: number]>(
  'int getsockname(int, uint64_t, uint64_t)',
);
export const getsockopt = bind<[fd: number, level: number, option: number, value: number, length: number]>(
  'int getsockopt(int, int, int, uint64_t, uint64_t)',
);
export const setsockopt = bind<[fd: number, level: number, option: number, value: number, length: number]>(
  'int setsockopt(int, int, int, uint64_t, uint32_t)',
);
export const close = bind<[fd: number]>('int close(int)');

// Events: epoll(7).
export const epollCreate1 = bind<[flags: number]>('int epoll_create1(int)');
export const epollCtl = bind<[epoll: number, operation: number, fd: number, event: number]>(
  'int epoll_ctl(int, int, int, uint64_t)',
);
export const epollWait = bind<[epoll: number, events: number, eventsMax: number, timeoutMs: number]>(
  'int epoll_wait(int, uint64_t, int, int)',
);

// Namespaces: setns(2).
export const setns = bind<[fd: number, type: number]>('int setns(int, int)');

/** malloc_trim(3), which only glibc has. */
export const mallocTrim = optional<[padding: number]>('int malloc_trim(size_t)');

// Sleep of less than a second: usleep(3).
export const usleep = bind<[microseconds: number]>('int usleep(uint32_t)');

// Limits and locks: getrlimit(2), flock(2).
export const getrlimit = bind<[resource: number, limit: number]>('int getrlimit(int, uint64_t)');
export const setrlimit = bind<[resource: number, limit: number]>('int setrlimit(int, uint64_t)');
export const flock = bind<[fd: number, operation: number]>('int flock(int, int)');
