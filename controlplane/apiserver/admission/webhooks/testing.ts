import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { WebhookClientConfig } from '#api/gen/types.ts';
import { issueCertificate, makeCaCertificate, makeKey } from '#common/pki/certificate.ts';

export interface ReviewedRequest {
  readonly uid: string;
  readonly name: string;
  readonly operation: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly object: { readonly metadata?: { readonly labels?: Record<string, string> }; readonly data?: Record<string, string> } & Record<string, unknown>;
  readonly oldObject: unknown;
  readonly dryRun: boolean;
  readonly [field: string]: unknown;
}
export type Answer = Record<string, unknown> | 'hang' | 'garbage';

/** For tests: an admission webhook on loopback, over TLS, with a CA of its own. Answers by path. */
export class TestWebhook {
  readonly asked: { readonly path: string; readonly request: ReviewedRequest }[] = [];
  readonly #server: https.Server;
  readonly #ca: string;
  readonly #answers: Record<string, (request: ReviewedRequest) => Answer | Promise<Answer>> = {};

  private constructor(server: https.Server, ca: string) {
    this.#server = server;
    this.#ca = ca;
    server.on('request', (incoming, response) => { void this.#answer(incoming, response); });
  }

  static async start(names: readonly string[] = ['localhost', '127.0.0.1']): Promise<TestWebhook> {
    const caKey = makeKey();
    const certPem = makeCaCertificate(caKey, 'webhook-ca', Date.now(), 86_400_000);
    const key = makeKey();
    const cert = issueCertificate({ certPem, certificate: new X509Certificate(certPem), key: createPrivateKey(caKey) }, {
      subject: { commonName: 'webhook' }, usage: 'server', publicKey: createPublicKey(key), nowMs: Date.now(), lifetimeMs: 86_400_000, names: [...names],
    });
    const server = https.createServer({ key, cert });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    return new TestWebhook(server, certPem);
  }

  get port(): number { return (this.#server.address() as AddressInfo).port; }
  get caBundle(): string { return Buffer.from(this.#ca).toString('base64'); }

  /** What is at `path`: the fields of the response beside its uid. */
  at(path: string, answer: (request: ReviewedRequest) => Answer | Promise<Answer>): WebhookClientConfig {
    this.#answers[path] = answer;
    return { url: `https://127.0.0.1:${String(this.port)}${path}`, caBundle: this.caBundle };
  }

  /** Names of the objects that were seen at a path. */
  seen(path: string): string[] {
    return this.asked.filter((one) => one.path === path).map(({ request }) => request.name);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => { this.#server.close(resolve); });
  }

  async #answer(incoming: AsyncIterable<Buffer> & { readonly url?: string | undefined }, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const path = (incoming.url ?? '').split('?')[0] ?? '';
    const { request } = JSON.parse(Buffer.concat(chunks).toString()) as { request: ReviewedRequest };
    this.asked.push({ path, request });
    const answer = await this.#answers[path]?.(request) ?? {};
    if (answer === 'hang') return;
    response.setHeader('Content-Type', 'application/json');
    response.end(answer === 'garbage' ? 'no json' : JSON.stringify({ kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', response: { uid: request.uid, ...answer } }));
  }
}

/** A JSON patch as webhooks send it. */
export function patching(operations: readonly object[]): Record<string, unknown> {
  return { allowed: true, patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(operations)).toString('base64') };
}
