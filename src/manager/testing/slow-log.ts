/** A log as a disk makes it: appends are resolved together after some turns of the event loop, and reads take turns too. */

import { setImmediate as turn } from 'node:timers/promises';
import { type Appended, LogError, type NewPublication, type Page, type Retention } from '../../log/log.js';
import { MemoryLog } from '../../log/memory.js';

export class SlowLog extends MemoryLog {
  /** Where set, appends and reads fail. */
  failing: 'append' | 'read' | null = null;
  readonly #turns: () => number;
  #groups: (() => void)[] = [];

  /** @param turns how many turns of the event loop the next step takes */
  constructor(retention: Retention, turns: () => number) {
    super(retention);
    this.#turns = turns;
  }

  override async append(batch: readonly NewPublication[]): Promise<Appended[]> {
    if (this.#groups.length === 0) void this.#commit();
    await new Promise<void>((resolve) => this.#groups.push(resolve));
    if (this.failing === 'append') throw new LogError('ELOGFULL', 'the disk is full', 'make room');
    return super.append(batch);
  }

  override async read(...wanted: Parameters<MemoryLog['read']>): Promise<Page> {
    for (let n = this.#turns(); n > 0; n--) await turn();
    if (this.failing === 'read') throw new LogError('ELOGIO', 'the disk fails', 'replace it');
    const page = await super.read(...wanted);
    for (let n = this.#turns(); n > 0; n--) await turn();
    return page;
  }

  async #commit(): Promise<void> {
    for (let n = this.#turns(); n >= 0; n--) await turn();
    const groups = this.#groups;
    this.#groups = [];
    for (const resolve of groups) resolve();
  }
}
