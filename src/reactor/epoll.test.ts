import { reactorContract } from './contract-suite.js';
import { EpollReactor } from './epoll.js';

reactorContract('epoll', (options) => new EpollReactor(options));
