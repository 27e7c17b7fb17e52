import { writeSync } from 'node:fs';
import { connect, type OnReadOpts, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { codeOf, messageOf } from '../../lib/errors.ts';
import { judgeAnswer } from './judge-answer.ts';
import { RefusalText } from './refusal-text.ts';
import { HeadReader, OddAnswer, type ResponseHead } from './response-head.ts';
import { PART_LENGTH, type Received, type ReceiveTask, type Target } from './types.ts';

/** Settings of TLS that hold for all servers. */
export type TlsSettings = Pick<ConnectionOptions, 'ca' | 'rejectUnauthorized'>;

/**
 * What comes on any connection of this thread comes here first: it is written to where it belongs before anything else
 * is read, so one buffer is enough. Measured with 64 KiB to 4 MiB; below 512 KiB the system calls show.
 */
const BUFFER = Buffer.allocUnsafeSlow(1024 ** 2);

/**
 * For the head of an answer: what comes with it of a part that goes into memory has to be copied there, and copies into
 * memory that threads share are slow. They were a third of what 2 GiB took beside the system's own work.
 */
const HEAD_BUFFER = BUFFER.subarray(0, 16 * 1024);

/** A connection that nobody needs ends after this time; most servers close it later. */
const REST_MS = 10_000;

/** What is being received at the moment. */
interface Running {
  readonly task: ReceiveTask;
  readonly onBytes: (count: number) => void;
  readonly resolve: (received: Received) => void;
  readonly reject: (error: unknown) => void;
  readonly head: HeadReader;
  answer: ResponseHead | null;
  /** of an answer that is not the part */
  text: RefusalText | null;
  bodyBytes: number;
}

export interface ConnectionEvents {
  /** it can take another request; closed ones never rest */
  readonly onRest: () => void;
  readonly onClose: () => void;
}

/** One connection to one server, for one request after the other. */
export class Connection {
  /** the server may close a connection that rests at any moment; whether that is why it broke shows by this */
  isUsed = false;
  readonly #socket: Socket;
  readonly #onRest: () => void;
  #running: Running | null = null;

  constructor(origin: URL, tls: TlsSettings, { onRest, onClose }: ConnectionEvents) {
    this.#onRest = onRest;
    const onread: OnReadOpts = {
      buffer: () => this.#destination(),
      callback: (count, buffer) => {
        this.#take(buffer, count);
        return true;
      },
    };
    const isTls = origin.protocol === 'https:';
    const host = origin.hostname.replace(/^\[|\]$/g, '');
    const place = { host, port: Number(origin.port) || (isTls ? 443 : 80), noDelay: true, onread };
    const name = /^[\d.]+$|:/.test(host) ? {} : { servername: host };
    // Typed as if TLS connections could not read into a given buffer; they can, as its documentation says.
    this.#socket = isTls ? connectTls({ ...tls, ...name, ...place } as ConnectionOptions) : connect(place);
    this.#socket.on('error', (error) => this.#break(codeOf(error) ?? 'EUNKNOWN', messageOf(error)));
    this.#socket.on('timeout', () => this.#break('ETIMEDOUT', 'nothing came for too long'));
    this.#socket.on('end', () => this.#break('ECONNRESET', 'the server closed the connection'));
    this.#socket.on('close', () => {
      this.#break('ECONNRESET', 'the connection was closed');
      onClose();
    });
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  /** @throws what writing to the target threw */
  async receive(task: ReceiveTask, onBytes: (count: number) => void): Promise<Received> {
    return await new Promise((resolve, reject) => {
      const request = requestText(task);
      if (request === null) {
        this.#onRest();
        return resolve({ kind: 'odd' });
      }
      const state = { head: new HeadReader(), answer: null, text: null, bodyBytes: 0 };
      this.#running = { task, onBytes, resolve, reject, ...state };
      this.#socket.ref().setTimeout(task.silenceMs);
      this.#socket.write(request, 'latin1');
    });
  }

  /** Nothing is written to a target any more. */
  close(): void {
    this.#break('ECONNABORTED', 'it is not wanted any more');
  }

  /**
   * Where what comes next is put: memory is filled by the system itself, once it is known that what comes belongs there. Asked
   * after each read, so also when a part is whole, for the answer to whatever is asked next.
   */
  #destination(): Uint8Array {
    const running = this.#running;
    if (running === null || running.answer === null) return HEAD_BUFFER;
    const { target, lengthBytes } = running.task;
    const isToMemory = 'memory' in target && running.text === null;
    return isToMemory ? target.memory.subarray(running.bodyBytes, lengthBytes) : BUFFER;
  }

  #take(buffer: Uint8Array, count: number): void {
    const running = this.#running;
    if (running === null) {
      this.#socket.destroy(); // what nobody has asked for: what follows could not be told from an answer
      return;
    }
    try {
      if (running.answer !== null) this.#takeBody(running, buffer, count);
      else this.#takeHead(running, BUFFER.subarray(0, count));
    } catch (error) {
      if (error instanceof OddAnswer) this.#end(running, { kind: 'odd' }, false);
      else this.#fail(running, error);
    }
  }

  #takeHead(running: Running, bytes: Buffer): void {
    const found = running.head.take(bytes);
    if (found === null) return;
    running.answer = found.head;
    const refusal = judgeHead(running, found.head);
    if (refusal !== null) this.#end(running, refusal, false);
    else this.#takeBody(running, bytes.subarray(found.usedBytes), bytes.length - found.usedBytes);
  }

  #takeBody(running: Running, bytes: Uint8Array, count: number): void {
    const { answer, task, text } = running;
    if (answer === null) return;
    if (text !== null) {
      text.add(bytes.subarray(0, count));
      const received = { kind: 'answer', head: answer, text: `${text}` } as const;
      if (text.isWhole) this.#end(running, received, answer.isPersistent && text.isExact);
      return;
    }
    const bodyBytes = answer.bodyBytes ?? 0;
    const taken = Math.min(count, bodyBytes - running.bodyBytes);
    put(task.target, running.bodyBytes, bytes.subarray(0, taken));
    running.bodyBytes += taken;
    if (taken > 0) running.onBytes(taken);
    if (running.bodyBytes < bodyBytes) return;
    if (bodyBytes < task.lengthBytes) {
      const message = `it ends after ${bodyBytes} of ${task.lengthBytes} bytes`;
      this.#breakWith(running, { code: PART_LENGTH, message });
    } else this.#end(running, { kind: 'whole' }, answer.isPersistent && taken === count);
  }

  #break(code: string, message: string): void {
    this.#socket.destroy();
    if (this.#running !== null) this.#breakWith(this.#running, { code, message });
  }

  #breakWith(running: Running, why: { readonly code: string; readonly message: string }): void {
    this.#end(running, { kind: 'broken', ...why, hasAnswered: running.answer !== null }, false);
  }

  #fail(running: Running, error: unknown): void {
    this.#running = null;
    this.#socket.destroy();
    running.reject(error);
  }

  #end(running: Running, received: Received, isReusable: boolean): void {
    this.#running = null;
    if (isReusable && !this.#socket.destroyed) {
      this.isUsed = true;
      this.#socket.unref().setTimeout(REST_MS);
      this.#onRest();
    } else this.#socket.destroy();
    running.resolve(received);
  }
}

