/** What Chris Hulbert measured with the C original in 2011, on an EC2 "large" server with five boxes of clients. */

export const ORIGINAL = {
  connections: 523_000,
  workers: 8,
  workerBytes: 17 << 20,
  serverBytes: 128 << 20,
  /** While so many connections a second arrived. */
  cpuPercent: 24,
  connectionsPerSecond: 4000,
};
