import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VirtualLab } from '../support/lab/virtual-host.ts';

describe('virtual hosts', () => {
  let lab: VirtualLab;
  beforeAll(async () => { lab = await VirtualLab.create(2); });
  afterAll(async () => { await lab.destroy(); });

  it('have systemd, a kernel of their own and each other', async () => {
    expect(await lab.host(0).sh('uname -r')).toContain('cleat-lab');
    expect(await lab.host(0).sh('cat /proc/1/comm')).toBe('systemd\n');
    await lab.host(0).sh(`busybox ping -c 1 -W 5 ${lab.host(1).address}`);
    expect((await lab.host(1).exec('exit 3')).exitCode).toBe(3);
  });

  it('keep their disk when the power is cut, and nothing else', async () => {
    const host = lab.host(0);
    await host.sh('echo kept > /root/kept; sync; echo lost > /run/lost');
    await host.crash();
    await host.boot();
    expect(await host.sh('cat /root/kept; ls /run/lost 2>/dev/null || true')).toBe('kept\n');
  });
});
