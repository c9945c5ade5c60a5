import { reactorContract } from './contract-suite.js';
import { IoUringReactor } from './io-uring.js';

reactorContract('io-uring', (options) => new IoUringReactor(options), { limitedByDescriptors: false });
reactorContract(
  'io-uring with small rings',
  (options) => new IoUringReactor({ ...options, slotsPerRing: 16, submissions: 4, completions: 16, receives: 2 }),
  { limitedByDescriptors: false },
);
