import type { ClusterSettings, DeploymentSpec, Effect } from '../cluster/spec/types.ts';
import {
  byteSize,
  className,
  cpuShare,
  environmentKind,
  exposure,
  gpuShare,
  httpMethods,
  jsonValue,
  modelNames,
  onOrOff,
  pythonInterpreter,
  routePath,
  seconds,
  secretSource,
  streamMode,
  userName,
  type ValueForm,
  wheelFolder,
  wholeNumber,
} from './value-forms.ts';

/** A key of conf.ini: all that parsing, defaults, messages, plans and the reference page know about it. */
export interface Key<T> {
  readonly name: string;
  readonly form: ValueForm<T>;
  /** the value where the key is not given, by the deployment's name; null: it has to be given */
  readonly fallback: ((deployment: string) => T) | null;
  readonly effect: Effect;
  /** one paragraph for the reference page */
  readonly description: string;
  readonly example: string;
}

/** A key per field of the value it configures, in the order of the reference page. */
export type KeyTable<T> = { readonly [Field in keyof T]: Key<T[Field]> };

export const SETTINGS_SECTION = 'MODEL SERVE';
export const DEPLOYMENT_PREFIX = 'algopkg.';

const DAY_MS = 86_400_000;

/** Keys of `[MODEL SERVE]`. */
export const SETTINGS_KEYS: KeyTable<ClusterSettings> = {
  port: {
    name: 'port',
    form: wholeNumber({ min: 1, max: 65_535 }),
    fallback: () => 8000,
    effect: 'routing',
    description:
      'The HTTP port of every node. A port below 1024 needs the right to bind it. A node started with `--http-port` keeps its own.',
    example: '8000',
  },
  ingressProcesses: {
    name: 'ingress_processes',
    form: wholeNumber({ min: 1, max: 64 }),
    fallback: () => 1,
    effect: 'routing',
    description:
      'How many processes of each node accept on the port; each takes every n-th connection. More than one helps where requests keep one CPU busy with carrying them. Each is an ingress of its own to the replicas: queue bounds count per process. A change loses no request.',
    example: '2',
  },
  maxBodyBytes: {
    name: 'max_body',
    form: byteSize({ minBytes: 1 }),
    fallback: () => 64 * 1024 * 1024,
    effect: 'routing',
    description: 'The largest request body; a larger one is answered with 413.',
    example: '256MiB',
  },
  metricsOpen: {
    name: 'metrics_open',
    form: onOrOff,
    fallback: () => false,
    effect: 'routing',
    description:
      'Whether `/-/metrics` of every node and `/metrics` of the head answer everybody, `on` or `off`. Otherwise they ask for the key that `modelserve key metrics` prints ([metrics.md](metrics.md)).',
    example: 'on',
  },
  accessLog: {
    name: 'access_log',
    form: onOrOff,
    fallback: () => false,
    effect: 'routing',
    description:
      'Whether every node writes a line for each request it takes to `logs/access.log`, `on` or `off`: path, deployment, status, times, sizes, request id, replica ([operations.md](operations.md#logs)). Neither queries nor headers nor bodies are in it.',
    example: 'on',
  },
};

/** What the keys of an `[algopkg.*]` section give; the rest of a DeploymentSpec comes from its name and its folder. */
export type DeploymentFields = Omit<DeploymentSpec, 'name' | 'packageName' | 'language' | 'env' | 'agents'>;

