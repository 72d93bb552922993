/** Microseconds per operation on one PDU of about 1 KB; run with `node test/bench/pdu.bench.ts`. */
import { canonicalJson } from '../../src/matrix/canonical-json.ts';
import { keyPairFromSeed, nodeEngine, sodiumEngine, verifyBatch } from '../../src/matrix/crypto/ed25519.ts';
import { buildEvent } from '../../src/matrix/event-builder.ts';
import { type EventId, parseServerName } from '../../src/matrix/ids.ts';
import { parseStrictJson } from '../../src/matrix/json.ts';
import { checkPdu } from '../../src/matrix/pdu-check.ts';
import { hasValidContentHash, signedPduText, toRoomEvent } from '../../src/matrix/pdu.ts';
import { defaultRoomVersion, rulesOfVersion } from '../../src/matrix/room-versions.ts';
import { clientEventText, joinFromStorage, splitForStorage } from '../../src/matrix/stored-event.ts';

const rules = rulesOfVersion(defaultRoomVersion);
const serverName = parseServerName('bench.example.org');
if (rules === undefined || serverName === undefined) throw new Error('unreachable');
const key = keyPairFromSeed(new Uint8Array(32).fill(7));
const id = (fill: string): EventId => `$${fill.repeat(43)}` as EventId;
const input = {
  rules,
  proto: {
    type: 'm.room.message',
    sender: '@someone:bench.example.org',
    room_id: `!${'r'.repeat(43)}`,
    content: {
      msgtype: 'm.text',
      body: 'A line of ordinary talk, as rooms are full of. '.repeat(4),
      format: 'org.matrix.custom.html',
      formatted_body: '<p>A line of <em>ordinary</em> "talk".</p>'.repeat(3),
      'm.mentions': { user_ids: ['@other:bench.example.org'] },
      'm.relates_to': { 'm.in_reply_to': { event_id: id('q') } },
    },
  },
  prevEvents: [id('a'), id('b')],
  authEvents: [id('c'), id('d'), id('e')],
  depth: 1234,
  originServerTs: 1_750_000_000_000,
  serverName,
  keyId: 'ed25519:a_bcde',
  key,
};
const event = buildEvent(input);
const text = canonicalJson(event.pdu);
const shuffled = JSON.stringify(Object.fromEntries(Object.entries(event.pdu).reverse()));
const stored = splitForStorage(event, rules);
const message = Buffer.from(signedPduText(event.pdu, rules));
const check = { message, signature: sodiumEngine.sign(message, key), publicKey: key.publicKey };

function measure(name: string, run: () => unknown, rounds = 20_000): void {
  for (let i = 0; i < rounds / 5; i++) run();
  const start = performance.now();
  for (let i = 0; i < rounds; i++) run();
  console.log(`${(((performance.now() - start) * 1000) / rounds).toFixed(2).padStart(8)} µs  ${name}`);
}

console.log(`PDU of ${text.length} bytes`);
measure('JSON.parse', () => JSON.parse(shuffled));
measure('JSON.stringify', () => JSON.stringify(event.pdu));
measure('canonicalJson, keys in order', () => canonicalJson(JSON.parse(text)));
const unsorted = JSON.parse(shuffled);
measure('canonicalJson, keys in reverse', () => canonicalJson(unsorted));
measure('parseStrictJson', () => parseStrictJson(shuffled));
measure('signedPduText', () => signedPduText(event.pdu, rules));
measure('checkPdu of raw text', () => checkPdu(shuffled, rules));
measure('hasValidContentHash', () => hasValidContentHash(event.pdu, rules));
measure('splitForStorage', () => splitForStorage(event, rules));
measure('joinFromStorage', () => joinFromStorage(stored.client, stored.rest, rules));
measure('toRoomEvent with id', () => toRoomEvent(event.pdu, rules, event.eventId));
measure('clientEventText', () => clientEventText(stored.client, event.eventId, '{"age":1}'));
measure('buildEvent', () => buildEvent(input), 2000);
measure('verify, libsodium', () => sodiumEngine.verify(check), 1000);
measure('verify, node', () => nodeEngine.verify(check), 1000);
const start = performance.now();
await verifyBatch(Array.from({ length: 2000 }, () => check));
console.log(`${(((performance.now() - start) * 1000) / 2000).toFixed(2).padStart(8)} µs  verifyBatch, each of 2000`);
