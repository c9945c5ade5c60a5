/** Server-Sent Events (HTML standard, section 9.2.6), as this server writes them: LF ends lines, data is JSON of one line. */

export interface Block {
  event?: string;
  id?: string;
  data?: string;
  /** How long to stay away when the stream has ended, in milliseconds. */
  retry?: string;
}

/** Takes text that is split anywhere, and gives the fields of each block that is complete. */
export function makeBlockReader(each: (block: Block) => void): (text: string) => void {
  let rest = '';
  return (text) => {
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop()!;
    for (const block of blocks) each(Object.fromEntries(block.split('\n').map((line) => line.split(/: ?(.*)/, 2))));
  };
}
