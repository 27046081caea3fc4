import { proxyContract } from '../../contract.ts';
import { IptablesBackend } from './backend.ts';

// Both flavours of the commands, by name: what `iptables` means is the host's choice.
for (const flavour of ['nft', 'legacy']) {
  proxyContract(`iptables (${flavour})`, (deps, config) => new IptablesBackend({
    ...deps, exec: (command, args, options) => deps.exec(command.replace(/^(ip6?tables)/, `$1-${flavour}`), args, options),
  }, config), { harms: ['-t nat -F', '-t nat -F PREROUTING', '-F'].map((args) => `iptables-${flavour} ${args}`) });
}
