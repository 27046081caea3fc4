import type { FileHandle } from 'node:fs/promises';

const blockBytes = 64 * 1024;
const lineFeed = 0x0a;

/**
 * Where the last `lines` log lines begin, found by reading backwards. A long line that is stored in several
 * entries counts once. Costs as much memory as one block, however large the file.
 */
export async function tailOffset(file: FileHandle, size: number, lines: number): Promise<number> {
  if (lines <= 0) return size;
  const block = Buffer.alloc(blockBytes);
  let entries = 0;
  let end = size;
  let first = true;
  while (end > 0) {
    const start = Math.max(0, end - blockBytes);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    if (bytesRead === 0) return 0;
    for (let i = bytesRead - 1; i >= 0; i--) {
      if (block[i] !== lineFeed) { first = false; continue; }
      // The line feed at the very end closes the last entry and opens none.
      if (first && start + i === size - 1) { first = false; continue; }
      first = false;
      // An entry begins behind this line feed; it counts when the entry before it ended a line.
      if (await endsLine(file, start + i, block, start, bytesRead)) entries++;
      if (entries === lines) return start + i + 1;
    }
    end = start;
  }
  return 0;
}

const headBytes = 128;

/** Whether the entry that ends with the line feed at `at` is a complete one (F). */
async function endsLine(file: FileHandle, at: number, block: Buffer, blockStart: number, blockLength: number): Promise<boolean> {
  const inBlock = block.subarray(0, blockLength).lastIndexOf(lineFeed, at - blockStart - 1);
  if (at - blockStart > 0 && inBlock >= 0) return isComplete(block.subarray(inBlock + 1, Math.min(at - blockStart, inBlock + 1 + headBytes)));
  const begin = await entryStart(file, at);
  const head = Buffer.alloc(headBytes);
  const { bytesRead } = await file.read(head, 0, Math.min(headBytes, at - begin), begin);
  return isComplete(head.subarray(0, bytesRead));
}

async function entryStart(file: FileHandle, at: number): Promise<number> {
  const block = Buffer.alloc(blockBytes);
  for (let end = at; end > 0;) {
    const start = Math.max(0, end - blockBytes);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    const found = block.subarray(0, bytesRead).lastIndexOf(lineFeed);
    if (found >= 0) return start + found + 1;
    end = start;
  }
  return 0;
}

function isComplete(head: Buffer): boolean {
  return !/^\S+ \S+ P[: ]/.test(head.toString('latin1'));
}
