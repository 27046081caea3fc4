import type { EndpointSlice, Endpoints } from '#api/gen/types.ts';
import { describeLabels, describeName } from './metadata.ts';
import type { Describe } from './types.ts';
import type { DescribeWriter } from './writer.ts';

interface Port { readonly name?: string | undefined; readonly port?: number | undefined; readonly protocol?: string | undefined }

export const describeEndpoints: Describe<Endpoints> = (writer, { metadata, subsets }) => {
  describeName(writer, metadata);
  describeLabels(writer, metadata);
  writer.row(0, 'Subsets:');
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of subsets ?? []) {
    writer.row(1, 'Addresses:', addresses.map(({ ip }) => ip).join(',') || '<none>').row(1, 'NotReadyAddresses:', notReadyAddresses.map(({ ip }) => ip).join(',') || '<none>');
    if (ports.length > 0) describePorts(writer, 1, ports);
    writer.row(0, '');
  }
  writer.flush();
  return Promise.resolve();
};

export const describeEndpointSlice: Describe<EndpointSlice> = (writer, { metadata, addressType, ports = [], endpoints = [] }) => {
  describeName(writer, metadata);
  describeLabels(writer, metadata);
  writer.row(0, 'AddressType:', addressType);
  if (ports.length === 0) writer.row(0, 'Ports:', '<unset>');
  else describePorts(writer, 0, ports);
  if (endpoints.length === 0) writer.row(0, 'Endpoints:', '<none>');
  else writer.row(0, 'Endpoints:');
  for (const { addresses, conditions, hostname, targetRef, nodeName, zone } of endpoints) {
    writer.row(1, '- Addresses:', addresses.join(', ')).row(2, 'Conditions:').row(3, 'Ready:', conditions?.ready ?? '<unset>').row(2, 'Hostname:', hostname ?? '<unset>');
    if (targetRef) writer.row(2, 'TargetRef:', `${targetRef.kind ?? ''}/${targetRef.name ?? ''}`);
    writer.row(2, 'NodeName:', nodeName ?? '<unset>').row(2, 'Zone:', zone ?? '<unset>');
  }
  return Promise.resolve();
};

function describePorts(writer: DescribeWriter, level: number, ports: readonly Port[]): void {
  writer.row(level, 'Ports:').row(level + 1, 'Name', 'Port', 'Protocol').row(level + 1, '----', '----', '--------');
  for (const { name, port, protocol } of ports) writer.row(level + 1, name || '<unset>', port ?? 0, protocol ?? '');
}
