import { messageOf, StatusError } from '#common/errors.ts';
import type { ArchivedImage } from '#common/image-archive.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { report } from '../error-text.ts';
import { refuse, verbFirst, type Flag } from '../flags.ts';
import { archiveAt, archiveOf, imagesIn } from '../image/archive-file.ts';
import { deliver, passOn } from '../image/deliver.ts';
import { localImage } from '../image/local-image.ts';
import { nodeFlags, nodesOf, type ImageNode } from '../image/nodes.ts';
import { ask } from '../image/request.ts';
import { mib } from '../image/size-text.ts';
import { columns } from '../printing/table.ts';
import type { Command } from '../types.ts';

const usage = `Images of nodes, without a registry.

Usage:
  cleat image VERB ... [flags]

Verbs:
  list   what images nodes have, and what keeps each
  load   put an archive (docker save, or an OCI layout) on nodes; it stays until it is pruned
  push   put an image of this machine, or of a node, on nodes
  prune  remove images that no pod needs

'cleat image VERB --help' says more.
`;

interface NodeImage {
  readonly id: string;
  readonly names: readonly string[];
  readonly sizeBytes: number;
  readonly isLoaded: boolean;
  readonly keptFor?: string;
}

const jsonFlag: Flag = { name: 'output', short: 'o', type: 'string', description: 'json' };
const outputFlags: readonly Flag[] = [
  jsonFlag,
  { name: 'no-headers', type: 'bool', description: 'leave the header line out' },
];

const list = clusterCommand({
  name: 'image list', usage: 'image list [flags]', summary: 'The images of nodes: digest, size, and what keeps each from being removed when the disk is full.',
  flags: [...nodeFlags, ...outputFlags], examples: ['cleat image list', 'cleat image list --node pi-1 -o json'], run: listImages,
});
const load = clusterCommand({
  name: 'image load', usage: 'image load FILE [flags]', summary: 'Put the images of an archive on nodes. FILE may be packed by gzip or zstd; - is standard input.',
  flags: [...nodeFlags, jsonFlag], examples: ['cleat image load app.tar --all-nodes', 'docker save app:1 | cleat image load - --node pi-1'], run: loadArchive,
});
const push = clusterCommand({
  name: 'image push', usage: 'image push IMAGE [flags]', summary: "Put an image of this machine's Docker, Podman or nerdctl on nodes, or with --from a node's image on other nodes.",
  flags: [...nodeFlags, jsonFlag, { name: 'from', type: 'string', description: 'take the image from this node' }], examples: ['cleat image push app:1 --all-nodes', 'cleat image push app:1 --from pi-1 --node pi-2,pi-3'], run: pushImage,
});
const prune = clusterCommand({
  name: 'image prune', usage: 'image prune [flags]', summary: 'Remove images that no pod needs. Those that were loaded stay, unless asked for.',
  flags: [...nodeFlags, { name: 'dry-run', type: 'bool', description: 'only say what would go' }, { name: 'loaded', type: 'bool', description: 'those that were loaded or pushed, too' }],
  examples: ['cleat image prune --dry-run', 'cleat image prune --node pi-1 --loaded'], run: pruneImages,
});
const verbs: Readonly<Record<string, Command>> = { list, ls: list, load, push, prune };

export const command: Command = {
  help(argv = []) {
    const [verb = ''] = verbFirst(argv.filter((word) => word !== '--help' && word !== '-h'));
    return (Object.hasOwn(verbs, verb) ? verbs[verb]?.help() : undefined) ?? usage;
  },
  async run(argv, io) {
    const [verb = '', ...rest] = verbFirst(argv);
    const chosen = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
    if (!chosen) throw refuse('image', verb === '' ? 'say what to do: list, load, push or prune' : `unknown subcommand "${verb}"`);
    return chosen.run(rest, io);
  },
};

async function listImages(invocation: Invocation): Promise<number> {
  const { client, parsed, io } = invocation;
  refuseOtherForms(invocation, 'image list');
  if (parsed.args.length > 0) throw refuse('image list', `unexpected arguments: ${parsed.args.join(' ')}`);
  const { answers, failures } = await ofEach<NodeImage[]>(invocation, await nodesOf(invocation, 'image list', 'all'), (node) => ask(client, node.name, 'list', {}, io.interrupted));
  if (parsed.string('output') === 'json') {
    io.out(`${JSON.stringify(answers.map(({ node, answer }) => ({ node: node.name, images: answer })), null, 4)}\n`);
    return report(failures, io);
  }
  const rows = answers.flatMap(({ node, answer }) => answer.toSorted((a, b) => (shownName(a) < shownName(b) ? -1 : 1)).map((image) => [node.name, shownName(image), digestOf(image), mib(image.sizeBytes), keptText(image)]));
  io.out(columns([...(parsed.bool('no-headers') ? [] : [['NODE', 'IMAGE', 'DIGEST', 'SIZE', 'KEPT FOR']]), ...rows]));
  return report(failures, io);
}

