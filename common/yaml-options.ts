import type { ScalarTag, Tags } from 'yaml';

const core = 'tag:yaml.org,2002:';
/** YAML 1.2's way to write octal numbers, which kubectl reads too. */
const octal: ScalarTag = { tag: `${core}int`, default: true, test: /^[-+]?0o[0-7]+$/, resolve: (text) => Number.parseInt(text.replace('0o', ''), 8) };
/** Without a digit it is no number. */
const point: ScalarTag = { tag: `${core}str`, default: true, test: /^[-+]?\._*$/, resolve: (text) => text };
const binary: ScalarTag = { tag: `${core}binary`, resolve: (text) => Buffer.from(text, 'base64').toString('utf8') };

/**
 * How Kubernetes reads YAML: version 1.1 (`yes`, `on` and `y` are true, `0644` is octal), but times and dates are text.
 */
export const kubernetesYaml = {
  version: '1.1',
  customTags: (tags: Tags): Tags => [octal, point, binary, ...tags.filter((tag) => typeof tag === 'string' || (tag.tag !== `${core}timestamp` && tag.tag !== binary.tag && !('format' in tag && tag.format === 'TIME')))],
} as const;

/** And how it writes it: keys in order, text quoted that any reader of YAML 1.1 would take for something else, times among it. */
export const kubernetesYamlStyle = { ...kubernetesYaml, compat: 'yaml-1.1', lineWidth: 0, aliasDuplicateObjects: false, sortMapEntries: true, indentSeq: false, defaultStringType: 'PLAIN' } as const;
