import type { JsonValue } from '../../lib/json.ts';

export type Language = 'python' | 'javascript';

/** A model as a revision pins it, in the order of DeploymentSpec.models. */
export type ModelPin = ContentPin | ListingPin;

interface NamedPin {
  /** relative to the model folder that user code gets: as written in conf.ini, or the last segment of a URI */
  readonly name: string;
  readonly sizeBytes: number;
}

/** A model whose content is known. */
interface ContentPin extends NamedPin {
  readonly sha256: string;
  /** of what was an image in a registry, its digest there: `sha256:…` */
  readonly image?: string;
  /** of a section with `stream`: what it was pinned by before it had come, so that nothing is replaced once it has */
  readonly listing?: string;
}

/** A model that is fetched while it is loaded: what it holds is known when it has come. */
interface ListingPin extends NamedPin {
  readonly sha256: null;
  /** an image comes as a whole */
  readonly image?: never;
  /** hash of its URI and of what the server listed there: files, sizes, versions */
  readonly listing: string;
}

/** Models of URIs lie in memory, and not on the disk, while they are loaded. */
export interface MemoryStream {
  /** how long after the last open of a file their memory is given back */
  readonly expireMs: number;
}

/** A package as a revision pins it: replicas start only from this snapshot. */
export interface PackagePin {
  /** SHA-256 over the package's file names, modes and contents */
  readonly hash: string;
  /** absolute; holds `algopkg/<package>/…`, so that Python imports `algopkg.<package>.backend` from here */
  readonly snapshotDir: string;
}

/** One `[algopkg.*]` section with defaults filled in: what a deployment is, before anything is read or hashed. */
export interface DeploymentSpec {
  /** section name without `algopkg.`: `Echo`, or `Echo.fast` for a second deployment of package Echo */
  readonly name: string;
  readonly packageName: string;
  /** class name in `backend.py`, or exported class of `backend.ts`/`backend.js` */
  readonly backend: string;
  readonly language: Language;
  /** without leading or trailing slash */
  readonly route: string;
  /** upper case; POST is always among them */
  readonly methods: readonly string[];
  readonly replicas: number;
  readonly gpuMilli: number;
  readonly cpuMilli: number;
  /** reserved on the node; 0: nothing is reserved */
  readonly memoryBytes: number;
  /** names below the model folder, and URIs, as written in conf.ini */
  readonly models: readonly string[];
  /** whether replicas start while models that URIs name are still being fetched, and where those go that are not to be kept */
  readonly stream: boolean | MemoryStream;
  readonly userConfig: JsonValue | null;
  readonly maxOngoingRequests: number;
  readonly maxQueuedRequests: number;
  readonly requestTimeoutMs: number;
  readonly startupTimeoutMs: number;
  readonly minReadyMs: number;
  readonly gracefulShutdownTimeoutMs: number;
  /** how often a request may be given to another replica after one died with it */
  readonly retries: number;
  readonly concurrency: number;
  /** most requests in one call of `predict_batch`; 1: no batches */
  readonly maxBatchSize: number;
  /** how long a batch may wait for more, from its first request; 0: not at all */
  readonly batchWaitTimeoutMs: number;
  /** whether tracebacks of user code go to clients; `loopback`: only while the ingress listens on loopback */
  readonly exposeErrors: 'always' | 'never' | 'loopback';
  /** where a node finds the keys that the route asks for: `env:NAME` or `file:/PATH`; null: it asks for none */
  readonly apiKeys: string | null;
  /** requests a second that one key may make at one ingress process; 0: any number */
  readonly apiRatePerS: number;
  /** false: what user code prints is thrown away */
  readonly logOutput: boolean;
  /** user or `user:group` that replicas run as; null: as the node */
  readonly runAs: string | null;
  /** interpreter: a version (`3.9`), a path, or null for the first python3 found */
  readonly python: string | null;
  /** as conf.ini has it (`venv`, `conda:NAME`, …), see parseEnvironment; null: the package's files decide */
  readonly environment: string | null;
  /** folder of wheels: absolute, or inside the package; null: none */
  readonly wheels: string | null;
  readonly env: Readonly<Record<string, string>>;
  /** keys after `agent.` with their values, in the order of conf.ini, see modelAgents; not there: none */
  readonly agents?: Readonly<Record<string, string>>;
}

/** What has to happen when a key changes; the most far-reaching effect of a change wins. */
export type Effect = 'routing' | 'scale' | 'reconfigure' | 'replace';

/** A hash per effect: a plan is a comparison of these. */
export type SpecHashes = Readonly<Record<Effect, string>>;

/** A deployment as a revision records it: with everything pinned that it names. */
export interface PinnedSpec extends DeploymentSpec {
  readonly package: PackagePin;
  readonly modelPins: readonly ModelPin[];
  /** absolute path of Model_ZOO; user code gets `modelRoot,m1,m2` */
  readonly modelRoot: string;
  /** absolute folder of conf.ini: the working directory of replicas */
  readonly projectDir: string;
  readonly hashes: SpecHashes;
}

/** `[MODEL SERVE]`: what concerns every node. */
export interface ClusterSettings {
  /** every node's ingress port */
  readonly port: number;
  /** processes of every node's ingress, which share its port */
  readonly ingressProcesses: number;
  readonly maxBodyBytes: number;
  /** metrics are for everybody */
  readonly metricsOpen: boolean;
  /** every request gets a line in its ingress' access log */
  readonly accessLog: boolean;
}

/** An applied conf.ini with everything pinned. Numbers grow by one; a revision never changes once recorded. */
export interface Revision {
  readonly number: number;
  readonly createdAtMs: number;
  readonly confPath: string;
  readonly confText: string;
  readonly settings: ClusterSettings;
  readonly deployments: readonly PinnedSpec[];
  /** how it came about; not there: a conf.ini was applied */
  readonly origin?: RevisionOrigin;
}

/** `file`: a conf.ini was applied; `edited`: text that came by the API; `rollback`: what an earlier revision said. */
export type RevisionOrigin =
  | { readonly kind: 'file' }
  | { readonly kind: 'edited' }
  | { readonly kind: 'rollback'; readonly of: number };

/** One line of a plan. `added`/`removed` are whole deployments; `retried` is unchanged but failed before. */
export interface PlannedChange {
  readonly deployment: string;
  readonly kind: 'added' | 'removed' | 'changed' | 'retried';
  /** for `changed`: the effects, most far-reaching last */
  readonly effects: readonly Effect[];
  /** where replicas are started: what they run in, `venv (requirements.txt, Python 3.11, uv)` */
  readonly environment?: string;
  /** conf.ini keys (or `package content`, `model content`) that differ, with old and new value as text */
  readonly differences: readonly { readonly key: string; readonly from: string; readonly to: string }[];
}
