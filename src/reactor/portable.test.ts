import { reactorContract } from './contract-suite.js';
import { PortableReactor } from './portable.js';

// Out of descriptors Node turns clients away instead of letting them wait.
reactorContract('portable', (options) => new PortableReactor(options), {
  limitedByDescriptors: false,
  buffers: 'portable',
});
