// Ends with 0 when this container's ingress answers: `node healthcheck.mjs [PORT]`, 8000 by default. A node listens on
// the address it was given with --host, which may be any of this machine's, so all of them are asked.
import { request } from 'node:https';
import { networkInterfaces } from 'node:os';

const port = process.argv[2] ?? '8000';
const addresses = Object.values(networkInterfaces())
  .flat()
  .filter((address) => address?.family === 'IPv4')
  .map(({ address }) => address);

const asked = addresses.map(async (address) => {
  const signal = AbortSignal.timeout(4_000);
  const answer = await fetch(`http://${address}:${port}/-/healthz`, { signal });
  const speaksTls = answer.status === 400 && answer.headers.has('x-modelserve-cluster');
  const status = speaksTls ? await askByTls(address, signal) : answer.status;
  if (status !== 200) throw new Error(`${address}:${port} answered ${status}`);
});

/** Whose certificate it shows is for its clients to check. */
function askByTls(host, signal) {
  return new Promise((resolve, reject) => {
    const options = { host, port, path: '/-/healthz', rejectUnauthorized: false, signal };
    request(options, (answer) => resolve(answer.resume().statusCode)).on('error', reject).end();
  });
}

try {
  await Promise.any(asked);
  process.exit(0);
} catch (failure) {
  process.stderr.write(`${failure.errors.map(({ message, cause }) => `${message} ${cause?.message ?? ''}`).join('\n')}\n`);
  process.exit(1);
}