/** Keys of `[algopkg.*]`, but for `env.NAME`. */
export const DEPLOYMENT_KEYS: KeyTable<DeploymentFields> = {
  backend: {
    name: 'backend',
    form: className,
    fallback: null,
    effect: 'replace',
    description:
      'The class that answers requests: one of `backend.py`, or one that `backend.ts` or `backend.js` (also `.mts`, `.mjs`, `.cjs`) exports.',
    example: 'algo_backend',
  },
  models: {
    name: 'model',
    form: modelNames,
    fallback: () => [],
    effect: 'replace',
    description:
      'Model files below `Model_ZOO`, and URIs of files and folders in object stores, on web servers and in images of registries ([models.md](models.md)), separated by commas. The class gets their paths in this order, that of a URI under its last segment. Empty: it loads none.',
    example: 's3://models/bert/, labels.json',
  },
  stream: {
    name: 'stream',
    form: streamMode,
    fallback: () => false,
    effect: 'replace',
    description:
      'With `on` an apply only asks what is on the servers that URIs of `model` name, and replicas start while that is being fetched: the model folder is complete from the first moment, and whoever opens a file waits until it has come ([streaming](sources/streaming.md)). With `memory` it lies in memory and not on the disk; that memory is given back 120 s after the last open of a file, with `memory:SECONDS` after so long.',
    example: 'on',
  },
  replicas: {
    name: 'replicas',
    form: wholeNumber({ min: 0, max: 10_000 }),
    fallback: () => 1,
    effect: 'scale',
    description:
      'How many copies run, each a process of its own. With 0 the deployment keeps its route but answers 503.',
    example: '2',
  },
  gpuMilli: {
    name: 'gpu_cost',
    form: gpuShare,
    fallback: () => 0,
    effect: 'replace',
    description:
      'The share of a GPU that one replica gets. A fraction lies on one GPU, beside others up to 1 in all; from 1 up a replica has whole GPUs for itself. The replica sees only its own, in `CUDA_VISIBLE_DEVICES`; with 0 it sees none.',
    example: '0.25',
  },
  cpuMilli: {
    name: 'cpu_cost',
    form: cpuShare,
    fallback: () => 100,
    effect: 'replace',
    description:
      'The CPUs that one replica is counted with when it is placed on a node. It is no limit on what the process uses.',
    example: '0.5',
  },
  memoryBytes: {
    name: 'memory',
    form: byteSize({ minBytes: 0 }),
    fallback: () => 0,
    effect: 'replace',
    description:
      'The main memory that one replica is counted with when it is placed. With 0 nothing is reserved. It is no limit on what the process uses.',
    example: '2GiB',
  },
  userConfig: {
    name: 'user_config',
    form: jsonValue,
    fallback: () => null,
    effect: 'reconfigure',
    description:
      "JSON for the class's `reconfigure(config)`, or `@` and a file (relative to conf.ini) that holds it. A change is given to the running replicas, whose processes stay. A class without that method is replaced, and so is one whose `user_config` is taken away. JSON may contain `#` and `;`. Texts in it may hold references, as those of `env.NAME`.",
    example: '{"threshold": 0.5}',
  },
  route: {
    name: 'route',
    form: routePath,
    fallback: (deployment) => deployment,
    effect: 'routing',
    description:
      'The path of its URL, `http://NODE:PORT/ROUTE`. A slash in front is accepted. The first part cannot be `-`, `api`, `metrics`, `v1` or `v2`.',
    example: 'extract',
  },
  methods: {
    name: 'method',
    form: httpMethods,
    fallback: () => ['GET', 'POST'],
    effect: 'routing',
    description: 'The HTTP methods it answers, separated by commas. POST is always one of them.',
    example: 'GET',
  },
  maxOngoingRequests: {
    name: 'max_ongoing_requests',
    form: wholeNumber({ min: 1, max: 10_000 }),
    fallback: () => 16,
    effect: 'routing',
    description:
      'How many requests one replica takes at once. Of these, `concurrency` are in the class; the others wait inside the replica.',
    example: '32',
  },
  maxQueuedRequests: {
    name: 'max_queued_requests',
    form: wholeNumber({ min: 0, max: 1_000_000 }),
    fallback: () => 100,
    effect: 'routing',
    description:
      'How many requests wait at one ingress process while all replicas are busy. One more is answered with 429.',
    example: '500',
  },
  requestTimeoutMs: {
    name: 'request_timeout_s',
    form: seconds({ minMs: 1, maxMs: DAY_MS }),
    fallback: () => 60_000,
    effect: 'routing',
    description: 'The deadline of a request, waiting and retries included. After it the answer is 504.',
    example: '2.5',
  },
  startupTimeoutMs: {
    name: 'startup_timeout_s',
    form: seconds({ minMs: 1, maxMs: DAY_MS }),
    fallback: () => 600_000,
    effect: 'routing',
    description:
      'How long a replica may take to load its models and be ready. One that takes longer is ended and counts as a failed start.',
    example: '1800',
  },
  minReadyMs: {
    name: 'min_ready_s',
    form: seconds({ minMs: 0, maxMs: DAY_MS }),
    fallback: () => 5000,
    effect: 'routing',
    description:
      'How long a new replica has to stay ready before the one it replaces is ended, and before a change counts as done.',
    example: '30',
  },
  gracefulShutdownTimeoutMs: {
    name: 'graceful_shutdown_timeout_s',
    form: seconds({ minMs: 0, maxMs: DAY_MS }),
    fallback: () => 60_000,
    effect: 'routing',
    description: 'How long a replica that is being ended may take to finish the requests it has.',
    example: '300',
  },
  retries: {
    name: 'retries',
    form: wholeNumber({ min: 0, max: 10 }),
    fallback: () => 1,
    effect: 'routing',
    description:
      'How often a request goes to another replica when one died with it, before the first byte of an answer. Use 0 where a request must not run twice.',
    example: '0',
  },
  concurrency: {
    name: 'concurrency',
    form: wholeNumber({ min: 1, max: 1024 }),
    fallback: () => 1,
    effect: 'replace',
    description:
      'How many calls are in the class at once: threads for a Python class with ordinary methods, coroutines for one with async methods, instances for JavaScript.',
    example: '4',
  },
  maxBatchSize: {
    name: 'max_batch_size',
    form: wholeNumber({ min: 1, max: 4096 }),
    fallback: () => 1,
    effect: 'replace',
    description:
      'How many requests a class with `predict_batch(list)` (in JavaScript `predictBatch`) gets at once, at most. With 1 there are no batches. A batch is what has gathered while the previous one ran. Unless `max_ongoing_requests` is given, a replica takes enough requests for its batches, and for one more that gathers.',
    example: '16',
  },
  batchWaitTimeoutMs: {
    name: 'batch_wait_timeout_s',
    form: seconds({ minMs: 0, maxMs: 60_000 }),
    fallback: () => 0,
    effect: 'replace',
    description:
      'How long a batch that is not full may wait for more while the class is idle, counted from its first request. With 0 an idle class gets at once what is there.',
    example: '0.01',
  },
  exposeErrors: {
    name: 'expose_errors',
    form: exposure,
    fallback: () => 'loopback',
    effect: 'routing',
    description:
      'Whether a client sees the traceback of an exception in the class: `on`, `off`, or `auto`: only while the node listens on loopback alone.',
    example: 'off',
  },
  logOutput: {
    name: 'log_output',
    form: onOrOff,
    fallback: () => true,
    effect: 'replace',
    description:
      "Whether what the class prints is kept in its replica's log, as it is: `on` or `off`. It may hold what clients send. With `off` the log has the runner's own lines alone, and of a request that failed the kind of the exception and where it was raised, not its message.",
    example: 'off',
  },
  apiKeys: {
    name: 'api_keys',
    form: secretSource,
    fallback: () => null,
    effect: 'routing',
    description:
      'Callers of the route need an API key, as `authorization: Bearer KEY` or `x-api-key: KEY`. Here stands only where every node finds them: `file:/PATH`, or `env:NAME`, a variable that the node was started with. They hold a line `name = key` for each caller. A file is read again when it changes, within a second. Keys that cannot be read let nobody in.',
    example: 'file:/etc/modelserve/search.keys',
  },
  apiRatePerS: {
    name: 'api_rate',
    form: wholeNumber({ min: 0, max: 1_000_000 }),
    fallback: () => 0,
    effect: 'routing',
    description:
      'Requests a second that one API key may make, of which a second’s worth may come at once; more are answered with 429. Each ingress process counts for itself. With 0 there is no limit.',
    example: '50',
  },
  runAs: {
    name: 'run_as',
    form: userName,
    fallback: () => null,
    effect: 'replace',
    description:
      'The user, or `user:group`, that replicas run as where the node runs as root ([security.md](security.md)). They get nothing of the environment that the node was started with but what says where things are. Not given: they run as the node does.',
    example: 'nobody',
  },
  python: {
    name: 'python',
    form: pythonInterpreter,
    fallback: () => null,
    effect: 'replace',
    description:
      'The interpreter for a Python package: a version that is looked for on the node, or an absolute path. Not given: the `python3` found first. A conda environment, and `environment = python:/PATH`, have their own.',
    example: '3.9',
  },
  environment: {
    name: 'environment',
    form: environmentKind,
    fallback: () => null,
    effect: 'replace',
    description:
      "What the backend runs in: `venv` (built from `requirements.txt`, or the dependencies in `pyproject.toml`), `conda` (built from `environment.yml`), `conda:NAME` (a conda environment that every node has), `system` (the interpreter as it is), `python:/PATH` (that interpreter as it is), `npm` (JavaScript: the packages in `package.json`). Not given: JavaScript has `npm`; for Python the first of these decides: `environment.yml`, `requirements.txt`, `pyproject.toml` with dependencies, a conda environment with the package's name on the nodes, `system`.",
    example: 'conda:algo-py36',
  },
  wheels: {
    name: 'wheels',
    form: wheelFolder,
    fallback: () => null,
    effect: 'replace',
    description:
      'A folder of wheels for a virtual environment: inside the package, and then part of it, or an absolute path that every node has. It is tried alone first; only where something is missing in it the package index is asked, too.',
    example: 'wheels',
  },
};

