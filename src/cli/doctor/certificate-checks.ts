import { once } from 'node:events';
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { NodeStatus } from '../../cluster/status/types.ts';
import { messageOf } from '../../lib/errors.ts';
import { isEndNear } from '../../lib/tls/pem-files.ts';
import { bad, type DoctorFinding, ok, warn } from './finding.ts';

const ANSWER_MS = 3_000;
const ADVICE =
  'put a new one into the file of --tls-cert: it is taken without a restart. One of the node itself is signed anew when it is started';

/** Of what live nodes show to clients by TLS: until when it is good. */
export async function certificateChecks(
  nodes: readonly NodeStatus[],
  nowMs: number,
): Promise<readonly DoctorFinding[]> {
  const secure = nodes.filter(({ alive, http }) => alive && http.startsWith('https:'));
  return await Promise.all(secure.map(async ({ id, http }) => await certificateOf(id, http, nowMs)));
}

async function certificateOf(nodeId: string, url: string, nowMs: number): Promise<DoctorFinding> {
  const check = `TLS of ${nodeId}`;
  try {
    const { subject, validFrom, validTo } = await shownAt(new URL(url));
    const shown = `${url} shows ${subject.replaceAll('\n', ', ')}`;
    const endMs = Date.parse(validTo);
    if (endMs < nowMs) return bad(check, `${shown}, which ended on ${validTo}`, ADVICE);
    if (Date.parse(validFrom) > nowMs)
      return bad(check, `${shown}, good from ${validFrom} on only`, 'look at the clocks of both machines');
    if (isEndNear(endMs, nowMs)) return warn(check, `${shown}, which ends on ${validTo}`, ADVICE);
    return ok(check, `${shown}, good until ${validTo}`);
  } catch (error) {
    return warn(check, `${url} was not to be asked: ${messageOf(error)}`, 'is it reachable from here?');
  }
}

/** Whoever has signed it: only its dates are looked at. @throws what the connection does */
async function shownAt({ hostname, port }: URL) {
  const host = hostname.replace(/^\[|\]$/g, '');
  const socket = connect({
    ...{ host, port: port === '' ? 443 : Number(port), rejectUnauthorized: false },
    ...(isIP(host) === 0 ? { servername: host } : {}),
  });
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(ANSWER_MS) });
    const leaf = socket.getPeerX509Certificate();
    if (leaf === undefined) throw new Error('it shows no certificate');
    return leaf;
  } finally {
    socket.destroy();
  }
}
