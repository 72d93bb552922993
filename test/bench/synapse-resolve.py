"""Resolves state sets with Synapse's own resolver, for a bench to compare with.

Reads lines of JSON from standard input: first `{"version", "room", "sets": [[event id, ...], ...]}`, then each event as
`{"id", "pdu"}`, behind those that it cites. For each of `rounds` (the argument) writes a line with the resolver's
processor time and, apart, that of this store in memory, which Synapse has to ask; at last the resolved state as
`[type, key, id]`.
Needs a Python that has matrix-synapse.
"""

import json
import sys
import time

import synapse.event_auth  # noqa: F401  (Synapse's modules import each other: this one has to come first)
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.events import make_event_from_dict
from synapse.state.v2 import resolve_events_with_store
from synapse.storage.databases.main.event_federation import StateDifference


class Clock:
    """Nobody else wants a turn here."""

    async def sleep(self, _duration):
        return None


class Store:
    """What Synapse reads from its database, in memory."""

    def __init__(self, events):
        self.events = events
        self.auth = {event_id: event.auth_event_ids() for event_id, event in events.items()}
        self.seconds = 0.0

    async def get_events(self, event_ids, allow_rejected=False):
        return {event_id: self.events[event_id] for event_id in event_ids if event_id in self.events}

    async def get_auth_chain_difference(self, _room, state_sets, conflicted, additional):
        started = time.process_time()
        chains = [self.reach(state) for state in state_sets]
        difference = set.union(*chains) - set.intersection(*chains)
        subgraph = None
        if conflicted is not None:
            wanted = set(conflicted) | set(additional or ())
            ancestors = self.reach(wanted)
            # Events stand behind what they cite: one pass finds all that lead back to a conflicted one.
            leading = set()
            for event_id, cited in self.auth.items():
                if event_id in wanted or any(auth in leading for auth in cited):
                    leading.add(event_id)
            subgraph = ancestors & leading
        self.seconds += time.process_time() - started
        return StateDifference(auth_difference=difference, conflicted_subgraph=subgraph)

    def reach(self, event_ids):
        """The events and all that they cite, directly or not."""
        found = set(event_ids)
        stack = list(found)
        while stack:
            for auth in self.auth[stack.pop()]:
                if auth not in found:
                    found.add(auth)
                    stack.append(auth)
        return found


def run(coroutine):
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("the resolver waits for something")


def main():
    head = json.loads(sys.stdin.readline())
    version = KNOWN_ROOM_VERSIONS[head["version"]]
    events = {}
    for line in sys.stdin:
        given = json.loads(line)
        event = make_event_from_dict(given["pdu"], version)
        if event.event_id != given["id"]:
            raise RuntimeError(f"{given['id']} is {event.event_id} to Synapse")
        events[event.event_id] = event
    sets = [{(events[one].type, events[one].state_key): one for one in ids} for ids in head["sets"]]
    resolved = {}
    for _ in range(int(sys.argv[1])):
        store = Store(events)
        started = time.process_time()
        resolved = run(resolve_events_with_store(Clock(), head["room"], version, sets, None, store))
        # A view of two maps: looking at it is part of having the state.
        resolved = dict(resolved)
        ms = (time.process_time() - started) * 1000
        print(json.dumps({"ms": ms - store.seconds * 1000, "storeMs": store.seconds * 1000}))
    print(json.dumps([[kind, key, event_id] for (kind, key), event_id in resolved.items()]))


main()
