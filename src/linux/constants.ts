/**
 * Constants of the Linux system calls, from the kernel's uapi headers. Those here are the same on x64 and arm64, except
 * for the layout of struct epoll_event.
 */

// mmap(2): asm-generic/mman-common.h
export const PROT_READ = 0x1;
export const PROT_WRITE = 0x2;
export const MAP_PRIVATE = 0x02;
export const MAP_ANONYMOUS = 0x20;

// socket(2), accept4(2): linux/socket.h, linux/net.h. SOCK_NONBLOCK is O_NONBLOCK, SOCK_CLOEXEC is O_CLOEXEC.
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

// send(2), recv(2), shutdown(2)
export const MSG_CTRUNC = 0x8;
export const MSG_DONTWAIT = 0x40;
export const MSG_WAITALL = 0x100;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_MORE = 0x8000;
export const MSG_CMSG_CLOEXEC = 0x40000000;
export const SCM_RIGHTS = 1;
export const SHUT_WR = 1;

// setsockopt(2): asm-generic/socket.h, linux/in.h, linux/in6.h, linux/tcp.h
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const IPPROTO_IP = 0;
export const IP_BIND_ADDRESS_NO_PORT = 24;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_MAXSEG = 2;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;
export const TCP_INFO = 11;

// epoll(7): linux/eventpoll.h
export const EPOLL_CLOEXEC = SOCK_CLOEXEC;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
/** The peer has ended its side; never without EPOLLIN. */
export const EPOLLRDHUP = 0x2000;
export const EPOLLEXCLUSIVE = 1 << 28;

/**
 * struct epoll_event { uint32_t events; uint64_t data; } in 32-bit words. It is packed on x86-64 only (so that 32-bit
 * programs run unchanged); elsewhere `data` is aligned to 8 bytes.
 *
 *     x64    | events | data lo | data hi |             12 bytes
 *     arm64  | events | padding | data lo | data hi |   16 bytes
 */
export const EPOLL_EVENT_WORDS = process.arch === 'x64' ? 3 : 4;
/** The word of an epoll_event where `data` begins. */
export const EPOLL_DATA_WORD = process.arch === 'x64' ? 1 : 2;

// getrlimit(2), flock(2)
export const RLIMIT_NOFILE = 7;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

// <linux/sched.h>: kinds of namespaces, namespaces(7).
export const CLONE_NEWNET = 0x40000000;
