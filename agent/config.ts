import { durationMs, list, text, type Values } from '#common/config.ts';
import { checkDomain, checkIp, hostSettings } from '#common/host-settings.ts';

export const agentSettings = {
  ...hostSettings,
  server: text('server', {
    default: '', placeholder: 'URL', description: 'the control plane, https://HOST:6443',
    check: (value) => (URL.canParse(value) && new URL(value).protocol === 'https:' ? undefined : 'expected a URL such as https://10.0.0.1:6443'),
  }),
  token: text('token', { default: '', placeholder: 'TOKEN', description: 'join token from `cleat token create`; needed once' }),
  nodeName: text('node-name', { default: '', placeholder: 'NAME', description: "this node's name; the host name when not given", check: checkDomain }),
  nodeIp: text('node-ip', { default: '', placeholder: 'IP', description: 'address that other nodes reach this one by; found out when not given', check: checkIp }),
  runtime: text('runtime', {
    default: 'cri', placeholder: 'NAME', description: 'container runtime driver: cri',
    check: (value) => (value === 'cri' ? undefined : 'expected cri (containerd, or any runtime that serves CRI v1)'),
  }),
  runtimeEndpoint: text('runtime-endpoint', {
    default: '', placeholder: 'SOCKET', description: 'socket of a runtime that already runs; without it Cleat runs its own containerd below the state directory',
    check: (value) => (/^(unix:\/\/)?\//.test(value) ? undefined : 'expected the path of a socket such as /run/containerd/containerd.sock'),
  }),
  proxyMode: text('proxy-mode', {
    default: 'nftables', placeholder: 'MODE', description: 'how Services are routed: nftables',
    check: (value) => (value === 'nftables' ? undefined : 'expected nftables'),
  }),
  allowedUnsafeSysctls: list('allowed-unsafe-sysctls', { default: [], placeholder: 'NAME,...', description: 'sysctls that pods may set beside the safe ones; a * at the end stands for anything, e.g. net.core.*' }),
  nodeStatusPeriodMs: durationMs('node-status-update-frequency', { default: 10_000, description: 'how often the node looks at itself; a change is reported at once' }),
} as const;

export type AgentConfig = Values<typeof agentSettings>;
