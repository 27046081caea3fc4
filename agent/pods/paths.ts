import { join } from 'node:path';

/** Where a pod's files are. Names with a leading dot cannot be a container's. */
export interface PodPaths {
  readonly root: string;
  /** Per container name: `<attempt>.log`. */
  readonly logs: string;
  readonly volumes: string;
  /** Parts of volumes that are mounted for containers: `<container>/<index>`. */
  readonly subPaths: string;
  /** A folder for each volume of an image that the runtime holds, by the volume's name. */
  readonly imageVolumes: string;
  /** Volumes that outlive pods, each by its own name. */
  readonly localVolumes: string;
  readonly hostsFile: string;
  /** Sealed tokens of service accounts, a file for each volume. */
  readonly tokens: string;
  /** The range of ids that the pod's users have of the host: a file that is named by the first. */
  readonly users: string;
  /** What the pod's containers have been given. */
  readonly allocation: string;
  /** Since when it has been active, for a pod with a deadline. */
  readonly active: string;
  terminationLog(container: string, attempt: number): string;
}

export interface PodPlaces {
  readonly stateDir: string;
  /** Below it each pod has a folder for its logs; these are among its other files when absent. */
  readonly podLogsDir?: string | undefined;
}

const maxNameBytes = 255;

export function podPaths({ stateDir, podLogsDir }: PodPlaces, pod: { namespace: string; name: string; uid: string }): PodPaths {
  return podPathsOf(stateDir, podDirName(pod), podLogsDir);
}

export function podsDir(stateDir: string): string {
  return join(stateDir, 'pods');
}

export function localVolumesDir(stateDir: string): string {
  return join(stateDir, 'volumes');
}

/** The uid in a directory's name; undefined when it is no pod's. */
export function uidOfPodDir(name: string): string | undefined {
  return /^[^_]+_[^_]+_([^_]+)$/.exec(name)?.[1];
}

export function podPathsOf(stateDir: string, dirName: string, logsDir = podsDir(stateDir)): PodPaths {
  const root = join(podsDir(stateDir), dirName);
  return {
    root,
    logs: join(logsDir, dirName),
    volumes: join(root, '.volumes'),
    subPaths: join(root, '.sub-paths'),
    imageVolumes: join(root, '.images'),
    localVolumes: localVolumesDir(stateDir),
    hostsFile: join(root, '.files', '.hosts'),
    tokens: join(root, '.files', 'tokens'),
    users: join(root, '.users'),
    allocation: join(root, '.files', 'resources.json'),
    active: join(root, '.files', 'active'),
    terminationLog: (container, attempt) => join(root, '.files', container, `${String(attempt)}.termination`),
  };
}

/** `<namespace>_<name>_<uid>`, cut in the name when a file name cannot hold it. */
function podDirName({ namespace, name, uid }: { namespace: string; name: string; uid: string }): string {
  const room = maxNameBytes - namespace.length - uid.length - 2;
  return `${namespace}_${name.slice(0, room)}_${uid}`;
}

export function logFileOf(container: string, attempt: number): string {
  return join(container, `${String(attempt)}.log`);
}
