import { proxyContract } from '../../contract.ts';
import { IpvsBackend } from './backend.ts';

// While IPVS remembers a flow when affinity ends, it looks again a minute later only.
proxyContract('ipvs', (deps, config) => new IpvsBackend(deps, config), { forgetful: 'ipvsadm --set 0 0 1', harms: ['ipvsadm -C', 'iptables -t nat -F', 'ip link del cleat-test-ipvs'] });
