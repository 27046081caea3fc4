import { StatusError } from '#common/errors.ts';
import { lines, type RestClient } from '../client.ts';
import { connect } from '../cluster-command.ts';
import { copyOut } from '../copy-out.ts';
import { eachOf } from '../each.ts';
import { report } from '../error-text.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag, type ParsedFlags } from '../flags.ts';
import { TablePrinter, type Table } from '../printing/table.ts';
import { pathOf, type ResourceType, type Target } from '../resources.ts';
import { listObjects, watchPath, type Selectors } from '../selection.ts';
import { fileFlags, readTargets } from '../targets.ts';
import type { Command, Io } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags, ...fileFlags,
  { name: 'all-namespaces', short: 'A', type: 'bool', description: 'from all namespaces' },
  { name: 'output', short: 'o', type: 'string', description: 'wide, yaml, json, name, jsonpath=TEMPLATE, go-template=TEMPLATE, custom-columns=HEADER:PATH,... or one of them with -file' },
  { name: 'template', type: 'string', description: 'the template, or its file, apart from -o' },
  { name: 'selector', short: 'l', type: 'string', description: 'only objects with these labels' },
  { name: 'field-selector', type: 'string', description: 'only objects with these fields, e.g. status.phase=Running' },
  { name: 'watch', short: 'w', type: 'bool', description: 'show the objects, then each change' },
  { name: 'watch-only', type: 'bool', description: 'show changes only' },
  { name: 'label-columns', short: 'L', type: 'list', description: 'add a column for each of these labels' },
  { name: 'show-labels', type: 'bool', description: 'add a column with the labels' },
  { name: 'show-kind', type: 'bool', description: 'put the kind before each name' },
  { name: 'show-managed-fields', type: 'bool', description: 'keep metadata.managedFields in YAML and JSON' },
  { name: 'no-headers', type: 'bool', description: 'leave the header line out' },
  { name: 'ignore-not-found', type: 'bool', description: 'an object that is not there is no failure' },
  { name: 'raw', type: 'string', description: 'what the server has at this path, as it comes, e.g. /metrics' },
  { name: 'chunk-size', type: 'int', default: '0', description: 'taken for the sake of scripts: lists come whole' },
  { name: 'sort-by', type: 'string', description: 'order by this JSONPath, e.g. .metadata.creationTimestamp' },
];

const tableAccept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

interface Named { readonly metadata: { readonly name: string; readonly namespace?: string } }
interface ObjectList { readonly kind: string; readonly apiVersion: string; readonly items: readonly Named[] }

export const command: Command = {
  help: () => helpText('get (TYPE [NAME ...] | -f FILE) [flags]', 'Show one or many objects.', flags, ['cleat get pods -A', 'cleat get deployment/web -o yaml', 'cleat get pods -l app=web -w']),
  async run(argv, io) {
    const parsed = parseFlags('get', flags, argv);
    const given = outputOf(parsed);
    const output = given === '' || given === 'wide' ? given : (await import('../printing/objects.ts')).checkedOutput(given, { tables: true });
    const client = await connect(parsed, io);
    try {
      return await get(client, parsed, output, io);
    } finally {
      client.close();
    }
  },
};

/** `--template` may be given apart from the format that it is for, and means go-template without any. */
function outputOf(parsed: ParsedFlags): string {
  const [output = '', template] = [parsed.string('output'), parsed.string('template')];
  if (template === undefined || output.includes('=')) return output;
  return output === '' ? `go-template=${template}` : `${output}=${template}`;
}

async function get(client: RestClient, parsed: ParsedFlags, output: string, io: Io): Promise<number> {
  const raw = parsed.string('raw');
  if (raw !== undefined) {
    if (parsed.args.length > 0) throw refuse('get', 'arguments may not be passed when --raw is specified');
    if (!raw.startsWith('/')) throw refuse('get', `--raw must begin with a slash: "/${raw}"?`);
    await copyOut(client.bytes(raw, { rawPath: true }), io.out.bind(io));
    return 0;
  }
  const namespace = parsed.bool('all-namespaces') ? undefined : client.connection.namespace;
  const targets = await readTargets('get', client, parsed, io);
  if ((parsed.has('selector') || parsed.has('field-selector')) && targets.some(({ name }) => name !== undefined)) throw new StatusError('BadRequest', 'name cannot be provided when a selector is specified');
  if (namespace === undefined && targets.some(({ name }) => name !== undefined)) throw new StatusError('BadRequest', 'a resource cannot be retrieved by name across all namespaces');
  if (parsed.bool('watch') || parsed.bool('watch-only')) return watch(client, targets, namespace, parsed, output, io);
  return output === '' || output === 'wide' ? printTables(client, targets, namespace, parsed, output, io) : printObjects(client, targets, namespace, parsed, output, io);
}

