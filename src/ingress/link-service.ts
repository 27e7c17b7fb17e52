import { encodeHead, type RequestHead } from '../channel/messages.ts';
import type { RequestListener, ServerStream } from '../channel/server-streams.ts';
import type { Target } from './target.ts';

/**
 * Carries a request of another node's ingress to a replica of this one. Nothing is buffered and no window is opened
 * here: what either end grants the other is passed on, so both ends' windows hold along the whole way.
 */
export function splice(
  head: RequestHead,
  end: boolean,
  ends: { readonly incoming: ServerStream; readonly target: Target },
): RequestListener {
  const { incoming, target } = ends;
  let isThere = true;
  const leave = () => {
    if (isThere) target.release();
    isThere = false;
  };
  const outgoing = target.open(encodeHead(head), end, {
    onResponse: (answer, isWhole) => {
      incoming.respond(answer, isWhole);
      if (isWhole) leave();
    },
    onData: (chunk, isLast) => {
      incoming.write(chunk, isLast);
      if (isLast) leave();
    },
    onWindow: (grantedBytes) => incoming.grant(grantedBytes),
    onRefused: (refusal) => {
      incoming.refuse(refusal.reason);
      leave();
    },
    onFailed: (failure) => {
      incoming.fail(failure);
      leave();
    },
    onLost: () => {
      incoming.fail({ code: 'REPLICA_DIED', info: `replica ${target.replicaId} died`, died: true });
      leave();
    },
  });
  return {
    onData: (chunk, isLast) => outgoing.write(chunk, isLast),
    onWindow: (grantedBytes) => outgoing.grant(grantedBytes),
    onCancel: () => {
      outgoing.cancel();
      leave();
    },
  };
}

/** For a request that is answered at once and whose body nobody reads. */
export const deafListener: RequestListener = { onData: () => {}, onWindow: () => {}, onCancel: () => {} };
