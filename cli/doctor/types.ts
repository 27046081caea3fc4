import type { Hardware } from '#common/hardware.ts';

/** Everything that the checks judge, read once. What could not be found out (often for want of root) is undefined. */
export interface HostReadings {
  readonly root: boolean;
  /** What Cleat is set up as here: `both` also where nothing says. */
  readonly role: 'server' | 'agent' | 'both';
  readonly hostName: string;
  /** As /proc/device-tree/model has it: `Raspberry Pi 4 Model B Rev 1.4`. */
  readonly model: string | undefined;
  readonly kernel: { readonly release: string; readonly machine: string };
  readonly cgroup: {
    readonly version: 1 | 2 | undefined;
    /** Those that pods can be held to. */
    readonly controllers: readonly string[];
    readonly bootLine: string;
    /** The Pi's file with the boot line, where there is one. */
    readonly bootFile: string | undefined;
  };
  readonly features: Readonly<Record<string, FeatureState>>;
  /** False when the running kernel's modules are gone, as after an update without a reboot; undefined when there are none at all. */
  readonly modulesThere: boolean | undefined;
  /** Program → where it is. */
  readonly programs: Readonly<Record<string, string | undefined>>;
  readonly cniPlugins: readonly string[];
  /** Names of programs that run. */
  readonly processes: ReadonlySet<string>;
  /** Networks of pods that somebody else configured, in /etc/cni/net.d. */
  readonly foreignCni: readonly string[];
  readonly listeners: readonly Listener[];
  readonly firewall: {
    readonly ufw: boolean;
    readonly firewalld: boolean;
    /** Chains that drop what no rule takes: `ip filter INPUT`. Undefined without root. */
    readonly dropping: readonly { readonly chain: string; readonly hook: string }[] | undefined;
    /** What lets other hosts in to the API: undefined when it could not be read. */
    readonly apiAllowed: boolean | undefined;
  };
  readonly clock: {
    readonly nowMs: number;
    /** Whether the kernel's clock is held to a time server's. */
    readonly synchronized: boolean | undefined;
    /** Whether `timedatectl` can switch that on. */
    readonly canSync: boolean;
    /** This clock less the control plane's, where one answers. */
    readonly aheadOfServerMs: number | undefined;
  };
  readonly dns: { readonly nameservers: readonly string[]; readonly lookup: { readonly name: string; readonly error: string | undefined; readonly tookMs: number } | undefined };
  /** The control plane that the agent here is told to join. */
  readonly server: { readonly url: string; readonly error: string | undefined } | undefined;
  readonly disk: {
    readonly folder: string;
    readonly totalBytes: number;
    readonly availableBytes: number;
    readonly inodes: number;
    readonly freeInodes: number;
    /** Of synced writes of 4 KiB; undefined where nothing may be written. */
    readonly syncMs: number | undefined;
    readonly readOnly: boolean;
  };
  readonly memory: { readonly totalBytes: number; readonly availableBytes: number };
  /** fs.inotify.max_user_instances */
  readonly inotifyInstances: number | undefined;
  readonly hardware: Hardware;
}

/** `ready`: in the kernel or loaded; `loadable`: a module that is loaded at first use. */
export type FeatureState = 'ready' | 'loadable' | 'missing' | 'unknown';

export interface Listener {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  /** Undefined without root for what other users run. */
  readonly program: string | undefined;
}

export interface Finding {
  /** What was looked at: `cgroups`. */
  readonly check: string;
  readonly level: 'ok' | 'warn' | 'fail';
  readonly what: string;
  /** What comes of it. */
  readonly why?: string;
  /** What to do, ready to type where that can be. */
  readonly fix?: string;
  /** What `--fix` does: it takes nothing away and breaks nothing that runs. */
  readonly repair?: { readonly does: string; readonly command: readonly [string, ...string[]] };
}

/** Pure: what the readings say about one matter. */
export type Check = (readings: HostReadings) => readonly Finding[];
