import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';

/** A process that listens on a TCP port. */
export interface PortHolder {
  readonly pid: number;
  /** short name of the program, as `ps` shows it */
  readonly name: string;
}

const LISTEN_STATE = '0A';

/**
 * Which program listens on a TCP port of this machine (any address, IPv4 or IPv6).
 * @returns null when nothing listens there, or when it belongs to a user whose processes we may not look into
 */
export function programOnPort(port: number): PortHolder | null {
  const sockets = new Set(
    ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listeningInodes(readText(table), port)),
  );
  if (sockets.size === 0) return null;
  for (const name of listFolder('/proc')) {
    if (/^\d+$/.test(name) && holdsSocket(name, sockets)) {
      return { pid: Number(name), name: readText(`/proc/${name}/comm`).trim() };
    }
  }
  return null;
}

/**
 * A port that nothing listens on at `host` right now. Another program may take it before the caller does: bind port 0
 * instead where that is possible.
 */
export function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, host, () => {
      const address = server.address();
      server.close(() => {
        if (typeof address === 'object' && address !== null) resolve(address.port);
        else reject(new Error(`listening on ${host} gave no port`));
      });
    });
  });
}

/** Socket inodes of a /proc/net/tcp table that listen on the port. Addresses there are `HEXADDRESS:HEXPORT`. */
function listeningInodes(table: string, port: number): readonly string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === LISTEN_STATE && fields[1]?.endsWith(suffix) === true)
    .map((fields) => `socket:[${fields[9]}]`);
}

function holdsSocket(pid: string, sockets: ReadonlySet<string>): boolean {
  return listFolder(`/proc/${pid}/fd`).some((fd) => {
    try {
      return sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return false; // closed meanwhile
    }
  });
}

function listFolder(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // gone, or another user's
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // gone, or no IPv6 here
  }
}
