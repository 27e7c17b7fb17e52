// modelserve itself: a head with its store, ingress and replicas, from a project that is generated here.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CLI, PROGRAMS, ROOT } from '../lib/paths.mjs';
import { freePorts } from '../lib/ports.mjs';
import { prepared } from './bare.mjs';
import { jsonBody } from './server.mjs';

/** With more connections than a replica takes at once, the rest waits at the ingress; the default bound is 100. */
const QUEUE = 'max_queued_requests = 2000';

/** @type {import('./server.mjs').Contestant} */
export const modelservePython = ours({
  name: 'modelserve-python',
  what: 'modelserve: an asynchronous Python class, nothing in its environment',
  package: 'NoOp',
});

/** @type {import('./server.mjs').Contestant} */
export const modelserveUvloop = ours({
  name: 'modelserve-uvloop',
  what: 'modelserve: the same class, uvloop in its requirements.txt',
  package: 'NoOp',
  requirements: ['uvloop'],
});

/** @type {import('./server.mjs').Contestant} */
export const modelserveTypescript = ours({
  name: 'modelserve-typescript',
  what: 'modelserve: a TypeScript class',
  package: 'NoOpTs',
});

/**
 * A project folder: conf.ini, one package, and where needed its requirements.
 * @param {string} folder
 * @param {{package: string, requirements?: readonly string[], conf: readonly string[]}} project conf: lines of conf.ini
 */
export function writeProject(folder, project) {
  const packageDir = join(folder, 'algopkg', project.package);
  mkdirSync(join(folder, 'Model_ZOO'), { recursive: true });
  cpSync(join(PROGRAMS, 'packages', project.package), packageDir, { recursive: true });
  if (project.requirements)
    writeFileSync(join(packageDir, 'requirements.txt'), `${project.requirements.join('\n')}\n`);
  writeFileSync(join(folder, 'conf.ini'), `${project.conf.join('\n')}\n`);
}

/** @returns {Promise<import('./server.mjs').Command>} a head that serves the project in `folder` */
export async function headCommand(folder, port, cli = CLI) {
  const [storePort, dashboardPort] = await freePorts(2);
  const options = {
    '--conf': join(folder, 'conf.ini'),
    '--state-dir': join(folder, 'state'),
    '--port': storePort,
    '--dashboard-port': dashboardPort,
    '--http-port': port,
  };
  return { command: process.execPath, args: [cli, 'head', ...Object.entries(options).flat().map(String)] };
}

/** @returns {import('./server.mjs').Contestant} */
function ours(options) {
  return {
    name: options.name,
    what: options.what,
    methods: ['GET', 'POST'],
    path: '/noop',
    body: jsonBody,
    preparesAtStart: options.requirements !== undefined,
    prepare: async () => prepareOurs(options.requirements),
    command: (_prepared, port, folder) => {
      const section = [`[algopkg.${options.package}]`, 'backend = NoOp', 'route = noop', QUEUE];
      writeProject(folder, { package: options.package, requirements: options.requirements, conf: section });
      return headCommand(folder, port);
    },
  };
}

async function prepareOurs(requirements) {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  if (requirements === undefined) return { versions: { modelserve: version } };
  // What the replica will install is tried here, so that a package index that cannot be reached skips the contestant.
  const environment = await prepared('modelserve', requirements);
  return 'skipped' in environment
    ? environment
    : { versions: { modelserve: version, ...environment.versions } };
}
