import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { messageOf } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';

/**
 * `npm run build` makes it: `cleat_VERSION_ARCH.deb` of an executable that is there. It brings the executable and the units, which
 * start nothing by themselves: what a host is to be is said in /etc/cleat, and by which unit is enabled.
 */
export interface DebConfig {
  readonly root: string;
  readonly out: string;
  readonly arch: string;
  readonly version: string;
}

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const units = ['cleat-controlplane.service', 'cleat-agent.service'] as const;

/** Resolves with the file's name; with why it was not made where there is no dpkg-deb. */
export async function makeDeb({ root, out, arch, version }: DebConfig): Promise<{ readonly file: string } | { readonly missing: string }> {
  const architecture = architectures[arch] ?? arch;
  const file = `cleat_${version}_${architecture}.deb`;
  const tree = await mkdtemp(join(tmpdir(), 'cleat-deb-'));
  try {
    await chmod(tree, 0o755);
    const put = async (path: string, content: string, mode: number): Promise<void> => {
      await mkdir(dirname(join(tree, path)), { recursive: true, mode: 0o755 });
      await writeFile(join(tree, path), content);
      await chmod(join(tree, path), mode);
    };
    await put('DEBIAN/control', control(version, architecture), 0o644);
    for (const [name, script] of Object.entries(scripts)) await put(`DEBIAN/${name}`, `#!/bin/sh\nset -e\n${script}`, 0o755);
    for (const unit of units) await put(`lib/systemd/system/${unit}`, (await readFile(join(root, 'systemd', unit), 'utf8')).replaceAll('/usr/local/bin/cleat', '/usr/bin/cleat'), 0o644);
    await mkdir(join(tree, 'usr/bin'), { recursive: true, mode: 0o755 });
    await copyFile(join(out, `cleat-linux-${arch}`), join(tree, 'usr/bin/cleat'));
    await chmod(join(tree, 'usr/bin/cleat'), 0o755);
    // The same package from the same files, whenever it is made.
    await execOk('dpkg-deb', ['--root-owner-group', '-Zgzip', '-z6', '--build', tree, join(out, file)], { timeoutMs: 120_000, env: { SOURCE_DATE_EPOCH: '1' } });
    return { file };
  } catch (error) {
    if (messageOf(error).includes('cannot run dpkg-deb')) return { missing: 'dpkg-deb is not here, so there is no .deb' };
    throw error;
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

const control = (version: string, architecture: string): string => `Package: cleat
Version: ${version}
Architecture: ${architecture}
Maintainer: Cleat <cleat@localhost>
Section: admin
Priority: optional
Depends: iproute2
Recommends: containerd | docker.io, runc | crun, nftables, containernetworking-plugins, conntrack
Description: Kubernetes for real hosts that fits on a Raspberry Pi
 Control plane, node agent and command line in one executable.
 .
 The first host: systemctl enable --now cleat-controlplane.
 Others: write the server's address and a token to /etc/cleat/agent.yaml, as
 "cleat token create" prints them, then systemctl enable --now cleat-agent.
`;

/** Of pods, as agent/pods/logs/folder.ts has noted where they are. `pods`: the folder of their other files. */
export const removeLogs = (pods: string): string => `for note in ${pods}/*/.logs*; do
  logs=$(readlink "$note") && [ "\${logs##*/}" = "$(basename "\${note%/*}")" ] || continue
  links=\${logs%/*/*}/containers
  [ ! -d "$links" ] || find "$links" -maxdepth 1 -lname "$logs/*" -delete || true
  rm -rf "$logs" || true
  rmdir "\${logs%/*}" "$links" 2>/dev/null || true
done
`;

const scripts: Readonly<Record<string, string>> = {
  // Containers go on while the agent is exchanged.
  postinst: `install -d -m 755 /etc/cleat
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  [ -z "$2" ] || systemctl try-restart --no-block cleat-controlplane cleat-agent
fi
`,
  prerm: `[ "$1" = remove ] || exit 0
[ ! -d /run/systemd/system ] || systemctl disable --now --quiet cleat-agent cleat-controlplane || true
# Pods, rules and routes go with the program that would look after them; what is kept on disk stays until the package is purged.
[ ! -e /var/lib/cleat ] || /usr/bin/cleat down
`,
  postrm: `[ ! -d /run/systemd/system ] || systemctl daemon-reload
[ "$1" = purge ] || exit 0
rm -rf /etc/cleat /var/cache/cleat
${removeLogs('/var/lib/cleat/pods')}[ ! -d /var/lib/cleat ] || { find /var/lib/cleat -xdev -mindepth 1 -delete || true; rmdir /var/lib/cleat 2>/dev/null || true; }
`,
};
