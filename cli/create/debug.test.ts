import { describe, expect, it } from 'vitest';
import { parseFlags, type ParsedFlags } from '../flags.ts';
import { checkDebug, debugContainer, debugCopy, debugFlags, debuggerName, nodeDebugger, type Patient } from './debug.ts';

const flags = (...argv: readonly string[]): ParsedFlags => parseFlags('debug', debugFlags, argv);
const patient: Patient = {
  metadata: { name: 'p', namespace: 'default', labels: { run: 'p' }, annotations: { n: '1' } },
  spec: {
    nodeName: 'pi', initContainers: [{ name: 'i', image: 'i' }], ephemeralContainers: [{ name: 'old' }], volumes: [],
    containers: [{ name: 'web', image: 'w', args: ['x'], livenessProbe: { exec: {} }, readinessProbe: { exec: {} } }, { name: 'log', image: 'l' }],
  },
};

describe('debug', () => {
  it('makes a container beside those that run', () => {
    expect(debugContainer('d', ['sh'], flags('--image=b', '-it', '--target=web', '--env=A=b', '--profile=general'))).toEqual({
      name: 'd', image: 'b', command: ['sh'], stdin: true, tty: true, env: [{ name: 'A', value: 'b' }], targetContainerName: 'web', securityContext: { capabilities: { add: ['SYS_PTRACE'] } },
    });
    expect(debugContainer('d', ['a'], flags('--image=b', '--arguments-only', '--profile=restricted'))).toMatchObject({ args: ['a'], securityContext: { runAsNonRoot: true } });
    expect(debuggerName(patient, flags('--image=b'))).toMatch(/^debugger-[a-z0-9]{5}$/);
  });

  it('copies a pod with a further container, without what would have it killed or sent traffic', () => {
    expect(debugCopy('d', patient, [], flags('--copy-to=c', '--image=b'))).toEqual({
      apiVersion: 'v1', kind: 'Pod', metadata: { name: 'c', namespace: 'default' },
      spec: { volumes: [], initContainers: [{ name: 'i', image: 'i' }], containers: [{ name: 'web', image: 'w', args: ['x'] }, { name: 'log', image: 'l' }, { name: 'd', image: 'b' }] },
    });
    expect(debugCopy('d', patient, [], flags('--copy-to=c', '--image=b', '--same-node', '--share-processes=false', '--keep-labels', '--keep-annotations', '--keep-liveness', '--keep-init-containers=false'))).toEqual({
      apiVersion: 'v1', kind: 'Pod', metadata: { name: 'c', namespace: 'default', labels: { run: 'p' }, annotations: { n: '1' } },
      spec: { volumes: [], nodeName: 'pi', shareProcessNamespace: false, containers: [{ name: 'web', image: 'w', args: ['x'], livenessProbe: { exec: {} } }, { name: 'log', image: 'l' }, { name: 'd', image: 'b' }] },
    });
  });

  it('changes a container of a copy, or images alone', () => {
    expect(debugCopy('web', patient, ['sh'], flags('--copy-to=c', '--container=web', '--profile=general'))).toMatchObject({ spec: { shareProcessNamespace: true, containers: [{ name: 'web', image: 'w', command: ['sh'] }, { name: 'log' }] } });
    expect(debugCopy('d', patient, [], flags('--copy-to=c', '--set-image=*=z,log=y'))).toMatchObject({ metadata: { labels: { run: 'p' } }, spec: { containers: [{ name: 'web', image: 'z' }, { name: 'log', image: 'y' }] } });
  });

  it('makes a pod that sees the node', () => {
    expect(nodeDebugger('pi', [], flags('--image=b', '--profile=sysadmin'))).toMatchObject({
      metadata: { name: expect.stringMatching(/^node-debugger-pi-[a-z0-9]{5}$/) as string },
      spec: { nodeName: 'pi', hostPID: true, hostNetwork: true, hostIPC: true, restartPolicy: 'Never', containers: [{ name: 'debugger', image: 'b', securityContext: { privileged: true }, volumeMounts: [{ mountPath: '/host' }] }], volumes: [{ hostPath: { path: '/' } }] },
    });
    expect(nodeDebugger('pi', [], flags('--image=b', '--profile=baseline'))['spec']).not.toHaveProperty('hostPID');
  });

  it.each<[string[], string]>([
    [[], 'you must specify --image when not using --copy-to.'], [['--image=b', '--copy-to=c', '--target=web'], '--target is incompatible with --copy-to'], [['--image=b', '--replace'], '--replace may only be used with --copy-to.'],
    [['--image=b', '-t'], '-i/--stdin is required'], [['--image=b', '--profile=x'], 'unknown profile: x'], [['--copy-to=c'], 'you must specify --container, --image or --set-image'],
  ])('refuses %j', (argv, words) => { expect(() => { checkDebug(flags(...argv)); }).toThrow(words); });

  it('refuses a container that is not there', () => {
    expect(() => debugCopy('x', patient, [], flags('--copy-to=c', '--container=x'))).toThrow('the pod has no container "x", but web, log');
  });
});
