/** Addresses that only this machine can reach. */

/**
 * Where the application port of 2011 listens, which has no authentication: with the API, or, where other machines reach that, on
 * loopback alone.
 */
export function classicHost(apiHost: string): string {
  return isLoopback(apiHost) ? apiHost : '127.0.0.1';
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^(::ffff:)?127\./.test(host);
}
