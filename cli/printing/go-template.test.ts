import { describe, expect, it } from 'vitest';
import { renderGoTemplate } from './go-template.ts';

const pod = { kind: 'Pod', metadata: { name: 'web', labels: { b: '2', a: '1' }, nothing: null }, spec: { containers: [{ name: 'c1', image: 'x' }, { name: 'c2', image: 'y' }], replicas: 3 } };

describe('a Go template', () => {
  it.each([
    ['{{.metadata.name}}\n', 'web\n'],
    ['{{.nosuch}} {{.nosuch.deeper}}', '<no value> <no value>'],
    ['{{.metadata.labels}} {{.spec.containers}}', 'map[a:1 b:2] [map[image:x name:c1] map[image:y name:c2]]'],
    ['{{range .spec.containers}}{{.name}}{{"\\n"}}{{end}}', 'c1\nc2\n'],
    ['{{range $i, $c := .spec.containers}}{{if $i}}, {{end}}{{$c.name}}{{end}}', 'c1, c2'],
    ['{{range $key, $value := .metadata.labels}}{{$key}}={{$value}};{{end}}', 'a=1;b=2;'],
    ['{{range .nosuch}}x{{else}}none{{end}}', 'none'],
    ['{{range .spec.containers}}{{if eq .name "c1"}}{{continue}}{{end}}{{.name}}{{break}}{{end}}', 'c2'],
    ['{{if .nosuch}}a{{else if eq .kind "Pod"}}b{{else}}c{{end}}', 'b'],
    ['{{with .metadata}}{{.name}} of {{$.kind}}{{end}}', 'web of Pod'],
    ['{{$last := ""}}{{range .spec.containers}}{{$last = .name}}{{end}}{{$last}}', 'c2'],
    ['{{(index .spec.containers 1).image}} {{index .metadata.labels "a"}} {{len .spec.containers}}', 'y 1 2'],
    ['{{.kind | printf "%s-%v|%5s|%-4s|%q" .metadata.name .spec.replicas "ab" "c"}}', 'web-3|   ab|c   |"Pod"'],
    ['a {{- " b " -}} c{{/* not seen */}}', 'a b c'],
    ['{{and .kind .metadata.name}} {{or .nosuch "d"}} {{not .kind}} {{gt .spec.replicas 2}} {{ne .kind "Pod"}}', 'web d false true false'],
    ['{{html "<a>"}} {{base64decode "aGk="}} {{exists . "spec" "containers" 1 "name"}} {{exists . "x"}}', '&lt;a&gt; hi true false'],
  ])('%s', (template, expected) => {
    expect(renderGoTemplate(template, pod)).toBe(expected);
  });

  it.each([
    ['{{.kind', 'unclosed action'],
    ['{{if .kind}}', 'an {{end}} is missing'],
    ['{{end}}', 'unexpected {{end}}'],
    ['{{else}}', 'unexpected {{else}}'],
    ['{{nosuch .}}', 'function "nosuch" not defined'],
    ['{{.kind.x}}', "can't evaluate field x in type string"],
    ['{{.metadata.nothing.x}}', 'nil pointer'],
    ['{{$x}}', 'undefined variable "$x"'],
    ['{{index .spec.containers 7}}', 'out of range'],
    ['{{template "t"}}', 'use one template'],
    ['{{range .kind}}{{end}}', "can't iterate"],
    ['{{(.kind}}', 'unclosed left paren'],
  ])('%s is refused', (template, why) => {
    expect(() => renderGoTemplate(template, pod)).toThrow(why);
  });
});
