import type { ServerResponse } from 'node:http';

/** What every answer begins with. */
const LEAD = 'HTTP/1.1 ';
const TICK_MS = 500;

/** A body on its way in. */
export interface Upload {
  /** nothing of it is read at the moment */
  readonly isPaused: boolean;
  readonly receivedBytes: number;
}

/**
 * Finds out that a client has left while its upload is held back. Nobody tells: its close lies behind bytes that wait to be
 * read, and Node asks nothing of a socket that it does not read. But a byte sent to a closed socket is answered with a
 * reset, which the next write meets, even one of nothing. So the client is sent, early, the bytes that its answer
 * will begin with, one each time the upload has waited twice as long. The socket's `close` then tells as always.
 * Ends by itself, with the head of the answer or the connection.
 */
export function probeClient(response: ServerResponse, upload: Upload): void {
  const { socket } = response.req;
  let sentBytes = 0;
  let heldTicks = 0;
  let receivedBytes = -1;
  const look = () => {
    if (response.headersSent || socket.destroyed) {
      clearInterval(timer);
      return;
    }
    const isHeld = upload.isPaused && upload.receivedBytes === receivedBytes;
    receivedBytes = upload.receivedBytes;
    // without a socket, an earlier request of its connection is being answered
    if (!isHeld || response.socket === null) return;
    heldTicks += 1;
    socket.write('');
    if (heldTicks < 2 ** sentBytes || sentBytes === LEAD.length) return;
    if (sentBytes === 0) cutHead(response, () => sentBytes);
    socket.write(LEAD.charAt(sentBytes));
    sentBytes += 1;
  };
  const timer = setInterval(look, TICK_MS);
  response.once('close', () => clearInterval(timer));
}

/** What was sent of the head already is left out when it is written. */
function cutHead(response: ServerResponse, sentBytes: () => number): void {
  const writeHead = response.writeHead;
  response.writeHead = (...head: unknown[]) => {
    Reflect.apply(writeHead, response, head);
    // node:http keeps the text of the head here until the body's first byte; there is no public way to it
    const text = String(Reflect.get(response, '_header'));
    Reflect.set(response, '_header', text.slice(sentBytes()));
    return response;
  };
}
