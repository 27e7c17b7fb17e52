// Machines of their own as far as the network goes: network namespaces on one switch. Needs root.
import { execFileSync } from 'node:child_process';

const NET = '10.233.0';

const run = (program, words) =>
  execFileSync(program, words.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] });
const ip = (words) => run('ip', words);

/** @returns {string | null} why there can be none here */
export function machinesImpossible() {
  try {
    ip(`netns add msb${process.pid}`);
    ip(`netns delete msb${process.pid}`);
    run('tc', '-V');
    return null;
  } catch (error) {
    return `needs network namespaces and tc, that is root: ${error.message.split('\n')[0]}`;
  }
}

function hiding(folders) {
  const mounts = folders.map((folder) => `mount -t tmpfs none '${folder}' && `).join('');
  const shell = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', `${mounts}exec "$0" "$@"`];
  return folders.length === 0 ? [] : shell;
}

/**
 * @typedef {object} Machine
 * @property {string} address
 * @property {(hidden?: readonly string[]) => readonly string[]} inside words before a command that runs there, and sees
 *   these folders empty
 * @property {(rate: string) => void} shape from now on it sends no faster than this, as `tc` takes it
 * @property {() => number} sentBytes by its link so far
 */

/** @returns {{machines: readonly Machine[], stop: () => Promise<void>}} */
export function startMachines(count) {
  const hub = `msbs${process.pid}`;
  const made = [hub];
  ip(`netns add ${hub}`);
  ip(`-n ${hub} link add bridge type bridge`);
  ip(`-n ${hub} link set bridge up`);
  const machines = Array.from({ length: count }, (_, index) => {
    const name = `msb${process.pid}-${index}`;
    const address = `${NET}.${index + 1}`;
    made.push(name);
    ip(`netns add ${name}`);
    ip(`-n ${name} link set lo up`);
    ip(`link add eth0 netns ${name} type veth peer name port${index} netns ${hub}`);
    ip(`-n ${hub} link set port${index} master bridge up`);
    ip(`-n ${name} address add ${address}/24 dev eth0`);
    ip(`-n ${name} link set eth0 up`);
    const inside = (/** @type {readonly string[]} */ hidden = []) => [
      'ip',
      'netns',
      'exec',
      name,
      ...hiding(hidden),
    ];
    const shape = (rate) =>
      run('tc', `-n ${name} qdisc replace dev eth0 root tbf rate ${rate} burst 256kb latency 50ms`);
    const sentBytes = () => {
      const shown = execFileSync('ip', ['-n', name, '-json', '-stats', 'link', 'show', 'eth0']);
      return JSON.parse(shown.toString())[0].stats64.tx.bytes;
    };
    return { address, inside, shape, sentBytes };
  });
  return {
    machines,
    stop: async () => {
      for (const name of made.splice(0)) ip(`netns delete ${name}`);
    },
  };
}
