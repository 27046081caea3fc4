import { clusterCommand } from '../cluster-command.ts';
import { refuseMore } from '../flags.ts';

interface Groups { readonly groups: readonly { readonly versions: readonly { readonly groupVersion: string }[] }[] }

export const command = clusterCommand({
  name: 'api-versions', usage: 'api-versions', summary: 'List the versions of the API that the server has.', flags: [],
  async run({ client, parsed, io }) {
    refuseMore('api-versions', parsed.args);
    const [core, { groups }] = await Promise.all([client.json<{ versions: string[] }>('GET', '/api'), client.json<Groups>('GET', '/apis')]);
    const versions = [...core.versions, ...groups.flatMap(({ versions: of }) => of.map(({ groupVersion }) => groupVersion))];
    io.out(versions.sort().map((version) => `${version}\n`).join(''));
    return 0;
  },
});
