import { compileProgram, type Instruction } from './program.ts';
import { Automaton } from './automaton.ts';
import { isWord, parseRegex } from './parse.ts';

/** A compiled regular expression in RE2's syntax. Matching takes time in proportion to the text, whatever the expression. */
export interface Regex {
  /** How many steps one character can take. */
  readonly size: number;
  /** Whether it matches anywhere in `text`. */
  test(text: string): boolean;
  /** The leftmost match; undefined when there is none. */
  find(text: string): string | undefined;
  /** Matches that do not overlap, in order; at most `limit` of them, all when that is negative. */
  findAll(text: string, limit: number): string[];
}

/** Throws SyntaxError. */
export function compileRegex(pattern: string): Regex {
  const program = compileProgram(parseRegex(pattern));
  const machine = new Machine(program);
  const automaton = Automaton.of(program);
  return {
    size: program.length,
    test: (text) => automaton?.test(text) ?? machine.match(text, 0, true) !== undefined,
    find: (text) => {
      const found = machine.match(text, 0, false);
      return found && text.slice(...found);
    },
    findAll: (text, limit) => {
      const all: string[] = [];
      let last = -1;
      for (let from = 0; from <= text.length && (limit < 0 || all.length < limit);) {
        const found = machine.match(text, from, false);
        if (!found) break;
        const [start, end] = found;
        // An empty match right behind another is none.
        if (end > start || start !== last) all.push(text.slice(start, end));
        last = end;
        from = end > start ? end : end + ((text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1);
      }
      return all;
    },
  };
}

/** Where a match may go on, and where it began; in the order of preference. */
interface Threads { readonly at: Int32Array; readonly starts: Int32Array; count: number; readonly seen: Int32Array; generation: number }

/** Runs all ways to match side by side, one character at a time: no way is tried twice, and none is gone back to. */
class Machine {
  readonly #program: readonly Instruction[];

  constructor(program: readonly Instruction[]) {
    this.#program = program;
  }

  /** The leftmost match from `from` on, as offsets; with `any` the first end of any. */
  match(text: string, from: number, any: boolean): [number, number] | undefined {
    let [current, next] = [this.#threads(), this.#threads()];
    let best: [number, number] | undefined;
    for (let at = from; ; ) {
      const point = text.codePointAt(at);
      if (!best) this.#add(current, 0, at, text, at);
      if (current.count === 0 && best) return best;
      next.count = 0;
      next.generation++;
      const width = point !== undefined && point > 0xffff ? 2 : 1;
      for (let i = 0; i < current.count; i++) {
        const pc = current.at[i] ?? 0;
        const start = current.starts[i] ?? 0;
        const instruction = this.#program[pc];
        if (instruction?.kind === 'match') {
          best = [start, at];
          if (any) return best;
          // Those behind it are less preferred.
          break;
        }
        if (instruction?.kind === 'char' && point !== undefined && instruction.matches(point)) this.#add(next, pc + 1, start, text, at + width);
      }
      if (point === undefined) return best;
      [current, next] = [next, current];
      at += width;
    }
  }

  #threads(): Threads {
    const { length } = this.#program;
    return { at: new Int32Array(length), starts: new Int32Array(length), count: 0, seen: new Int32Array(length), generation: 1 };
  }

  /** Follows jumps and assertions from `pc` to where a character is asked for. */
  #add(threads: Threads, first: number, start: number, text: string, at: number): void {
    const stack = [first];
    for (let pc = stack.pop(); pc !== undefined; pc = stack.pop()) {
      if (threads.seen[pc] === threads.generation) continue;
      threads.seen[pc] = threads.generation;
      const instruction = this.#program[pc];
      switch (instruction?.kind) {
        case 'jump': stack.push(instruction.to); break;
        case 'split': stack.push(instruction.second, instruction.first); break;
        case 'assert': if (holds(instruction.what, text, at)) stack.push(pc + 1); break;
        case 'char': case 'match':
          threads.at[threads.count] = pc;
          threads.starts[threads.count++] = start;
          break;
        case undefined: break;
      }
    }
  }
}

function holds(what: Extract<Instruction, { kind: 'assert' }>['what'], text: string, at: number): boolean {
  switch (what) {
    case 'text-start': return at === 0;
    case 'text-end': return at === text.length;
    case 'line-start': return at === 0 || text[at - 1] === '\n';
    case 'line-end': return at === text.length || text[at] === '\n';
    default: return (wordAt(text, at - 1) !== wordAt(text, at)) === (what === 'boundary');
  }
}

function wordAt(text: string, at: number): boolean {
  return at >= 0 && at < text.length && isWord(text.charCodeAt(at));
}
