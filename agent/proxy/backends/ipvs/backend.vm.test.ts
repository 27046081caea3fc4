import { proxyContract } from '../../contract.ts';
import { IpvsBackend } from './backend.ts';

// IPVS remembers a connection that was reset for ten seconds, and looks once a minute whether a client has none left.
proxyContract('ipvs', (deps, config) => new IpvsBackend(deps, config), { lingerMs: 75_000, harms: ['ipvsadm -C', 'iptables -t nat -F', 'ip link del cleat-test-ipvs'] });
