import { switchingContract } from './test-switching.ts';

switchingContract(['nftables', 'iptables', 'nftables']);
