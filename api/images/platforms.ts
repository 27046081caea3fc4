/** On any Node, by whoever knows: JSON of image → platforms that it is made for, such as `linux/arm64`. */
export const imagePlatformsAnnotation = 'cleat.dev/image-platforms';
/** The same by the node's agent, of images that it has pulled and that are not made for every host that Cleat runs on. */
export const pulledPlatformsAnnotation = 'cleat.dev/pulled-image-platforms';
/** Hosts that Cleat runs on: what is made for all of these is no news to anybody. */
export const hostArchitectures = ['amd64', 'arm64'] as const;
