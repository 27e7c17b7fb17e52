import { expect, it } from 'vitest';
import { amazonDomain, signS3 } from '../../../src/models/sources/sign-s3.ts';

// The examples in AWS' documentation of Signature Version 4 for S3 (GET Object, GET Bucket lifecycle, List Objects).
const scope = {
  key: { id: 'AKIAIOSFODNN7EXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', sessionToken: null },
  region: 'us-east-1',
  service: 's3' as const,
  nowMs: Date.UTC(2013, 4, 24),
};
const request = { origin: 'https://examplebucket.s3.amazonaws.com', path: '/', query: [], headers: {} };

it.each([
  [
    { path: '/test.txt', headers: { range: 'bytes=0-9' } },
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  ],
  [
    { query: [['lifecycle', '']] as const },
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  ],
  [
    {
      query: [
        ['prefix', 'J'],
        ['max-keys', '2'],
      ] as const,
    },
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  ],
])('signs %j as published', (change, signature) => {
  const { authorization } = signS3({ ...request, ...change }, scope);
  expect(authorization).toMatch(
    /^AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE\/20130524\/us-east-1\/s3\/aws4_request, /,
  );
  expect(authorization).toContain(`Signature=${signature}`);
});

it('signs the token of temporary credentials with the rest', () => {
  const key = { ...scope.key, sessionToken: 'token' };
  const headers = signS3(request, { ...scope, key });
  expect(headers['x-amz-security-token']).toBe('token');
  expect(headers['authorization']).toContain(
    'SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,',
  );
});

it('signs for the token service as botocore does', () => {
  const headers = signS3(
    {
      ...{ origin: 'https://sts.eu-central-1.amazonaws.com', path: '/', headers: {} },
      query: [
        ['Action', 'AssumeRole'],
        ['RoleArn', 'arn:aws:iam::1:role/r'],
        ['RoleSessionName', 's'],
        ['Version', '2011-06-15'],
      ],
    },
    {
      key: { id: 'AKID', secret: 'SECRET', sessionToken: 'TOKEN' },
      ...{ region: 'eu-central-1', service: 'sts', nowMs: Date.UTC(2026, 0, 2, 3, 4, 5) },
    },
  );
  expect(headers['authorization']).toMatch(
    /Signature=412910b1d30c8c8be76bf5f13eac8d6c4ee422550b0fda87583c66331c742df7$/,
  );
});

it('knows that China has a domain of its own', () => {
  expect([amazonDomain('cn-north-1'), amazonDomain('eu-central-1')]).toEqual([
    ...['amazonaws.com.cn', 'amazonaws.com'],
  ]);
});
