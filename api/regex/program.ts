import type { Matcher, Node } from './parse.ts';

export type Instruction =
  | { readonly kind: 'char'; readonly matches: Matcher }
  | { readonly kind: 'assert'; readonly what: Extract<Node, { kind: 'assert' }>['what'] }
  | { readonly kind: 'jump'; to: number }
  /** Goes both ways; the first is preferred. */
  | { readonly kind: 'split'; first: number; second: number }
  | { readonly kind: 'match' };

/** Repetitions of repetitions grow fast; RE2 has a limit too. */
const maxInstructions = 20_000;

/** The steps of a matcher. Throws SyntaxError when there would be too many. */
export function compileProgram(node: Node): readonly Instruction[] {
  const program: Instruction[] = [];
  emit(node, program);
  program.push({ kind: 'match' });
  return program;
}

function push(program: Instruction[], instruction: Instruction): void {
  if (program.length >= maxInstructions) throw new SyntaxError('error parsing regexp: expression too large');
  program.push(instruction);
}

function emit(node: Node, program: Instruction[]): void {
  switch (node.kind) {
    case 'empty': return;
    case 'char': case 'assert': return push(program, node);
    case 'all': for (const part of node.parts) emit(part, program); return;
    case 'any': return alternatives(node.parts, program);
    case 'repeat': return repeat(node, program);
  }
}

function alternatives(parts: readonly Node[], program: Instruction[]): void {
  const ends: { to: number }[] = [];
  for (const [i, part] of parts.entries()) {
    if (i === parts.length - 1) {
      emit(part, program);
      break;
    }
    const split = { kind: 'split' as const, first: program.length + 1, second: 0 };
    push(program, split);
    emit(part, program);
    const end = { kind: 'jump' as const, to: 0 };
    push(program, end);
    ends.push(end);
    split.second = program.length;
  }
  for (const end of ends) end.to = program.length;
}

function repeat({ part, min, max, greedy }: Extract<Node, { kind: 'repeat' }>, program: Instruction[]): void {
  for (let i = 0; i < min; i++) emit(part, program);
  if (max === Infinity) {
    const at = program.length;
    const split = { kind: 'split' as const, first: 0, second: 0 };
    push(program, split);
    emit(part, program);
    push(program, { kind: 'jump', to: at });
    [split.first, split.second] = greedy ? [at + 1, program.length] : [program.length, at + 1];
    return;
  }
  const splits: { split: { first: number; second: number }; at: number }[] = [];
  for (let i = min; i < max; i++) {
    const at = program.length;
    const split = { kind: 'split' as const, first: 0, second: 0 };
    push(program, split);
    splits.push({ split, at });
    emit(part, program);
  }
  for (const { split, at } of splits) [split.first, split.second] = greedy ? [at + 1, program.length] : [program.length, at + 1];
}
