import { parseEnvFile } from './interpolate.ts';
import { resolve } from 'node:path';
import { probesOf } from './probes.ts';
import type { Files, Note, Project, Raw } from './types.ts';
import { bytesOf, isMap, listOf, mapOf, pairsOf, plain, refuseValue, textOf, textsOf, truth, wordsOf } from './values.ts';

/** The one container of a service, without its mounts. */
export function containerOf(name: string, service: Raw, where: string, envSecret: string | undefined, files: Files, notes: Note[]): Raw {
  const at = (key: string): string => `${where}.${key}`;
  const given = (key: string): boolean => service[key] !== undefined && service[key] !== null;
  const resources = resourcesOf(service, where, notes);
  const security = securityOf(service, where, notes);
  const env = environmentOf(service, where, files, notes);
  return {
    name, image: imageOf(service, where, notes),
    ...(given('pull_policy') && pullPolicy(textOf(service['pull_policy'], at('pull_policy')), at('pull_policy'), notes)),
    ...programOf(service, at),
    ...(given('working_dir') && { workingDir: textOf(service['working_dir'], at('working_dir')) }),
    ...(envSecret !== undefined && { envFrom: [{ secretRef: { name: envSecret } }] }),
    ...(env.length > 0 && { env }),
    ...(truth(service['tty'], at('tty')) && { tty: true }), ...(truth(service['stdin_open'], at('stdin_open')) && { stdin: true }),
    ...(Object.keys(resources).length > 0 && { resources }),
    ...(Object.keys(security).length > 0 && { securityContext: security }),
    ...probesOf(service['healthcheck'], at('healthcheck'), notes),
  };
}

/** An empty entrypoint takes away the image's, which Kubernetes has no word for: the command is all that runs then. */
function programOf(service: Raw, at: (key: string) => string): Raw {
  const words = (key: string): string[] | undefined => (service[key] === undefined || service[key] === null ? undefined : wordsOf(service[key], at(key)).map(plain));
  const [entrypoint, rest = []] = [words('entrypoint'), words('command')];
  const [command, args] = entrypoint?.length === 0 ? [rest, []] : [entrypoint ?? [], rest];
  return { ...(command.length > 0 && { command }), ...(args.length > 0 && { args }) };
}

function imageOf(service: Raw, where: string, notes: Note[]): string {
  const image = service['image'];
  if (image === undefined) {
    if (service['build'] === undefined) throw refuseValue(where, 'has neither image nor build');
    throw refuseValue(`${where}.build`, "Cleat builds no images. Build it (docker compose build), give it a name with image:, and bring it to the hosts (docker save IMAGE | cleat image load -) or to a registry (docker push)");
  }
  if (service['build'] !== undefined) notes.push({ where: `${where}.build`, what: `nothing is built: ${textOf(image, where)} must be in a registry, or be brought to the hosts by 'cleat image load'` });
  return textOf(image, `${where}.image`);
}

function pullPolicy(policy: string, where: string, notes: Note[]): Raw {
  const known: Readonly<Record<string, string>> = { always: 'Always', never: 'Never', missing: 'IfNotPresent', if_not_present: 'IfNotPresent' };
  if (known[policy] !== undefined) return { imagePullPolicy: known[policy] };
  notes.push({ where, what: `"${policy}" has no counterpart` });
  return {};
}

function environmentOf(service: Raw, where: string, files: Files, notes: Note[]): Raw[] {
  return [...pairsOf(service['environment'], `${where}.environment`)].flatMap(([name, value]) => {
    const text = value ?? files.env[name];
    if (text === undefined) notes.push({ where: `${where}.environment.${name}`, what: 'has no value here nor in the shell, so it is left out' });
    return text === undefined ? [] : [{ name, value: plain(text) }];
  });
}

/** What the service's `env_file` say, of which later ones win; undefined without any. */
export function envFileOf(project: Project, service: Raw, where: string, files: Files, notes: Note[]): Readonly<Record<string, string>> | undefined {
  if (service['env_file'] === undefined) return undefined;
  const entries = typeof service['env_file'] === 'string' ? [service['env_file']] : listOf(service['env_file'], `${where}.env_file`);
  const found: Record<string, string> = {};
  for (const entry of entries) {
    const path = resolve(project.folder, textOf(isMap(entry) ? entry['path'] : entry, `${where}.env_file`));
    if (isMap(entry) && entry['required'] === false && !files.isFile(path)) {
      notes.push({ where: `${where}.env_file`, what: `${path} is not there, and need not be` });
      continue;
    }
    for (const [key, value] of parseEnvFile(files.text(path))) found[key] = value;
  }
  return found;
}

function resourcesOf(service: Raw, where: string, notes: Note[]): Raw {
  const deploy = mapOf(mapOf(service['deploy'], `${where}.deploy`)['resources'], `${where}.deploy.resources`);
  const part = (key: 'limits' | 'reservations', cpus: unknown, memory: unknown): Raw => {
    const at = `${where}.deploy.resources.${key}`;
    const own = mapOf(deploy[key], at);
    for (const other of ['pids', 'devices', 'generic_resources']) {
      if (own[other] !== undefined) notes.push({ where: `${at}.${other}`, what: other === 'devices' ? "not honoured; classes of devices are made by 'cleat device add' and asked for in resources" : 'has no counterpart' });
    }
    const cpu = own['cpus'] ?? cpus;
    const bytes = own['memory'] ?? memory;
    if (cpu !== undefined && !(Number(cpu) >= 0)) throw refuseValue(`${at}.cpus`, 'expected a number such as 0.5');
    return { ...(cpu !== undefined && Number(cpu) > 0 && { cpu: `${String(Math.round(Number(cpu) * 1000))}m` }), ...(bytes !== undefined && { memory: bytesOf(bytes, `${at}.memory`) }) };
  };
  const limits = part('limits', service['cpus'], service['mem_limit']);
  const requests = part('reservations', undefined, service['mem_reservation']);
  return { ...(Object.keys(limits).length > 0 && { limits }), ...(Object.keys(requests).length > 0 && { requests }) };
}

function securityOf(service: Raw, where: string, notes: Note[]): Raw {
  const capabilities = (key: string): string[] => textsOf(service[key], `${where}.${key}`).map((name) => name.toUpperCase().replace(/^CAP_/, ''));
  const [add, drop] = [capabilities('cap_add'), capabilities('cap_drop')];
  let escalation: Raw = {};
  for (const option of textsOf(service['security_opt'], `${where}.security_opt`)) {
    if (/^no-new-privileges([:=]true)?$/.test(option)) escalation = { allowPrivilegeEscalation: false };
    else notes.push({ where: `${where}.security_opt`, what: `"${option}" has no counterpart here` });
  }
  return {
    ...userOf(service['user'], `${where}.user`, notes),
    ...(truth(service['privileged'], `${where}.privileged`) && { privileged: true }),
    ...(truth(service['read_only'], `${where}.read_only`) && { readOnlyRootFilesystem: true }),
    ...(add.length + drop.length > 0 && { capabilities: { ...(add.length > 0 && { add }), ...(drop.length > 0 && { drop }) } }),
    ...escalation,
  };
}

function userOf(value: unknown, where: string, notes: Note[]): Raw {
  if (value === undefined) return {};
  const text = textOf(value, where);
  const [, user, group] = /^(\d+)(?::(\d+))?$/.exec(text) ?? [];
  if (user === undefined) {
    notes.push({ where, what: `"${text}" is a name, and Kubernetes takes numbers only: give them as UID:GID` });
    return {};
  }
  return { runAsUser: Number(user), ...(group !== undefined && { runAsGroup: Number(group) }) };
}
