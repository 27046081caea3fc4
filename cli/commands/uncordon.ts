import { cordonCommand } from './cordon.ts';

export const command = cordonCommand('uncordon', 'Let new pods come to nodes again.');
