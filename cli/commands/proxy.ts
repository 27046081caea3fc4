import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { untilAborted } from '#common/lifecycle.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag, type ParsedFlags } from '../flags.ts';
import { readConnection } from '../kubeconfig.ts';
import { defaultRules, RequestFilter } from '../proxy/filter.ts';
import type { Listening } from '../proxy/listen.ts';
import type { Command, Io } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'port', short: 'p', type: 'int', default: '8001', description: 'port to listen on; 0 is any that is free' },
  { name: 'address', type: 'string', default: '127.0.0.1', description: 'address of this host to listen on' },
  { name: 'unix-socket', short: 'u', type: 'string', description: 'socket to listen on, in place of a port' },
  { name: 'api-prefix', type: 'string', default: '/', description: 'path below which the API is' },
  { name: 'www', short: 'w', type: 'string', description: 'also serve the files of this folder' },
  { name: 'www-prefix', short: 'P', type: 'string', default: '/static/', description: 'path below which they are' },
  { name: 'accept-hosts', type: 'string', default: defaultRules.acceptHosts, description: 'hosts that requests may be for, as regular expressions' },
  { name: 'accept-paths', type: 'string', default: defaultRules.acceptPaths, description: 'paths that are passed on' },
  { name: 'reject-paths', type: 'string', default: defaultRules.rejectPaths, description: 'paths that are not, though they are accepted' },
  { name: 'reject-methods', type: 'string', default: defaultRules.rejectMethods, description: 'methods that are not, such as POST,PUT,PATCH' },
  { name: 'disable-filter', type: 'bool', description: 'pass everything on; pages that a browser shows can then use the cluster' },
  { name: 'keepalive', type: 'duration', default: '0', description: 'how often idle connections of streams are probed; 0 is never' },
  { name: 'append-server-path', type: 'bool', description: "put the path of the server's address before that of every request" },
];

export const command: Command = {
  help: () => helpText('proxy [--port=PORT] [--www=DIR] [flags]', 'Serve the API of the cluster on this host, for programs that cannot log in to it, until interrupted.', flags, ['cleat proxy', 'cleat proxy --port=0 --api-prefix=/k8s-api', 'cleat proxy --www=./site --www-prefix=/ --api-prefix=/api/']),
  async run(argv, io) {
    const parsed = parseFlags('proxy', flags, argv);
    if (parsed.args.length > 0) throw refuse('proxy', `unexpected arguments: ${parsed.args.join(' ')}`);
    const where = whereToListen(parsed);
    const filter = filterOf(parsed, io);
    const folder = parsed.string('www') ?? '';
    if (folder !== '' && statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) io.err(`Warning: ${folder} is no folder of files\n`);
    const connection = await readConnection(parsed, io.env);
    const path = new URL(connection.server).pathname;
    if (path !== '/' && !parsed.bool('append-server-path')) io.err(`Warning: the address of the server has the path ${path}; use --append-server-path to put it before that of each request\n`);
    const [{ ApiProxy }, { ProxyTarget }, { StaticFiles }, { listen }] = await Promise.all([import('../proxy/server.ts'), import('../proxy/target.ts'), import('../proxy/static-files.ts'), import('../proxy/listen.ts')]);
    const target = new ProxyTarget(connection, { appendServerPath: parsed.bool('append-server-path'), keepaliveMs: parsed.durationMs('keepalive') ?? 0 });
    const proxy = new ApiProxy({ target, filter, files: folder === '' ? undefined : new StaticFiles(resolve(folder)), warn: io.err }, { api: prefixOf(parsed, 'api-prefix'), files: prefixOf(parsed, 'www-prefix') });
    try {
      io.out(`Starting to serve on ${await listen(proxy.server, where)}\n`);
      await untilAborted(io.interrupted);
    } finally {
      await proxy.close();
      target.close();
    }
    return 130;
  },
};

function whereToListen(parsed: ParsedFlags): Listening {
  const socket = parsed.string('unix-socket') ?? '';
  const port = parsed.int('port') ?? 0;
  if (socket !== '' && port !== 8001) throw refuse('proxy', 'cannot set --unix-socket and --port at the same time');
  if (port < 0 || port > 65_535) throw refuse('proxy', `invalid argument "${String(port)}" for "--port" flag: expected a port`);
  return socket === '' ? { address: parsed.string('address') ?? '', port } : { socket };
}

function filterOf(parsed: ParsedFlags, io: Io): RequestFilter | undefined {
  if (!parsed.bool('disable-filter')) {
    const rule = (name: string): string => parsed.string(name) ?? '';
    return new RequestFilter({ acceptHosts: rule('accept-hosts'), acceptPaths: rule('accept-paths'), rejectPaths: rule('reject-paths'), rejectMethods: rule('reject-methods') });
  }
  if (!parsed.has('unix-socket')) io.err('Warning: Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious\n');
  return undefined;
}

function prefixOf(parsed: ParsedFlags, flag: string): string {
  const prefix = parsed.string(flag) ?? '';
  return `${prefix.startsWith('/') ? '' : '/'}${prefix}${prefix.endsWith('/') ? '' : '/'}`;
}