/** `env.NAME`: any number of them, so it is no field of its own. */
export const ENVIRONMENT_KEY = {
  prefix: 'env.',
  name: 'env.NAME',
  effect: 'replace',
  description:
    'An environment variable of the replicas, once for each. `${NAME}` in it stands for a variable that the node was started with, `${file:/PATH}` for the text of a file on the node: revisions and plans hold the reference alone, and it is looked up when a replica is started. `$${` is a plain `${`. Put a value that contains `#` or `;` in quotes. `CUDA_VISIBLE_DEVICES`, `CUDA_DEVICE_ORDER` and names that begin with `MODELSERVE_` cannot be set.',
  example: 'env.OMP_NUM_THREADS = 2',
} as const satisfies Pick<Key<string>, 'name' | 'effect' | 'description' | 'example'> & { prefix: string };

/** `agent.NAME`, `agent.NAME.key`: any number of them. */
export const AGENT_KEY = {
  prefix: 'agent.',
  name: 'agent.NAME',
  effect: 'replace',
  description:
    'What looks at the models of each replica ([sources/repository-agents.md](sources/repository-agents.md)). `agent.checksum.SHA256:FILE = HEX` refuses a replica whose model file has another checksum (MD5, SHA1, SHA256, SHA512). Any other NAME is a module of the package, `agent.NAME = hooks/agent.mjs`, whose `modelAction` is called before and after models are loaded and unloaded, with the parameters `agent.NAME.key = value`.',
  example: 'agent.checksum.MD5:m.bin = 0f343b0931126a20f133d67c2b018a3b',
} as const satisfies Pick<Key<string>, 'name' | 'effect' | 'description' | 'example'> & { prefix: string };

/** What a change of a key does to what runs, for people. */
export const EFFECTS: Readonly<Record<Effect, string>> = {
  routing: 'in force at once; no process is touched',
  scale: 'replicas are started, or drained, by the difference',
  reconfigure: '`reconfigure(config)` is called in the running replicas',
  replace: 'new replicas are started, then the old ones are drained',
};
