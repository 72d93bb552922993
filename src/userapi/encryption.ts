/** What end-to-end encryption needs of a server: keys, who signed them, whose have changed, messages between devices. */
import type { Bus } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { CrossSigning } from './cross-signing.ts';
import { DehydratedDevices } from './dehydrated.ts';
import { DeviceLists } from './device-lists.ts';
import type { Devices } from './devices.ts';
import { KeyBackups } from './key-backup.ts';
import { DeviceKeys, Signatures } from './keys.ts';
import { OneTimeKeys } from './one-time-keys.ts';
import { followLists } from './remote/list-follower.ts';
import { RemoteLists } from './remote/lists.ts';
import { ToDevice } from './to-device.ts';

export interface Encryption {
  readonly deviceKeys: DeviceKeys;
  readonly oneTimeKeys: OneTimeKeys;
  readonly crossSigning: CrossSigning;
  readonly deviceLists: DeviceLists;
  /** Devices and keys of users of other servers; `createRemoteUsers` fetches them. */
  readonly remoteLists: RemoteLists;
  readonly keyBackups: KeyBackups;
  readonly dehydrated: DehydratedDevices;
  readonly toDevice: ToDevice;
}

export interface EncryptionParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly rooms: RoomReader;
  readonly clock: Clock;
}

/** Builds the key parts over the devices of an account; `isLocal`: the user is one of this server. */
export function createEncryption(
  { db, bus, rooms, clock }: EncryptionParts,
  devices: Devices,
  isLocal: (user: UserId) => boolean,
): Encryption {
  const deviceLists = new DeviceLists(bus);
  const signatures = new Signatures();
  const deviceKeys = new DeviceKeys(devices, deviceLists, signatures);
  const oneTimeKeys = new OneTimeKeys(bus, clock, devices);
  const remoteLists = new RemoteLists({ rooms, changes: deviceLists, signatures });
  followLists({ bus, rooms, lists: remoteLists, isLocal });
  const crossSigning = new CrossSigning({
    ...{ devices, deviceKeys, signatures, lists: deviceLists },
    remoteMaster: (snapshot, user) => remoteLists.signingKey(snapshot, user, 'master'),
  });
  const keyBackups = new KeyBackups();
  const dehydrated = new DehydratedDevices(devices, deviceKeys, oneTimeKeys);
  const toDevice = new ToDevice(db, bus, devices);
  return { deviceKeys, oneTimeKeys, crossSigning, deviceLists, remoteLists, keyBackups, dehydrated, toDevice };
}
