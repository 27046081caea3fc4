import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Fault } from '../test-faults.ts';

interface Made { readonly Id: string; readonly Labels: Record<string, string>; readonly Image: string; status: string }

/** For tests: a Docker that keeps containers in memory and speaks its API on a unix socket, apart from the faults that it is given. */
export class DockerServer {
  /** By method and path, ids and names of which are `*`. One that gives undefined leaves that call to be answered with the truth. */
  readonly faults = new Map<string, Fault>();
  readonly #server: Server;
  readonly #containers = new Map<string, Made>();

  private constructor() {
    this.#server = createServer((request, response) => {
      const answer = async (): Promise<void> => {
        const url = new URL(request.url ?? '/', 'http://docker');
        const body = await text(request);
        // Names of images have slashes.
        const [, kind = '', name = '', verb = ''] = /^\/(\w+)(?:\/(.+?))??(\/(?:json|create|start|stop))?$/.exec(url.pathname) ?? [];
        const call = `${request.method ?? ''} /${kind}${name === '' ? '' : '/*'}${verb}`;
        const about = this.#containers.get(name);
        const found = this.faults.get(call)?.({ url: decodeURIComponent(url.search), labels: about?.Labels }) ?? this.#answer(call, url, body, about);
        if (found === 'silence' || call === 'GET /events') return;
        if (found instanceof Error) response.writeHead(500).end(JSON.stringify({ message: found.message }));
        else if (Buffer.isBuffer(found)) response.end(found);
        else if (found) response.end(JSON.stringify(found));
        else response.writeHead(404).end(JSON.stringify({ message: 'no such thing' }));
      };
      void answer();
    });
  }

  static async open(path: string): Promise<DockerServer> {
    const server = new DockerServer();
    await once(server.#server.listen(path), 'listening');
    return server;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answer(call: string, url: URL, body: string, about: Made | undefined): object | undefined {
    switch (call) {
      case 'GET /version': return { Version: '27.0.0', ApiVersion: '1.46' };
      case 'GET /info': return { CgroupDriver: 'cgroupfs', DockerRootDir: '/var/lib/docker' };
      case 'GET /images/*/json': return { Id: 'sha256:1', RepoTags: [], RepoDigests: [], Size: 1, Config: {} };
      case 'GET /containers/json': {
        const { label = [] } = JSON.parse(url.searchParams.get('filters') ?? '{}') as { label?: string[] };
        return [...this.#containers.values()].filter(({ Labels }) => label.every((pair) => Labels[pair.slice(0, pair.indexOf('='))] === pair.slice(pair.indexOf('=') + 1))).map((made) => ({ ...made, Created: 1, State: made.status }));
      }
      case 'POST /containers/create': {
        const Id = `id${String(this.#containers.size + 1)}`;
        this.#containers.set(Id, { ...JSON.parse(body) as Pick<Made, 'Labels' | 'Image'>, Id, status: 'created' });
        return { Id };
      }
      case 'GET /containers/*/json': return about && { Id: about.Id, Created: '2026-01-01T00:00:00Z', Image: 'sha256:1', Config: { Labels: about.Labels }, State: { Status: about.status, Running: about.status === 'running', OOMKilled: false, Pid: 0, ExitCode: 0, Error: '', StartedAt: '2026-01-01T00:00:01Z', FinishedAt: '' } };
      case 'POST /containers/*/start': return about && become(about, 'running');
      case 'POST /containers/*/stop': return about && become(about, 'exited');
      case 'DELETE /containers/*': this.#containers.delete(about?.Id ?? ''); return {};
      default: return undefined;
    }
  }
}

function become(made: Made, status: string): object {
  made.status = status;
  return {};
}