async function loadArchive(invocation: Invocation): Promise<number> {
  const { parsed, io } = invocation;
  const [path, ...others] = parsed.args;
  if (path === undefined || others.length > 0) throw refuse('image load', 'expected one archive, or - for standard input');
  refuseOtherForms(invocation, 'image load');
  const nodes = await nodesOf(invocation, 'image load', 'only');
  const archive = await archiveAt(path, io);
  try {
    const { fitting, failures } = fittingNodes(nodes, await imagesIn(path), parsed.list('node').length > 0 || nodes.length === 1, io.err);
    return report([...failures, ...await deliver(invocation, fitting, archive)], io);
  } finally {
    await archive.close();
  }
}

async function pushImage(invocation: Invocation): Promise<number> {
  const { parsed, io } = invocation;
  const [image, ...others] = parsed.args;
  if (image === undefined || others.length > 0) throw refuse('image push', 'expected one image');
  refuseOtherForms(invocation, 'image push');
  const from = parsed.string('from');
  const nodes = (await nodesOf(invocation, 'image push', 'only')).filter(({ name }) => name !== from);
  if (nodes.length === 0) throw refuse('image push', 'there is no other node to put it on');
  if (from !== undefined) return report(await passOn(invocation, nodes, from, image), io);
  const archive = await archiveOf(await localImage(image, io.interrupted), io.interrupted);
  try {
    return report(await deliver(invocation, nodes, archive), io);
  } finally {
    await archive.close();
  }
}

async function pruneImages(invocation: Invocation): Promise<number> {
  const { client, parsed, io } = invocation;
  if (parsed.args.length > 0) throw refuse('image prune', `unexpected arguments: ${parsed.args.join(' ')}`);
  const dryRun = parsed.bool('dry-run');
  const { answers, failures } = await ofEach<NodeImage[]>(invocation, await nodesOf(invocation, 'image prune', 'all'), (node) => ask(client, node.name, 'prune', { dryRun: String(dryRun), loaded: String(parsed.bool('loaded')) }, io.interrupted));
  for (const { node, answer } of answers) for (const image of answer) io.out(`${shownName(image)} (${mib(image.sizeBytes)}) ${dryRun ? 'would be removed from' : 'removed from'} ${node.name}\n`);
  const all = answers.flatMap(({ answer }) => answer);
  io.out(`${String(all.length)} images, ${mib(all.reduce((total, { sizeBytes }) => total + sizeBytes, 0))}${dryRun ? ' (dry run)' : ''}\n`);
  return report(failures, io);
}

function refuseOtherForms({ parsed }: Invocation, command: string): void {
  if (parsed.has('output') && parsed.string('output') !== 'json') throw refuse(command, "--output must be 'json'");
}

/** Asks all at once. A node that does not answer is a failure, and no reason to say nothing of the others. */
async function ofEach<T>({ io }: Invocation, nodes: readonly ImageNode[], work: (node: ImageNode) => Promise<T>): Promise<{ answers: { node: ImageNode; answer: T }[]; failures: unknown[] }> {
  const failures: unknown[] = [];
  const answers = await Promise.all(nodes.map(async (node) => {
    try {
      return [{ node, answer: await work(node) }];
    } catch (error) {
      io.interrupted.throwIfAborted();
      failures.push(new StatusError('InternalError', `node ${node.name}: ${messageOf(error)}`, { cause: error }));
      return [];
    }
  }));
  return { answers: answers.flat(), failures };
}

/** Those that can run what is in the archive, as far as that is known. One that was named and cannot is a failure, one of all is only passed over. */
function fittingNodes(nodes: readonly ImageNode[], images: readonly ArchivedImage[], named: boolean, say: (text: string) => unknown): { fitting: ImageNode[]; failures: unknown[] } {
  const has = [...new Set(images.map(({ architecture }) => architecture).filter(Boolean))];
  const fits = ({ architecture }: ImageNode): boolean => has.length === 0 || architecture === '' || has.includes(architecture) || (architecture === 'amd64' && has.includes('386')) || (architecture === 'arm64' && has.includes('arm'));
  const words = (node: ImageNode): string => `wrong architecture: the archive is for ${has.map((one) => `linux/${one}`).join(', ')}, and node ${node.name} is linux/${node.architecture}`;
  const others = nodes.filter((node) => !fits(node));
  const fitting = nodes.filter(fits);
  if (named || fitting.length === 0) return { fitting, failures: others.map((node) => new StatusError('Invalid', words(node))) };
  for (const node of others) say(`${words(node)}; passed over\n`);
  return { fitting, failures: [] };
}

/** With a tag where it has one. */
function shownName({ names, id }: NodeImage): string {
  return names.find((name) => !name.includes('@')) ?? names[0] ?? id;
}

function digestOf({ names, id }: NodeImage): string {
  return (names.find((name) => name.includes('@'))?.split('@')[1] ?? id).replace(/^sha256:/, '').slice(0, 12);
}

function keptText({ keptFor, isLoaded }: NodeImage): string {
  const words: Readonly<Record<string, string>> = { system: 'system', pod: 'pods', loaded: '', runtime: 'the runtime', other: 'others' };
  return [words[keptFor ?? ''] ?? '', isLoaded ? 'loaded' : ''].filter(Boolean).join(', ') || '-';
}
