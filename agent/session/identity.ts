import { createPrivateKey, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { writeFileAtomic } from '#common/atomic-file.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { makeKey, subjectOf } from '#common/pki/certificate.ts';
import { readIfThere } from '#common/pki/store.ts';

/** Who this host is: its key, and what the control plane has certified of it. */
export interface Identity {
  readonly nodeName: string;
  readonly keyPem: string;
  readonly certPem: string;
  /** Every CA to trust. */
  readonly caPem: string;
}

/** The identity in `node.key`, `node.crt` and `ca.crt`, all mode 0600. The certificate is written last: with it, joining is done. */
export class IdentityFiles {
  readonly folder: string;

  constructor(stateDir: string) {
    this.folder = join(stateDir, 'agent', 'pki');
  }

  /** Undefined for a host that has not joined. Broken files are an error: they may be all that proves who this host is. */
  async load(): Promise<Identity | undefined> {
    const [keyPem, certPem, caPem] = await Promise.all(['node.key', 'node.crt', 'ca.crt'].map((name) => readIfThere(join(this.folder, name))));
    if (certPem === undefined) return undefined;
    try {
      if (keyPem === undefined || caPem === undefined) throw new Error('node.key or ca.crt is missing');
      const certificate = new X509Certificate(certPem);
      const name = subjectOf(certificate)?.commonName;
      if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) throw new Error('node.crt does not belong to node.key');
      if (!name?.startsWith('system:node:')) throw new Error('node.crt is no certificate of a node');
      void new X509Certificate(caPem);
      return { nodeName: name.slice('system:node:'.length), keyPem, certPem, caPem };
    } catch (error) {
      throw new StatusError('Invalid', `this host's identity in ${this.folder} cannot be used: ${messageOf(error)}; restore the folder, or remove it and join again with a token`, { cause: error });
    }
  }

  /** The key that this host joins with; made once. */
  async key(): Promise<string> {
    const path = join(this.folder, 'node.key');
    const old = await readIfThere(path);
    if (old !== undefined) return old;
    const keyPem = makeKey();
    await writeFileAtomic(path, keyPem, 0o600);
    return keyPem;
  }

  /** Keeps what the control plane answered to Enrol or Renew. */
  async save(keyPem: string, certPem: string, caPem: string): Promise<Identity> {
    await writeFileAtomic(join(this.folder, 'ca.crt'), caPem, 0o600);
    await writeFileAtomic(join(this.folder, 'node.crt'), certPem, 0o600);
    const identity = await this.load();
    if (identity?.keyPem !== keyPem) throw new StatusError('InternalError', `the identity in ${this.folder} changed while it was written; is another agent using the same --state-dir?`);
    return identity;
  }
}
