"""An administrator with synadm: `synadm.py BASE_URL`. Prints a line per step; exits 1 with the fault."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

base_url = sys.argv[1]
command = os.path.join(os.path.dirname(sys.executable), "synadm")
secret = b"test secret"
password = "a password for synadm"
v3 = "/_matrix/client/v3"


def step(name):
    print(f"ok {name}", flush=True)


def check(condition, what):
    if not condition:
        raise RuntimeError(f"wrong: {what}")


def request(method, path, body=None, token=None, content_type="application/json"):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": content_type, **({"Authorization": f"Bearer {token}"} if token else {})}
    asked = urllib.request.Request(base_url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(asked) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from error


def register(name, admin):
    path = "/_synapse/admin/v1/register"
    nonce = request("GET", path)["nonce"]
    fields = [nonce, name, password, "admin" if admin else "notadmin"]
    mac = hmac.new(secret, "\0".join(fields).encode(), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name, "password": password, "admin": admin, "mac": mac}
    return request("POST", path, body)


class Operator:
    """synadm with a configuration of its own."""

    def __init__(self, folder, session):
        self.config = os.path.join(folder, "synadm.yaml")
        settings = {
            "user": session["user_id"],
            "token": session["access_token"],
            "base_url": base_url,
            "admin_path": "/_synapse/admin",
            "matrix_path": "/_matrix",
            "timeout": 30,
            "server_discovery": "well-known",
            "homeserver": session["home_server"],
            "ssl_verify": True,
            "format": "json",
        }
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump(settings, file)

    def run(self, *arguments):
        line = [command, "-c", self.config, "-o", "json", "--non-interactive", *arguments]
        ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        if ended.returncode != 0:
            raise RuntimeError(f"synadm {' '.join(arguments)}: {ended.returncode} {ended.stdout} {ended.stderr}")
        # Some commands tell how things stand before what has become of them: the last value is the answer, and some say
        # it in words.
        value, at = None, 0
        while at < len(ended.stdout):
            if ended.stdout[at] not in "{[":
                at += 1
                continue
            value, at = json.JSONDecoder().raw_decode(ended.stdout, at)
        return value if value is not None else ended.stdout

    def until(self, probe, *arguments):
        for _ in range(50):
            answer = self.run(*arguments)
            if probe(answer):
                return answer
            time.sleep(0.1)
        raise RuntimeError(f"gave up on synadm {' '.join(arguments)}: {answer}")


def users(operator, bob):
    check(operator.run("version")["server_version"].startswith("Neurite"), "the version")
    names = [user["name"] for user in operator.run("user", "list")["users"]]
    check(bob["user_id"] in names, "the list of users")
    check(len(operator.run("user", "list", "--limit", "1", "--admins")["users"]) == 1, "a page of administrators")
    check(operator.run("user", "list", "-n", "bob", "-G", "-d", "-L")["total"] == 1, "a search for users")
    step("users are listed")
    carol = f"@carol:{bob['home_server']}"
    mail = ["--threepid", "email", "carol@example.org"]
    made = operator.run("user", "modify", carol, "-P", password, "-n", "Carol", *mail, "--user-type", "bot")
    check(made["displayname"] == "Carol" and made["user_type"] == "bot", "a new user")
    check(operator.run("user", "3pid", "carol@example.org")["user_id"] == carol, "a third-party identifier")
    check(operator.run("user", "modify", carol, "--lock")["locked"] is True, "a lock")
    check(operator.run("user", "modify", carol, "--unlock", "--clear-threepids")["threepids"] == [], "an unlock")
    check(operator.run("user", "details", carol)["name"] == carol, "details of a user")
    operator.run("user", "password", carol, "-p", "another password for synadm")
    operator.run("user", "suspend", carol)
    check(operator.run("user", "details", carol)["suspended"] is True, "a suspension")
    token = operator.run("user", "login", carol, "--expire-days", "1")["access_token"]
    check(request("GET", f"{v3}/account/whoami", token=token)["user_id"] == carol, "acting as a user")
    operator.run("user", "deactivate", carol, "--gdpr-erase")
    check(operator.run("user", "details", carol)["erased"] is True, "an erasure")
    step("users are made, changed and closed")
    check(bob["user_id"] in operator.run("user", "whois", bob["user_id"])["user_id"], "whois")
    identifier = {"type": "m.id.user", "user": "bob"}
    body = {"type": "m.login.password", "identifier": identifier, "password": password, "device_id": "OLD"}
    old = request("POST", f"{v3}/login", body)
    request("GET", f"{v3}/account/whoami", token=old["access_token"])
    operator.run("user", "prune-devices", bob["user_id"], "-d", "0", "-s", "1", "-i", "OLD")
    left = request("GET", f"{v3}/devices", token=bob["access_token"])["devices"]
    check([device["device_id"] for device in left] == [bob["device_id"]], "the devices that are left")
    step("sessions are looked at and ended")


def rooms(operator, admin, bob):
    token = bob["access_token"]
    body = {"preset": "public_chat", "name": "Market", "room_alias_name": "market"}
    room = request("POST", f"{v3}/createRoom", body, token)["room_id"]
    quoted = urllib.parse.quote(room)
    said = [
        request("PUT", f"{v3}/rooms/{quoted}/send/m.room.message/{n}", {"msgtype": "m.text", "body": str(n)}, token)
        for n in range(5)
    ]
    check(operator.run("room", "list", "-n", "market")["rooms"][0]["room_id"] == room, "the list of rooms")
    check(operator.run("room", "details", room)["joined_members"] == 1, "details of a room")
    check(operator.run("room", "members", room)["members"] == [bob["user_id"]], "members of a room")
    check(len(operator.run("room", "state", room)["state"]) > 4, "the state of a room")
    check(operator.run("user", "membership", "--ids", bob["user_id"])["joined_rooms"] == [room], "rooms of a user")
    check("Market" in json.dumps(operator.run("room", "power-levels", "-n", "market")), "power levels")
    step("rooms are listed and read")
    operator.run("room", "make-admin", room, "-u", admin["user_id"])
    operator.run("room", "join", room, admin["user_id"])
    check(operator.run("room", "details", room)["joined_members"] == 2, "a member that was joined")
    operator.run("room", "block", room)
    check(operator.run("room", "block-status", room)["block"] is True, "a blocked room")
    operator.run("room", "block", room, "--unblock")
    step("rooms are joined and blocked")
    last = said[-1]["event_id"]
    purge = operator.run("history", "purge", room, "-i", last, "--delete-local")["purge_id"]
    operator.until(lambda answer: answer["status"] == "complete", "history", "purge-status", purge)
    left = request("GET", f"{v3}/rooms/{quoted}/messages?dir=b", token=token)["chunk"]
    messages = [event["event_id"] for event in left if event["type"] == "m.room.message"]
    check(messages == [last], "the history that is left")
    redaction = operator.run("user", "redact", bob["user_id"], "-r", room, "--reason", "spam")["redact_id"]
    operator.until(lambda answer: answer["status"] == "complete", "user", "redact-status", redaction)
    step("history is purged and redacted")
    notice = operator.run("room", "delete", room, "-u", admin["user_id"], "-m", "Closed", "-b")
    status = operator.until(
        lambda answer: answer["status"] == "complete", "room", "delete-status", "-d", notice["delete_id"]
    )
    check(bob["user_id"] in status["shutdown_room"]["kicked_users"], "who was moved")
    check(operator.run("room", "delete-status", "-r", room)["results"][0]["status"] == "complete", "a deletion")
    joined = operator.run("user", "membership", "--ids", bob["user_id"])["joined_rooms"]
    check(joined == [status["shutdown_room"]["new_room_id"]], "the room that people were moved to")
    step("rooms are deleted")


def media(operator, bob):
    path = "/_matrix/media/v3/upload?filename=note.txt"
    uris = [request("POST", path, text, bob["access_token"], "text/plain")["content_uri"] for text in (b"one", b"two")]
    ids = [uri.rsplit("/", 1)[1] for uri in uris]
    check(operator.run("media", "list", "-u", bob["user_id"])["total"] == 2, "files of a user")
    check(operator.run("user", "media", bob["user_id"], "-l", "1")["next_token"] == 1, "a page of files")
    operator.run("media", "quarantine", "-i", ids[0])
    operator.run("media", "unquarantine", "-i", ids[0])
    operator.run("media", "protect", ids[0])
    check(operator.run("media", "quarantine", "-u", bob["user_id"])["num_quarantined"] == 1, "a user's quarantine")
    check(operator.run("media", "delete", "-i", ids[1])["total"] == 1, "a deleted file")
    operator.run("media", "delete", "-d", "1")
    operator.run("media", "purge", "-d", "1")
    step("files are listed, forbidden and deleted")


def rest(operator, bob):
    check(operator.run("regtok", "new", "-n", "welcome", "-u", "3")["uses_allowed"] == 3, "a new token")
    operator.run("regtok", "update", "welcome", "-u", "5")
    check(operator.run("regtok", "details", "welcome")["uses_allowed"] == 5, "a changed token")
    listed = operator.run("regtok", "list")["registration_tokens"]
    check("welcome" in [token["token"] for token in listed], "the list of tokens")
    check(operator.run("regtok", "list", "-v")["registration_tokens"][0]["token"] != "", "valid tokens")
    check("successfully" in operator.run("regtok", "delete", "welcome"), "a deleted token")
    step("registration tokens are managed")
    sent = operator.run("notice", "send", bob["user_id"], "The server is moving", "<b>The server is moving</b>")
    check("event_id" in json.dumps(sent), "a server notice")
    sent = operator.run("raw", "-m", "get", "v1/server_version")
    check("Neurite" in json.dumps(sent), "a raw request")
    step("notices are sent")


def main():
    admin, bob = register("admin", True), register("bob", False)
    with tempfile.TemporaryDirectory() as folder:
        operator = Operator(folder, admin)
        users(operator, bob)
        rooms(operator, admin, bob)
        media(operator, bob)
        rest(operator, bob)


try:
    main()
except (RuntimeError, KeyError, subprocess.SubprocessError) as fault:
    print(f"failed: {fault!r}", file=sys.stderr)
    sys.exit(1)
