import type { RequestHead } from '../channel/messages.ts';
import type { RequestListener, ServerStream } from '../channel/server-streams.ts';
import type { StatePaths } from '../config/paths.ts';
import { messageOf } from '../lib/errors.ts';
import { openNodeLog, readLogAddress } from '../telemetry/node-logs.ts';

/** Answers what other nodes ask of this one's logs (see logAddress). */
export function answerLogs(head: RequestHead, stream: ServerStream, paths: LogPaths): RequestListener {
  const abort = new AbortController();
  let onWindow = () => {};
  const room = async (bytes: number) => {
    while (stream.sendableBytes < bytes && !abort.signal.aborted) {
      await new Promise<void>((resolve) => {
        onWindow = resolve;
      });
    }
  };
  void sendLog(head, { stream, paths, signal: abort.signal, room }).catch((error: unknown) => {
    stream.fail({ code: 'LOG_UNREADABLE', info: messageOf(error) });
  });
  return {
    onData: () => {},
    onWindow: () => onWindow(),
    onCancel: () => {
      abort.abort();
      onWindow();
    },
  };
}

type LogPaths = Pick<StatePaths, 'logs' | 'replicaLogs'>;

/** Well within a window: a line can be longer than that. */
const MOST_AT_ONCE_BYTES = 64 * 1024;

interface LogDelivery {
  readonly stream: ServerStream;
  readonly paths: LogPaths;
  readonly signal: AbortSignal;
  /** resolves when the window has this much, or nobody waits any more */
  readonly room: (bytes: number) => Promise<void>;
}

async function sendLog(head: RequestHead, { stream, paths, signal, room }: LogDelivery): Promise<void> {
  const asked = readLogAddress(head.path, head.query);
  const log = asked === null ? null : await openNodeLog(paths, asked, signal);
  if (log === null) {
    stream.respond({ status: 404, headers: [], ok: true }, true);
    return;
  }
  stream.respond({ status: 200, headers: [['content-type', 'text/plain; charset=utf-8']], ok: true }, false);
  for await (const chunk of log) {
    for (let at = 0; at < chunk.length; at += MOST_AT_ONCE_BYTES) {
      const part = chunk.subarray(at, at + MOST_AT_ONCE_BYTES);
      await room(part.length);
      if (signal.aborted) return;
      stream.write(part, false);
    }
  }
  if (!signal.aborted) stream.write(Buffer.alloc(0), true);
}
