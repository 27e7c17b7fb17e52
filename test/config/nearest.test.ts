import { expect, it } from 'vitest';
import { nearest } from '../../src/config/nearest.ts';

it.each<[string, string | null]>([
  ['replica', 'replicas'],
  ['REPLICAS', 'replicas'],
  ['rpelicas', 'replicas'],
  ['rotue', 'route'],
  ['gpu-cost', 'gpu_cost'],
  ['cost', null],
  ['x', null],
  ['', null],
  ['route'.repeat(100), null],
])('takes %j for %j', (word, candidate) => {
  expect(nearest(word, ['replicas', 'route', 'gpu_cost', 'cpu_cost'])).toBe(candidate);
});
