/** An image's name in parts, with what Docker's tools add: registry `docker.io`, folder `library`, tag `latest`. */
export interface ImageReference {
  readonly registry: string;
  readonly repository: string;
  /** A tag, or a digest such as `sha256:…`. */
  readonly tag: string;
}

export function parseReference(image: string): ImageReference {
  const at = image.indexOf('@');
  const tagged = at < 0 ? image : image.slice(0, at);
  const colon = tagged.indexOf(':', tagged.lastIndexOf('/') + 1);
  const name = colon < 0 ? tagged : tagged.slice(0, colon);
  const tag = at < 0 ? (colon < 0 ? 'latest' : tagged.slice(colon + 1)) : image.slice(at + 1);
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  if (/[.:]|^localhost$/.test(first)) return { registry: first, repository: name.slice(slash + 1), tag };
  return { registry: 'docker.io', repository: slash < 0 ? `library/${name}` : name, tag };
}

/** The whole name, as containerd stores it. */
export function canonicalReference(image: string): string {
  const { registry, repository, tag } = parseReference(image);
  return `${registry}/${repository}${tag.includes(':') ? '@' : ':'}${tag}`;
}
