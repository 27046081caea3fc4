import type { Instruction } from './program.ts';

/** Where all ways to match may go on, and what follows for each character that has been seen there. */
interface State {
  readonly at: readonly number[];
  readonly matched: boolean;
  /** Matches if the text ends here. */
  readonly matchesAtEnd: boolean;
  readonly next: Map<number, State>;
}

const maxStates = 500;
const maxCharacters = 256;

/** Answers whether an expression matches, with states that are made once: mostly one look-up for a character. */
export class Automaton {
  readonly #program: readonly Instruction[];
  #states = new Map<string, State>();

  private constructor(program: readonly Instruction[]) {
    this.#program = program;
  }

  /** Undefined for expressions that look at both sides of a place. */
  static of(program: readonly Instruction[]): Automaton | undefined {
    const simple = program.every((one) => one.kind !== 'assert' || one.what === 'text-start' || one.what === 'text-end');
    return simple ? new Automaton(program) : undefined;
  }

  test(text: string): boolean {
    let state = this.#state([0], true);
    for (let at = 0; at < text.length;) {
      if (state.matched) return true;
      const point = text.codePointAt(at) ?? 0;
      state = state.next.get(point) ?? this.#step(state, point);
      at += point > 0xffff ? 2 : 1;
    }
    return state.matched || state.matchesAtEnd;
  }

  #step(from: State, point: number): State {
    const targets = from.at.filter((pc) => {
      const instruction = this.#program[pc];
      return instruction?.kind === 'char' && instruction.matches(point);
    }).map((pc) => pc + 1);
    // A match may begin anywhere.
    const state = this.#state([...targets, 0], false);
    if (from.next.size < maxCharacters) from.next.set(point, state);
    return state;
  }

  #state(starts: readonly number[], isStart: boolean): State {
    const open = this.#closure(starts, isStart, false);
    const isMatch = (pc: number): boolean => this.#program[pc]?.kind === 'match';
    const matchesAtEnd = this.#closure(starts, isStart, true).some(isMatch);
    const key = `${matchesAtEnd ? '$' : ''}${open.join()}`;
    let state = this.#states.get(key);
    if (!state) {
      if (this.#states.size >= maxStates) this.#states = new Map();
      state = { at: open.filter((pc) => !isMatch(pc)), matched: open.some(isMatch), matchesAtEnd, next: new Map() };
      this.#states.set(key, state);
    }
    return state;
  }

  /** The instructions that ask for a character, or match, in order of their number. */
  #closure(starts: readonly number[], isStart: boolean, isEnd: boolean): number[] {
    const seen = new Set<number>();
    const stack = [...starts];
    const found: number[] = [];
    for (let pc = stack.pop(); pc !== undefined; pc = stack.pop()) {
      if (seen.has(pc)) continue;
      seen.add(pc);
      const instruction = this.#program[pc];
      if (instruction?.kind === 'jump') stack.push(instruction.to);
      else if (instruction?.kind === 'split') stack.push(instruction.first, instruction.second);
      else if (instruction?.kind === 'assert') {
        if (instruction.what === 'text-start' ? isStart : isEnd) stack.push(pc + 1);
      } else found.push(pc);
    }
    return found.sort((a, b) => a - b);
  }
}
