import { writeFileAtomic } from '../atomic-file.ts';
import { readIfThere } from './store.ts';

export interface KubeconfigContent {
  /** `https://HOST:6443`. */
  readonly server: string;
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

/** Writes a kubeconfig with everything embedded, mode 0600. Touches nothing when it is already so. */
export async function writeKubeconfig(path: string, content: KubeconfigContent): Promise<void> {
  const text = kubeconfigText(content);
  if (await readIfThere(path) !== text) await writeFileAtomic(path, text, 0o600);
}

export function kubeconfigText(content: KubeconfigContent): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return `apiVersion: v1
kind: Config
clusters:
- name: cleat
  cluster:
    server: ${JSON.stringify(content.server)}
    certificate-authority-data: ${base64(content.caPem)}
users:
- name: cleat-admin
  user:
    client-certificate-data: ${base64(content.certPem)}
    client-key-data: ${base64(content.keyPem)}
contexts:
- name: cleat
  context:
    cluster: cleat
    user: cleat-admin
current-context: cleat
`;
}
