// nginx on loopback with a folder of its own, for what comes from web servers and object stores.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePorts } from './ports.mjs';
import { endTree, startMarked } from './processes.mjs';

const TRIES = 100;
const PAUSE_MS = 100;

/**
 * Starts nginx; it ends with the workspace.
 * @param {import('./workspace.mjs').Workspace} workspace
 * @param {{folder: string, root: string, look: string, settings?: string}} options folder: for what it writes; root: what it
 *   serves; look: a path there, by which to see that it answers; settings: more of its own, such as `limit_rate 16m;`
 * @returns {Promise<number | null>} its port; null: there is none
 */
export async function startNginx(workspace, { folder, root, look, settings = '' }) {
  const [port] = await freePorts(1);
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const conf = join(folder, 'nginx.conf');
  writeFileSync(
    conf,
    `daemon off; user root; worker_processes 2; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 512; }
http { sendfile on; access_log off; keepalive_requests 1000000;
${places.map((place) => `${place}_temp_path ${folder}/${place};`).join(' ')}
server { listen 127.0.0.1:${port}; root ${root}; ${settings} } }\n`,
  );
  const mark = `nginx-${port}`;
  const server = startMarked('nginx', ['-c', conf], { mark, logFile: join(folder, 'nginx.log') });
  workspace.own({ stop: async () => await endTree(server, { rootPids: [server.pid ?? 0], mark }) });
  return (await answers(`http://127.0.0.1:${port}${look}`)) ? port : null;
}

async function answers(url) {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const answer = await fetch(url, { method: 'HEAD' }).catch(() => null);
    if (answer?.ok) return true;
    await delay(PAUSE_MS);
  }
  return false;
}
