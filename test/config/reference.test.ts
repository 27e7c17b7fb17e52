import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configMarkdown, configReference } from '../../src/config/reference.ts';
import { DEPLOYMENT_KEYS, type Key, SETTINGS_KEYS } from '../../src/config/schema.ts';

const KEYS = [...Object.values<Key<unknown>>(SETTINGS_KEYS), ...Object.values<Key<unknown>>(DEPLOYMENT_KEYS)];

describe.each(KEYS.map((key) => [key.name, key] as const))('%s', (_name, key) => {
  it('has an example and a default that it reads itself', () => {
    expect(key.form.read(key.example)).toMatchObject({ ok: true });
    if (key.fallback === null) return;
    const fallback = key.fallback('Echo');
    expect(key.form.read(key.form.write(fallback))).toEqual({ ok: true, value: fallback });
  });

  it('is on both pages', () => {
    expect(configMarkdown()).toContain(`\n### ${key.name}\n`);
    expect(configReference()).toContain(`\n  ${key.name}\n`);
  });
});

it('is printed within 80 columns', () => {
  expect(
    configReference()
      .split('\n')
      .filter((line) => line.length > 80),
  ).toEqual([]);
});

// `npx vitest run --project unit test/config -u` writes the file anew.
it('is what docs/configuration.md holds', async () => {
  await expect(configMarkdown()).toMatchFileSnapshot(
    join(import.meta.dirname, '../../docs/configuration.md'),
  );
});
