import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isStatus, StatusError } from '#common/errors.ts';
import { runInTerminal } from '#common/exec.ts';
import { aboutObject, threeWayPatch } from '../apply.ts';
import type { RestClient } from '../client.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { errorText } from '../error-text.ts';
import { fileTrouble } from '../file-trouble.ts';
import type { Flag } from '../flags.ts';
import { displayName, pathOf } from '../resources.ts';
import { selectionFlags, selectObjects, type Selected } from '../selection.ts';
import type { Io } from '../types.ts';

const flags: readonly Flag[] = [
  ...selectionFlags,
  { name: 'show-managed-fields', type: 'bool', description: 'keep metadata.managedFields in the text' },
];

type Json = Record<string, unknown>;

const banner = `# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
`;

export const command = clusterCommand({
  name: 'edit', usage: 'edit (TYPE NAME | TYPE/NAME) [flags]', summary: 'Change an object in an editor: KUBE_EDITOR, EDITOR, or else vi.', flags, examples: ['cleat edit deployment/web', 'KUBE_EDITOR=nano cleat edit configmap settings'],
  async run(invocation) {
    for (const target of await selectObjects('edit', invocation)) {
      const folder = mkdtempSync(join(tmpdir(), 'cleat-edit-'));
      const path = join(folder, `${target.type.singular}-${target.name}.yaml`);
      const end = await edit(invocation, target, path);
      if (end !== 'kept') rmSync(folder, { recursive: true });
      if (end !== 'done') return 1;
    }
    return 0;
  },
});

/** `kept`: the text could not be brought to the server and stays in the file. */
type End = 'done' | 'invalid' | 'kept';

async function edit({ client, parsed, io }: Invocation, target: Selected, path: string): Promise<End> {
  const { type, namespace, name } = target;
  const original = await client.json<Json>('GET', pathOf(type, namespace, name));
  const shown = structuredClone(original);
  if (!parsed.bool('show-managed-fields')) delete (shown['metadata'] as Json)['managedFields'];
  const { formatYaml, parseYaml } = await import('../yaml.ts');
  let text = banner + formatYaml(shown);
  for (;;) {
    writeFileSync(path, text, { mode: 0o600 });
    await openEditor(path, io);
    const edited = readFileSync(path, 'utf8');
    if (bare(edited) === bare(text)) {
      const invalid = text.includes('\n# * ');
      io.err(invalid ? 'error: Edit cancelled, no valid changes were saved.\n' : 'Edit cancelled, no changes made.\n');
      return invalid ? 'invalid' : 'done';
    }
    if (bare(edited).trim() === '') { io.err('Edit cancelled, saved file was empty.\n'); return 'done'; }
    try {
      const [wanted] = parseYaml(edited, 'the edited text') as Json[];
      if (typeof wanted !== 'object' || wanted === null) throw new StatusError('BadRequest', 'expected one object');
      const changed = await send(client, target, shown, wanted);
      io.out(changed ? `${displayName(type, name)} edited\n` : 'Edit cancelled, no changes made.\n');
      return 'done';
    } catch (error) {
      if (isStatus(error, 'ServiceUnavailable', 'NotFound')) {
        io.err(`${errorText(error)}\nA copy of your changes has been stored to "${path}"\n`);
        return 'kept';
      }
      text = `${banner}# ${displayName(type, name)} was not valid:\n${errorText(aboutObject(error, type, name)).split('\n').map((line) => `# * ${line}\n`).join('')}#\n${bare(edited)}`;
    }
  }
}

/** Sends what the user changed and nothing else; false when that is nothing. */
async function send(client: RestClient, { type, namespace, name }: Selected, shown: Json, wanted: Json): Promise<boolean> {
  const path = `${pathOf(type, namespace, name)}?fieldManager=kubectl-edit&fieldValidation=Strict`;
  const patch = threeWayPatch(shown, shown, wanted);
  if (patch === undefined) return false;
  try {
    await client.json('PATCH', path, patch, { contentType: 'application/strategic-merge-patch+json' });
  } catch (error) {
    // Custom resources have no strategic merge.
    if (!isStatus(error, 'UnsupportedMediaType')) throw error;
    await client.json('PATCH', path, threeWayPatch(shown, shown, wanted, 'whole lists') ?? {}, { contentType: 'application/merge-patch+json' });
  }
  return true;
}

function bare(text: string): string {
  return text.split('\n').filter((line) => !line.startsWith('#')).join('\n');
}

async function openEditor(path: string, io: Io): Promise<void> {
  const editor = io.env['KUBE_EDITOR'] || io.env['EDITOR'] || 'vi';
  try {
    // An editor may be given with its flags: `code --wait`.
    const [program = 'vi', ...args] = editor.split(/\s+/).filter((word) => word !== '');
    const code = await runInTerminal(program, [...args, path]);
    if (code !== 0) throw new Error(`it ended with exit code ${String(code)}`);
  } catch (error) {
    throw new StatusError('BadRequest', `there was a problem with the editor "${editor}": ${fileTrouble(error)}. Name another in KUBE_EDITOR`, { cause: error });
  }
}
