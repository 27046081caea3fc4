import { completionScripts } from '../completion/scripts.ts';
import { helpText, refuse } from '../flags.ts';
import type { Command } from '../types.ts';

export const command: Command = {
  help: () => helpText('completion bash | zsh | fish', 'Print what lets a shell complete the words of cleat, names of objects among them.', [], ['source <(cleat completion bash)', 'cleat completion fish | source']),
  run(argv, io) {
    const [shell = '', ...others] = argv;
    const script = Object.hasOwn(completionScripts, shell) ? completionScripts[shell] : undefined;
    if (script === undefined || others.length > 0) throw refuse('completion', shell === '' ? 'shell not specified: expected bash, zsh or fish' : `unsupported shell type "${argv.join(' ')}": expected bash, zsh or fish`);
    io.out(script);
    return Promise.resolve(0);
  },
};
