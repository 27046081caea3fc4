import { switchingContract } from './test-switching.ts';

switchingContract(['nftables', 'ipvs', 'iptables', 'ipvs', 'nftables']);
