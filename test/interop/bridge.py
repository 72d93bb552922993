"""An encrypted bridge with mautrix: `bridge.py BASE_URL REGISTRATION`. Prints a line per step; exits 1 with the fault."""

import asyncio
import json
import logging
import sys
import time
import urllib.parse

import aiohttp
from mautrix.appservice import AppService
from mautrix.appservice.state_store import ASStateStore
from mautrix.client import Client
from mautrix.client.state_store import MemoryStateStore
from mautrix.crypto import MemoryCryptoStore, OlmMachine
from mautrix.crypto import StateStore as CryptoStateStore
from mautrix.types import (
    EventType,
    LoginType,
    MessageType,
    PresenceState,
    RoomCreatePreset,
    RoomEncryptionStateEventContent,
    EncryptionAlgorithm,
    TextMessageEventContent,
    TOFUSigningKey,
)

logging.disable(logging.WARNING)
base_url = sys.argv[1]
with open(sys.argv[2], encoding="utf-8") as file:
    registration = json.load(file)
suffix = f"{time.time_ns():x}"
domain = "localhost"
port = urllib.parse.urlparse(registration["url"]).port


def step(name):
    print(f"ok {name}", flush=True)


def check(condition, what):
    if not condition:
        raise RuntimeError(f"wrong: {what}")


async def until(what, probe):
    for _ in range(200):
        found = probe()
        if found:
            return found
        await asyncio.sleep(0.1)
    raise RuntimeError(f"gave up on {what}")


class RoomStates(MemoryStateStore, CryptoStateStore):
    """What a client knows of its rooms, for encryption too."""

    async def find_shared_rooms(self, user_id):
        return [room for room, members in self.members.items() if user_id in members]


class BridgeStates(RoomStates, ASStateStore):
    def __init__(self):
        RoomStates.__init__(self)
        ASStateStore.__init__(self)


class Keys(MemoryCryptoStore):
    """mautrix's own store fails when a cross-signing key is replaced."""

    def __init__(self):
        super().__init__("", "pickle")

    async def put_cross_signing_key(self, user_id, usage, key):
        first = self._cross_signing_keys.get(user_id, {}).get(usage)
        known = TOFUSigningKey(key=key, first=key if first is None else first.first)
        self._cross_signing_keys.setdefault(user_id, {})[usage] = known


def text(body):
    return TextMessageEventContent(msgtype=MessageType.TEXT, body=body)


class Bridge:
    """A bot and its ghosts; everything reaches it by transactions, keys too."""

    def __init__(self):
        self.received = []
        self.ephemeral = []
        self.lists = []
        self.counts = []
        self.asked = []
        self.states = BridgeStates()
        self.service = AppService(
            server=base_url,
            domain=domain,
            as_token=registration["as_token"],
            hs_token=registration["hs_token"],
            bot_localpart=registration["sender_localpart"],
            id=registration["id"],
            state_store=self.states,
            ephemeral_events=True,
            encryption_events=True,
        )
        self.service.synchronous_handlers = True
        self.service.query_user = self.query_user
        self.service.matrix_event_handler(self.handle)
        self.crypto = None

    async def start(self):
        await self.service.start("127.0.0.1", port)
        self.bot = self.service.intent

    async def start_encryption(self, device_id=None):
        """As bridges do it: a device by MSC4190, or by logging in."""
        self.client = Client(mxid=self.service.bot_mxid, base_url=base_url, state_store=self.states)
        self.client.api.token = self.service.as_token
        if device_id is None:
            await self.client.login(login_type=LoginType.APPSERVICE, device_name="Bridge", update_hs_url=False)
        else:
            await self.client.create_device_msc4190(device_id=device_id, initial_display_name="Bridge")
        self.crypto = OlmMachine(self.client, Keys(), self.states)
        self.service.to_device_handler = self.crypto.handle_as_to_device_event
        self.service.otk_handler = self.count
        self.service.device_list_handler = self.follow
        await self.crypto.load()
        await self.crypto.share_keys()
        self.client.crypto = self.crypto

    async def query_user(self, user_id):
        self.asked.append(user_id)
        await self.bot.user(user_id).ensure_registered()
        return {"ok": True}

    async def count(self, counts):
        self.counts.append(counts)
        await self.crypto.handle_as_otk_counts(counts)

    async def follow(self, lists):
        self.lists.extend(lists.changed or [])
        await self.crypto.handle_as_device_lists(lists)

    async def handle(self, event):
        if event.type.is_ephemeral:
            self.ephemeral.append(event)
            return
        if event.type == EventType.ROOM_MEMBER and self.crypto is not None:
            await self.crypto.handle_member_event(event)
        if event.type == EventType.ROOM_ENCRYPTED:
            # Keys come by later transactions than this one may be: nothing may wait for them in here.
            asyncio.create_task(self.decrypt(event))
        else:
            self.received.append(event)

    async def decrypt(self, event):
        await until("a room key", lambda: self.crypto is not None)
        if not await self.crypto.crypto_store.has_group_session(event.room_id, event.content.session_id):
            await self.crypto.wait_for_session(event.room_id, event.content.session_id, timeout=10)
        self.received.append(await self.crypto.decrypt_megolm_event(event))

    def bodies(self):
        return [event.content.body for event in self.received if event.type == EventType.ROOM_MESSAGE]

    def ephemeral_of(self, kind):
        return [event for event in self.ephemeral if event.type == kind]


