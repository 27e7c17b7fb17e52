import { createECDH, hkdfSync, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';

/** A certificate and its private key, both as PEM. */
export interface PemPair {
  readonly cert: string;
  readonly key: string;
}

export interface LeafRequest {
  readonly commonName: string;
  /** host names and addresses that it is to be reached by */
  readonly names: readonly string[];
  readonly fromMs: number;
  readonly toMs: number;
}

/** Signs certificates. */
export interface Authority {
  /** its own, as PEM: what others must trust */
  readonly certificate: string;
  /** A certificate that servers and clients alike may show. */
  issue(request: LeafRequest): Promise<PemPair>;
}

/** An authority holds as long as the secret that it follows from: its certificate sets no end. */
const FROM = new Date('2025-01-01T00:00:00Z');
const TO = new Date('2125-01-01T00:00:00Z');
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
/** 16 bytes more than the order has, so that no scalar is likelier than another (FIPS 186-5, A.2.1). */
const SEED_BYTES = 48;

/**
 * The authority that follows from a secret: whoever has the secret can sign certificates that all others who have it
 * trust, and nothing needs to be sent around. Its certificate is signed anew each time (such a signature has a random
 * part): it differs from that of another machine in its signature only, and either verifies what the other has signed.
 * @param name who it is for, as people see it
 */
export async function authorityFrom(secret: string, name: string): Promise<Authority> {
  const x509 = await loadX509();
  const keys = await importKeys(secret);
  const commonName = `modelserve cluster ${name}`;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      ...{ name: [{ CN: [commonName] }], serialNumber: '01', notBefore: FROM, notAfter: TO },
      ...{ keys, signingAlgorithm: ALGORITHM },
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto,
  );
  return {
    certificate: certificate.toString('pem'),
    issue: async ({ commonName: subject, names, fromMs, toMs }) => {
      const own = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
      const leaf = await x509.X509CertificateGenerator.create(
        {
          ...{ subject: [{ CN: [subject] }], issuer: certificate.subject, serialNumber: newSerial() },
          ...{ notBefore: new Date(fromMs), notAfter: new Date(toMs), signingAlgorithm: ALGORITHM },
          ...{ publicKey: own.publicKey, signingKey: keys.privateKey },
          extensions: [
            new x509.BasicConstraintsExtension(false, undefined, true),
            new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
            new x509.ExtendedKeyUsageExtension([
              x509.ExtendedKeyUsage.serverAuth,
              x509.ExtendedKeyUsage.clientAuth,
            ]),
            new x509.SubjectAlternativeNameExtension(
              names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
            ),
            await x509.SubjectKeyIdentifierExtension.create(own.publicKey),
            await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
          ],
        },
        webcrypto,
      );
      const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', own.privateKey));
      return { cert: leaf.toString('pem'), key: x509.PemConverter.encode(key, 'PRIVATE KEY') };
    },
  };
}

/** 0.1 s of CPU, which nobody pays who issues nothing. */
async function loadX509(): Promise<typeof import('@peculiar/x509')> {
  await import('reflect-metadata'); // its own containers need it
  return await import('@peculiar/x509');
}

async function importKeys(secret: string): Promise<webcrypto.CryptoKeyPair> {
  const seed = Buffer.from(hkdfSync('sha256', secret, '', 'modelserve certificate authority', SEED_BYTES));
  const scalar = (BigInt(`0x${seed.toString('hex')}`) % (ORDER - 1n)) + 1n;
  const curve = createECDH('prime256v1');
  curve.setPrivateKey(scalar.toString(16).padStart(64, '0'), 'hex');
  const point = curve.getPublicKey();
  const open = {
    ...{ kty: 'EC', crv: 'P-256' },
    x: point.subarray(1, 33).toString('base64url'),
    y: point.subarray(33).toString('base64url'),
  };
  const secretKey = {
    ...open,
    d: Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex').toString('base64url'),
  };
  const [privateKey, publicKey] = await Promise.all([
    webcrypto.subtle.importKey('jwk', secretKey, ALGORITHM, true, ['sign']),
    webcrypto.subtle.importKey('jwk', open, ALGORITHM, true, ['verify']),
  ]);
  return { privateKey, publicKey };
}

/** 16 bytes, above zero. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}
