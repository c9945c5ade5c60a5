/** Sets of IP addresses and networks, and the client that a list of proxies names. Off the path of clients that come directly. */

import { BlockList, isIP } from 'node:net';

/** Hops that are looked at: nobody has more proxies of his own one behind the other. */
const HOPS_MAX = 16;

export class Networks {
  readonly #list = new BlockList();
  /** There are none. */
  readonly none: boolean;

  /** @param networks IP addresses and networks (`10.0.0.0/8`), valid */
  constructor(networks: readonly string[]) {
    this.none = networks.length === 0;
    for (const network of networks) {
      const [address, bits] = network.split('/');
      const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
      if (bits === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(bits), family);
    }
  }

  has(address: string): boolean {
    return this.#list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6');
  }
}

/**
 * Who a request is from that came through proxies: the last address of `X-Forwarded-For` that is no trusted proxy's, since each proxy
 * adds at the end what it has seen itself, and everything before an untrusted hop may be invented.
 *
 * @returns empty where the list names nobody, or is malformed there
 */
export function forwardedFor(list: string, trusted: Networks): string {
  const hops = list.split(',');
  for (let i = hops.length - 1; i >= 0 && i >= hops.length - HOPS_MAX; i--) {
    const address = hopAddress(hops[i].trim());
    if (address === '') return '';
    if (!trusted.has(address)) return address;
  }
  return '';
}

/** Some proxies add the port: `192.0.2.1:1234`, `[2001:db8::1]:1234`. */
function hopAddress(hop: string): string {
  const bare = /^\[([^\]]*)\](?::\d+)?$/.exec(hop)?.[1] ?? /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop;
  return isIP(bare) === 0 || bare.includes('%') ? '' : bare;
}
