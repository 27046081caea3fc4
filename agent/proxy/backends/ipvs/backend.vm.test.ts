import { proxyContract } from '../../contract.ts';
import { IpvsBackend } from './backend.ts';

proxyContract('ipvs', (deps, config) => new IpvsBackend(deps, config));
