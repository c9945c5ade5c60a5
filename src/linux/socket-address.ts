/**
 * struct sockaddr as bytes: sockaddr_in (ip(7)), sockaddr_in6 (ipv6(7)) and sockaddr_un (unix(7)).
 *
 *     sockaddr_in   | family u16 LE | port u16 BE | address 4 | zero 8 |                        16 bytes
 *     sockaddr_in6  | family u16 LE | port u16 BE | flow info 4 | address 16 | scope id 4 |     28 bytes
 *     sockaddr_un   | family u16 LE | path, ended by 0 |                                at most 110 bytes
 */

import { isIPv4, isIPv6 } from 'node:net';
import { AF_INET, AF_INET6, AF_UNIX } from './constants.js';

/** sun_path has 108 bytes, one of them for the ending 0. */
export const UNIX_PATH_BYTES_MAX = 107;
/** Room for any of the three. */
export const SOCKET_ADDRESS_BYTES_MAX = 110;

/**
 * @param host an IPv4 or IPv6 address in text form, or `localhost` (127.0.0.1, RFC 6761 section 6.3); names are not looked up
 * @throws Error with code ERR_INVALID_ADDRESS
 */
export function encodeSocketAddress(host: string, port: number): Uint8Array {
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw invalid(`${port} is not a port: 0 to 65535 is allowed`);
  const text = host === 'localhost' ? '127.0.0.1' : host;
  if (isIPv4(text)) {
    const bytes = new Uint8Array(16);
    bytes[0] = AF_INET;
    bytes.set(ipv4Bytes(text), 4);
    return withPort(bytes, port);
  }
  if (isIPv6(text) && !text.includes('%')) {
    const bytes = new Uint8Array(28);
    bytes[0] = AF_INET6;
    bytes.set(ipv6Bytes(text), 8);
    return withPort(bytes, port);
  }
  throw invalid(`'${host}' is not an IPv4 or IPv6 address, nor 'localhost'`);
}

/** @throws Error with code ERR_INVALID_ADDRESS when the path is empty or too long for the kernel. */
export function encodeUnixAddress(path: string): Uint8Array {
  const encoded = Buffer.from(path);
  if (encoded.length === 0 || encoded.length > UNIX_PATH_BYTES_MAX || encoded.includes(0)) {
    throw invalid(
      `'${path}' cannot be a socket's path: 1 to ${UNIX_PATH_BYTES_MAX} bytes without a zero byte are allowed`,
    );
  }
  const bytes = new Uint8Array(2 + encoded.length + 1);
  bytes[0] = AF_UNIX;
  bytes.set(encoded, 2);
  return bytes;
}

/** The family of an encoded address: AF_INET, AF_INET6 or AF_UNIX. */
export function addressFamily(address: Uint8Array): number {
  return address[0] | (address[1] << 8);
}

/** The port of an encoded IPv4 or IPv6 address. */
export function addressPort(address: Uint8Array): number {
  return (address[2] << 8) | address[3];
}

/** The IP address of an encoded address; empty where it has none. */
export function addressHost(address: Uint8Array): string {
  switch (addressFamily(address)) {
    case AF_INET:
      return address.subarray(4, 8).join('.');
    case AF_INET6: {
      const groups = Array.from({ length: 8 }, (_, i) => (address[8 + 2 * i] << 8) | address[9 + 2 * i]);
      return groups.map((group) => group.toString(16)).join(':');
    }
    default:
      return '';
  }
}

/**
 * The other way round.
 *
 * @param bytes an address as the functions above make it
 */
export function decodeSocketAddress(bytes: Uint8Array): { host: string; port: number } | { path: string } {
  switch (addressFamily(bytes)) {
    case AF_UNIX:
      return { path: Buffer.from(bytes.subarray(2, bytes.indexOf(0, 2))).toString() };
    case AF_INET:
    case AF_INET6:
      return { host: addressHost(bytes), port: addressPort(bytes) };
    default:
      throw invalid(`family ${addressFamily(bytes)} is not that of an address`);
  }
}

function withPort(bytes: Uint8Array, port: number): Uint8Array {
  bytes[2] = port >> 8;
  bytes[3] = port & 0xff;
  return bytes;
}

function ipv4Bytes(text: string): number[] {
  return text.split('.').map(Number);
}

/** Text form of RFC 4291 section 2.2: groups of hex, one `::` for a run of zeros, the last 32 bits also dotted. */
function ipv6Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const [head, tail] = text.split('::');
  bytes.set(groupBytes(head), 0);
  if (tail !== undefined) {
    const last = groupBytes(tail);
    bytes.set(last, 16 - last.length);
  }
  return bytes;
}

function groupBytes(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return ipv4Bytes(group);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function invalid(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_INVALID_ADDRESS' });
}
