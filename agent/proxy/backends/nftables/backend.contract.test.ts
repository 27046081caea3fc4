import { proxyContract } from '../../contract.ts';
import { NftablesBackend } from './backend.ts';

proxyContract('nftables', (deps, config) => new NftablesBackend(deps, config));
