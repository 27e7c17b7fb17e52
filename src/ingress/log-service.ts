import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { RequestHead } from '../channel/messages.ts';
import type { RequestListener, ServerStream } from '../channel/server-streams.ts';
import { messageOf } from '../lib/errors.ts';
import { tailLog } from '../lib/log-tail.ts';

const LOG_PATH = /^\/-\/logs\/(?<deployment>[\w.-]+)\/(?<replica>[\w.-]+)$/;
const DEFAULT_LINES = 100;
const MAX_LINES = 100_000;

/**
 * Answers `/-/logs/<deployment>/<replica>?lines=N&follow=1` from the log files of this node's replicas.
 * @param logsDir folder of `<deployment>/<replica>.log`
 */
export function answerLogs(head: RequestHead, stream: ServerStream, logsDir: string): RequestListener {
  const abort = new AbortController();
  let onWindow = () => {};
  const room = async (bytes: number) => {
    while (stream.sendableBytes < bytes && !abort.signal.aborted) {
      await new Promise<void>((resolve) => {
        onWindow = resolve;
      });
    }
  };
  void sendLog(head, { stream, logsDir, signal: abort.signal, room }).catch((error: unknown) => {
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

interface LogDelivery {
  readonly stream: ServerStream;
  readonly logsDir: string;
  readonly signal: AbortSignal;
  /** resolves when the window has this much, or nobody waits any more */
  readonly room: (bytes: number) => Promise<void>;
}

async function sendLog(head: RequestHead, delivery: LogDelivery): Promise<void> {
  const { stream, signal } = delivery;
  const names = LOG_PATH.exec(head.path)?.groups;
  const { deployment = '..', replica = '..' } = names ?? {};
  const path = join(delivery.logsDir, deployment, `${replica}.log`);
  if (isDots(deployment) || isDots(replica) || !(await isThere(path))) {
    stream.respond({ status: 404, headers: [], ok: true }, true);
    return;
  }
  const query = new URLSearchParams(head.query);
  const asked = Number(query.get('lines') ?? DEFAULT_LINES);
  const lines = Number.isInteger(asked) && asked >= 0 ? Math.min(asked, MAX_LINES) : DEFAULT_LINES;
  stream.respond({ status: 200, headers: [['content-type', 'text/plain; charset=utf-8']], ok: true }, false);
  for await (const chunk of tailLog(path, { lines, follow: query.get('follow') === '1', signal })) {
    await delivery.room(chunk.length);
    if (signal.aborted) return;
    stream.write(chunk, false);
  }
  if (!signal.aborted) stream.write(Buffer.alloc(0), true);
}

function isDots(name: string): boolean {
  return /^\.+$/.test(name);
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
