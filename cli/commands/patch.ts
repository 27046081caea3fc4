import { readFileSync } from 'node:fs';
import { StatusError } from '#common/errors.ts';
import { changeFlags, changeObjects } from '../change.ts';
import { clusterCommand } from '../cluster-command.ts';
import { fileTrouble } from '../file-trouble.ts';
import { refuse, type Flag } from '../flags.ts';

const flags: readonly Flag[] = [
  ...changeFlags,
  { name: 'patch', short: 'p', type: 'string', description: 'the patch, as JSON or YAML' },
  { name: 'patch-file', type: 'string', description: 'the file that holds the patch' },
  { name: 'type', type: 'string', default: 'strategic', description: 'strategic, merge or json' },
  { name: 'subresource', type: 'string', description: 'status or scale' },
];

const formats = { strategic: 'strategic-merge', merge: 'merge', json: 'json' } as const;

export const command = clusterCommand({
  name: 'patch', usage: 'patch (TYPE NAME | TYPE/NAME | -f FILE) -p PATCH [flags]', summary: 'Change fields of objects.', flags,
  examples: [`cleat patch deployment web -p '{"spec":{"replicas":2}}'`, `cleat patch pod web --type=json -p '[{"op":"remove","path":"/metadata/finalizers"}]'`],
  async run(invocation) {
    const { parsed } = invocation;
    const type = parsed.string('type') ?? 'strategic';
    if (!Object.hasOwn(formats, type)) throw refuse('patch', `--type must be one of [json merge strategic], not "${type}"`);
    const [given, file] = [parsed.string('patch'), parsed.string('patch-file')];
    if (given !== undefined && file !== undefined) throw refuse('patch', 'cannot specify --patch and --patch-file together');
    const text = given ?? (file === undefined ? undefined : read(file));
    if (text === undefined || text === '') throw refuse('patch', 'must specify --patch or --patch-file containing the contents of the patch');
    const patch = await parse(text);
    const subresource = parsed.string('subresource');
    return changeObjects(invocation, {
      command: 'patch', manager: 'kubectl-patch',
      plan: () => ({ patch, format: formats[type as keyof typeof formats], did: 'patched', didNothing: 'patched (no change)', ...(subresource !== undefined && { subresource }) }),
    });
  },
});

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new StatusError('BadRequest', `unable to read patch file: ${fileTrouble(error)}`, { cause: error });
  }
}

async function parse(text: string): Promise<unknown> {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    const [patch, ...more] = (await import('../yaml.ts')).parseYaml(text, 'the patch');
    if (more.length > 0 || typeof patch !== 'object' || patch === null) throw new StatusError('BadRequest', 'unable to parse the patch: expected one map, or a list with --type=json');
    return patch;
  }
}
