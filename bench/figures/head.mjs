// Heads, and others beside them, that a special figure starts for itself.
import { headCommand, writeProject } from '../contestants/modelserve.mjs';
import { startContestant } from '../contestants/server.mjs';

/**
 * @typedef {object} Context what a figure is given
 * @property {number} rounds
 * @property {number} seconds for one measurement
 * @property {(line: string) => void} say
 * @property {import('../lib/workspace.mjs').Workspace} workspace what is in it ends with the figure
 */

/**
 * Starts a head with sections of the package NoOp.
 * @param {Context} context
 * @param {{conf: readonly string[], route: string, body?: Buffer, requirements?: readonly string[],
 *   folder?: string, env?: NodeJS.ProcessEnv, cli?: string}} project the route is asked with the body until it answers; folder: in place of a
 *   new one; env: what the head has in its environment beside what is there; cli: of another program than the one that is built here
 * @returns {Promise<import('../contestants/server.mjs').Running & {folder: string}>} folder: of the project, its state below it
 */
export async function startHead(context, project) {
  const folder = project.folder ?? context.workspace.newFolder();
  const contestant = {
    name: 'modelserve',
    what: '',
    methods: ['POST'],
    path: `/${project.route}`,
    body: () => project.body ?? Buffer.from('{}'),
    prepare: async () => ({ versions: {} }),
    command: async (_prepared, port) => {
      const { requirements, conf, env } = project;
      writeProject(folder, { package: 'NoOp', conf, ...(requirements ? { requirements } : {}) });
      return { ...(await headCommand(folder, port, project.cli)), env };
    },
  };
  const place = { folder, own: (one) => context.workspace.own(one) };
  return { ...(await startContestant(contestant, { versions: {} }, place)), folder };
}

/** Starts another contestant for a figure. */
export function startOther({ workspace }, contestant, prepared) {
  const folder = workspace.newFolder();
  return startContestant(contestant, prepared, { folder, own: (one) => workspace.own(one) });
}

/** One section of conf.ini, of the package NoOp. */
export function section(name, keys) {
  return [`[algopkg.NoOp.${name}]`, ...Object.entries(keys).map(([key, value]) => `${key} = ${value}`), ''];
}
