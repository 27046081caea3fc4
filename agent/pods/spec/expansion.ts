/** Replaces `$(NAME)` by its value; an unknown name stays as it is, `$$` gives `$`. As Kubernetes expands env, command and args. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replaceAll(/\$\$|\$\(([^)]*)\)/g, (match: string, name: string | undefined) => {
    if (match === '$$') return '$';
    return lookup(name ?? '') ?? match;
  });
}
