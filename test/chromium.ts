/** Chromium for tests, where there is one. */

import { spawnSync } from 'node:child_process';
import { type Browser, chromium } from 'playwright-core';

const EXECUTABLE = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => spawnSync(path, ['--version']).status === 0,
);

/** For `skip` of a suite: why there is none to be had, or false. */
export const noChromium = EXECUTABLE === undefined && 'there is no Chromium here (Debian: apt-get install chromium)';

/** It talks to nobody but the pages of the test. */
export function launchChromium(): Promise<Browser> {
  const args = ['--no-sandbox', '--disable-quic', '--disable-background-networking'];
  // The back/forward cache is a part of browsers that clients have to live with.
  const ignoreDefaultArgs = ['--disable-back-forward-cache'];
  return chromium.launch({ executablePath: EXECUTABLE!, args, ignoreDefaultArgs });
}
