import { expect, it } from 'vitest';
import { registryOrigin } from '../../../src/models/oci/registry-origin.ts';

it.each([
  ['docker.io', '', 'https://registry-1.docker.io'],
  ['host.example:5000', '', 'https://host.example:5000'],
  ['127.0.0.1:5000', '', 'http://127.0.0.1:5000'],
  ['localhost', '', 'http://localhost'],
  ['[::1]:5000', '', 'http://[::1]:5000'],
  ['127.0.0.1:5000', 'false', 'https://127.0.0.1:5000'],
  ['host.example:5000', 'other:1, host.example:5000', 'http://host.example:5000'],
  ['host.example', 'host.example:5000', 'https://host.example'],
  ['host.example', 'True', 'http://host.example'],
])('asks %s, with "%s" as what may be plain, at %s', (registry, said, origin) => {
  expect(registryOrigin(registry, { KSERVE_OCI_INSECURE_REGISTRY: said })).toBe(origin);
});
