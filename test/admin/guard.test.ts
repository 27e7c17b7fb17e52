import { request } from 'undici';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { AdminServer } from '../../src/admin/server.ts';
import { Sessions } from '../../src/admin/sessions.ts';
import type { AdminBackend, LogSource, TokenDesk, UploadDesk } from '../../src/admin/types.ts';
import { clusterKeys } from '../../src/config/token.ts';
import { silentLog } from '../../src/lib/log.ts';
import { echo, echoLive, echoMeasurements, echoRevisions, plainRoutes } from '../support/admin-parts.ts';
import { adminKeys } from '../support/secrets.ts';

const TOKEN = 'mst_of-the-test';
const KEYS = clusterKeys(TOKEN);

let url: string;
let calls: string[];

beforeEach(async () => await startServer());

async function startServer(isReadOnly = false): Promise<void> {
  calls = [];
  const noted = <Desk>(names: readonly string[]): Desk =>
    Object.fromEntries(
      names.map((name) => [
        name,
        async () => {
          calls.push(name);
          return {};
        },
      ]),
    ) as Desk;
  const server = new AdminServer(
    { keys: adminKeys(KEYS), host: '127.0.0.1', port: 0, isReadOnly, tls: null, version: '1.2.3' },
    {
      backend: noted<AdminBackend>(['status', 'plan', 'apply', 'stopCluster', 'stopNode', 'events']),
      uploads: noted<UploadDesk>(['sees', 'offer', 'receive']),
      revisions: { ...echoRevisions, ...noted<object>(['apply', 'plan', 'validate']) },
      measurements: echoMeasurements,
      logs: echo<LogSource>(['open']),
      live: echoLive,
      tokens: noted<TokenDesk>(['read', 'rotate', 'cancel']),
      routes: plainRoutes,
      log: silentLog,
    },
  );
  await server.start();
  onTestFinished(async () => await server.stop());
  url = `http://127.0.0.1:${server.port}`;
}

type Headers = Readonly<Record<string, string>>;

async function ask(
  line: string,
  headers: Headers = {},
  body: string | null = null,
): Promise<{ status: number; cookie: string; text: string; headers: Record<string, unknown> }> {
  const [method = 'GET', path = '/'] = line.split(' ');
  const answer = await request(`${url}${path}`, { method, headers, body });
  const cookie = String(answer.headers['set-cookie'] ?? '');
  return { status: answer.statusCode, cookie, text: await answer.body.text(), headers: answer.headers };
}

const json = { 'content-type': 'application/json' };
const ownPage = (): Headers => ({ origin: url });

async function logIn(token = TOKEN): Promise<string> {
  const { cookie } = await ask('POST /api/v1/session', { ...json, ...ownPage() }, JSON.stringify({ token }));
  return cookie.split(';')[0] ?? '';
}

/** What changes something, with a body that would do. */
const CHANGES: readonly (readonly [string, string])[] = [
  ['POST /api/v1/apply', '{"conf":"/p/conf.ini"}'],
  ['POST /api/v1/plan', '{"conf":"/p/conf.ini"}'],
  ['POST /api/v1/revisions', '{"text":"[MODEL SERVE]"}'],
  ['POST /api/v1/revisions/1/rollback', '{}'],
  ['POST /api/v1/stop', '{}'],
  ['POST /api/v1/uploads', '{"files":[]}'],
  ['POST /api/v1/token/rotate', '{}'],
  ['POST /api/v1/token/cancel', '{}'],
  ['POST /api/v1/try/Echo', '{}'],
  ['DELETE /api/v1/session', '{}'],
];

describe('what changes something', () => {
  it.each(CHANGES)(
    '%s is refused without the token, and from anywhere but the dashboard',
    async (line, body) => {
      const cookie = await logIn();
      const foreign = { origin: 'http://evil.example' };
      const refused: readonly (readonly [string, Headers, number])[] = [
        ['no token', json, 401],
        ['a wrong token', { ...json, authorization: 'Bearer msa_wrong' }, 401],
        ['the token in its bare form', { ...json, authorization: TOKEN }, 401],
        ['a wrong token beside a login', { ...json, ...ownPage(), cookie, authorization: 'Bearer x' }, 401],
        [
          'a login that somebody made up',
          { ...json, ...ownPage(), cookie: cookie.replace(/=.*/, '=99999999999999.ab') },
          401,
        ],
        ['a login from a foreign page', { ...json, ...foreign, cookie }, 403],
        ['a login from nowhere', { ...json, cookie }, 403],
        ['a login from an opaque page', { ...json, origin: 'null', cookie }, 403],
        ['a login across sites', { ...json, ...ownPage(), 'sec-fetch-site': 'cross-site', cookie }, 403],
        [
          'a form of a foreign page',
          { 'content-type': 'application/x-www-form-urlencoded', ...foreign, cookie },
          403,
        ],
      ];
      for (const [what, headers, status] of refused) {
        expect((await ask(line, headers, body)).status, what).toBe(status);
      }
      const asForm = await ask(line, { 'content-type': 'text/plain', ...ownPage(), cookie }, body);
      expect(asForm.status).toBe(403);
      const asGet = await ask(line.replace(/^\w+/, 'GET'), { cookie });
      if (!line.endsWith('session') && !line.endsWith('revisions')) expect(asGet.status).toBe(404);
      expect(calls).toEqual([]);
    },
  );

  it('is done for the dashboard’s own page, and for the key', async () => {
    const cookie = await logIn();
    const body = '{"conf":"/p/conf.ini"}';
    expect((await ask('POST /api/v1/apply', { ...json, ...ownPage(), cookie }, body)).status).toBe(200);
    const sameOrigin = { ...json, 'sec-fetch-site': 'same-origin', cookie };
    expect((await ask('POST /api/v1/apply', sameOrigin, body)).status).toBe(200);
    const key = { ...json, authorization: `Bearer ${KEYS.apiKey}` };
    expect((await ask('POST /api/v1/apply', key, body)).status).toBe(200);
    expect(calls).toEqual(['apply', 'apply', 'apply']);
  });
});

