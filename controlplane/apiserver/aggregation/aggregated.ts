import type { Aggregation } from './aggregation.ts';
import { ApiServices } from './api-services.ts';
import type { BackendsDeps } from './backend.ts';

/** What other servers answer for; the means to reach them are loaded when there is one. */
export class Aggregated {
  readonly services: ApiServices;
  readonly #deps: BackendsDeps;
  #loaded: Promise<Aggregation> | undefined;

  constructor(deps: BackendsDeps) {
    this.#deps = deps;
    this.services = new ApiServices(deps.informers);
  }

  load(): Promise<Aggregation> {
    this.#loaded ??= import('./aggregation.ts').then((module) => new module.Aggregation(this.#deps));
    return this.#loaded;
  }
}