/** Looks at a head before a byte is written. @returns null: the body is to be read */
function judgeHead(running: Running, head: ResponseHead): Received | null {
  const { expected, lengthBytes } = running.task;
  const { bodyBytes } = head;
  if (judgeAnswer(head, expected) !== 'as asked') {
    running.text = RefusalText.of(head);
    return running.text === null ? { kind: 'answer', head, text: '' } : null;
  }
  if (bodyBytes === null) return { kind: 'odd' };
  if (bodyBytes <= lengthBytes) return null;
  return {
    kind: 'broken',
    code: PART_LENGTH,
    message: 'it sends more than was asked for',
    hasAnswered: true,
  };
}

function put(target: Target, at: number, bytes: Uint8Array): void {
  if ('memory' in target) {
    // What the system has put there itself lies where it belongs.
    const isThere = bytes.buffer === target.memory.buffer;
    if (!isThere) target.memory.set(bytes, at);
    return;
  }
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(target.fd, bytes, done, bytes.length - done, target.position + at + done);
  }
}

/** @returns null for what must not be written onto a connection as it is: line breaks, and what is not Latin */
function requestText({ origin, path, headers }: ReceiveTask): string | null {
  const { host } = new URL(origin);
  const all = { host, 'accept-encoding': 'identity', connection: 'keep-alive', ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  const isPlain =
    /^[\x21-\x7e]+$/.test(path) && lines.every((line) => /^[\t\x20-\x7e\x80-\xff]*$/.test(line));
  return isPlain ? `GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n` : null;
}
