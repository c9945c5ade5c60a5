/** What MegaComet itself has to complain about, by its status. */

import type { ManagerStatus } from '../manager/status.js';
import type { Warning } from './shared/snapshot.js';

export function serverWarnings({ workers, streams, publisher, slowConsumers, drain }: ManagerStatus): Warning[] {
  const warnings: Warning[] = [];
  const warn = (count: number, what: string, cure: string) => {
    if (count > 0) warnings.push({ source: 'server', what, count, cure });
  };
  if (drain !== null) {
    warnings.push({
      source: 'server',
      what: `the server is being drained: ${drain.remaining} of ${drain.connections} connections are still here`,
      count: null,
      cure: 'each is told when to come back; the server ends when none is left',
    });
  }
  warn(
    workers.filter(({ linked }) => !linked).length,
    'workers without a link to the manager',
    "they start, stand still or have ended: the server's log says which, and they are replaced",
  );
  warn(
    drain !== null ? 0 : workers.filter(({ accepting }) => accepting === false).length,
    'workers that accept nobody: they are full',
    'raise --max-connections, or start more servers',
  );
  warn(
    streams.linksBehind,
    'workers that catch up from the log: they read more slowly than is published',
    'fewer publications a second, or more cores',
  );
  warn(
    publisher.failed,
    'publications that the log could not keep',
    "the disk is full or fails: the server's log says why",
  );
  warn(
    slowConsumers,
    'connections ended because they did not read',
    'clients that come back resume from their cursor; many of them mean a network that is too slow for what is published',
  );
  return warnings;
}