async function printTables(client: RestClient, targets: readonly Target[], namespace: string | undefined, parsed: ParsedFlags, output: string, io: Io): Promise<number> {
  const sortBy = parsed.string('sort-by') || undefined;
  const printer = (type: ResourceType, prefix: boolean): TablePrinter => new TablePrinter({
    wide: output === 'wide', headers: !parsed.bool('no-headers'), namespaces: namespace === undefined && type.namespaced, labels: parsed.bool('show-labels'), labelColumns: parsed.list('label-columns'),
    ...(prefix && { prefix: `${type.singular}${type.group === '' ? '' : `.${type.group}`}/` }),
  });
  const failures: unknown[] = [];
  // Names of one kind share one table, as kubectl prints them.
  const groups = Map.groupBy(targets, ({ type }) => type);
  let shown = 0;
  for (const [type, members] of groups) {
    const table: { columnDefinitions?: Table['columnDefinitions']; rows: Table['rows'][number][] } = { rows: [] };
    failures.push(...await eachOf(members, async ({ name, namespace: own }) => {
      const params = sortBy === undefined ? {} : { includeObject: 'Object' };
      const part = name === undefined
        ? await listObjects<Table>(client, type, own ?? namespace, { ...selectorsOf(parsed), params, accept: tableAccept })
        : await client.json<Table>('GET', `${pathOf(type, own ?? namespace, name)}?${new URLSearchParams(params).toString()}`, undefined, { accept: tableAccept });
      table.columnDefinitions ??= part.columnDefinitions;
      table.rows.push(...part.rows);
    }, { told: (error) => unlessIgnored(error, parsed) }));
    if (table.columnDefinitions === undefined || table.rows.length === 0) continue;
    if (sortBy !== undefined) {
      const { evaluate, compareValues } = await import('../printing/jsonpath.ts');
      table.rows.sort((a, b) => compareValues(evaluate(sortBy, a.object), evaluate(sortBy, b.object)));
    }
    io.out((shown++ > 0 ? '\n' : '') + printer(type, groups.size > 1 || parsed.bool('show-kind')).print({ columnDefinitions: table.columnDefinitions, rows: table.rows }));
  }
  if (failures.length > 0) return report(failures, io);
  if (shown === 0 && !parsed.bool('ignore-not-found')) io.err(namespace === undefined || !targets.some(({ type }) => type.namespaced) ? 'No resources found\n' : `No resources found in ${namespace} namespace.\n`);
  return 0;
}

async function printObjects(client: RestClient, targets: readonly Target[], namespace: string | undefined, parsed: ParsedFlags, output: string, io: Io): Promise<number> {
  const items: object[] = [];
  // As with tables, one object that is missing must not hide the others.
  const failures = await eachOf(targets, async ({ type, name, namespace: own }) => {
    if (name !== undefined) items.push(await client.json<Named>('GET', pathOf(type, own ?? namespace, name)));
    else {
      const { apiVersion, items: listed } = await listObjects<ObjectList>(client, type, own ?? namespace, selectorsOf(parsed));
      items.push(...listed.map((item) => ({ apiVersion, kind: type.kind, ...item })));
    }
  }, { told: (error) => unlessIgnored(error, parsed) });
  const single = targets.length === 1 && targets[0]?.name !== undefined;
  if (items.length > 0 || !single) {
    const { printObjects: print } = await import('../printing/objects.ts');
    io.out(await print(items, { output, headers: !parsed.bool('no-headers'), managedFields: parsed.bool('show-managed-fields'), single }));
  }
  return report(failures, io);
}

/** Watches one kind through the server's tables, resuming where the stream ended, until interrupted. */
async function watch(client: RestClient, targets: readonly Target[], namespace: string | undefined, parsed: ParsedFlags, output: string, io: Io): Promise<number> {
  const [target, ...others] = targets;
  if (!target || others.length > 0) throw refuse('get', 'you may only specify a single resource type to watch');
  const { type, name } = target;
  const printer = new TablePrinter({ wide: output === 'wide', headers: !parsed.bool('no-headers'), namespaces: namespace === undefined && type.namespaced, labels: parsed.bool('show-labels'), labelColumns: parsed.list('label-columns') });
  const asTable = output === '' || output === 'wide';
  const accept = asTable ? tableAccept : 'application/json';
  const selectors: Selectors = { ...selectorsOf(parsed), ...(name !== undefined && { fields: `metadata.name=${name}` }) };
  let shown = 0;
  const show = async (object: unknown): Promise<void> => {
    if (asTable) io.out(printer.print(object as Table));
    else {
      const { printObjects: print } = await import('../printing/objects.ts');
      const text = await print([object as object], { output, headers: shown === 0 && !parsed.bool('no-headers'), managedFields: parsed.bool('show-managed-fields'), single: true });
      io.out(output === 'yaml' && shown > 0 ? `---\n${text}` : text);
      shown++;
    }
  };
  const list = await listObjects<Table & { metadata: { resourceVersion: string }; items?: unknown[] }>(client, type, namespace, { ...selectors, accept });
  if (!parsed.bool('watch-only')) {
    if (asTable) { if (list.rows.length > 0) await show(list); } else for (const item of list.items ?? []) await show(item);
  }
  let revision = list.metadata.resourceVersion;
  while (!io.interrupted.aborted) {
    const stream = await client.open('GET', watchPath(type, namespace, selectors, revision), { accept, signal: io.interrupted });
    for await (const line of lines(stream)) {
      const event = JSON.parse(line) as { type: string; object: Table & { message?: string; metadata?: { resourceVersion?: string } } };
      if (event.type === 'ERROR') throw new StatusError('Expired', event.object.message ?? 'the watch ended');
      revision = event.object.metadata?.resourceVersion ?? event.object.rows?.[0]?.object?.metadata?.resourceVersion ?? revision;
      if (event.type !== 'BOOKMARK') await show(event.object);
    }
    // Whoever limits a request's time means the watch, not each of its streams.
    if (client.connection.timeoutMs > 0) return 0;
  }
  return 130;
}

/** The failure, unless it is none to who asked not to be told of what is not there. */
function unlessIgnored(error: StatusError, parsed: ParsedFlags): StatusError | undefined {
  return error.code === 'NotFound' && parsed.bool('ignore-not-found') ? undefined : error;
}

function selectorsOf(parsed: ParsedFlags): Selectors {
  return { labels: parsed.string('selector'), fields: parsed.string('field-selector') };
}
