import { mkdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { codeOf } from '../../lib/errors.ts';
import { programOnPort } from '../../lib/ports.ts';
import { storeError } from '../errors.ts';
import type { StoreKind } from '../types.ts';
import type { StorePasswords } from './passwords.ts';

/** A store server that runs, whoever runs it. */
export interface RunningServer {
  readonly kind: StoreKind;
  /** null where it is a thread of this process */
  readonly pid: number | null;
  /** resolves with what is known of the cause when it has ended, unless it was released before */
  readonly ended: Promise<string>;
  /** see usePasswords; also from its next start on */
  usePasswords(passwords: StorePasswords): Promise<void>;
  /** what was overwritten or deleted shall not stay on the disk */
  compact(): Promise<void>;
  /** ends it with its data saved; bounded */
  shutdown(): Promise<void>;
  /** stops to watch it, and leaves it running where it can outlive this process */
  release(): Promise<void>;
}

/** Where the server listens: for everybody who gets there, or on a Unix socket for this user alone. */
export type ServerAddress = TcpAddress | { readonly path: string };

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

export function isSameAddress(one: ServerAddress, other: ServerAddress): boolean {
  return describeAddress(one) === describeAddress(other);
}

/** For people. */
export function describeAddress(address: ServerAddress): string {
  return 'path' in address ? address.path : `${address.host}:${address.port}`;
}

/** For clients on this machine: whoever binds every address is reached by the loopback. */
export function urlOf(address: ServerAddress): string {
  if ('path' in address) return `unix:${address.path}`;
  const { host, port } = address;
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `redis://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

/**
 * Clears the way for a server. What lies on the path of a socket is of one that is gone: who asks has looked whether it answers.
 * @throws StoreError STORE_PORT_TAKEN naming the program, or STORE_START where the address cannot be bound at all
 */
export async function requireFree(address: ServerAddress): Promise<void> {
  if ('path' in address) {
    await mkdir(dirname(address.path), { recursive: true, mode: 0o700 });
    await rm(address.path, { force: true });
    return;
  }
  const server = createServer();
  await listenOn(server, address);
  await new Promise((resolve) => server.close(resolve));
}

/** @throws StoreError STORE_PORT_TAKEN naming the program, or STORE_START where the address cannot be bound at all */
export async function listenOn(server: Server, { host, port }: TcpAddress): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (error) {
    if (codeOf(error) !== 'EADDRINUSE') throw cannotBind({ host, port }, error);
    const holder = programOnPort(port);
    const owner =
      holder === null
        ? `a program of another user (see: ss -ltnp 'sport = :${port}')`
        : `${holder.name} (pid ${holder.pid})`;
    throw storeError(
      'STORE_PORT_TAKEN',
      `port ${port} on ${host} is taken by ${owner}: end it, choose another port with --port, or use that Redis with --redis`,
      error,
    );
  }
}

function cannotBind({ host, port }: TcpAddress, error: unknown): Error {
  const remedy =
    codeOf(error) === 'EACCES'
      ? 'ports below 1024 need the right to bind them: choose a higher one with --port'
      : 'is --host an address of this machine?';
  return storeError(
    'STORE_START',
    `the store cannot listen on ${host}:${port} (${codeOf(error)}): ${remedy}`,
    error,
  );
}
