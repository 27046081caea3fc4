export * from '../../iptables/commands.ts';
