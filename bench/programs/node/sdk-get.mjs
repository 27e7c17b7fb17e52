// Gets an object with the AWS SDK for JavaScript, as its documentation shows it, into a file; prints the seconds that took.
// sdk-get.mjs MODULES ORIGIN BUCKET SMALL_KEY LARGE_KEY FILE
import { createWriteStream } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

const [modules, endpoint, Bucket, small, large, file] = process.argv.slice(2);
const { GetObjectCommand, S3Client } = createRequire(join(modules, 'package.json'))('@aws-sdk/client-s3');
const client = new S3Client({
  ...{ endpoint, forcePathStyle: true, region: 'us-east-1' },
  credentials: { accessKeyId: 'bench', secretAccessKey: 'bench' },
});
const get = async (Key) => {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
  await pipeline(Body, createWriteStream(file));
};
await get(small); // what is loaded at the first request
const startedMs = performance.now();
await get(large);
process.stdout.write(`${(performance.now() - startedMs) / 1000}\n`);
client.destroy();
