import { logSuite } from './log-suite.js';
import { MemoryLog } from './memory.js';

logSuite('memory', async (retention, parts) => new MemoryLog(retention, parts), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