class Person:
    """A user with encryption who syncs."""

    def __init__(self, name):
        self.name = f"{name}{suffix}"
        self.received = []

    async def start(self):
        async with aiohttp.ClientSession() as session:
            body = {"username": self.name, "password": "a password", "auth": {"type": "m.login.dummy"}}
            answer = await session.post(f"{base_url}/_matrix/client/v3/register", json=body)
            account = await answer.json()
        states = RoomStates()
        store = Keys()
        self.client = Client(
            mxid=account["user_id"],
            device_id=account["device_id"],
            base_url=base_url,
            token=account["access_token"],
            state_store=states,
            sync_store=store,
        )
        machine = OlmMachine(self.client, store, states)
        await machine.load()
        await machine.share_keys()
        self.client.crypto = machine
        self.client.add_event_handler(EventType.ROOM_MESSAGE, self.handle)
        self.syncing = self.client.start(None)

    async def handle(self, event):
        self.received.append((event.sender, event.content.body))

    def knows(self, other):
        return other.device_id in self.client.crypto.crypto_store._devices.get(other.mxid, {})

    async def stop(self):
        self.client.stop()
        await asyncio.gather(self.syncing, return_exceptions=True)
        await self.client.api.session.close()


async def appear(bridge):
    await bridge.bot.ensure_registered()
    check(await bridge.service.ping_self("meow") >= 0, "the ping")
    check((await bridge.bot.whoami()).user_id == bridge.service.bot_mxid, "who the bot is")
    step("the bridge registers and pings itself through the server")


async def meet(bridge, alice):
    ghost_id = f"@_bridge_ann{suffix}:{domain}"
    encryption = RoomEncryptionStateEventContent(EncryptionAlgorithm.MEGOLM_V1)
    room = await alice.client.create_room(
        preset=RoomCreatePreset.PRIVATE,
        invitees=[bridge.service.bot_mxid, ghost_id],
        initial_state=[{"type": "m.room.encryption", "content": encryption.serialize()}],
    )
    check(bridge.asked == [ghost_id], "the unknown ghost is asked for before the invite")
    await until("the invites", lambda: len([e for e in bridge.received if e.type == EventType.ROOM_MEMBER]) >= 2)
    ghost = bridge.bot.user(ghost_id)
    await bridge.bot.ensure_joined(room, ignore_cache=True)
    await ghost.ensure_joined(room, ignore_cache=True)
    await ghost.set_displayname("Ann")
    check(await alice.client.get_displayname(ghost_id) == "Ann", "the ghost's name")
    await bridge.bot.get_joined_members(room)
    await until("the joins at the client", lambda: alice.client.state_store.members.get(room, {}).get(ghost_id))
    await alice.client.get_joined_members(room)
    step("an unknown ghost is made by the query and invited; bot and ghost join")
    return room, ghost


