/**
 * Puts what services are interested in into their queues, in the transaction of what happened (INVARIANTS 7: facts). An
 * event is queued by its number and written when it is sent, so that it is redacted by then if it was; receipts,
 * messages to devices and device lists are queued as they are.
 */
import type {
  Bus,
  DeviceListEntry,
  KeyCountsEntry,
  MembershipEntry,
  Projection,
  ReceiptEntry,
  RoomEventEntry,
  StoredEntry,
  ToDeviceEntry,
} from '../bus/index.ts';
import type { RoomReader } from '../roomserver/index.ts';
import { asPosition, type Position, type Tx } from '../storage/index.ts';
import type { Receipts, ToDevice } from '../userapi/index.ts';
import { listChanges } from './device-lists.ts';
import type { Interest } from './interest.ts';
import type { Registration } from './registration.ts';
import type { ServiceRegistry } from './registry.ts';
import { deleteListedRoom, insertQueued, type QueueKind } from './storage.ts';

export interface QueueParts {
  readonly bus: Bus;
  readonly registry: ServiceRegistry;
  readonly interest: Interest;
  readonly rooms: RoomReader;
  readonly receipts: Receipts;
  readonly toDevice: ToDevice;
  /** Something waits for the service, on disk. */
  readonly wake: (service: Registration) => void;
}

export class ServiceQueue implements Projection {
  readonly name = 'appservice';
  readonly #parts: QueueParts;

  constructor(parts: QueueParts) {
    this.#parts = parts;
  }

  apply(tx: Tx, entry: StoredEntry, position: Position): void {
    switch (entry.topic) {
      case 'room.event':
        return this.#event(tx, entry, position);
      case 'room.membership':
        return this.#outOfBand(tx, entry, position);
      case 'room.receipt':
        return this.#receipt(tx, entry, position);
      case 'device.to_device':
        return this.#toDevice(tx, entry, position);
      case 'user.device_list':
        return this.#deviceList(tx, entry, position);
      case 'device.key_counts':
        return this.#keyCounts(tx, entry, position);
      case 'room.purged':
        if (entry.whole) tx.run(deleteListedRoom, entry.room);
        return;
      case 'room.state':
      case 'room.unpartial':
      case 'event.withdrawn':
      case 'room.backfilled':
      case 'event.redacted':
      case 'user.account_data':
      case 'user.counts':
      case 'user.profile':
        return;
      default:
        entry satisfies never;
    }
  }

  #event(tx: Tx, entry: RoomEventEntry, position: Position): void {
    const { interest, registry } = this.#parts;
    const interested = interest.ofRoom(tx, entry.room, entry.roomId);
    // Besides those in the room: whose user sent it, or is its target (an invite, a kick).
    for (const service of registry.ownersOfUser(entry.sender)) interested.add(service);
    const target = entry.type === 'm.room.member' ? entry.stateKey : null;
    if (target !== null) for (const service of registry.ownersOfUser(target)) interested.add(service);
    for (const service of interested) {
      this.#put(tx, service, position, 'event', String(entry.event));
      if (target === null || !service.encryption || !entry.stateChanged) continue;
      const changes = listChanges(tx, this.#parts, service, entry);
      if (changes !== undefined) this.#put(tx, service, position, 'device_list', JSON.stringify(changes));
    }
  }

  /** An invite (or its end) to a room that this server is not in: no event of a room's timeline tells of it. */
  #outOfBand(tx: Tx, { user, room }: MembershipEntry, position: Position): void {
    const owners = this.#parts.registry.ownersOfUser(user);
    if (owners.length === 0) return;
    const row = this.#parts.rooms.localMembershipAt(tx, user, room, position);
    if (row === undefined || !row.outOfBand || row.event === 0) return;
    for (const service of owners) this.#put(tx, service, position, 'event', String(row.event));
  }

  /** "Private read receipts MUST only be sent for users matching one of the application service's namespaces." */
  #receipt(tx: Tx, { room, roomId, user, receiptType, threadId }: ReceiptEntry, position: Position): void {
    const { interest, registry, receipts } = this.#parts;
    const services = [...interest.ofRoom(tx, room, roomId)].filter(
      (service) => service.receiveEphemeral && (receiptType === 'm.read' || registry.ownsUser(service, user)),
    );
    if (services.length === 0) return;
    const moved = receipts
      .changes(tx, room, user, asPosition(position - 1), position)
      .find((one) => one.user === user && one.type === receiptType && one.threadId === threadId);
    if (moved === undefined) return;
    const value = { ts: moved.ts, ...(threadId === null ? {} : { thread_id: threadId }) };
    const content = { [moved.eventId]: { [receiptType]: { [user]: value } } };
    const data = JSON.stringify({ type: 'm.receipt', room_id: roomId, content });
    for (const service of services) this.#put(tx, service, position, 'receipt', data);
  }

  #toDevice(tx: Tx, { user, deviceId }: ToDeviceEntry, position: Position): void {
    const { registry, toDevice } = this.#parts;
    const services = registry.ownersOfUser(user).filter(({ receiveEphemeral, url }) => receiveEphemeral && !!url);
    if (services.length === 0) return;
    const [waiting] = toDevice.waiting(tx, user, deviceId, asPosition(position - 1), position, 1);
    if (waiting === undefined) return;
    const target = `"to_device_id":${JSON.stringify(deviceId)},"to_user_id":${JSON.stringify(user)}`;
    const data = `${waiting.message.slice(0, -1)},${target}}`;
    for (const service of services) this.#put(tx, service, position, 'to_device', data);
    // Devices of an encrypted bridge have no client that would fetch it by /sync: it has left its queue for this one.
    if (services.some(({ encryption }) => encryption)) toDevice.take(tx, user, deviceId, position);
  }

  #deviceList(tx: Tx, { user }: DeviceListEntry, position: Position): void {
    const { registry, interest } = this.#parts;
    for (const service of registry.reached) {
      if (!service.encryption) continue;
      if (!registry.ownsUser(service, user) && !interest.sharesRoom(tx, service, user)) continue;
      this.#put(tx, service, position, 'device_list', JSON.stringify({ changed: [user], left: [] }));
    }
  }

  #keyCounts(tx: Tx, { user, deviceId }: KeyCountsEntry, position: Position): void {
    for (const service of this.#parts.registry.ownersOfUser(user)) {
      if (service.encryption) this.#put(tx, service, position, 'key_counts', JSON.stringify({ user, deviceId }));
    }
  }

  #put(tx: Tx, service: Registration, position: Position, kind: QueueKind, data: string): void {
    if (service.url === undefined) return;
    tx.run(insertQueued, service.id, position, kind, data);
    tx.afterDurable(() => this.#parts.wake(service));
  }
}
