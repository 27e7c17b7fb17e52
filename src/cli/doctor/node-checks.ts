import { stat } from 'node:fs/promises';
import type { StatusDocument } from '../../cluster/status/types.ts';
import { defaultStateDir } from '../../config/environment.ts';
import { type StatePaths, statePaths } from '../../config/paths.ts';
import { messageOf } from '../../lib/errors.ts';
import { programOnPort } from '../../lib/ports.ts';
import { isRunning } from '../../lib/process/identity.ts';
import { readStateLock } from '../../roles/state-lock.ts';
import { adminClient } from '../target.ts';
import { certificateChecks } from './certificate-checks.ts';
import { bad, type DoctorFinding, note, ok, warn } from './finding.ts';

/** What a head listens on unless it is told otherwise. */
const PORTS = [
  { port: 8000, what: 'HTTP', flag: '--http-port' },
  { port: 8265, what: 'dashboard and admin API', flag: '--dashboard-port' },
  { port: 6370, what: 'store', flag: '--port' },
] as const;

/** What a head makes has 36. */
const LEAST_TOKEN_BYTES = 24;

/** What runs here of modelserve, and what it says. */
export async function nodeChecks(paths: StatePaths): Promise<readonly DoctorFinding[]> {
  const lock = await readStateLock(paths);
  const token = await tokenFile(paths.token);
  if (lock === null || !isRunning(lock)) {
    return [
      note('modelserve', `does not run from ${paths.root}`, 'modelserve head starts it'),
      ...ports(),
      ...token,
    ];
  }
  const running = ok('modelserve', `runs as process ${lock.pid} from ${paths.root}`);
  const isHead = paths.root === statePaths(defaultStateDir('head')).root;
  return [running, ...token, ...(isHead ? await cluster() : [])];
}

function ports(): readonly DoctorFinding[] {
  return PORTS.map(({ port, what, flag }) => {
    const holder = programOnPort(port);
    if (holder === null) return ok(`port ${port}`, `free (${what})`);
    return warn(
      `port ${port}`,
      `taken by ${holder.name} (pid ${holder.pid})`,
      `start the head with another ${flag}, or end that program`,
    );
  });
}

/** Of the token file: who may read it, and whether it can be guessed. */
export async function tokenFile(file: string): Promise<readonly DoctorFinding[]> {
  const found = await stat(file).catch(() => null);
  if (found === null) return [];
  if ((found.mode & 0o077) === 0 && found.size < LEAST_TOKEN_BYTES) {
    const why = `the token in ${file} is short: who sees a certificate of the cluster can try tokens at home until one fits it`;
    return [warn('token', why, 'make one of chance, such as `openssl rand -hex 24` gives')];
  }
  if ((found.mode & 0o077) === 0) return [ok('token', `${file}, for its owner only`)];
  return [
    bad('token', `others may read ${file}`, `chmod 600 ${file}, and make a new one if somebody may have`),
  ];
}

async function cluster(): Promise<readonly DoctorFinding[]> {
  try {
    const client = await adminClient({});
    const status = await client.status();
    return [...ofStatus(status), ...(await certificateChecks(status.nodes, Date.now()))];
  } catch (error) {
    return [bad('cluster', messageOf(error), 'look into the logs folder of the state directory')];
  }
}

/** What a status document says is wrong. */
export function ofStatus({ nodes, deployments, store, leader }: StatusDocument): readonly DoctorFinding[] {
  const lost = nodes.filter(({ alive }) => !alive);
  const cards = nodes.flatMap((node) =>
    node.gpus.filter(({ usable }) => !usable).map((gpu) => ({ node, gpu })),
  );
  const troubled = deployments.filter(({ status }) => !['HEALTHY', 'UPDATING', 'STOPPING'].includes(status));
  return [
    store.ok
      ? ok('store', `${store.kind} answers`)
      : bad('store', `${store.kind} does not answer`, 'what runs goes on; look at the store’s log'),
    leader === null ? warn('leader', 'none', 'changes wait until a head leads') : ok('leader', leader),
    ...lost.map(({ id, hostname }) =>
      bad(
        `node ${id}`,
        `does not answer (${hostname})`,
        'look whether the machine and its modelserve process run',
      ),
    ),
    ...cards.map(({ node, gpu }) =>
      warn(
        `GPU ${gpu.index} of ${node.id}`,
        gpu.reason ?? 'not usable',
        'modelserve status shows what it holds up',
      ),
    ),
    ...troubled.map(({ name, status, message }) =>
      warn(name, `${status}: ${message}`, `modelserve logs ${name}`),
    ),
    ok('deployments', `${deployments.length - troubled.length} of ${deployments.length} in order`),
  ];
}
