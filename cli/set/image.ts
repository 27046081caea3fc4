import { StatusError } from '#common/errors.ts';
import { refuse } from '../flags.ts';
import type { Container, PodTemplate } from './pod-template.ts';

/** Reads `CONTAINER=IMAGE` words. */
export function imagesOf(words: readonly string[]): ReadonlyMap<string, string> {
  const images = new Map(words.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]));
  if (images.size === 0 || [...images].some(([container, image]) => container === '' || image === '')) throw refuse('set', 'say which image: CONTAINER=IMAGE');
  return images;
}

/** The patch that sets the images; undefined where they are those already. `target` names the object in errors. */
export function imagePatch({ pods, wrap }: PodTemplate, target: string, images: ReadonlyMap<string, string>): object | undefined {
  const all = [...(pods.initContainers ?? []), ...(pods.containers ?? [])];
  for (const container of images.keys()) if (container !== '*' && !all.some((one) => one.name === container)) throw new StatusError('BadRequest', `unable to find container named "${container}"; ${target} has ${all.map((one) => one.name).join(', ')}`);
  const changes = (containers: readonly Container[] = []): object[] => containers.flatMap(({ name, image }) => {
    const wanted = images.get(name) ?? images.get('*');
    return wanted === undefined || wanted === image ? [] : [{ name, image: wanted }];
  });
  const [init, main] = [changes(pods.initContainers), changes(pods.containers)];
  return init.length + main.length === 0 ? undefined : wrap({ ...(init.length > 0 && { initContainers: init }), ...(main.length > 0 && { containers: main }) });
}
