/** Certificates made on the spot: a test authority and server certificates, without any program beside Node. */
import { createPrivateKey, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIP, isIPv4 } from 'node:net';

export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface TestCa {
  /** PEM, for `federation.ca_file`. */
  readonly cert: string;
  /** A certificate for names and addresses. */
  issue(...names: readonly string[]): ServerCertificate;
}

const der = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  const length =
    body.length < 128
      ? [body.length]
      : body.length < 256
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const bits = (bytes: Uint8Array): Buffer => der(0x03, Buffer.from([0]), bytes);
const octets = (bytes: Uint8Array): Buffer => der(0x04, bytes);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const yes = der(0x01, Buffer.from([0xff]));

const ecdsaSha256 = sequence(oid('2a8648ce3d040302'));
const name = (text: string): Buffer =>
  sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(text.slice(0, 64))))));
const time = (offsetDays: number): Buffer => {
  const at = new Date(Date.now() + offsetDays * 86_400_000).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return der(0x17, Buffer.from(at.slice(2)));
};
const extension = (id: string, critical: boolean, value: Uint8Array): Buffer =>
  critical ? sequence(oid(id), yes, octets(value)) : sequence(oid(id), octets(value));

const addressBytes = (address: string): Buffer => {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail = ''] = address.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const [first, last] = [groups(head), groups(tail)];
  const all = [...first, ...Array.from({ length: 8 - first.length - last.length }, () => '0'), ...last];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
};
const altName = (text: string): Buffer =>
  isIP(text) === 0 ? der(0x82, Buffer.from(text)) : der(0x87, addressBytes(text));

const pem = (bytes: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64').replaceAll(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----\n`;

function certificate(issuer: string, subject: string, spki: Buffer, signer: KeyObject, extensions: Buffer[]): string {
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([0x01]), randomBytes(8)])),
    ecdsaSha256,
    name(issuer),
    sequence(time(-1), time(2)),
    name(subject),
    spki,
    der(0xa3, sequence(...extensions)),
  );
  return pem(sequence(body, ecdsaSha256, bits(sign('sha256', body, signer))));
}

const pair = () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { format: 'der', type: 'spki' },
    privateKeyEncoding: { format: 'pem', type: 'pkcs8' },
  });
  return { spki: publicKey, key: privateKey };
};

/** A new authority. */
export function makeTestCa(): TestCa {
  const ca = pair();
  const signer = createPrivateKey(ca.key);
  const basic = extension('551d13', true, sequence(yes));
  return {
    cert: certificate('Test CA', 'Test CA', ca.spki, signer, [basic]),
    issue(...names) {
      const { spki, key } = pair();
      const alt = extension('551d11', false, sequence(...names.map(altName)));
      return { cert: certificate('Test CA', names[0] ?? 'nobody', spki, signer, [alt]), key };
    },
  };
}
