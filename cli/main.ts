import { errorText } from './error-text.ts';
import { verbFirst } from './flags.ts';
import type { Command, Io } from './types.ts';

/** Each verb is loaded when it is asked for: `cleat get pods` must not pay for `cleat up`. */
const commands: Readonly<Record<string, () => Promise<{ command: Command }>>> = {
  up: () => import('./commands/up.ts'),
  controlplane: () => import('./commands/controlplane.ts'),
  agent: () => import('./commands/agent.ts'),
  down: () => import('./commands/down.ts'),
  token: () => import('./commands/token.ts'),
  get: () => import('./commands/get.ts'),
  describe: () => import('./commands/describe.ts'),
  apply: () => import('./commands/apply.ts'),
  delete: () => import('./commands/delete.ts'),
  scale: () => import('./commands/scale.ts'),
  logs: () => import('./commands/logs.ts'),
  exec: () => import('./commands/exec.ts'),
  attach: () => import('./commands/attach.ts'),
  cp: () => import('./commands/cp.ts'),
  'port-forward': () => import('./commands/port-forward.ts'),
  top: () => import('./commands/top.ts'),
  nodes: () => import('./commands/nodes.ts'),
  node: () => import('./commands/node.ts'),
  cordon: () => import('./commands/cordon.ts'),
  uncordon: () => import('./commands/uncordon.ts'),
  drain: () => import('./commands/drain.ts'),
  taint: () => import('./commands/taint.ts'),
  label: () => import('./commands/label.ts'),
  annotate: () => import('./commands/annotate.ts'),
  patch: () => import('./commands/patch.ts'),
  rollout: () => import('./commands/rollout.ts'),
  wait: () => import('./commands/wait.ts'),
  events: () => import('./commands/events.ts'),
  'api-resources': () => import('./commands/api-resources.ts'),
  'api-versions': () => import('./commands/api-versions.ts'),
  auth: () => import('./commands/auth.ts'),
  why: () => import('./commands/why.ts'),
  version: () => import('./commands/version.ts'),
};

const usage = `Cleat runs Kubernetes on real hosts.

Run:
  up            a control plane and an agent on this host
  controlplane  the control plane alone
  agent         join this host to a cluster
  down          stop this host's pods and undo what Cleat changed on the host
  token         create, list and delete join tokens

Use:
  get           show objects as tables, YAML or JSON
  describe      show one object, what belongs to it, and its Events
  apply         make the cluster match a file
  delete        delete objects
  scale         set the number of replicas
  logs          print what containers wrote
  exec          run a command in a container
  attach        connect to a container's program
  cp            copy files from and to containers
  port-forward  reach a pod's ports from this host
  top           CPU and memory in use
  nodes         the fleet at a glance
  node          declare a host dead, or take that back
  why           why a pod is not running, and what would change that
  version       versions of client and server

'cleat COMMAND --help' says more.
`;

async function main(argv: readonly string[], io: Io): Promise<number> {
  const [verb = 'help', ...rest] = verbFirst(argv);
  if (verb === 'help' || verb === '--help' || verb === '-h') {
    io.out(usage);
    return 0;
  }
  const load = Object.hasOwn(commands, verb === '--version' ? 'version' : verb) ? commands[verb === '--version' ? 'version' : verb] : undefined;
  if (!load) {
    io.err(`error: unknown command "${verb}" for "cleat"\nSee 'cleat --help'.\n`);
    return 1;
  }
  const { command } = await load();
  const own = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
  if (own.includes('--help') || own.includes('-h')) {
    io.out(await command.help(rest));
    return 0;
  }
  return command.run(rest, io);
}

const interrupt = new AbortController();
const io: Io = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  env: process.env,
  stdin: process.stdin,
  terminal: process.stdout.isTTY,
  interrupted: interrupt.signal,
};
// The reader of a pipe may leave early (`cleat get pods | head -1`); that is not a failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
// One Ctrl-C may arrive twice, from the terminal and from npm; one that comes later means that the user will not wait.
const impatientMs = 1000;
let interruptedMs = 0;
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (!interrupt.signal.aborted) interruptedMs = performance.now();
    else if (performance.now() - interruptedMs > impatientMs) process.exit(130);
    interrupt.abort(new Error(name));
  });
}

try {
  process.exitCode = await main(process.argv.slice(2), io);
} catch (error) {
  if (interrupt.signal.aborted) {
    process.exitCode = 130;
  } else {
    io.err(`${errorText(error)}\n`);
    process.exitCode = 1;
  }
}
