/**
 * Where connections go and where they come from.
 *
 * One source address has about 28,000 ports for each destination (ip_local_port_range), and connect() looks for a free
 * one the longer the fuller the address is. On loopback every address of 127.0.0.0/8 is ours, so a test takes as many
 * as keep each of them nearly empty. Elsewhere the machine's addresses have to be named.
 */

import { isIPv4, isIPv6 } from 'node:net';
import { InvalidArgumentError } from 'commander';
import { parseHost, parsePorts } from '../cli/options.js';
import { isLoopback } from '../loopback.js';

export interface Endpoint {
  /** An IP address. */
  host: string;
  port: number;
}

/** Connections that one loopback source address carries: a seventh of its ports. */
export const CONNECTIONS_PER_LOOPBACK_ADDRESS = 4000;
/** Addresses that one --source may name. */
export const SOURCES_MAX = 4096;

/** The first source address on loopback: 127.1.0.1. Addresses below are left to others. */
const FIRST_LOOPBACK_SOURCE = 0x7f010001;

/** `127.0.0.1:8000`, `127.0.0.1:8000-8007`, `[::1]:8000,8010`: one host, one or several ports. */
export function parseTargets(text: string): Endpoint[] {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):([\d,-]+)$/.exec(text.trim());
  if (match === null) {
    throw new InvalidArgumentError(
      'Allowed: an address and ports, such as 127.0.0.1:8000, [::1]:8000 or 10.0.0.1:8000-8007.',
    );
  }
  const host = parseHost(match[1] ?? match[2]);
  const ports = parsePorts(match[3]);
  if (ports.includes(0)) throw new InvalidArgumentError('Allowed: ports from 1 to 65535.');
  return ports.map((port) => ({ host, port }));
}

/** As {@link parseTargets}, one port only. */
export function parseEndpoint(text: string): Endpoint {
  const endpoints = parseTargets(text);
  if (endpoints.length > 1) throw new InvalidArgumentError('Allowed: one port only, such as 127.0.0.1:9000.');
  return endpoints[0];
}

/** The way an endpoint is written in a Host header. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `10.0.0.5`, `10.0.0.5-10.0.0.20`, `10.0.0.5-20`, `fd00::1`, and lists of these with commas. */
export function parseSources(text: string): string[] {
  const sources: string[] = [];
  for (const part of text.split(',').map((each) => each.trim())) {
    if (isIPv6(part)) {
      sources.push(part);
      continue;
    }
    const [firstText, lastText = firstText, ...rest] = part.split('-');
    const first = ipv4ToNumber(firstText);
    const last = isIPv4(lastText) ? ipv4ToNumber(lastText) : lastOctet(first, lastText);
    if (rest.length > 0 || first < 0 || last < first) {
      throw new InvalidArgumentError(
        'Allowed: an IP address, a range such as 10.0.0.5-10.0.0.20 or 10.0.0.5-20, or a list.',
      );
    }
    if (sources.length + last - first + 1 > SOURCES_MAX) {
      throw new InvalidArgumentError(`Allowed: at most ${SOURCES_MAX} addresses.`);
    }
    for (let address = first; address <= last; address++) sources.push(numberToIpv4(address));
  }
  return sources;
}

/**
 * Source addresses for a test; clients take them in turns. An empty list lets the kernel
 * choose.
 */
export function planSources(
  targets: Endpoint[],
  connections: number,
  named: string[],
  system: NodeJS.Platform = process.platform,
): string[] {
  if (named.length > 0) return named;
  const { host } = targets[0];
  // Elsewhere than on Linux and Windows only 127.0.0.1 is there.
  if (system !== 'linux' && system !== 'win32') return [];
  if (!isIPv4(host) || !isLoopback(host)) return [];
  const addresses = Math.ceil(connections / CONNECTIONS_PER_LOOPBACK_ADDRESS);
  return Array.from({ length: addresses }, (_, index) => numberToIpv4(FIRST_LOOPBACK_SOURCE + index));
}

/**
 * How many connections the addresses can carry: one for each combination of source address, source port and target.
 *
 * @param portsEach ports of one source address that the kernel gives out (ip_local_port_range)
 */
export function connectionsPossible(targets: Endpoint[], sources: string[], portsEach: number): number {
  return Math.max(1, sources.length) * targets.length * portsEach;
}

function lastOctet(first: number, text: string): number {
  return /^\d{1,3}$/.test(text) && Number(text) <= 255 ? first - (first % 256) + Number(text) : -1;
}

/** -1 where it is no IPv4 address. */
function ipv4ToNumber(text: string): number {
  if (!isIPv4(text)) return -1;
  return text.split('.').reduce((number, octet) => number * 256 + Number(octet), 0);
}

function numberToIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}
