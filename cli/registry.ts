import type { Commands } from './types.ts';

/** Each verb is loaded when it is asked for: `cleat get pods` must not pay for `cleat up`. */
export const commands: Commands = {
  up: () => import('./commands/up.ts'),
  controlplane: () => import('./commands/controlplane.ts'),
  agent: () => import('./commands/agent.ts'),
  down: () => import('./commands/down.ts'),
  token: () => import('./commands/token.ts'),
  get: () => import('./commands/get.ts'),
  describe: () => import('./commands/describe.ts'),
  create: () => import('./commands/create.ts'),
  run: () => import('./commands/run.ts'),
  replace: () => import('./commands/replace.ts'),
  certificate: () => import('./commands/certificate.ts'),
  expose: () => import('./commands/expose.ts'),
  autoscale: () => import('./commands/autoscale.ts'),
  apply: () => import('./commands/apply.ts'),
  diff: () => import('./commands/diff.ts'),
  kustomize: () => import('./commands/kustomize.ts'),
  set: () => import('./commands/set.ts'),
  delete: () => import('./commands/delete.ts'),
  scale: () => import('./commands/scale.ts'),
  logs: () => import('./commands/logs.ts'),
  exec: () => import('./commands/exec.ts'),
  debug: () => import('./commands/debug.ts'),
  attach: () => import('./commands/attach.ts'),
  cp: () => import('./commands/cp.ts'),
  'port-forward': () => import('./commands/port-forward.ts'),
  proxy: () => import('./commands/proxy.ts'),
  top: () => import('./commands/top.ts'),
  nodes: () => import('./commands/nodes.ts'),
  net: () => import('./commands/net.ts'),
  node: () => import('./commands/node.ts'),
  device: () => import('./commands/device.ts'),
  image: () => import('./commands/image.ts'),
  cordon: () => import('./commands/cordon.ts'),
  uncordon: () => import('./commands/uncordon.ts'),
  drain: () => import('./commands/drain.ts'),
  taint: () => import('./commands/taint.ts'),
  label: () => import('./commands/label.ts'),
  annotate: () => import('./commands/annotate.ts'),
  patch: () => import('./commands/patch.ts'),
  rollout: () => import('./commands/rollout.ts'),
  compose: () => import('./commands/compose.ts'),
  wait: () => import('./commands/wait.ts'),
  events: () => import('./commands/events.ts'),
  'api-resources': () => import('./commands/api-resources.ts'),
  'api-versions': () => import('./commands/api-versions.ts'),
  auth: () => import('./commands/auth.ts'),
  explain: () => import('./commands/explain.ts'),
  edit: () => import('./commands/edit.ts'),
  config: () => import('./commands/config.ts'),
  completion: () => import('./commands/completion.ts'),
  why: () => import('./commands/why.ts'),
  doctor: () => import('./commands/doctor.ts'),
  backup: () => import('./commands/backup.ts'),
  restore: () => import('./commands/restore.ts'),
  certs: () => import('./commands/certs.ts'),
  upgrade: () => import('./commands/upgrade.ts'),
  uninstall: () => import('./commands/uninstall.ts'),
  'cluster-info': () => import('./commands/cluster-info.ts'),
  version: () => import('./commands/version.ts'),
};

/** What `cleat --help` says. */
export const usage = `Cleat runs Kubernetes on real hosts.

Run:
  up            a control plane and an agent on this host
  controlplane  the control plane alone
  agent         join this host to a cluster
  down          stop this host's pods and undo what Cleat changed on the host
  token         create, list and delete join tokens

See:
  get            show objects as tables, YAML or JSON
  describe       show one object, what belongs to it, and its Events
  why            why a pod is not running, and what would change that
  logs           print what containers wrote
  events         list Events
  top            CPU and memory in use
  nodes          the fleet at a glance
  doctor         whether this host can run Cleat well, and what to do where not
  net            how hosts reach each other; net check: whether full packets do
  explain        the fields of a type of object
  api-resources  the types of objects; api-versions: the versions of the API
  auth           what this user may do, and who that is
  cluster-info   where the control plane is; cluster-info dump: all that helps to find out what is wrong
  version        versions of client and server

Change:
  apply          make the cluster match a file; diff: what that would change
  kustomize      print what a kustomization describes
  create         make objects of a file or of words
  run            run an image in a pod
  expose         make a Service for the pods of an object
  autoscale      make an autoscaler for an object
  set            set image, env, resources, serviceaccount, selector
  replace        put the objects of a file in place of what is there
  delete         delete objects
  edit           change an object in an editor
  patch          change fields of objects
  label          set labels; annotate: set annotations
  scale          set the number of replicas
  rollout        see and steer rollouts: status, history, undo, restart, pause, resume
  compose        run a compose file: up, down, convert
  wait           wait until objects are as said

Into pods:
  exec           run a command in a container
  attach         connect to a container's program
  debug          look into a pod or node with tools that it lacks
  cp             copy files from and to containers
  port-forward   reach a pod's ports from this host
  proxy          serve the cluster's API on this host, for programs that cannot log in

Hosts:
  cordon         let no new pods come to a node; uncordon: let them again
  drain          empty a node for maintenance
  image          images of nodes: list, load, push, prune
  taint          keep pods off nodes
  node           all of these, and remove and fence
  device         classes of devices that pods may ask for: serial ports, cameras, GPUs, GPIO, USB

The cluster itself:
  backup         write all of it to a file; restore: make this host what a backup is of
  upgrade        another version on every host, in waves; uninstall: take Cleat off this host
  certs          certificates: status, rotate; certificate: approve and deny requests for some

Settings:
  config         clusters and contexts of the kubeconfig
  completion     completion for bash, zsh and fish

'cleat COMMAND --help' says more.
`;
