import { describe, expect, it } from 'vitest';
import type { Finding, HostReadings } from '../types.ts';
import { droppingChains } from '../firewall.ts';
import { parseSockets } from '../network.ts';
import { checks } from './all.ts';

const gib = 1 << 30;
const well: HostReadings = {
  root: true, role: 'server', hostName: 'pi-1', model: undefined, kernel: { release: '6.12.20+rpt-rpi-v8', machine: 'aarch64' },
  cgroup: { version: 2, controllers: ['cpuset', 'cpu', 'io', 'memory', 'pids'], bootLine: 'console=tty1', bootFile: '/boot/firmware/cmdline.txt' },
  features: { veth: 'ready', nf_conntrack: 'ready', nf_tables: 'ready', overlay: 'ready', wireguard: 'ready', vxlan: 'ready' }, modulesThere: true,
  programs: { containerd: '/usr/bin/containerd', runc: '/usr/sbin/runc', nft: '/usr/sbin/nft', ip: '/usr/sbin/ip', conntrack: '/usr/sbin/conntrack', 'apt-get': '/usr/bin/apt-get' },
  cniPlugins: ['ptp', 'host-local', 'loopback'], processes: new Set(['systemd', 'chronyd']), foreignCni: [], listeners: [],
  firewall: { ufw: false, firewalld: false, dropping: [], apiAllowed: undefined },
  clock: { nowMs: Date.UTC(2026, 5, 1), synchronized: true, canSync: false, aheadOfServerMs: undefined },
  dns: { nameservers: ['192.168.1.1'], lookup: { name: 'registry.example', error: undefined, tookMs: 20 } }, server: undefined,
  disk: { folder: '/var/lib', totalBytes: 60 * gib, availableBytes: 40 * gib, inodes: 100, freeInodes: 90, syncMs: 4, readOnly: false },
  memory: { totalBytes: 4 * gib, availableBytes: 3 * gib }, inotifyInstances: 1024, hardware: {},
};
const judged = (changes: Partial<HostReadings>): Finding[] => checks.flatMap((check) => check({ ...well, ...changes })).filter(({ level }) => level !== 'ok');

it('finds nothing to say of a host that is well, of any role', () => {
  expect((['server', 'agent', 'both'] as const).flatMap((role) => judged({ role }))).toEqual([]);
});

