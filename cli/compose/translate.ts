import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { Manifest } from '../manifests.ts';
import { containerOf, envFileOf } from './container.ts';
import { claimName, mountsOf, storedName } from './mounts.ts';
import { noteUnknown, podOf } from './pod.ts';
import { portsOf, type PublishedPort } from './ports.ts';
import type { Files, Note, Options, Project, Raw, Translation } from './types.ts';
import { integerOf, isMap, labelOf, mapOf, pairsOf, refuseValue, textOf, textsOf, truth } from './values.ts';

/** By which everything of a project is found again. */
export const projectLabel = 'app.kubernetes.io/part-of';
export const managerLabel = 'app.kubernetes.io/managed-by';
export const manager = 'cleat-compose';
const nameLabel = 'app.kubernetes.io/name';
const contentHash = 'cleat.dev/compose-content';

interface Work { readonly project: Project; readonly files: Files; readonly options: Options; readonly notes: Note[]; readonly contents: Map<string, string> }

/**
 * What a compose file becomes, in the order in which it is to be made: a Deployment for each service (a DaemonSet
 * with `mode: global`), a headless Service by which others find it on any port, one of type LoadBalancer for what it
 * publishes, claims for volumes, Secrets and ConfigMaps. Source: https://docs.docker.com/reference/compose-file/
 */
export function translate(project: Project, files: Files, options: Options): Translation {
  const work: Work = { project, files, options, notes: [], contents: new Map() };
  const services = mapOf(project.file['services'], 'services');
  for (const key of Object.keys(project.file)) {
    if (['include', 'models'].includes(key)) throw refuseValue(key, 'is not read; write it into one file (docker compose config does that)');
    if (!['name', 'version', 'services', 'volumes', 'secrets', 'configs', 'networks'].includes(key) && !key.startsWith('x-')) work.notes.push({ where: key, what: 'not honoured' });
  }
  if (project.file['networks'] !== undefined) work.notes.push({ where: 'networks', what: 'not honoured: all services reach each other; NetworkPolicies divide them' });
  const stored = [...claims(work), ...storedObjects(work, 'secrets'), ...storedObjects(work, 'configs')];
  const names = new Map<string, string>();
  const objects = inOrder(services).flatMap((name) => {
    const service = mapOf(services[name], `services.${name}`);
    const profiles = textsOf(service['profiles'], `services.${name}.profiles`);
    if (profiles.length > 0 && !profiles.some((profile) => options.profiles.includes(profile))) {
      work.notes.push({ where: `services.${name}`, what: `left out: it is of the profile ${profiles.join(', ')}; --profile takes it in` });
      return [];
    }
    const label = labelOf(name, `services.${name}`);
    const other = names.get(label);
    if (other !== undefined) throw refuseValue(`services.${name}`, `it and ${other} would both be called ${label}`);
    names.set(label, name);
    if (label !== name) work.notes.push({ where: `services.${name}`, what: `is called ${label} here: names of Services have small letters, digits and - only` });
    return serviceObjects(work, label, service, `services.${name}`);
  });
  return { objects: [...stored, ...objects], notes: work.notes };
}

/** After what they depend on. */
function inOrder(services: Raw): string[] {
  const done: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    if (path.includes(name)) throw refuseValue('services', `${[...path, name].join(' needs ')}: that has no beginning`);
    if (done.includes(name)) return;
    const needs = mapOf(services[name], `services.${name}`)['depends_on'];
    for (const other of isMap(needs) ? Object.keys(needs) : textsOf(needs, `services.${name}.depends_on`)) {
      if (!(other in services)) {
        if (isMap(needs) && isMap(needs[other]) && needs[other]['required'] === false) continue;
        throw refuseValue(`services.${name}.depends_on`, `there is no service "${other}"`);
      }
      visit(other, [...path, name]);
    }
    done.push(name);
  };
  for (const name of Object.keys(services)) visit(name, []);
  return done;
}

function metadata({ project }: Work, name: string, service?: string): Manifest['metadata'] {
  return { name, labels: { ...(service !== undefined && { [nameLabel]: service }), [projectLabel]: project.name, [managerLabel]: manager } };
}

function claims(work: Work): Manifest[] {
  const { project, options, notes } = work;
  return Object.entries(mapOf(project.file['volumes'], 'volumes')).flatMap(([name, value]) => {
    const where = `volumes.${name}`;
    const volume = mapOf(value, where);
    if (volume['external'] === true || isMap(volume['external'])) return [];
    for (const key of ['driver', 'driver_opts', 'labels']) if (volume[key] !== undefined && volume[key] !== 'local') notes.push({ where: `${where}.${key}`, what: "not honoured: the cluster's default StorageClass keeps it" });
    const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: options.volumeSize } } };
    return [{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: metadata(work, claimName(project, name)), spec }];
  });
}

