import { existsSync } from 'node:fs';

/** On a Node: who brings another version to its host. Absent: an older agent. */
export const upgradedByAnnotation = 'cleat.dev/upgraded-by';

/** `cleat`: what `cleat upgrade` sends; for the others, why it does not. */
export type UpgradedBy = 'cleat' | 'package' | 'checkout' | 'hand';

export const whyNotUpgraded: Readonly<Record<Exclude<UpgradedBy, 'cleat'>, string>> = {
  package: 'Cleat is a package of the system there, which apt looks after; install the new one there: apt install ./cleat_VERSION_ARCH.deb',
  checkout: 'its agent runs from a checkout and not from an executable; upgrade that with git there',
  hand: 'its agent was not started by systemd, so nothing would start the new one; replace the executable there by hand, or install it with install.sh',
};

export function isUpgradedBy(value: unknown): value is UpgradedBy {
  return value === 'cleat' || (typeof value === 'string' && Object.hasOwn(whyNotUpgraded, value));
}

/** `executable`: the single one that runs, undefined from a checkout; `packageList`: the files that dpkg knows as Cleat's. */
export function upgradedBy(executable: string | undefined, supervised: boolean, packageList = '/var/lib/dpkg/info/cleat.list'): UpgradedBy {
  if (executable === undefined) return 'checkout';
  if (executable === '/usr/bin/cleat' && existsSync(packageList)) return 'package';
  return supervised ? 'cleat' : 'hand';
}
