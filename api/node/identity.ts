/** Annotation of a Node: lowercase hex SHA-256 of its public key. Whoever has another key is another host. */
export const publicKeyAnnotation = 'cleat.dev/public-key-sha256';
/** What runs a node's pods, by its agent: `cri`, `ctr` or `docker`, a space, and the socket at which that is asked. */
export const runtimeAnnotation = 'cleat.dev/runtime';
