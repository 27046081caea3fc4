import { StatusError } from '#common/errors.ts';
import { clusterCommand } from '../cluster-command.ts';
import { exposeFlags, serviceFor, type Exposed } from '../create/expose.ts';
import { submit, submitFlags } from '../create/submit.ts';
import { eachOf } from '../each.ts';
import { report } from '../error-text.ts';
import { refuse } from '../flags.ts';
import { pathOf, resolveResource } from '../resources.ts';
import { fileFlags, hasFiles, readTargets } from '../targets.ts';

export const command = clusterCommand({
  name: 'expose', usage: 'expose (TYPE NAME | TYPE/NAME | -f FILE) [--port=PORT] [flags]', flags: [...fileFlags, ...exposeFlags, ...submitFlags],
  summary: 'Make a Service for the pods of a Service, pod, Deployment, ReplicaSet or ReplicationController.',
  examples: ['cleat expose deployment web --port=80 --target-port=8080', 'cleat expose pod web-0 --name=first --type=NodePort'],
  async run(invocation) {
    const { client, parsed, io } = invocation;
    if (!hasFiles(parsed) && parsed.args.length === 0) throw refuse('expose', 'say what to expose: TYPE NAME, TYPE/NAME or -f FILE');
    const targets = await readTargets('expose', client, parsed, io);
    const type = await resolveResource(client, 'services');
    return report(await eachOf(targets, async (target) => {
      const { name } = target;
      if (name === undefined) throw new StatusError('BadRequest', `resource(s) were provided, but no name was specified; say which: cleat expose ${target.type.singular} NAME`);
      const object = await client.json<Exposed>('GET', pathOf(target.type, target.namespace ?? client.connection.namespace, name));
      await submit(invocation, { command: 'expose', manifest: serviceFor(target.type.kind, object, parsed), type, did: 'exposed' });
    }), io);
  },
});
