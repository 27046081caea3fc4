import { switchingContract } from './switching-contract.ts';

switchingContract(['nftables', 'iptables', 'nftables']);
