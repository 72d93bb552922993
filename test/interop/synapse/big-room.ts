/**
 * `npm run test:big-room -- [members]`: how long a join of a big room takes between this server and a real Synapse, each way,
 * and here with partial state against all members at once. Prints a table. Default: 5,000 members.
 */
import { makeTestCa } from '../../support/tls.ts';
import { type Person, until } from './person.ts';
import { findSynapse, type Side, startNeurite, startSynapse } from './sides.ts';

const found = findSynapse();
if ('missing' in found) {
  process.stdout.write(`skipped: ${found.missing}\n`);
  process.exit(0);
}
const members = Number(process.argv[2] ?? 5000);
const atOnce = 8;
const longMs = 15 * 60_000;
const lazy = encodeURIComponent(JSON.stringify({ room: { state: { lazy_load_members: true } } }));
const enc = encodeURIComponent;

/** A room that many people of one server have joined, and its owner. */
async function fill(side: Side): Promise<{ readonly owner: Person; readonly room: string }> {
  const owner = await side.person('owner');
  const room = await owner.createRoom({ preset: 'public_chat', name: 'Big', room_version: '11' });
  let left = members;
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const person = await side.person('member');
      await person.mustJoin(room, side.name);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return { owner, room };
}

interface Times {
  /** s, each since the join was asked for. */
  readonly joined: number;
  readonly seen: number;
  readonly sent: number;
  readonly received: number;
  readonly whole: number;
}

async function join(joiner: Person, owner: Person, room: string, via: string): Promise<Times> {
  const started = performance.now();
  const passed = (): number => (performance.now() - started) / 1000;
  await joiner.mustJoin(room, via);
  const joined = passed();
  await until('the room in a lazy /sync', async () => {
    const sync = await joiner.get(`sync?timeout=0&filter=${lazy}`);
    return Object.hasOwn((sync['rooms'] as { join?: object } | undefined)?.join ?? {}, room);
  });
  const seen = passed();
  const mine = await joiner.say(room, 'here I am');
  await until('the message at the resident server', () => owner.sees(room, mine), longMs);
  const sent = passed();
  const theirs = await owner.say(room, 'welcome');
  await until('the message of the resident server', () => joiner.sees(room, theirs), longMs);
  const received = passed();
  await until(
    'all members',
    async () => {
      const all = await joiner.get(`rooms/${enc(room)}/joined_members`);
      return Object.keys(all['joined'] as object).length >= members + 2;
    },
    longMs,
  );
  return { joined, seen, sent, received, whole: passed() };
}

const line = (name: string, { joined, seen, sent, received, whole }: Times): string =>
  `| ${[name, ...[joined, seen, sent, received, whole].map((seconds) => `${seconds.toFixed(2)} s`)].join(' | ')} |`;

const ca = makeTestCa();
const [partial, full, synapse] = await Promise.all([
  startNeurite(ca),
  startNeurite(ca, false),
  startSynapse(ca, found.python),
]);
try {
  const theirs = await fill(synapse);
  const lines = [
    line(
      'Neurite joins Synapse, partial state',
      await join(await partial.person('joiner'), theirs.owner, theirs.room, synapse.name),
    ),
    line(
      'Neurite joins Synapse, all at once',
      await join(await full.person('joiner'), theirs.owner, theirs.room, synapse.name),
    ),
  ];
  const ours = await fill(partial);
  lines.push(
    line('Synapse joins Neurite', await join(await synapse.person('joiner'), ours.owner, ours.room, partial.name)),
  );
  process.stdout.write(`| ${members} members | joined | in /sync | message there | message here | whole |\n`);
  process.stdout.write(`| --- | ---: | ---: | ---: | ---: | ---: |\n${lines.join('\n')}\n`);
} finally {
  await Promise.all([partial, full, synapse].map((side) => side[Symbol.asyncDispose]()));
}
process.exit(0);
