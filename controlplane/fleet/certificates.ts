import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Node } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import { fingerprintOf, subjectOf } from '#common/pki/certificate.ts';
import { finishRotation, renewLeaves, rotateCa, type ClusterCa } from '#common/pki/cluster-ca.ts';
import { caLifetimeMs, renewAtMs } from '#common/pki/validity.ts';
import type { Turns } from '#common/turns.ts';
import { certificateAuthorityAnnotation, certificateExpiresAnnotation } from '../dispatcher/enrolment.ts';
import { authorityOf } from '../dispatcher/peer.ts';

export interface CertificateRow {
  readonly name: string;
  readonly subject: string;
  readonly expires: string;
  /** When it is renewed by itself. */
  readonly renews: string;
  readonly fingerprint: string;
}

export interface NodeCertificateRow {
  readonly name: string;
  readonly connected: boolean;
  /** Absent for a node that an older Cleat has written down. */
  readonly expires?: string;
  /** Whether the newest CA issued it. */
  readonly current: boolean;
}

export interface CertificateStatus {
  /** A new CA takes the place of another. */
  readonly rotating: boolean;
  readonly certificates: readonly CertificateRow[];
  readonly nodes: readonly NodeCertificateRow[];
}

export interface CertificateDeps {
  readonly ca: ClusterCa;
  readonly nodes: () => readonly Node[];
  /** Names of nodes that are connected now. */
  readonly connected: () => readonly string[];
  readonly nowMs: () => number;
  /** Two that rotate at once would mix their files: a CA with the key of another. */
  readonly rotations: Turns;
}

export async function certificateStatus({ ca, nodes, connected }: CertificateDeps, pkiDir: string): Promise<CertificateStatus> {
  const rows = ca.trusted.map((certificate) => row(certificate === ca.certificate ? 'ca' : 'ca (previous)', certificate, certificate.validToDate.getTime() - caLifetimeMs / 3));
  for (const name of ['server', 'admin', 'front-proxy-ca', 'front-proxy-client']) {
    const pem = await readFile(join(pkiDir, `${name}.crt`), 'utf8').catch(() => undefined);
    if (pem === undefined) continue;
    const certificate = new X509Certificate(pem);
    rows.push(row(name, certificate, certificate.ca ? certificate.validToDate.getTime() : renewAtMs(certificate)));
  }
  const online = new Set(connected());
  const newest = authorityOf(ca.certificate);
  return {
    rotating: ca.trusted.length > 1, certificates: rows,
    nodes: nodes().map(({ metadata }) => {
      const { name = '', annotations = {} } = metadata ?? {};
      const expires = annotations[certificateExpiresAnnotation];
      return { name, connected: online.has(name), ...(expires !== undefined && { expires }), current: annotations[certificateAuthorityAnnotation] === newest };
    }).sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

function row(name: string, certificate: X509Certificate, renewsMs: number): CertificateRow {
  const subject = subjectOf(certificate);
  return { name, subject: [...subject?.organizations ?? [], subject?.commonName ?? ''].join('/'), expires: certificate.validToDate.toISOString(), renews: new Date(renewsMs).toISOString(), fingerprint: fingerprintOf(certificate) };
}

export interface Rotation {
  /** The CA, and not only what it has issued. */
  readonly ca: boolean;
  /** End a rotation of the CA: let the old one go. */
  readonly finish: boolean;
  /** Also when there are nodes that know the old one only. */
  readonly force: boolean;
}

/** Changes the files; the control plane has to begin anew with them. */
export async function rotate(deps: CertificateDeps, pkiDir: string, rotation: Rotation): Promise<void> {
  return deps.rotations.take(() => rotateAlone(deps, pkiDir, rotation));
}

async function rotateAlone(deps: CertificateDeps, pkiDir: string, { ca, finish, force }: Rotation): Promise<void> {
  if (!finish) return ca ? rotateCa(pkiDir, deps.nowMs()) : renewLeaves(pkiDir, deps.nowMs());
  const { rotating, nodes } = await certificateStatus(deps, pkiDir);
  if (!rotating) throw new StatusError('Conflict', 'no CA is being replaced; begin with `cleat certs rotate --ca`');
  const late = nodes.filter(({ current }) => !current).map(({ name }) => name);
  if (late.length > 0 && !force) throw new StatusError('Conflict', `${late.slice(0, 10).join(', ')}${late.length > 10 ? ' and others' : ''} ${late.length === 1 ? 'has' : 'have'} no certificate of the new CA yet, and would have to join again with a token; connect them, remove them (cleat node remove), or use --force`);
  await finishRotation(pkiDir, deps.nowMs());
}
