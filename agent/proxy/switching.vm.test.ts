import { switchingContract } from './switching-contract.ts';

switchingContract(['nftables', 'ipvs', 'iptables', 'ipvs', 'nftables']);
