import { parse } from 'yaml';
import { RestClient } from '#cli/client.ts';

/** A client of the administrator whose kubeconfig this is the text of, by that server's address. */
export function adminClient(kubeconfig: string, server: string): RestClient {
  const { clusters: [found], users: [user] } = parse(kubeconfig) as { clusters: [{ cluster: Record<string, string> }]; users: [{ user: Record<string, string> }] };
  const pem = (base64 = ''): string => Buffer.from(base64, 'base64').toString();
  return new RestClient({
    server, namespace: 'default', ca: pem(found.cluster['certificate-authority-data']), cert: pem(user.user['client-certificate-data']), key: pem(user.user['client-key-data']),
    token: undefined, insecure: false, serverName: undefined, timeoutMs: 60_000,
  });
}
