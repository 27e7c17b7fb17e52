// A bucket of a million keys that answers each page after a while, as a store far away does. Prints its port.
// slow-bucket.mjs KEYS PAGE_KEYS LATENCY_MS
import { createServer } from 'node:http';

const [count, pageKeys, latencyMs] = process.argv.slice(2).map(Number);
const padded = (value, width) => String(value).padStart(width, '0');
const keyAt = (index) => `dataset/part-${padded(Math.floor(index / 1000), 4)}/file-${padded(index, 8)}.bin`;

const server = createServer((request, response) => {
  const query = new URL(request.url, 'http://x').searchParams;
  const after = query.get('start-after') ?? query.get('continuation-token') ?? '';
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keyAt(middle) <= after) low = middle + 1;
    else high = middle;
  }
  setTimeout(() => response.end(pageFrom(low)), latencyMs);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  process.stdout.write(`${port}\n`);
});

function pageFrom(first) {
  const end = Math.min(first + pageKeys, count);
  const entries = [];
  for (let index = first; index < end; index += 1) {
    entries.push(
      `<Contents><Key>${keyAt(index)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>` +
        `<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>${index}</Size></Contents>`,
    );
  }
  const isTruncated = end < count;
  const next = isTruncated ? `<NextContinuationToken>${keyAt(end - 1)}</NextContinuationToken>` : '';
  return `<?xml version="1.0"?><ListBucketResult><EncodingType>url</EncodingType><IsTruncated>${isTruncated}</IsTruncated>${next}${entries.join('')}</ListBucketResult>`;
}
