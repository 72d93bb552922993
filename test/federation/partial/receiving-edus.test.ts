/** EDUs that come for a room whose members are not known yet (DESIGN §7; scenarios of MSC3902). */
import { describe, expect, test } from '@jest/globals';
import type { ResidentRoom } from '../../support/resident-room.ts';
import { holdsEvent, isIn, lazySync, sync, type Synced, syncUntil } from '../../support/partial-scene.ts';
import { usePartialStage } from '../../support/partial-stage.ts';

const stage = usePartialStage();

const ephemeral = (answer: Synced, room: ResidentRoom, type: string): Record<string, unknown>[] =>
  (answer.rooms?.join?.[room.id]?.ephemeral?.events ?? [])
    .filter((event) => event.type === type)
    .map(({ content }) => content);

describe('EDUs', () => {
  test('CanReceiveTypingDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const typing = { room_id: room.id, user_id: stage.derek };
    await stage.edu('m.typing', { ...typing, typing: true });
    const answer = await syncUntil(alice, undefined, (got) =>
      ephemeral(got, room, 'm.typing').some(({ user_ids: ids }) => (ids as string[]).includes(stage.derek)),
    );
    // Events that come afterwards are not kept from the user by it.
    const said = room.room.message(stage.derek, 'typed');
    await stage.send(said);
    const shown = await syncUntil(alice, answer.next_batch, (got) => holdsEvent(got, room, said.eventId));
    await stage.whole(alice, room);
    await stage.edu('m.typing', { ...typing, typing: false });
    await syncUntil(alice, shown.next_batch, (got) =>
      ephemeral(got, room, 'm.typing').some(({ user_ids: ids }) => (ids as string[]).length === 0),
    );
  });

  test('CanReceivePresenceDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const push = [{ user_id: stage.derek, presence: 'online', last_active_ago: 100, status_msg: 'here' }];
    await stage.edu('m.presence', { push });
    await syncUntil(
      alice,
      undefined,
      ({ presence }) =>
        presence?.events.some(({ sender, content }) => sender === stage.derek && content.presence === 'online') ===
        true,
    );
    expect(isIn(await sync(alice), room)).toBe(false);
  });

  test('presence of somebody who proves to be no member is shown no longer', async () => {
    const { alice, room } = await stage.joined();
    const nobody = stage.resident.user('nobody');
    const shows = ({ presence }: Synced): boolean => presence?.events.some(({ sender }) => sender === nobody) === true;
    await stage.edu('m.presence', { push: [{ user_id: nobody, presence: 'online', last_active_ago: 1 }] });
    // Of another server nobody has said that it is in the room.
    const stranger = stage.second.user('stranger');
    await stage.edu('m.presence', { push: [{ user_id: stranger, presence: 'online' }] }, stage.second);
    const during = await syncUntil(alice, undefined, shows);
    expect(during.presence?.events.some(({ sender }) => sender === stranger)).toBe(false);
    await stage.whole(alice, room);
    expect(shows(await lazySync(alice))).toBe(false);
  });

  test('CanReceiveToDeviceDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    await stage.edu('m.direct_to_device', {
      ...{ message_id: `m${room.id}`, sender: stage.derek, type: 'm.room_key_request' },
      messages: { [alice.userId]: { '*': { action: 'request' } } },
    });
    await syncUntil(
      alice,
      undefined,
      (got) => got.to_device?.events.some(({ sender }) => sender === stage.derek) === true,
    );
  });

  test('CanReceiveReceiptDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const { event_id: eventId } = (await alice.send(room.id, 't1', 'read me')).body as { event_id: string };
    const receipt = { 'm.read': { [stage.derek]: { data: { ts: 1 }, event_ids: [eventId] } } };
    await stage.edu('m.receipt', { [room.id]: receipt });
    await syncUntil(alice, undefined, (got) =>
      ephemeral(got, room, 'm.receipt').some((content) => JSON.stringify(content[eventId] ?? {}).includes(stage.derek)),
    );
  });

  test('CanReceiveDeviceListUpdateDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: since } = await lazySync(alice);
    await stage.edu('m.device_list_update', {
      ...{ device_id: 'D', device_display_name: 'new', prev_id: [], stream_id: 2, user_id: stage.derek },
    });
    await stage.whole(alice, room);
    await syncUntil(alice, since, (got) => got.device_lists?.changed?.includes(stage.derek) === true);
  });

  test('CanReceiveSigningKeyUpdateDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const master = { keys: { 'ed25519:key': 'key' }, usage: ['master'], user_id: stage.derek };
    await stage.edu('m.signing_key_update', { master_key: master, user_id: stage.derek });
    await stage.whole(alice, room);
  });

  test('of users that the state shows to have left are not taken', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: since } = await lazySync(alice);
    const left = room.member(stage.derek, 'leave');
    await stage.send(left);
    await stage.arrived(alice, room, left.eventId);
    await stage.edu('m.typing', { room_id: room.id, user_id: stage.derek, typing: true });
    await stage.edu('m.typing', { room_id: room.id, user_id: room.creator, typing: true });
    const answer = await syncUntil(alice, since, (got) => ephemeral(got, room, 'm.typing').length > 0);
    expect(ephemeral(answer, room, 'm.typing')).toEqual([{ user_ids: [room.creator] }]);
  });
});
