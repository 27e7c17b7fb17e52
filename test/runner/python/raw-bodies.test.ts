import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ChannelClient, RequestOptions } from './channel-client.ts';
import { python } from './interpreters.ts';
import { TestReplica } from './replica.ts';

const backend = `
import array, hashlib

class Backend:
    def __init__(self, m): pass
    def __call__(self, request):
        return answer(request.headers["x-want"], request, request.body(), lambda: request.form())

def answer(want, request, body, form):
    if want == "image":
        return body, request.headers["content-type"]
    if want == "view":
        return memoryview(body)[1:3], "image/x-part"
    if want == "doubled":
        numbers = array.array("f")
        numbers.frombytes(body)
        return array.array("f", [2 * each for each in numbers]).tobytes()
    if want == "digest":
        return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "type": type(body).__name__}
    if want == "files":
        return {each.filename: [each.content_type, hashlib.sha256(each.file.read()).hexdigest()]
                for each in form().getlist("file")}
    if want == "pair":
        return "text", "text/plain"

class AsyncBackend:
    def __init__(self, m): pass
    async def __call__(self, request):
        want = request.headers["x-want"]
        form = await request.form() if want == "files" else None
        return answer(want, request, await request.body(), lambda: form)
`;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe.skipIf(python === null).each(['Backend', 'AsyncBackend'])('raw bodies at %s', (name) => {
  let replica: TestReplica;
  let client: ChannelClient;

  beforeAll(async () => {
    replica = new TestReplica({ python: python?.path ?? '', backend, launch: { backend: name } }).start();
    client = await (await replica.connect()).ready();
  });
  afterAll(() => replica.dispose());

  const headed = (want: string, type = 'application/octet-stream'): RequestOptions => ({
    method: 'POST',
    headers: [
      ['x-want', want],
      ['content-type', type],
    ],
  });
  async function ask(want: string, body: Uint8Array, type?: string) {
    const outcome = await client.upload(Buffer.from(body), headed(want, type));
    if (outcome.kind !== 'response') throw new Error(JSON.stringify(outcome));
    return outcome;
  }

  it('an image comes and goes as it is, with its own content type', async () => {
    const image = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), randomBytes(300_000)]);
    const answer = await ask('image', image, 'image/png');
    expect(answer.headers).toEqual({ 'content-type': 'image/png', 'content-length': String(image.length) });
    expect(answer.body.equals(image)).toBe(true);
    const part = await ask('view', image);
    expect(part).toMatchObject({ headers: { 'content-type': 'image/x-part' }, body: Buffer.from('PN') });
  });

  it('an array of numbers comes and goes as its bytes', async () => {
    const numbers = Float32Array.from({ length: 1000 }, (_, n) => n / 4);
    const answer = await ask('doubled', new Uint8Array(numbers.buffer));
    expect(answer.headers['content-type']).toBe('application/octet-stream');
    const doubled = new Float32Array(Uint8Array.from(answer.body).buffer);
    expect(doubled).toEqual(numbers.map((each) => 2 * each));
  });

  it('bytes of every value, and bodies larger than any window, are whole', async () => {
    for (const body of [Buffer.from(Array.from({ length: 256 }, (_, n) => n)), randomBytes(5_000_000)]) {
      const answer = await ask('digest', body);
      expect(JSON.parse(answer.body.toString())).toEqual({
        size: body.length,
        sha256: sha256(body),
        type: 'bytes',
      });
    }
  });

  it('several images of one multipart form are whole', async () => {
    const images = [randomBytes(70_000), Buffer.from('\r\n--not-a-boundary\r\n\r\n'), Buffer.alloc(0)];
    const form = new FormData();
    images.forEach((image, n) => {
      form.append('file', new Blob([image], { type: 'image/jpeg' }), `${n}.jpg`);
    });
    const request = new Request('http://x', { method: 'POST', body: form });
    const body = Buffer.from(await request.arrayBuffer());
    const answer = await ask('files', body, request.headers.get('content-type') ?? '');
    expect(JSON.parse(answer.body.toString())).toEqual(
      Object.fromEntries(images.map((image, n) => [`${n}.jpg`, ['image/jpeg', sha256(image)]])),
    );
  });

  it('a tuple of two texts is JSON', async () => {
    expect((await ask('pair', Buffer.from('x'))).body.toString()).toBe('["text","text/plain"]');
  });
});
