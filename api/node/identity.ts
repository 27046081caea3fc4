/** Annotation of a Node: lowercase hex SHA-256 of its public key. Whoever has another key is another host. */
export const publicKeyAnnotation = 'cleat.dev/public-key-sha256';
