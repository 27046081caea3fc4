import { refuse, type Flag, type ParsedFlags } from '../flags.ts';

// What `run` and `debug` say of the container that they make.
export const environmentFlag: Flag = { name: 'env', type: 'string', description: 'a variable of the environment, NAME=VALUE; may be given several times' };
export const pullPolicyFlag: Flag = { name: 'image-pull-policy', type: 'string', description: 'Always, IfNotPresent or Never' };
export const stdinFlag: Flag = { name: 'stdin', short: 'i', type: 'bool', description: "keep the container's standard input open, and attach to it" };
export const ttyFlag: Flag = { name: 'tty', short: 't', type: 'bool', description: 'give the container a terminal; with --stdin' };

export function checkImage(command: string, image: string): void {
  if (!/^[a-zA-Z0-9][-\w.:/@+]*$/.test(image)) throw refuse(command, `Invalid image name ${JSON.stringify(image)}: invalid reference format`);
}

export function checkTerminal(command: string, parsed: ParsedFlags): void {
  if (parsed.bool('tty') && !parsed.bool('stdin')) throw refuse(command, '-i/--stdin is required for containers with -t/--tty=true');
}

/** `A=b` → the variable of a container. */
export function environment(command: string, given: readonly string[]): { readonly name: string; readonly value: string }[] {
  return given.map((text) => {
    const equals = text.indexOf('=');
    if (equals < 1) throw refuse(command, `invalid env: ${text}: expected NAME=VALUE`);
    return { name: text.slice(0, equals), value: text.slice(equals + 1) };
  });
}
