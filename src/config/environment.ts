import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import type { NodeRole } from '../cluster/nodes/types.ts';

/** The environment variables of a process, as `process.env` has them. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** What modelserve itself takes from the environment. An empty variable counts as not set: null. */
interface Environment {
  /** `MODELSERVE_ADDRESS`: the admin API that commands speak to */
  readonly address: string | null;
  /** `MODELSERVE_TOKEN` */
  readonly token: string | null;
  /** `MODELSERVE_CA`: file of authorities that commands trust */
  readonly caFile: string | null;
  /** `MODELSERVE_STATE_DIR`: in place of the default state directory, for head and worker alike */
  readonly stateDir: string | null;
  /** `XDG_STATE_HOME`, or `~/.local/state` */
  readonly stateHome: string;
  /** whether colour is welcome where a terminal is: `NO_COLOR` is not set */
  readonly hasColor: boolean;
  /** `CI`: nobody is watching */
  readonly isCi: boolean;
}

/** Reads the variables that modelserve knows. */
export function readEnvironment(env: Variables = process.env): Environment {
  const stateHome = env['XDG_STATE_HOME'] ?? '';
  return {
    address: env['MODELSERVE_ADDRESS'] || null,
    token: env['MODELSERVE_TOKEN'] || null,
    caFile: env['MODELSERVE_CA'] || null,
    stateDir: env['MODELSERVE_STATE_DIR'] || null,
    // The XDG specification has relative paths ignored.
    stateHome: isAbsolute(stateHome) ? stateHome : join(env['HOME'] || homedir(), '.local', 'state'),
    hasColor: !env['NO_COLOR'],
    isCi: Boolean(env['CI']) && env['CI'] !== 'false',
  };
}

/** What the object stores' own tools take from the environment, and KServe's storage initializer. */
const CLOUD_VARIABLES = new RegExp(
  [
    ...['AWS_.*', 'OSS_.*', 'AZURE_.*', 'GS_.*', 'IDENTITY_(?:ENDPOINT|HEADER)', 'TRITON_.*', 'HOME', 'PATH'],
    ...['DOCKER_CONFIG', 'KSERVE_OCI_.*'],
    ...['GOOGLE_APPLICATION_CREDENTIALS', 'GCE_METADATA_HOST', 'NO_GCE_CHECK', 'CLOUDSDK_CONFIG'],
    ...[
      'SSL_CERT_FILE',
      'NODE_EXTRA_CA_CERTS',
      'STORAGE_EMULATOR_HOST',
      'S3_.*',
      'awsAnonymousCredential',
      '.*-headers',
    ],
    ...['(?:HTTPS?|ALL|NO)_PROXY', '(?:https?|all|no)_proxy'],
  ]
    .map((name) => `^${name}$`)
    .join('|'),
);

/** What says where models are fetched from, how, and as whom. */
export function cloudVariables(env: Variables = process.env): Variables {
  return Object.fromEntries(Object.entries(env).filter(([name]) => CLOUD_VARIABLES.test(name)));
}

/** Where a node keeps its state unless `--state-dir` says otherwise. */
export function defaultStateDir(role: NodeRole, env: Variables = process.env): string {
  const { stateDir, stateHome } = readEnvironment(env);
  return stateDir ?? join(stateHome, 'modelserve', role);
}

/**
 * What child processes inherit: everything but modelserve's own variables (the token among them) and
 * `CUDA_VISIBLE_DEVICES`, which each replica gets for itself.
 */
export function childEnvironment(env: Variables = process.env): Record<string, string> {
  const inherited = Object.entries(env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && !entry[0].startsWith('MODELSERVE_') && entry[0] !== 'CUDA_VISIBLE_DEVICES',
  );
  return Object.fromEntries(inherited);
}

/**
 * The GPUs that this process may use by its `CUDA_VISIBLE_DEVICES`: indices or UUIDs, as written.
 * @returns null when all are visible; like CUDA, what follows `-1` is not
 */
export function visibleDevices(env: Variables = process.env): readonly string[] | null {
  const list = env['CUDA_VISIBLE_DEVICES'];
  if (list === undefined) return null;
  const devices = list.split(',').map((device) => device.trim());
  const end = devices.findIndex((device) => device === '' || device === '-1');
  return end < 0 ? devices : devices.slice(0, end);
}
