import { messageOf } from '#common/errors.ts';
import { version } from '#common/version.ts';
import { RestClient } from '../client.ts';
import { clusterFlags, helpText, parseFlags, type Flag } from '../flags.ts';
import { readConnection } from '../kubeconfig.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [...clusterFlags, { name: 'client', type: 'bool', description: 'this executable only; asks no server' }];

export const command: Command = {
  help: () => helpText('version [flags]', 'Show the versions of this executable and of the server.', flags),
  async run(argv, io) {
    const parsed = parseFlags('version', flags, argv);
    io.out(`Client Version: v${version}\n`);
    if (parsed.bool('client')) return 0;
    try {
      const client = new RestClient(await readConnection(parsed, io.env));
      const server = await client.json<{ gitVersion: string }>('GET', '/version');
      client.close();
      io.out(`Server Version: ${server.gitVersion}\n`);
      return 0;
    } catch (error) {
      io.err(`error: ${messageOf(error)}\n`);
      return 1;
    }
  },
};
