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

it("reads Azure's form", () => {
  const blob = (name: string): string =>
    `<Blob>${name}<Properties><Etag>0x1</Etag><Content-Length>5</Content-Length></Properties></Blob>`;
  const xml =
    `<EnumerationResults><Blobs>${blob('<Name>a/b&amp;c</Name>')}${blob('<Name Encoded="true">x%01</Name>')}</Blobs>` +
    `<NextMarker>more</NextMarker></EnumerationResults>`;
  const { files, next } = parseBlobList(xml);
  expect(files.map((file) => file.key)).toEqual(['a/b&c', 'x\u0001']);
  expect(files[0]).toMatchObject({ sizeBytes: 5, version: '0x1' });
  expect(next).toBe('more');
  expect(parseBlobList('<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>').next).toBeNull();
});

it('finds the words of a refusal', () => {
  const xml =
    '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access\n Denied</Message></Error>';
  expect(parseFailure(xml)).toEqual({ code: 'AccessDenied', message: 'Access Denied' });
  expect(parseFailure('<html>no</html>')).toBeNull();
});