function storedObjects(work: Work, kind: 'secrets' | 'configs'): Manifest[] {
  const { project, files, contents } = work;
  return Object.entries(mapOf(project.file[kind], kind)).flatMap(([name, value]) => {
    const where = `${kind}.${name}`;
    const entry = mapOf(value, where);
    if (truth(entry['external'], `${where}.external`)) return [];
    const variable = entry['environment'] === undefined ? undefined : textOf(entry['environment'], `${where}.environment`);
    const text = entry['file'] !== undefined ? files.text(resolve(project.folder, textOf(entry['file'], `${where}.file`)))
      : entry['content'] !== undefined ? textOf(entry['content'], `${where}.content`) : variable === undefined ? undefined : files.env[variable];
    if (text === undefined) throw refuseValue(where, variable === undefined ? 'expected file, environment, content or external' : `the variable ${variable} is not set`);
    const stored = storedName(project, kind, name);
    contents.set(stored, text);
    return [kind === 'secrets'
      ? { apiVersion: 'v1', kind: 'Secret', metadata: metadata(work, stored), type: 'Opaque', data: { [name]: Buffer.from(text).toString('base64') } }
      : { apiVersion: 'v1', kind: 'ConfigMap', metadata: metadata(work, stored), data: { [name]: text } }];
  });
}

function serviceObjects(work: Work, name: string, service: Raw, where: string): Manifest[] {
  const { project, files, notes, contents } = work;
  noteUnknown(service, where, notes);
  const ports = portsOf(service['ports'], `${where}.ports`, notes);
  const env = envFileOf(project, service, where, files, notes);
  const envSecret = env === undefined ? undefined : `${name}-env`;
  const { volumes, volumeMounts, claims: claimed } = mountsOf(project, service, where, files, notes);
  const container = { ...containerOf(name, service, where, envSecret, files, notes), ...(ports.length > 0 && { ports: containerPorts(ports) }), ...(volumeMounts.length > 0 && { volumeMounts }) };
  const annotations: Record<string, string> = {};
  for (const key of ['labels', 'annotations']) for (const [label, value] of pairsOf(service[key], `${where}.${key}`)) annotations[label] = value ?? '';
  // What a pod was started with must not outlive a change of the file that it came from.
  const used = [...volumes.flatMap((volume) => contents.get(String((volume['secret'] as Raw | undefined)?.['secretName'] ?? (volume['configMap'] as Raw | undefined)?.['name'])) ?? []), ...(env === undefined ? [] : [JSON.stringify(env)])];
  if (used.length > 0) annotations[contentHash] = createHash('sha256').update(JSON.stringify(used)).digest('hex').slice(0, 16);
  const own = metadata(work, name, name);
  const labels = own['labels'] as Raw;
  const selector = { [nameLabel]: name, [projectLabel]: project.name };
  const template = {
    metadata: { labels, ...(Object.keys(annotations).length > 0 && { annotations }) },
    spec: { ...podOf(service, where, notes), containers: [container], ...(volumes.length > 0 && { volumes }) },
  };
  return [
    ...(env === undefined || envSecret === undefined ? [] : [{ apiVersion: 'v1', kind: 'Secret', metadata: metadata(work, envSecret, name), type: 'Opaque', data: Object.fromEntries(Object.entries(env).map(([key, value]) => [key, Buffer.from(value).toString('base64')])) }]),
    { apiVersion: 'v1', kind: 'Service', metadata: own, spec: { clusterIP: 'None', selector } },
    ...(ports.length === 0 || service['network_mode'] === 'host' ? [] : [published(work, name, ports, selector)]),
    workload(service, where, own, selector, template, claimed),
  ];
}

function containerPorts(ports: readonly PublishedPort[]): Raw[] {
  const distinct = new Map(ports.map(({ target, protocol }) => [`${String(target)}/${protocol}`, { containerPort: target, protocol }]));
  return [...distinct.values()];
}

function published(work: Work, name: string, ports: readonly PublishedPort[], selector: Raw): Manifest {
  return {
    apiVersion: 'v1', kind: 'Service', metadata: metadata(work, `${name}-published`, name),
    spec: { type: 'LoadBalancer', selector, ports: ports.map(({ published: port, target, protocol }) => ({ name: `${protocol.toLowerCase()}-${String(port)}`, port, targetPort: target, protocol })) },
  };
}

function workload(service: Raw, where: string, own: Manifest['metadata'], selector: Raw, template: Raw, claimed: boolean): Manifest {
  const deploy = mapOf(service['deploy'], `${where}.deploy`);
  const mode = deploy['mode'] ?? 'replicated';
  const common = { apiVersion: 'apps/v1', metadata: own };
  if (mode === 'global') return { ...common, kind: 'DaemonSet', spec: { selector: { matchLabels: selector }, template } };
  if (mode !== 'replicated') throw refuseValue(`${where}.deploy.mode`, `"${String(mode)}" is not translated; expected replicated or global, and a Job for what ends`);
  const replicas = deploy['replicas'] ?? service['scale'];
  return {
    ...common, kind: 'Deployment',
    spec: {
      replicas: replicas === undefined ? 1 : integerOf(replicas, `${where}.deploy.replicas`), selector: { matchLabels: selector },
      // The old one lets go of the volume before the new one takes it.
      ...(claimed && { strategy: { type: 'Recreate' } }), template,
    },
  };
}
