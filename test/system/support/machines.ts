import { execFileSync } from 'node:child_process';

/** A machine of its own as far as the network and mounted folders go. */
export interface Machine {
  readonly namespace: string;
  readonly address: string;
  /** its end of the cable */
  readonly device: string;
}

const ip = (words: string): string => execFileSync('ip', words.split(' '), { encoding: 'utf8' });

/** Whether this process may make network namespaces; says so where not. @param what is skipped then */
export function mayMakeMachines(what: string): boolean {
  try {
    ip(`netns add mst${process.pid}`);
    ip(`netns delete mst${process.pid}`);
    return true;
  } catch {
    process.stdout.write(`skipped: ${what}: \`ip netns\` is missing or not permitted here (needs root)\n`);
    return false;
  }
}

/** Machines on one switch; `10.<net>.0.1` is the first. */
export class Machines {
  readonly all: readonly Machine[];
  readonly #switch = `mss${process.pid}`;

  constructor(count: number, net: number) {
    ip(`netns add ${this.#switch}`);
    ip(`-n ${this.#switch} link add bridge type bridge`);
    ip(`-n ${this.#switch} link set bridge up`);
    this.all = Array.from({ length: count }, (_, index) => this.#plugIn(index, net));
  }

  /** Words to run a command on a machine that cannot see these folders: each is empty there. */
  inside({ namespace }: Machine, hidden: readonly string[] = []): readonly string[] {
    const mounts = hidden.map((folder) => `mount -t tmpfs none '${folder}' && `).join('');
    const shell = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', `${mounts}exec "$0" "$@"`];
    return ['ip', 'netns', 'exec', namespace, ...(hidden.length === 0 ? [] : shell)];
  }

  /** From now on a machine sends no faster than this. @param rate as `tc` takes it: `1gbit`, or null for no limit */
  shape({ namespace, device }: Machine, rate: string | null): void {
    const words = ['-n', namespace, 'qdisc'];
    if (rate === null) execFileSync('tc', [...words, 'del', 'dev', device, 'root']);
    else {
      const limit = ['tbf', 'rate', rate, 'burst', '256kb', 'latency', '50ms'];
      execFileSync('tc', [...words, 'replace', 'dev', device, 'root', ...limit]);
    }
  }

  remove(): void {
    for (const { namespace } of this.all) ip(`netns delete ${namespace}`);
    ip(`netns delete ${this.#switch}`);
  }

  #plugIn(index: number, net: number): Machine {
    const namespace = `msm${process.pid}-${index}`;
    const device = 'eth0';
    const address = `10.${net}.0.${index + 1}`;
    ip(`netns add ${namespace}`);
    ip(`-n ${namespace} link set lo up`);
    ip(`link add ${device} netns ${namespace} type veth peer name port${index} netns ${this.#switch}`);
    ip(`-n ${this.#switch} link set port${index} master bridge up`);
    ip(`-n ${namespace} address add ${address}/24 dev ${device}`);
    ip(`-n ${namespace} link set ${device} up`);
    return { namespace, address, device };
  }
}