/** Every call of the API, as its own document lists them, with something for each parameter. */
async function allCalls(): Promise<readonly string[]> {
  const { paths } = JSON.parse((await ask('GET /api/v1/openapi.json')).text) as {
    paths: Readonly<Record<string, object>>;
  };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{\w+\}/g, '1')}`),
  );
}

describe('who may look and change nothing', () => {
  const session = async (headers: Headers) => JSON.parse((await ask('GET /api/v1/session', headers)).text);

  it.each(['key', 'login'])('a viewer’s %s is refused whatever is no GET, and nothing else', async (kind) => {
    const login = { ...ownPage(), cookie: await logIn(KEYS.viewerKey) };
    const headers = kind === 'key' ? { authorization: `Bearer ${KEYS.viewerKey}` } : login;
    const all = await allCalls();
    expect(all.length).toBeGreaterThan(25);
    for (const line of all.filter((one) => !one.endsWith('/session'))) {
      const { status, text } = await ask(line, { ...json, ...headers }, line.startsWith('GET') ? null : '{}');
      if (line.startsWith('GET')) expect([401, 403, 404], line).not.toContain(status);
      else expect([status, JSON.parse(text).code], line).toEqual([403, 'READ_ONLY']);
    }
    expect(calls.filter((call) => !['status', 'events', 'read'].includes(call))).toEqual([]);
    expect(await session(headers)).toEqual({ ok: true, mayChange: false });
    expect((await ask('DELETE /api/v1/session', headers)).status).toBe(200);
  });

  it('the cluster’s own login may', async () => {
    expect(await session({ cookie: await logIn() })).toEqual({ ok: true, mayChange: true });
  });

  it('a head that is read-only refuses everybody', async () => {
    await startServer(true);
    const headers = { ...json, authorization: `Bearer ${KEYS.apiKey}` };
    for (const [line, body] of CHANGES.filter(([one]) => !one.endsWith('session'))) {
      expect((await ask(line, headers, body)).text, line).toContain('--dashboard-read-only');
    }
    expect(calls).toEqual([]);
    expect((await ask('GET /api/v1/status', headers)).status).toBe(200);
    expect(await session(headers)).toEqual({ ok: true, mayChange: false });
  });

  it('a call that there is not is no news to anybody', async () => {
    expect((await ask('POST /api/v1/nothing', json, '{}')).status).toBe(401);
    const headers = { ...json, authorization: `Bearer ${KEYS.viewerKey}` };
    expect((await ask('POST /api/v1/nothing', headers, '{}')).status).toBe(404);
  });
});

describe('a login', () => {
  it('is a cookie that no script sees and no other site sends', async () => {
    const good = await ask(
      'POST /api/v1/session',
      { ...json, ...ownPage() },
      JSON.stringify({ token: TOKEN }),
    );
    expect(good.cookie).toMatch(
      /^modelserve_\d+=\d+\.[0-9a-f]{64}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/,
    );
    expect(good.cookie).not.toContain(KEYS.apiKey);
    expect((await ask('GET /api/v1/session', { cookie: await logIn() })).status).toBe(200);
  });

  it('takes the API’s own key as well, and nothing else', async () => {
    const login = async (token: string) =>
      (await ask('POST /api/v1/session', { ...json, ...ownPage() }, JSON.stringify({ token }))).status;
    expect(await login(KEYS.apiKey)).toBe(200);
    expect(await login('')).toBe(400);
    expect(await login('mst_other')).toBe(401);
    expect(await login(KEYS.contentKey)).toBe(401);
  });

  it('is not tried for another page, and not tried on and on', async () => {
    const wrong = JSON.stringify({ token: 'mst_other' });
    expect(
      (await ask('POST /api/v1/session', { ...json, origin: 'http://evil.example' }, wrong)).status,
    ).toBe(403);
    const statuses = new Set<number>();
    for (let count = 0; count < 31; count += 1) {
      statuses.add((await ask('POST /api/v1/session', { ...json, ...ownPage() }, wrong)).status);
    }
    expect([...statuses]).toEqual([401, 429]);
  });

  it('ends after half a day, and with the token', () => {
    const sessions = new Sessions('msa_1', 8265);
    const cookie = sessions.open(1_000, false).split(';')[0];
    const halfADayMs = 12 * 3_600_000;
    expect(sessions.holds(cookie, 1_000 + halfADayMs - 1)).toBe(true);
    expect(sessions.holds(cookie, 1_000 + halfADayMs)).toBe(false);
    expect(new Sessions('msa_2', 8265).holds(cookie, 2_000)).toBe(false);
    expect(new Sessions('msa_1', 8266).holds(cookie, 2_000)).toBe(false);
    for (const bad of [undefined, '', 'modelserve_8265=', 'modelserve_8265=1e99.x', 'modelserve_8265=.']) {
      expect(sessions.holds(bad, 2_000)).toBe(false);
    }
  });
});

it('says on every answer what a browser may do with it', async () => {
  for (const path of ['/', '/docs', '/api/v1/status', '/nowhere']) {
    const { headers } = await ask(`GET ${path}`);
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(headers['x-content-type-options']).toBe('nosniff');
  }
});
