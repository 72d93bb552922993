/** Capabilities negotiation (C-S API v1.19 §Capabilities negotiation). */
import { route, type Route } from '../../http/index.ts';
import { roomVersions } from '../../matrix/room-versions.ts';

export interface CapabilityRouteParts {
  readonly defaultRoomVersion: string;
  /** Whether addresses can be proven here. */
  readonly sendsMail: boolean;
}

export function capabilityRoutes({ defaultRoomVersion, sendsMail }: CapabilityRouteParts): Route[] {
  const available = Object.fromEntries([...roomVersions.keys()].map((version) => [version, 'stable']));
  const profileFields = { enabled: true };
  const capabilities = {
    'm.change_password': { enabled: true },
    'm.room_versions': { default: defaultRoomVersion, available },
    'm.profile_fields': profileFields,
    'uk.tcpip.msc4133.profile_fields': profileFields,
    'm.set_displayname': { enabled: true },
    'm.set_avatar_url': { enabled: true },
    // Without mail nobody could prove an address.
    'm.3pid_changes': { enabled: sendsMail },
    'm.get_login_token': { enabled: true },
    'm.forget_forced_upon_leave': { enabled: false },
  };
  const moderation = {
    'm.account_moderation': { suspend: true, lock: true },
    'uk.timedout.msc4323': { suspend: true, lock: true },
  };
  return [
    route({
      method: 'GET',
      path: '/_matrix/client/v3/capabilities',
      auth: 'user',
      rate: 'read',
      handle: ({ requester: { isAdmin } }) => ({
        // "This property should be omitted altogether if suspend and lock would be false."
        capabilities: isAdmin ? { ...capabilities, ...moderation } : capabilities,
      }),
    }),
  ];
}