async def talk(bridge, alice, room):
    await alice.client.send_message_event(room, EventType.ROOM_MESSAGE, text("in secret"))
    await until("the encrypted message", lambda: "in secret" in bridge.bodies())
    step("the bridge decrypts with keys that came by transactions")
    await bridge.client.get_joined_members(room)
    await bridge.client.send_message_event(room, EventType.ROOM_MESSAGE, text("from the bridge"))
    expected = (bridge.service.bot_mxid, "from the bridge")
    await until("the answer", lambda: expected in alice.received)
    step("the user decrypts what the bridge says")
    check(bridge.counts, "counts of one-time keys")
    left = bridge.counts[-1][bridge.service.bot_mxid][bridge.client.device_id].signed_curve25519
    check(0 < left <= 50, f"{left} keys are left")
    step("one-time keys are counted")


async def ephemeral(bridge, alice, room, ghost):
    event_id = await ghost.send_message_event(room, EventType.ROOM_MESSAGE, text("read me"), timestamp=1234567890123)
    event = await alice.client.get_event(room, event_id)
    check(event.timestamp == 1234567890123, "the time of a bridged message")
    await alice.client.set_typing(room, timeout=10_000)
    await alice.client.send_receipt(room, event_id)
    await alice.client.set_presence(PresenceState.ONLINE, status="here")
    typing = await until("typing", lambda: bridge.ephemeral_of(EventType.TYPING))
    check(typing[0].content.user_ids == [alice.client.mxid] and typing[0].room_id == room, "who is typing")
    receipts = await until("a receipt", lambda: bridge.ephemeral_of(EventType.RECEIPT))
    check(event_id in receipts[0].content, "the receipt")
    await until("presence", lambda: bridge.ephemeral_of(EventType.PRESENCE))
    step("typing, receipts and presence arrive; ts sets the time")


async def devices(bridge, alice):
    bridge.lists.clear()
    second = Client(mxid=alice.client.mxid, base_url=base_url)
    await second.login(identifier=alice.name, password="a password", device_name="second", update_hs_url=False)
    machine = OlmMachine(second, Keys(), RoomStates())
    await machine.load()
    await machine.share_keys()
    await until("the new device", lambda: alice.client.mxid in bridge.lists)
    await second.logout()
    await second.api.session.close()
    step("changed device lists arrive")
    await bridge.crypto.generate_recovery_key()
    await bridge.crypto.generate_recovery_key()
    step("the bot signs itself, and again with new keys, without a password")


async def outage(bridge, alice, room):
    await bridge.service.stop()
    for count in range(5):
        await alice.client.send_message_event(room, EventType.ROOM_MESSAGE, text(f"while away {count}"))
    await bridge.service.start("127.0.0.1", port)
    bridge.bot = bridge.service.intent
    await bridge.service.ping_self()
    expected = [f"while away {count}" for count in range(5)]
    await until("what was said meanwhile", lambda: [b for b in bridge.bodies() if b.startswith("while")] == expected)
    step("what was said while the bridge was away arrives in order")


async def main():
    bridge = Bridge()
    alice = Person("alice")
    await bridge.start()
    try:
        await appear(bridge)
        await alice.start()
        await bridge.start_encryption(device_id=f"BRIDGE{suffix}")
        room, ghost = await meet(bridge, alice)
        await talk(bridge, alice, room)
        await ephemeral(bridge, alice, room, ghost)
        await devices(bridge, alice)
        await outage(bridge, alice, room)
        await bridge.client.api.session.close()
        await bridge.start_encryption()
        await until("the new device", lambda: alice.knows(bridge.client))
        await alice.client.send_message_event(room, EventType.ROOM_MESSAGE, text("to the new device"))
        await until("what is said to it", lambda: "to the new device" in bridge.bodies())
        step("a bridge that logs in instead gets a device too")
        await bridge.client.api.session.close()
    finally:
        await alice.stop()
        await bridge.service.stop()


asyncio.run(main())
