import type { TokenPair, TokenUse } from '../../cluster/rotation/types.ts';
import { type ClusterKeys, clusterKeys, keyIdOf, type NodeSecrets } from '../../config/token.ts';
import { readRing, ringFor, ringWith, type TokenRing, tokensOf, writeRing } from '../../config/token-ring.ts';
import { readIfThere, writeDurably } from '../../lib/files.ts';
import { LiveSecrets } from '../../lib/live-secrets.ts';

export interface NodeTokensOptions {
  /** of the ring; its folder need not be there yet */
  readonly ringFile: string;
  /** the token that the node is started with */
  readonly given: string;
  /** a head's `token`, which is replaced with the token that is shown; null: there is none here */
  readonly tokenFile: string | null;
}

/** What this process shows and accepts, by what it is for. */
export interface ProcessSecrets {
  readonly link: LiveSecrets;
  readonly content: LiveSecrets;
  readonly api: LiveSecrets;
  readonly viewer: LiveSecrets;
  readonly metrics: LiveSecrets;
  readonly store: LiveSecrets;
}

type Keys = readonly [ClusterKeys, ...ClusterKeys[]];

/** The tokens of this node, and the secrets that follow from them, wherever they are used on this node. */
export class NodeTokens {
  /** the token that the node was started with is used no more */
  readonly isGivenOld: boolean;
  readonly secrets: ProcessSecrets;
  readonly #options: NodeTokensOptions;
  readonly #steps: (() => Promise<void>)[] = [];
  #ring: TokenRing;
  /** what all of this node uses, as far as every step has been done */
  #inUse: TokenRing;
  #step: string | null = null;

  /** Takes the token that followed the given one, where this node knows it. */
  static async open(options: NodeTokensOptions): Promise<NodeTokens> {
    const { ring, isOld } = ringFor(options.given, await readRing(options.ringFile));
    const tokens = new NodeTokens(options, ring, isOld);
    await tokens.#write();
    return tokens;
  }

  private constructor(options: NodeTokensOptions, ring: TokenRing, isGivenOld: boolean) {
    this.#options = options;
    this.#ring = ring;
    this.#inUse = ring;
    this.isGivenOld = isGivenOld;
    const secret = (of: (keys: ClusterKeys) => string): LiveSecrets => new LiveSecrets(...valuesOf(ring, of));
    this.secrets = {
      link: secret(({ linkKey }) => linkKey),
      content: secret(({ contentKey }) => contentKey),
      api: secret(({ apiKey }) => apiKey),
      viewer: secret(({ viewerKey }) => viewerKey),
      metrics: secret(({ metricsKey }) => metricsKey),
      store: secret(({ storePassword }) => storePassword),
    };
  }

  get clusterId(): string {
    return clusterKeys(this.#ring.shown).clusterId;
  }

  /** for the node's record: which is shown, and the last step that all of this node has followed */
  get use(): TokenUse {
    return { shows: keyIdOf(this.#ring.shown), step: this.#step };
  }

  /** every step of the last change has been done */
  get isInUse(): boolean {
    return this.#inUse === this.#ring;
  }

  get ring(): TokenRing {
    return this.#ring;
  }

  get authoritySecrets(): readonly [string, ...string[]] {
    return valuesOf(this.#ring, ({ authoritySecret }) => authoritySecret);
  }

  /** for the store's server, the one that is shown first */
  get storePasswords(): readonly [string, ...string[]] {
    return valuesOf(this.#ring, ({ storePassword }) => storePassword);
  }

  /** for the processes of this node */
  get nodeSecrets(): NodeSecrets {
    return {
      linkKeys: valuesOf(this.#ring, ({ linkKey }) => linkKey),
      metricsKeys: valuesOf(this.#ring, ({ metricsKey }) => metricsKey),
      storePasswords: this.storePasswords,
    };
  }

  /** Adds a step to every change: what is not told by `secrets`. */
  onChange(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  /** All of this node has followed a step. @returns whether that is news */
  followed(step: string): boolean {
    const isNews = this.#step !== step;
    this.#step = step;
    return isNews;
  }

  /**
   * Uses these tokens on all of this node from now on, and after every start. What fails may be tried again:
   * `isInUse` says whether all of it has been done.
   */
  async change(pair: TokenPair): Promise<void> {
    this.#ring = ringWith(this.#ring, pair);
    await this.#write();
    this.#useHere();
    for (const step of this.#steps) await step();
    this.#inUse = this.#ring;
  }

  #useHere(): void {
    const { link, content, api, viewer, metrics, store } = this.secrets;
    link.use(valuesOf(this.#ring, ({ linkKey }) => linkKey));
    content.use(valuesOf(this.#ring, ({ contentKey }) => contentKey));
    api.use(valuesOf(this.#ring, ({ apiKey }) => apiKey));
    viewer.use(valuesOf(this.#ring, ({ viewerKey }) => viewerKey));
    metrics.use(valuesOf(this.#ring, ({ metricsKey }) => metricsKey));
    store.use(valuesOf(this.#ring, ({ storePassword }) => storePassword));
  }

  async #write(): Promise<void> {
    const { ringFile, tokenFile } = this.#options;
    await writeRing(ringFile, this.#ring);
    if (tokenFile === null) return;
    const text = `${this.#ring.shown}\n`;
    if ((await readIfThere(tokenFile)) !== text) await writeDurably(tokenFile, text);
  }
}

function valuesOf(ring: TokenRing, of: (keys: ClusterKeys) => string): readonly [string, ...string[]] {
  const [shown, ...others] = tokensOf(ring).map(clusterKeys) as unknown as Keys;
  return [of(shown), ...others.map(of)];
}
