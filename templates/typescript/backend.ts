// The backend of a package: the class that conf.ini names, as `backend = AlgoBackend`. `concurrency = N` makes N objects of it, each
// in a thread of its own, so that a long computation holds up nobody else.
//
// Files of your own can lie beside this one (`import { score } from './score.ts'`). Packages from npm: `npm install` them here, and keep
// package.json and package-lock.json; every machine installs exactly those.
//
// Try it without a cluster:   modelserve check PACKAGE_NAME --param '{"text": "hello"}'
import { access } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

/** What a request offers, as far as it is used here; docs/backends.md has the rest. */
interface BackendRequest {
  /** the JSON body, or the query parameters where there is none */
  json(): Promise<unknown>;
}

export class AlgoBackend {
  readonly #modelPaths: readonly string[];

  /** `modelPath` is `folder,model1,model2` with the files of `model = model1,model2`, or '' without models. */
  constructor(modelPath: string) {
    const [folder = '', ...models] = modelPath.split(',').map((part) => part.trim());
    this.#modelPaths = models.map((model) => join(folder, model));
  }

  /** Optional: what takes time or waits. What is thrown here fails the start, and the replicas before it go on serving. */
  async init(): Promise<void> {
    for (const path of this.#modelPaths) await access(path); // load your models here
  }

  /** Optional: called with `user_config` after `init`, and again when it changes; nothing is restarted. */
  reconfigure(_config: unknown): void {}

  /** Called for every request. What is thrown here is logged, and becomes an error answer. */
  async call(request: BackendRequest): Promise<unknown> {
    const param = await request.json();
    return { status: 1, result: { echo: param }, info: `Result from ${hostname()}` };
  }
}
