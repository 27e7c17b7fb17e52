// Heads that a special figure starts for itself.
import { headCommand, writeProject } from '../contestants/modelserve.mjs';
import { startContestant } from '../contestants/server.mjs';

/**
 * @typedef {object} Context what a figure is given
 * @property {number} rounds
 * @property {number} seconds for one measurement
 * @property {(line: string) => void} say
 * @property {() => string} newFolder removed after the figure
 * @property {(running: {stop: () => Promise<void>}) => void} own stopped after the figure, whatever happens
 */

/**
 * Starts a head with sections of the package NoOp.
 * @param {Context} context
 * @param {{conf: readonly string[], route: string, body?: Buffer, requirements?: readonly string[]}} project the route is
 *   asked with the body until it answers
 */
export async function startHead(context, project) {
  const folder = context.newFolder();
  const contestant = {
    name: 'modelserve',
    what: '',
    methods: ['POST'],
    path: `/${project.route}`,
    body: () => project.body ?? Buffer.from('{}'),
    prepare: async () => ({ versions: {} }),
    command: (_prepared, port) => {
      const { requirements, conf } = project;
      writeProject(folder, { package: 'NoOp', conf, ...(requirements ? { requirements } : {}) });
      return headCommand(folder, port);
    },
  };
  const running = await startContestant(contestant, { versions: {} }, folder);
  context.own(running);
  return running;
}

/** One section of conf.ini, of the package NoOp. */
export function section(name, keys) {
  return [`[algopkg.NoOp.${name}]`, ...Object.entries(keys).map(([key, value]) => `${key} = ${value}`), ''];
}
