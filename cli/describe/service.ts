import type { EndpointSlice, Service, ServicePort } from '#api/gen/types.ts';
import { describeLabels, describeName, pairs } from './metadata.ts';
import type { Describe } from './types.ts';

export const describeService: Describe<Service> = async (writer, service, { client }) => {
  const { metadata, spec, status } = service;
  const slices = await client.json<{ items: EndpointSlice[] }>('GET', `/apis/discovery.k8s.io/v1/namespaces/${metadata?.namespace ?? ''}/endpointslices?labelSelector=${encodeURIComponent(`kubernetes.io/service-name=${metadata?.name ?? ''}`)}`);
  describeName(writer, metadata);
  describeLabels(writer, metadata);
  writer.row(0, 'Selector:', pairs(spec?.selector).join(',') || '<none>').row(0, 'Type:', spec?.type ?? '');
  if (spec?.ipFamilyPolicy) writer.row(0, 'IP Family Policy:', spec.ipFamilyPolicy);
  writer.row(0, 'IP Families:', spec?.ipFamilies?.join(',') || '<none>');
  writer.row(0, 'IP:', spec?.clusterIP ?? '').row(0, 'IPs:', spec?.clusterIPs?.join(',') || '<none>');
  if (spec?.externalIPs?.length) writer.row(0, 'External IPs:', spec.externalIPs.join(','));
  const ingress = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname ?? '');
  if (ingress.length > 0) writer.row(0, 'LoadBalancer Ingress:', ingress.join(', '));
  for (const port of spec?.ports ?? []) {
    const protocol = port.protocol ?? 'TCP';
    writer.row(0, 'Port:', port.name || '<unset>', `${String(port.port)}/${protocol}`);
    writer.row(0, 'TargetPort:', `${String(port.targetPort ?? port.port)}/${protocol}`);
    if (port.nodePort) writer.row(0, 'NodePort:', port.name || '<unset>', `${String(port.nodePort)}/${protocol}`);
    writer.row(0, 'Endpoints:', endpointsText(slices.items, port));
  }
  writer.row(0, 'Session Affinity:', spec?.sessionAffinity ?? '');
  if (spec?.externalTrafficPolicy) writer.row(0, 'External Traffic Policy:', spec.externalTrafficPolicy);
  if (spec?.internalTrafficPolicy) writer.row(0, 'Internal Traffic Policy:', spec.internalTrafficPolicy);
};

const mostShown = 3;

function endpointsText(slices: readonly EndpointSlice[], { name }: ServicePort): string {
  if (slices.length === 0) return '<none>';
  const found = slices.flatMap(({ ports, endpoints }) => (ports ?? []).filter((port) => (port.name ?? '') === (name ?? ''))
    .flatMap(({ port }) => (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false).flatMap(({ addresses }) => addresses.map((ip) => `${ip}:${String(port)}`))));
  return `${found.slice(0, mostShown).join(',')}${found.length > mostShown ? ` + ${String(found.length - mostShown)} more...` : ''}`;
}
