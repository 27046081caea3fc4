import type { Pod } from '#api/gen/types.ts';
import type { RegistryAuth } from '#agent/runtimes/types.ts';
import type { ObjectLookup } from './spec/env.ts';

/** Credentials from the pod's imagePullSecrets (`kubernetes.io/dockerconfigjson`) for the image's registry. Unreadable secrets are passed over. */
export function pullAuths(pod: Pod, image: string, lookup: ObjectLookup): RegistryAuth[] {
  const registry = registryOf(image);
  return (pod.spec?.imagePullSecrets ?? []).flatMap(({ name = '' }) => {
    const data = lookup.secret(pod.metadata?.namespace ?? '', name)?.data?.['.dockerconfigjson'];
    return data === undefined ? [] : authsFor(registry, Buffer.from(data, 'base64').toString('utf8'));
  });
}

interface DockerConfig { auths?: Record<string, { username?: string; password?: string; auth?: string }> }

function authsFor(registry: string, text: string): RegistryAuth[] {
  let config: DockerConfig;
  try {
    config = JSON.parse(text) as DockerConfig;
  } catch {
    return [];
  }
  return Object.entries(config.auths ?? {}).flatMap(([server, entry]) => {
    const host = server.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
    if (host !== registry && !(registry === 'docker.io' && host === 'index.docker.io')) return [];
    const [username = '', ...password] = entry.auth === undefined ? [] : Buffer.from(entry.auth, 'base64').toString('utf8').split(':');
    return [{ username: entry.username ?? username, password: entry.password ?? password.join(':') }];
  });
}

function registryOf(image: string): string {
  const first = image.split('/')[0] ?? '';
  return image.includes('/') && /[.:]|^localhost$/.test(first) ? first : 'docker.io';
}
