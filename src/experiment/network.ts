/**
 * The machines of an experiment, as network namespaces of this one, or as loopback addresses.
 *
 *                     mc0 10.0.0.1/24 ── the server          namespace megacomet-PID-server
 *            ┌──────────┬──┴───────┬──────────┐
 *          box-a      box-b      box-c      box-d            ports of the bridge mc0
 *            │          │          │          │              veth pairs
 *          eth0       eth0       eth0       eth0
 *        10.0.0.10  10.0.0.11  10.0.0.12  10.0.0.13          namespaces megacomet-PID-a, -b …
 *       10.1.0.0/16 10.2.0.0/16    …          …              source addresses: local routes, no address is configured
 *
 * The bridge is inside the server's namespace, so no link appears outside, and all links end with their namespaces. Neighbours
 * are fixed, so no lookup can fail under load. Settings are made in these namespaces alone.
 */

import { writeFileSync } from 'node:fs';
import { OperatorError } from '../cli/errors.js';
import { inNetwork } from '../linux/network-namespace.js';
import { ip } from './commands.js';
import { namespaceName, namespacePath } from './leftovers.js';
import type { BoxPlan } from './options.js';

/** Connections from one source address: few of its ports, so that the kernel's search for a free one stays short. */
const CONNECTIONS_PER_SOURCE = 1000;
const SERVER_ADDRESS = '10.0.0.1';
const SERVER_MAC = '02:00:00:00:00:01';

export interface Box extends BoxPlan {
  sources: string[];
  /** What runs a program there; empty: here. */
  within: string[];
}

export interface Network {
  /** The address that clients dial. */
  serverHost: string;
  /** What runs a program on the server's machine; empty: here. */
  within: string[];
  /** Path of the server's namespace; null where it is ours. */
  serverNetwork: string | null;
  boxes: Box[];
  /** Free ports are asked for where others may have the usual ones. */
  anyPorts: boolean;
}

/** All on this machine's loopback: box n has 127.(10 + n).0.1 and following. */
export function loopbackNetwork(plans: BoxPlan[]): Network {
  const boxes = plans.map((plan, index) => ({ ...plan, sources: sourcesOf(plan, 127, 10 + index), within: [] }));
  return { serverHost: '127.0.0.1', within: [], serverNetwork: null, boxes, anyPorts: true };
}

/**
 * Makes the namespaces and joins them. Whoever calls removes them (leftovers.ts), also when this fails halfway.
 *
 * @throws OperatorError where `ip` is missing or not allowed to
 */
export async function makeNamespaces(plans: BoxPlan[], connections: number): Promise<Network> {
  const server = namespaceName(process.pid, 'server');
  try {
    await ip('netns', 'add', server);
  } catch (error) {
    // Root of a container without the right to make namespaces.
    throw new OperatorError(`${(error as Error).message}; --loopback does without namespaces`);
  }
  configure(server, {
    'net/core/somaxconn': '65535',
    'net/ipv4/tcp_max_syn_backlog': '65535',
    'net/bridge/bridge-nf-call-iptables': '0',
    'net/bridge/bridge-nf-call-arptables': '0',
    ...shared(connections),
  });
  await ip('-n', server, 'link', 'set', 'lo', 'up');
  await ip('-n', server, 'link', 'add', 'mc0', 'address', SERVER_MAC, 'type', 'bridge');
  await ip('-n', server, 'address', 'add', `${SERVER_ADDRESS}/24`, 'dev', 'mc0');
  await ip('-n', server, 'link', 'set', 'mc0', 'up');
  const boxes: Box[] = [];
  for (const [index, plan] of plans.entries()) boxes.push(await makeBox(plan, index, server, connections));
  return {
    serverHost: SERVER_ADDRESS,
    within: ['ip', 'netns', 'exec', server],
    serverNetwork: namespacePath(server),
    boxes,
    anyPorts: false,
  };
}

async function makeBox(plan: BoxPlan, index: number, server: string, connections: number): Promise<Box> {
  const box = namespaceName(process.pid, plan.name);
  const address = `10.0.0.${10 + index}`;
  const mac = `02:00:00:00:01:${index.toString(16).padStart(2, '0')}`;
  const port = `box-${plan.name}`;
  const network = `10.${1 + index}.0.0/16`;
  await ip('netns', 'add', box);
  configure(box, {
    'net/ipv4/ip_local_port_range': '1024 65535',
    'net/ipv4/conf/all/rp_filter': '0',
    'net/ipv4/conf/default/rp_filter': '0',
    ...shared(connections),
  });
  await ip('-n', box, 'link', 'set', 'lo', 'up');
  await ip('-n', box, 'link', 'add', 'eth0', 'address', mac, 'type', 'veth', 'peer', 'name', port, 'netns', server);
  await ip('-n', server, 'link', 'set', port, 'master', 'mc0', 'up');
  await ip('-n', box, 'address', 'add', `${address}/24`, 'dev', 'eth0');
  await ip('-n', box, 'link', 'set', 'eth0', 'up');
  await ip('-n', box, 'neighbour', 'replace', SERVER_ADDRESS, 'lladdr', SERVER_MAC, 'nud', 'permanent', 'dev', 'eth0');
  await ip('-n', server, 'neighbour', 'replace', address, 'lladdr', mac, 'nud', 'permanent', 'dev', 'mc0');
  await ip('-n', box, 'route', 'add', 'local', network, 'dev', 'lo');
  await ip('-n', server, 'route', 'add', network, 'via', address);
  return { ...plan, sources: sourcesOf(plan, 10, 1 + index), within: ['ip', 'netns', 'exec', box] };
}

/** What both ends need: room for the connections that a broadcast ends at once, and no IPv6 that announces itself. */
function shared(connections: number): Record<string, string> {
  return {
    'net/ipv6/conf/all/disable_ipv6': '1',
    'net/ipv6/conf/default/disable_ipv6': '1',
    'net/ipv4/tcp_max_tw_buckets': String(Math.max(131_072, 2 * connections)),
  };
}

/** Writes settings of a namespace. One that this kernel does not have (no IPv6, no bridge filter) is not needed. */
function configure(namespace: string, settings: Record<string, string>): void {
  inNetwork(namespacePath(namespace), () => {
    for (const [path, value] of Object.entries(settings)) {
      try {
        writeFileSync(`/proc/sys/${path}`, value);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  });
}

/** `first.second.0.1` and following, without .0 and .255. */
function sourcesOf({ connections }: BoxPlan, first: number, second: number): string[] {
  return Array.from(
    { length: Math.ceil(connections / CONNECTIONS_PER_SOURCE) },
    (_, index) => `${first}.${second}.${Math.floor(index / 254)}.${(index % 254) + 1}`,
  );
}
