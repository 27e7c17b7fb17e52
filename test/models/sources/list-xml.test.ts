import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseBlobList, parseBucketList, parseFailure } from '../../../src/models/sources/list-xml.ts';

const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const entry = (key: string, size: number): string =>
  `<Contents><Key>${key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e${size}&quot;</ETag>` +
  `<Size>${size}</Size><Owner><ID>1</ID></Owner></Contents>`;

it('reads every key back, encoded or not, whatever is in it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string({ minLength: 1, unit: 'grapheme' }), fc.nat())),
      fc.boolean(),
      (objects, isEncoded) => {
        const write = (key: string): string =>
          isEncoded ? encodeURIComponent(key).replaceAll('%20', '+') : escaped(key);
        const xml =
          `<?xml version="1.0"?><ListBucketResult xmlns="x"><IsTruncated>false</IsTruncated>` +
          (isEncoded ? '<EncodingType>url</EncodingType>' : '') +
          `${objects.map(([key, size]) => entry(write(key), size)).join('\n')}</ListBucketResult>`;
        const { files, next } = parseBucketList(xml, 'NextContinuationToken');
        expect(next).toBeNull();
        expect(files.map((file) => [file.key, file.sizeBytes, file.version])).toEqual(
          objects.map(([key, size]) => [key, size, `"e${size}"`]),
        );
      },
    ),
  );
});

it('says what the next page is asked with', () => {
  const page = (tag: string): string =>
    `<R><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><${tag}>a%2Bb+c&amp;</${tag}></R>`;
  expect(parseBucketList(page('NextContinuationToken'), 'NextContinuationToken').next).toBe('a%2Bb+c&');
  expect(parseBucketList(page('NextMarker'), 'NextMarker').next).toBe('a+b c&');
  expect(parseBucketList('<R><IsTruncated>false</IsTruncated></R>', 'NextMarker').next).toBeNull();
});

it("reads pages as Python's XML parser does, whatever their fields are and hold", () => {
  const field = fc.constantFrom('Key', 'Size', 'ETag', 'LastModified', 'StorageClass', 'Owner');
  const text = fc
    .string({ unit: 'grapheme', maxLength: 12 })
    .filter((key) => !/[\p{Cc}\p{Cs}\uFFFE\uFFFF]/u.test(key));
  const value = (name: string, key: string, size: number): string => {
    if (name === 'Size') return `${size}`;
    if (name === 'ETag') return size % 3 === 0 ? `"${size}"` : `&quot;${size}&quot;`;
    return name === 'Owner' ? `<ID>${size}</ID><DisplayName>${escaped(key)}</DisplayName>` : escaped(key);
  };
  const entryOf = ([fields, key, size, space]: readonly [string[], string, number, string]): string => {
    const inner = fields.map((name) => `<${name}>${value(name, key, size)}</${name}>${space}`);
    return `<Contents>${space}${inner.join('')}</Contents>${space}`;
  };
  const entries = fc.tuple(fc.uniqueArray(field), text, fc.nat(), fc.constantFrom('', '\n  '));
  const page = fc.array(entries, { maxLength: 8 }).map((all) => {
    const head = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.example/doc/">';
    return `${head}<IsTruncated>false</IsTruncated>${all.map(entryOf).join('')}</ListBucketResult>\n`;
  });
  const pages = fc.sample(page, 300);
  const read = pages.map((xml) =>
    parseBucketList(xml, 'NextMarker').files.map(({ key, sizeBytes, version }) => [
      key,
      Number.isNaN(sizeBytes) ? null : sizeBytes,
      version,
    ]),
  );
  expect(read).toEqual(readByPython(pages));
});

it.each([
  ['a page that was cut off', '<R><IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents>'],
  ['an entry that was cut off', '<R><IsTruncated>false</IsTruncated><Contents><Key>a</Key></R>'],
  ['a page of something else', '<html><body>Please log in</body></html>'],
  ['nothing', ''],
])('takes %s for no listing', (_name, xml) => {
  expect(() => parseBucketList(xml, 'NextMarker')).toThrow(/no whole listing/);
});

it('ends at once with any text', () => {
  const piece = fc.constantFrom(
    '<Contents>',
    '</Contents>',
    '<Key>',
    '</Key>',
    '<Size>',
    '<',
    '&#x;',
    '%',
    'a',
    '</R>',
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      try {
        parseBucketList(`<IsTruncated>true</IsTruncated>${pieces.join('')}`, 'NextMarker');
      } catch (error) {
        expect(error).toMatchObject({ code: 'SOURCE_ANSWER' });
      }
    }),
  );
});

it("reads Azure's form", () => {
  const blob = (name: string): string =>
    `<Blob>${name}<Properties><Etag>0x1</Etag><Content-Length>5</Content-Length></Properties></Blob>`;
  const xml =
    `<EnumerationResults><Blobs>${blob('<Name>a/b&amp;c</Name>')}${blob('<Name Encoded="true">x%01</Name>')}</Blobs>` +
    `<NextMarker>more</NextMarker></EnumerationResults>`;
  const folder = '<Blob><Name>a</Name><Properties><ResourceType>directory</ResourceType></Properties></Blob>';
  const { files, next } = parseBlobList(xml.replace('<Blobs>', `<Blobs>${folder}`));
  expect(files.map((file) => file.key)).toEqual(['a/b&c', 'x\u0001']);
  expect(files[0]).toMatchObject({ sizeBytes: 5, version: '"0x1"' });
  expect(next).toBe('more');
  expect(parseBlobList('<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>').next).toBeNull();
});

it('finds the words of a refusal', () => {
  const xml =
    '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access\n Denied</Message></Error>';
  expect(parseFailure(xml)).toEqual({ code: 'AccessDenied', message: 'Access Denied' });
  expect(parseFailure('<html>no</html>')).toBeNull();
});

/** What a full XML parser finds. */
function readByPython(pages: readonly string[]): unknown {
  const program = [
    'import json, sys, xml.etree.ElementTree as tree',
    'def text(entry, name):',
    "    found = entry.find('{*}' + name)",
    '    return None if found is None else found.text',
    'def read(page):',
    "    for one in tree.fromstring(page).findall('{*}Contents'):",
    "        size = text(one, 'Size')",
    "        yield [text(one, 'Key') or '', None if size is None else int(size), text(one, 'ETag')]",
    'print(json.dumps([list(read(page.encode())) for page in json.load(sys.stdin)]))',
  ].join('\n');
  const { stdout, stderr } = spawnSync('python3', ['-c', program], {
    ...{ input: JSON.stringify(pages), encoding: 'utf8', maxBuffer: 2 ** 26 },
  });
  return stdout === '' ? expect.fail(stderr) : JSON.parse(stdout);
}
