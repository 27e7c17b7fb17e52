import { describe, expect, it } from 'vitest';
import { type LogsOptions, logsPath } from '../../src/cli/logs.ts';

const NOW_MS = Date.parse('2026-01-31T08:00:00Z');
const NOTHING: LogsOptions = {
  ...{ deployment: null, replica: null, node: null, component: null, request: null, since: null },
  ...{ follow: false, lines: null, signal: new AbortController().signal },
};

describe('modelserve logs', () => {
  it.each<[Partial<LogsOptions>, string]>([
    [{ deployment: 'Echo.a' }, '/api/v1/logs/Echo.a?lines=100&follow=0'],
    [
      { deployment: 'Echo', replica: 'Echo-1', node: 'n1', lines: 5, follow: true },
      '/api/v1/logs/Echo?node=n1&lines=5&follow=1&replica=Echo-1',
    ],
    [{ component: 'ingress' }, '/api/v1/logs?lines=100&follow=0&component=ingress'],
    [
      { component: 'agent', since: '10m' },
      '/api/v1/logs?lines=100&follow=0&component=agent&since=2026-01-31T07%3A50%3A00.000Z',
    ],
    [{ request: 'a/b', deployment: 'Echo' }, '/api/v1/logs?request=a%2Fb&deployment=Echo'],
    [{ request: 'a', since: '1h' }, '/api/v1/logs?request=a&since=2026-01-31T07%3A00%3A00.000Z'],
  ])('%o asks for %s', (options, path) => {
    expect(logsPath({ ...NOTHING, ...options }, NOW_MS)).toBe(path);
  });

  it.each<[Partial<LogsOptions>, RegExp]>([
    [{}, /^name a deployment, `--component NAME` \(agent, controller, admin, ingress, access\)/],
    [{ component: 'nodes' }, /^--component: expected one of agent, .*, found "nodes"$/],
    [{ component: 'agent', deployment: 'Echo' }, /^--component is of modelserve itself/],
    [{ deployment: 'Echo', since: '1h' }, /^--since goes with --component and --request: .* --lines N/],
    [{ request: 'a', follow: true }, /^--request looks through what is written/],
    [{ component: 'agent', since: 'yesterday' }, /^--since: expected an age .*, found "yesterday"$/],
  ])('%o is a mistake', (options, message) => {
    expect(() => logsPath({ ...NOTHING, ...options }, NOW_MS)).toThrow(message);
  });
});
