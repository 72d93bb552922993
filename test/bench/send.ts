/**
 * The roomserver's own part of a message: time within the transaction, signature included, and bytes in the database by
 * table. Run: `node test/bench/send.ts [messages]`
 */
import { sql } from '../../src/storage/index.ts';
import { openTestRooms } from '../support/room-core.ts';

const alice = '@alice:one.example';
const messages = Number(process.argv[2] ?? 20_000);
const batch = 50;
const selectPages = sql<[], { name: string; bytes: number }>(
  'SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name ORDER BY bytes DESC',
);

await using rooms = openTestRooms();
const room = await rooms.openRoom(alice);
await rooms.join(room, '@bob:one.example');
const sizes = (): Map<string, number> =>
  new Map(rooms.read((snapshot) => snapshot.all(selectPages)).map(({ name, bytes }) => [name, bytes]));
const before = sizes();
const times: number[] = [];
for (let sent = 0; sent < messages; sent += batch) {
  await rooms.db.write((tx) => {
    for (let index = 0; index < batch; index++) {
      const started = performance.now();
      const content = {
        body: `message number ${sent + index} of a bench, about as long as people write`,
        msgtype: 'm.text',
      };
      const options = { deviceId: 'ABCDEFGHIJ', transactionId: `m1700000000000.${sent + index}` };
      rooms.core.send(tx, room, { type: 'm.room.message', sender: alice as never, content }, options);
      times.push(performance.now() - started);
    }
  });
}
times.splice(0, 500);
times.sort((a, b) => a - b);
const at = (part: number): string => `${((times[Math.floor(times.length * part)] ?? 0) * 1000).toFixed(0)} us`;
console.log(`send in tx: p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}`);
let total = 0;
for (const [name, bytes] of sizes()) {
  const grown = (bytes - (before.get(name) ?? 0)) / messages;
  total += grown;
  if (grown > 0.5) console.log(`${name.padEnd(36)} ${grown.toFixed(1)} B per message`);
}
console.log(`together ${total.toFixed(0)} B per message`);
