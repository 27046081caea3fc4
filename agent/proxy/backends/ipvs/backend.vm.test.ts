import { proxyContract } from '../../contract.ts';
import { IpvsBackend } from './backend.ts';

// IPVS remembers a connection that was reset for ten seconds, and affinity as long as any connection of the client.
proxyContract('ipvs', (deps, config) => new IpvsBackend(deps, config), { lingerMs: 10_000 });
