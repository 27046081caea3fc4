import type { Plugin, PluginHandle } from '../../types.ts';

/** Binds through the pod's `binding` subresource. */
export function defaultBinder({ api }: PluginHandle): Plugin {
  return {
    name: 'DefaultBinder',
    events: [],
    async bind(pod, nodeName) {
      await api.bind(pod.namespace, pod.name, pod.uid, nodeName);
      return true;
    },
  };
}
