/** In the kernel's order: what a privileged container has, as far as this kernel knows it. */
const all = [
  'CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP', 'LINUX_IMMUTABLE', 'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW',
  'IPC_LOCK', 'IPC_OWNER', 'SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE', 'SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD',
  'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP', 'MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF', 'CHECKPOINT_RESTORE',
];
/** What every runtime gives a container of which nothing is said. */
const usual = ['CHOWN', 'DAC_OVERRIDE', 'FSETID', 'FOWNER', 'MKNOD', 'NET_RAW', 'SETGID', 'SETUID', 'SETFCAP', 'SETPCAP', 'NET_BIND_SERVICE', 'SYS_CHROOT', 'KILL', 'AUDIT_WRITE'];

export interface CapabilityWish {
  readonly privileged: boolean;
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
}

/**
 * The capabilities of a container, with their prefix: the usual ones with the added and without the dropped ones, as
 * containerd's own CRI has it; `ALL` stands for every one, and what is named beside it counts more. `available` is a mask of what this process itself has: no more can be given.
 */
export function capabilitiesOf({ privileged, addCapabilities, dropCapabilities }: CapabilityWish, available: bigint): string[] {
  const plain = (names: readonly string[]): Set<string> => new Set(names.map((name) => name.toUpperCase().replace(/^CAP_/, '')));
  const added = plain(addCapabilities);
  const dropped = plain(dropCapabilities);
  const begin = added.has('ALL') || privileged ? all : dropped.has('ALL') ? [] : usual;
  const given = new Set([...begin, ...added]);
  return all.filter((name, bit) => given.has(name) && (privileged || !dropped.has(name)) && (available >> BigInt(bit)) & 1n).map((name) => `CAP_${name}`);
}

/** Of /proc/self/status: what may be handed on. */
export function boundingSet(status: string): bigint {
  return BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
}
