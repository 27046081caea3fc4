import type { CertificateSigningRequest, CertificateSigningRequestCondition } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import { duplicate, forbidden, invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { dns1123Subdomain } from '../../meta/names.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { age } from '../../meta/table.ts';
import { certificateSigningRequests } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

/** Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/certificate-signing-request-v1/ */
const usages = [
  'signing', 'digital signature', 'content commitment', 'key encipherment', 'key agreement', 'data encipherment', 'cert sign', 'crl sign', 'encipher only', 'decipher only',
  'any', 'server auth', 'client auth', 'code signing', 'email protection', 's/mime', 'ipsec end system', 'ipsec tunnel', 'ipsec user', 'timestamping', 'ocsp signing', 'microsoft sgc', 'netscape sgc',
];
const shortestSeconds = 600;

function validateSpec({ spec }: CertificateSigningRequest): FieldError[] {
  if (spec === undefined) return [required('spec')];
  const errors: FieldError[] = [];
  if (!spec.request) errors.push(required('spec.request'));
  if ((spec.usages ?? []).length === 0) errors.push(required('spec.usages'));
  for (const [i, usage] of (spec.usages ?? []).entries()) {
    if (!usages.includes(usage)) errors.push(notSupported(`spec.usages[${String(i)}]`, usage, usages));
    if (spec.usages?.indexOf(usage) !== i) errors.push(duplicate(`spec.usages[${String(i)}]`, usage));
  }
  errors.push(...validateSignerName(spec.signerName));
  if (spec.expirationSeconds !== undefined && spec.expirationSeconds < shortestSeconds) errors.push(invalid('spec.expirationSeconds', spec.expirationSeconds, 'may not specify a duration less than 600 seconds (10 minutes)'));
  return errors;
}

function validateSignerName(name: string | undefined): FieldError[] {
  const path = 'spec.signerName';
  if (!name) return [required(path)];
  if (name === 'kubernetes.io/legacy-unknown') return [invalid(path, name, 'the legacy signerName is not allowed via this API version')];
  const [domain = '', ...rest] = name.split('/');
  if (rest.length !== 1) return [invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")];
  if (!domain.includes('.')) return [invalid(path, domain, 'should be a domain with at least two segments separated by dots')];
  const problem = dns1123Subdomain(domain) ?? ((rest[0] ?? '') === '' ? 'validating signer name: must not be empty' : dns1123Subdomain(rest[0] ?? ''));
  return problem === undefined ? [] : [invalid(path, name, problem)];
}

function validateConditions(conditions: readonly CertificateSigningRequestCondition[]): FieldError[] {
  const errors: FieldError[] = [];
  const types = conditions.map(({ type }) => type);
  for (const [i, { type, status }] of conditions.entries()) {
    const path = `status.conditions[${String(i)}]`;
    if (!type) errors.push(required(`${path}.type`));
    if (['Approved', 'Denied', 'Failed'].includes(type) ? status !== 'True' : !['True', 'False', 'Unknown'].includes(status)) {
      errors.push(!status ? required(`${path}.status`) : notSupported(`${path}.status`, status, ['Approved', 'Denied', 'Failed'].includes(type) ? ['True'] : ['False', 'True', 'Unknown']));
    }
    if (types.indexOf(type) !== i) errors.push(duplicate(`${path}.type`, type));
  }
  if (types.includes('Approved') && types.includes('Denied')) errors.push(invalid('status.conditions', types[1], 'Approved and Denied conditions are mutually exclusive'));
  return errors;
}

const has = (object: CertificateSigningRequest, type: string): boolean => object.status?.conditions?.some((condition) => condition.type === type) ?? false;

/** What was decided stays decided, and a certificate that was issued stays. Deciding goes by the subresource `approval`. */
function validateStatus(object: CertificateSigningRequest, old: CertificateSigningRequest): FieldError[] {
  const errors = validateConditions(object.status?.conditions ?? []);
  for (const type of ['Approved', 'Denied', 'Failed']) if (has(old, type) && !has(object, type)) errors.push(forbidden('status.conditions', `updates may not remove a condition of type "${type}"`));
  const certificate = object.status?.certificate;
  if (old.status?.certificate) {
    if (certificate !== old.status.certificate) errors.push(forbidden('status.certificate', 'updates may not modify existing certificate content'));
  } else if (certificate && !isPem(certificate)) errors.push(invalid('status.certificate', '<certificate data>', 'must contain at least one PEM certificate, and nothing else'));
  return errors;
}

/** One certificate after the other; text between them, as in a certificate's description, is left to its readers. */
function isPem(base64: string): boolean {
  const blocks = Buffer.from(base64, 'base64').toString().split('-----BEGIN ').slice(1);
  return blocks.length > 0 && blocks.every((block) => block.startsWith('CERTIFICATE-----\n') && block.includes('\n-----END CERTIFICATE-----'));
}

function condition(object: CertificateSigningRequest): string {
  const decision = has(object, 'Denied') ? 'Denied' : has(object, 'Approved') ? 'Approved' : 'Pending';
  return `${decision}${has(object, 'Failed') ? ',Failed' : ''}${object.status?.certificate ? ',Issued' : ''}`;
}

export const certificateSigningRequest: KindDefinition<CertificateSigningRequest> = {
  resource: certificateSigningRequests,
  singular: 'certificatesigningrequest',
  shortNames: ['csr'],
  categories: [],
  schema: () => schemaNamed('CertificateSigningRequest'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'path-segment',
  prepareForCreate: (object) => {
    object.status = {};
    // Who asks is filled in by the server.
    if (object.spec) for (const field of ['username', 'uid', 'groups', 'extra'] as const) delete object.spec[field];
  },
  // A request is never changed, only decided.
  prepareForUpdate: (object, old) => { object.spec = structuredClone(old.spec); },
  validate: (object, old) => (old && equal(object.spec, old.spec) ? [] : validateSpec(object)),
  validateStatus,
  selectableFields: { 'spec.signerName': ({ spec }) => (spec as typeof spec | undefined)?.signerName ?? '' },
  columns: [
    nameColumn(), ageColumn(),
    column('SignerName', 'Who is to sign it', ({ spec }) => (spec as typeof spec | undefined)?.signerName ?? ''),
    column('Requestor', 'Who asks for it', ({ spec }) => (spec as typeof spec | undefined)?.username ?? ''),
    column('RequestedDuration', 'How long it should be valid', ({ spec }) => {
      const seconds = (spec as typeof spec | undefined)?.expirationSeconds;
      return seconds === undefined ? '<none>' : age(seconds * 1000);
    }),
    column('Condition', 'What has become of it', condition),
  ],
};
