import type { Check } from '../types.ts';

const needed = ['cpu', 'memory', 'pids'];
const useful = ['cpuset', 'io'];
/** Raspberry Pi OS switches the memory controller off unless told otherwise. */
const words = 'cgroup_enable=memory cgroup_memory=1';

export const cgroups: Check = ({ cgroup: { version, controllers, bootLine, bootFile }, model }) => {
  if (version === undefined) return [{ check: 'cgroups', level: 'fail', what: 'there are no cgroups', why: 'nothing can hold pods to their limits', fix: 'mount -t cgroup2 cgroup2 /sys/fs/cgroup, or boot with systemd' }];
  // Version 1 calls it otherwise.
  const has = (name: string): boolean => controllers.includes(name) || (name === 'io' && controllers.includes('blkio'));
  const missing = needed.filter((name) => !has(name));
  if (missing.length > 0) {
    const memory = missing.includes('memory');
    return [{
      check: 'cgroups', level: 'fail', what: `controllers are off: ${missing.join(', ')}`,
      why: memory ? 'memory limits of pods do not hold, and one pod can take the whole host' : 'limits of pods do not hold',
      fix: memory ? bootFix(bootLine, bootFile, model) : "boot a kernel with these controllers, and without cgroup_disable= in its boot line",
    }];
  }
  const absent = useful.filter((name) => !has(name));
  if (absent.length > 0) return [{ check: 'cgroups', level: 'ok', what: `version ${String(version)}: ${needed.join(', ')}; without ${absent.join(', ')}, which only few pods ask for` }];
  return [{ check: 'cgroups', level: 'ok', what: `version ${String(version)}: ${[...needed, ...useful].join(', ')}` }];
};

function bootFix(bootLine: string, bootFile: string | undefined, model: string | undefined): string {
  if (bootFile !== undefined) {
    if (words.split(' ').every((word) => bootLine.split(/\s+/).includes(word))) return `${bootFile} asks for it (${words}), but this kernel has not got it; boot a newer kernel`;
    // The file is one line; what stands on a second one is not read.
    return `sudo sed -i '1 s/$/ ${words}/' ${bootFile} && sudo reboot`;
  }
  if (model?.startsWith('Raspberry Pi') === true) return `add ${words} to the end of the one line of cmdline.txt on the boot partition, and reboot`;
  return `sudo sed -i 's/^GRUB_CMDLINE_LINUX="/&cgroup_enable=memory /' /etc/default/grub && sudo update-grub && sudo reboot (or the same word in the boot line, however this host gets it)`;
}
