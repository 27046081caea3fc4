import { version } from '#common/version.ts';
import { connect } from '../cluster-command.ts';
import { clusterFlags, helpText, parseFlags, refuse, refuseMore, type Flag, type ParsedFlags } from '../flags.ts';
import { notOfApi } from '../server-error.ts';
import type { Command, Io } from '../types.ts';

const flags: readonly Flag[] = [
  { name: 'client', type: 'bool', description: 'this executable only; asks no server' },
  { name: 'output', short: 'o', type: 'string', description: 'json or yaml' },
];

export const command: Command = {
  help: () => helpText('version [flags]', 'Show the versions of this executable and of the server.', [...clusterFlags, ...flags]),
  async run(argv, io) {
    const parsed = parseFlags('version', [...clusterFlags, ...flags], argv);
    refuseMore('version', parsed.args);
    const output = parsed.string('output');
    if (output !== undefined && output !== 'json' && output !== 'yaml') throw refuse('version', "--output must be 'yaml' or 'json'");
    const clientVersion = { gitVersion: `v${version}`, platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`, nodeVersion: process.version };
    if (output === undefined) io.out(`Client Version: ${clientVersion.gitVersion}\n`);
    let serverVersion: { readonly gitVersion: string } | undefined;
    let failure: unknown;
    if (!parsed.bool('client')) {
      try {
        serverVersion = await askServer(parsed, io);
        if (output === undefined) io.out(`Server Version: ${serverVersion.gitVersion}\n`);
      } catch (error) {
        failure = error;
      }
    }
    if (output !== undefined) {
      const versions = { clientVersion, ...(serverVersion && { serverVersion }) };
      io.out(output === 'json' ? `${JSON.stringify(versions, null, 2)}\n` : (await import('../yaml.ts')).formatYaml(versions));
    }
    if (failure !== undefined) throw failure;
    return 0;
  },
};

async function askServer(parsed: ParsedFlags, io: Io): Promise<{ readonly gitVersion: string }> {
  const client = await connect(parsed, io);
  try {
    const version = await client.json<{ gitVersion?: unknown }>('GET', '/version');
    if (typeof version.gitVersion !== 'string') throw notOfApi(JSON.stringify(version), 'GET /version', client.connection.server);
    return { ...version, gitVersion: version.gitVersion };
  } finally {
    client.close();
  }
}
