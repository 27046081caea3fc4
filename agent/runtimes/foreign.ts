import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { StatusError } from '#common/errors.ts';
import type { RuntimeDriver, RuntimeSetup } from './types.ts';

/** The CNI plugins that the pods' network is made of. */
const plugins = ['ptp', 'host-local'];

/**
 * What must be known of a runtime that is not ours before pods can run on it. Rejects with the remedy when it could
 * never give them a network. A part that it does not tell is as Kubernetes' documentation has it.
 */
export async function foreignSetup(driver: RuntimeDriver, signal: AbortSignal): Promise<Required<Pick<RuntimeSetup, 'cniConfDir' | 'cniBinDir'>> & Pick<RuntimeSetup, 'sandboxImage'>> {
  const { sandboxImage, cniConfDir = '/etc/cni/net.d', cniBinDir = '/opt/cni/bin' } = await driver.setup(signal);
  for (const plugin of plugins) {
    try {
      await access(join(cniBinDir, plugin), constants.X_OK);
    } catch (error) {
      throw new StatusError('ServiceUnavailable', `the runtime looks for CNI plugins in ${cniBinDir}, and ${plugin} is not there; install the plugins there, set the runtime's CNI bin_dir to where they are (Debian: /usr/lib/cni), or let Cleat run its own containerd (start the agent without --runtime-endpoint)`, { cause: error });
    }
  }
  return { cniConfDir, cniBinDir, ...(sandboxImage !== undefined && { sandboxImage }) };
}
