"""Two people with matrix-nio and its encryption: `two-people.py BASE_URL`. Prints a line per step; exits 1 with the fault."""

import asyncio
import sys
import tempfile
import time

from nio import (
    AsyncClient,
    AsyncClientConfig,
    JoinResponse,
    LocalProtocolError,
    MegolmEvent,
    RegisterResponse,
    RoomCreateResponse,
    RoomMessageText,
    RoomMessagesResponse,
    RoomRedactResponse,
    RoomSendResponse,
    SyncResponse,
)

base_url = sys.argv[1]
suffix = f"{time.time_ns():x}"


def step(name):
    print(f"ok {name}", flush=True)


def must(answer, kind):
    if not isinstance(answer, kind):
        raise RuntimeError(f"expected {kind.__name__}, got {answer}")
    return answer


async def person(name, folder):
    config = AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True)
    client = AsyncClient(base_url, f"{name}{suffix}", store_path=folder, config=config)
    must(await client.register(f"{name}{suffix}", "a password for nio", f"{name}'s device"), RegisterResponse)
    client.load_store()
    if client.should_upload_keys:
        await client.keys_upload()
    return client


async def sync(client):
    answer = must(await client.sync(timeout=3000, full_state=client.next_batch is None), SyncResponse)
    if client.should_upload_keys:
        await client.keys_upload()
    if client.should_query_keys:
        await client.keys_query()
    if client.should_claim_keys:
        await client.keys_claim(client.get_users_for_key_claiming())
    await client.send_to_device_messages()
    return answer


async def until(client, what, probe, tries=20):
    for _ in range(tries):
        await sync(client)
        value = probe()
        if value:
            return value
    raise RuntimeError(f"gave up waiting for {what}")


async def main():
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        alice, bob = await person("alice", one), await person("bob", two)
        step("two accounts with keys")
        texts = {alice.user_id: [], bob.user_id: []}
        undecrypted = []
        for client in (alice, bob):
            client.add_event_callback(
                lambda room, event, me=client.user_id: texts[me].append((event.event_id, event.body, event.decrypted)),
                RoomMessageText,
            )
            client.add_event_callback(lambda room, event: undecrypted.append(event), MegolmEvent)
        await sync(alice)
        await sync(bob)
        encryption = {
            "type": "m.room.encryption",
            "state_key": "",
            "content": {"algorithm": "m.megolm.v1.aes-sha2"},
        }
        room_id = must(
            await alice.room_create(name="nio", invite=[bob.user_id], initial_state=[encryption]), RoomCreateResponse
        ).room_id
        await until(bob, "the invite", lambda: room_id in bob.invited_rooms)
        must(await bob.join(room_id), JoinResponse)
        for client in (alice, bob):
            await until(
                client,
                "both members",
                lambda client=client: room_id in client.rooms and len(client.rooms[room_id].users) == 2,
            )
        if not all(client.rooms[room_id].encrypted for client in (alice, bob)):
            raise RuntimeError("the room is not known to be encrypted")
        step("an encrypted room with both")

        async def say(sender, reader, body):
            try:
                content = {"msgtype": "m.text", "body": body}
                sent = await sender.room_send(room_id, "m.room.message", content, ignore_unverified_devices=True)
            except LocalProtocolError:
                await sync(sender)
                sent = await sender.room_send(room_id, "m.room.message", content, ignore_unverified_devices=True)
            event_id = must(sent, RoomSendResponse).event_id
            await until(reader, body, lambda: any(entry[0] == event_id for entry in texts[reader.user_id]))
            entry = next(entry for entry in texts[reader.user_id] if entry[0] == event_id)
            if entry[1] != body or not entry[2]:
                raise RuntimeError(f"{body!r} arrived as {entry}")
            return event_id

        first = await say(alice, bob, "hello bob, in secret")
        await say(bob, alice, "hello alice, in secret")
        step("encrypted messages both ways")

        await bob.room_read_markers(room_id, first, first)
        await bob.room_typing(room_id, True)
        await until(alice, "typing", lambda: bob.user_id in alice.rooms[room_id].typing_users)
        if alice.rooms[room_id].read_receipts.get(bob.user_id) is None:
            await until(alice, "the receipt", lambda: bob.user_id in alice.rooms[room_id].read_receipts)
        step("receipts and typing")

        must(await alice.room_redact(room_id, first, "a test"), RoomRedactResponse)
        history = must(await bob.room_messages(room_id, bob.next_batch, limit=50), RoomMessagesResponse)
        redacted = [event for event in history.chunk if event.event_id == first]
        if not redacted or "redacted_because" not in redacted[0].source.get("unsigned", {}):
            raise RuntimeError("the redaction is not to be seen in the history")
        step("redaction and history")

        await alice.set_displayname("Alice of nio")
        await until(bob, "the new name", lambda: bob.rooms[room_id].user_name(alice.user_id) == "Alice of nio")
        step("a new display name")

        await bob.room_leave(room_id)
        await until(alice, "bob gone", lambda: bob.user_id not in alice.rooms[room_id].users)
        if undecrypted:
            raise RuntimeError(f"{len(undecrypted)} messages could not be decrypted")
        step("bob leaves")
        await alice.logout()
        await bob.logout()
        await alice.close()
        await bob.close()


asyncio.run(asyncio.wait_for(main(), 120))
