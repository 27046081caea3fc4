import { proxyContract } from '../../contract.ts';
import { NftablesBackend } from './backend.ts';

proxyContract('nftables', (deps, config) => new NftablesBackend(deps, config), { harms: ['nft flush ruleset', 'nft flush chain ip cleat-test refusals', 'nft flush chain ip cleat-test postrouting'] });