describe('finds', () => {
  const { cgroup, programs, clock, disk, firewall } = well;
  it.each<[string, Partial<HostReadings>, check: string, level: 'warn' | 'fail', fix: RegExp]>([
    ['no cgroups', { cgroup: { ...cgroup, version: undefined, controllers: [] } }, 'cgroups', 'fail', /mount/],
    ['a Pi without the memory controller', { cgroup: { ...cgroup, controllers: ['cpu', 'pids'] } }, 'cgroups', 'fail', /^sudo sed -i '1 s\/\$\/ cgroup_enable=memory cgroup_memory=1\/' \/boot\/firmware\/cmdline\.txt && sudo reboot$/],
    ['a Pi that asks for it in vain', { cgroup: { ...cgroup, controllers: ['cpu', 'pids'], bootLine: 'quiet cgroup_memory=1 cgroup_enable=memory' } }, 'cgroups', 'fail', /newer kernel/],
    ['a PC without it', { cgroup: { ...cgroup, controllers: ['cpu', 'pids'], bootFile: undefined } }, 'cgroups', 'fail', /update-grub/],
    ['an old kernel', { kernel: { release: '4.19.0', machine: 'x86_64' } }, 'kernel', 'warn', /newer/],
    ['a 32-bit system', { kernel: { release: '6.1.0', machine: 'armv7l' } }, 'kernel', 'fail', /64-bit/],
    ['a kernel whose modules are gone', { modulesThere: false }, 'kernel', 'fail', /reboot/],
    ['a feature that is missing', { features: { ...well.features, veth: 'missing' } }, 'modules', 'fail', /CONFIG_VETH/],
    ['few watches', { inotifyInstances: 64 }, 'inotify', 'warn', /max_user_instances/],
    ['no runtime', { role: 'both', programs: { ...programs, containerd: undefined } }, 'runtime', 'fail', /^sudo apt-get install -y containerd runc$/],
    ['no plugins, on Alpine', { role: 'agent', cniPlugins: [], programs: { ...programs, 'apt-get': undefined, apk: '/sbin/apk' } }, 'runtime', 'fail', /^sudo apk add cni-plugins$/],
    ['iptables alone', { role: 'agent', programs: { ...programs, nft: undefined, iptables: '/usr/sbin/iptables' } }, 'tools', 'warn', /nftables/],
    ['kubelet', { processes: new Set(['kubelet', 'chronyd']) }, 'conflicts', 'fail', /disable --now kubelet/],
    ['k3s', { processes: new Set(['k3s-server', 'chronyd']) }, 'conflicts', 'fail', /k3s-killall/],
    ['another network of pods', { foreignCni: ['10-flannel.conflist'] }, 'conflicts', 'warn', /remove/],
    ['somebody on the port of the API', { listeners: [{ protocol: 'tcp', port: 6443, program: 'kube-apiserver' }] }, 'ports', 'fail', /port: 7443/],
    ['ufw that keeps hosts out', { firewall: { ...firewall, ufw: true, apiAllowed: false } }, 'firewall', 'warn', /^sudo ufw allow 6443\/tcp$/],
    ['a firewall of another kind', { firewall: { ...firewall, dropping: [{ chain: 'inet filter forward', hook: 'forward' }] } }, 'firewall', 'warn', /10\.42/],
    ['no name server', { dns: { nameservers: [], lookup: undefined } }, 'dns', 'warn', /nameserver/],
    ['DNS that does not answer', { dns: { nameservers: ['10.0.0.1'], lookup: { name: 'registry.example', error: 'queryA ETIMEOUT', tookMs: 5000 } } }, 'dns', 'warn', /10\.0\.0\.1/],
    ['a name that many have', { hostName: 'raspberrypi' }, 'name', 'warn', /set-hostname/],
    ['a server out of reach', { role: 'agent', server: { url: 'https://10.0.0.1:6443', error: 'ECONNREFUSED' } }, 'server', 'fail', /agent\.yaml/],
    ['a clock of 1970', { clock: { ...clock, nowMs: 0, canSync: true } }, 'clock', 'fail', /^sudo timedatectl set-ntp true$/],
    ['a clock that is behind', { clock: { ...clock, aheadOfServerMs: -600_000 } }, 'clock', 'warn', /chrony/],
    ['a clock that nobody sets', { clock: { ...clock, synchronized: false }, processes: new Set() }, 'time sync', 'warn', /chrony/],
    ['a full disk', { disk: { ...disk, availableBytes: gib / 2 } }, 'disk', 'fail', /prune/],
    ['a read-only disk', { disk: { ...disk, readOnly: true } }, 'disk', 'fail', /remount/],
    ['no inodes', { disk: { ...disk, freeInodes: 1 } }, 'disk', 'warn', /prune/],
    ['a slow card', { disk: { ...disk, syncMs: 120 } }, 'disk speed', 'warn', /SSD/],
    ['little memory', { memory: { totalBytes: gib / 2, availableBytes: gib / 3 } }, 'memory', 'warn', /agent only/],
    ['a weak power supply', { hardware: { throttled: 0x50005 } }, 'power', 'fail', /power supply/],
    ['a hot processor', { hardware: { celsius: 84 } }, 'temperature', 'warn', /fan/],
    ['a worn card', { hardware: { disk: { device: 'mmcblk0', wornPercent: 110 } } }, 'disk wear', 'warn', /backup/],
  ])('%s', (_, changes, check, level, fix) => {
    const finding = judged(changes).find((found) => found.check === check);
    expect(finding).toMatchObject({ check, level, why: expect.stringMatching(/./) as string });
    expect(finding?.fix).toMatch(fix);
  });
});

it('offers to mend only what is safe', () => {
  const repairs = (changes: Partial<HostReadings>): unknown[] => checks.flatMap((check) => check({ ...well, ...changes })).flatMap(({ repair }) => (repair ? [repair.command] : []));
  expect(repairs({ features: { ...well.features, wireguard: 'loadable' } })).toEqual([['modprobe', 'wireguard']]);
  expect(repairs({ clock: { ...well.clock, synchronized: false, canSync: true }, processes: new Set() })).toEqual([['timedatectl', 'set-ntp', 'true']]);
  expect(repairs({ cgroup: { ...well.cgroup, controllers: [] }, processes: new Set(['kubelet', 'chronyd']), disk: { ...well.disk, readOnly: true } })).toEqual([]);
});

it('leaves to Cleat what is its own', () => {
  expect(judged({ listeners: [{ protocol: 'tcp', port: 6443, program: 'cleat' }, { protocol: 'udp', port: 51_871, program: undefined }] })).toEqual([]);
  expect(judged({ role: 'agent', listeners: [{ protocol: 'tcp', port: 6443, program: 'haproxy' }] })).toEqual([]);
});

it('reads sockets and chains as the kernel lists them', () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:192B 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1`;
  expect(parseSockets('tcp', table)).toEqual([{ protocol: 'tcp', port: 6443, inode: '4711' }]);
  expect(droppingChains('{"nftables":[{"metainfo":{}},{"chain":{"family":"ip","table":"filter","name":"FORWARD","hook":"forward","policy":"drop"}},{"chain":{"family":"inet","table":"cleat","name":"policy","hook":"forward","policy":"drop"}},{"chain":{"family":"ip","table":"nat","name":"DOCKER"}}]}'))
    .toEqual([{ chain: 'ip filter FORWARD', hook: 'forward' }]);
  expect(droppingChains('garbage')).toEqual([]);
});
