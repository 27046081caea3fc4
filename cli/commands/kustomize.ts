import { helpText, parseFlags, refuse } from '../flags.ts';
import type { Command } from '../types.ts';

export const command: Command = {
  help: () => helpText('kustomize [DIR] [flags]', 'Print the objects that the kustomization in a folder describes; without a folder, in this one.', [], ['cleat kustomize overlays/production', 'cleat apply -k overlays/production']),
  async run(argv, io) {
    const { args } = parseFlags('kustomize', [], argv);
    if (args.length > 1) throw refuse('kustomize', 'specify one path to kustomization.yaml');
    const [{ buildKustomization }, { writeGoYaml }] = await Promise.all([import('../kustomize/build.ts'), import('../kustomize/go-yaml.ts')]);
    const objects = await buildKustomization(args[0] ?? '.', (line) => io.err(`${line}\n`));
    io.out(objects.map(writeGoYaml).join('---\n'));
    return 0;
  },
};
