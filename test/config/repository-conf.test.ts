import { join } from 'node:path';
import { expect, it } from 'vitest';
import { compileConf } from '../../src/config/compile.ts';
import { renderFinding } from '../../src/config/finding.ts';

it("the repository's conf.ini has no mistake, needs no GPU and fits two cores", async () => {
  const result = await compileConf(join(import.meta.dirname, '../../conf.ini'));
  expect(result.ok ? [] : result.mistakes.map(renderFinding)).toEqual([]);
  if (!result.ok) return;
  const { settings, deployments, warnings } = result.conf;
  expect(warnings).toEqual([]);
  expect(settings.port).toBe(8000);
  expect(deployments.map(({ name }) => name)).toEqual(['AlgoExample', 'Digits', 'IrisTs']);
  expect(deployments.filter(({ gpuMilli }) => gpuMilli > 0)).toEqual([]);
  const cpuMilli = deployments.reduce((sum, each) => sum + each.replicas * each.cpuMilli, 0);
  expect(cpuMilli).toBeLessThanOrEqual(2000);
});
