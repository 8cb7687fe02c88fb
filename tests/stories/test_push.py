"""A push from the city to the access point and its verdict back: real broker, real daemon, real applier, and all that may go wrong between them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.wire import keyfile
from agent.wire.claims import ConfigClaims
from fleet import sign
from tests.stories.test_secrets import find
from tests.stories.world import AP, CITY, Agent, City, World, assert_valid, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
KEY, STRANGER = sign.SecretKey("0123456789abcdef", bytes(range(32))), sign.SecretKey("fedcba9876543210", bytes(range(1, 33)))
DESIRED, REPORTED = "config/desired", "config/reported"
SHORTEST_S = 30  # that a push may ask to be tried for
SSID = "Warga RW 05"
DOCUMENT: dict[str, Any] = {"ssids": {"warga": {"ssid": SSID, "security": "open", "bands": ["2g"]}}}
# An access point that may publish its own config/reported and is never given it back; everybody else may do anything.
MUTE = f"""\
topic readwrite #
user {AP}
topic write wifi/v1/{CITY}/{AP}/#
topic read wifi/v1/{CITY}/{AP}/presence
topic read wifi/v1/{CITY}/{AP}/echo
topic read wifi/v1/{CITY}/{AP}/config/desired
"""


class Town:
    """A city that signs, its broker behind a wire, and one simulated access point that trusts its key."""

    def __init__(self, world: World, tables: dict[str, dict[str, Any]] | None = None, **broker: Any) -> None:
        keys = world.folder / "keys"
        keys.mkdir()
        (keys / "city.pub").write_bytes(keyfile.public_key(KEY.public, "city"))
        self.secrets = world.folder / "secrets"
        self.secrets.mkdir(0o700)
        running = world.broker(**broker)
        self.wire = world.wire(running.port)
        self.city: City = world.city(running.port)
        push = {"keys_dir": str(keys), "secrets_dir": str(self.secrets)}
        self.agent: Agent = world.agent(self.wire.port, tables={"push": push} | (tables or {})).start()
        self.apply_dir = Path(f"{self.agent.run_dir}-apply")
        self.configured = self.agent.folder / "state/simulated/wireless"
        self.city.wait_for(1)

    def push(self, revision: int, document: dict[str, Any] = DOCUMENT, *, ap: str = AP, key: sign.SecretKey = KEY) -> bytes:
        """Sign a config and desire it; give the push."""
        said = ConfigClaims(CITY, ap, revision, int(time.time()), "dinas", document, SHORTEST_S)
        self.city.say(DESIRED, message := sign.push(key, said), retain=True)
        return message

    def states(self) -> list[tuple[Any, ...]]:
        """Give what config/reported said so far, each time another thing."""
        told = [(each.message.get("revision"), each.message["state"], each.message.get("reason")) for each in self.city.on(REPORTED)]
        return [one for number, one in enumerate(told) if number == 0 or told[number - 1] != one]

    def until_state(self, revision: int | None, state: str, patience_s: float = 30.0) -> dict[str, Any]:
        """Wait until config/reported said that; give it."""
        wanted = lambda: [one.message for one in self.city.on(REPORTED) if (one.message.get("revision"), one.message["state"]) == (revision, state)]  # noqa: E731
        return until(wanted, lambda: f"{revision} {state}, only {self.states()}", patience_s)[0]

    def word(self) -> dict[str, Any]:
        """Give what root says now."""
        try:
            read: dict[str, Any] = json.loads((self.agent.run_dir / "status/config.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return read

    def is_testing(self, revision: int) -> bool:
        word = self.word().get("reported", {})
        return (word.get("revision"), word.get("state")) == (revision, "testing")

    def ssids(self) -> set[str]:
        """Give what the newest report says is on air."""
        return {row["ssid"] for row in self.city.reports()[-1]["bss"]}

    def verifications(self) -> int:
        """Give how many signatures root has checked."""
        _, count, *_ = json.loads((self.apply_dir / "verified").read_text())
        return int(count)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Give every file below with what changes when it is written."""
    return {str(path): (os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in sorted(folder.rglob("*"))}


def test_a_push_is_applied_tried_confirmed_and_not_done_twice(world: World) -> None:
    """The new network is on air and the knobs hold at once; delivered again with each connection it writes nothing, and its verdict is repeated."""
    town = Town(world)
    town.push(7, DOCUMENT | {"agent": {"report_interval_s": 2, "sample_interval_s": 1}})
    confirmed = town.until_state(7, "confirmed")
    assert (confirmed["current"], confirmed["changes"][0]["path"]) == (7, "ssids.warga")
    assert town.states()[-2:] == [(7, "testing", None), (7, "confirmed", None)]
    until(lambda: SSID in town.ssids() and town.city.reports()[-1]["span_s"] >= 1.9, "the new SSID and the new interval in a report")
    steps = [event["data"] for event in town.city.events() if event["kind"] == "config"]
    assert steps[-2:] == [{"revision": 7, "step": "testing"}, {"revision": 7, "step": "confirmed"}]
    assert town.city.on("info")[-1].message["keys"] == [KEY.kid]
    before, verified, told = files(town.agent.folder / "state"), town.verifications(), len(town.city.on(REPORTED))
    for times in range(1, 4):
        births = len(town.city.on("presence"))
        town.wire.cut()
        until(lambda births=births: len(town.city.on("presence")) > births, "a new connection")
        until(lambda times=times: len(town.city.on(REPORTED)) >= told + times, "the verdict again")
    time.sleep(1.5)
    assert (files(town.agent.folder / "state"), town.verifications()) == (before, verified)
    assert {each.message["state"] for each in town.city.on(REPORTED)[told:]} == {"confirmed"}
    assert_valid(town.city)


def test_a_broker_that_acknowledges_and_never_delivers_is_no_way_to_the_broker(world: World) -> None:
    """PUBACK comes, the own word does not come back: taken back, and the old configuration is on air again."""
    file = world.folder / "password"
    file.write_text("secret-of-the-test\n")
    file.chmod(0o600)
    passwords = {AP: "secret-of-the-test"}
    town = Town(world, {"broker": {"username": AP, "password_file": str(file)}}, acl=MUTE, passwords=passwords, extra="allow_anonymous true")
    town.push(7)
    until(lambda: town.is_testing(7), "the test")
    until(lambda: [one for one in town.city.on(REPORTED) if one.message["state"] == "testing" and "session" in one.message], "the broker has our word")
    rolled_back = town.until_state(7, "rolled_back", 60)
    assert rolled_back["reason"] == "broker_unreachable"
    assert not (town.agent.run_dir / "inbox/confirm").exists()
    until(lambda: SSID not in town.ssids(), "the new SSID is gone")
    assert town.word()["retry_in_s"] > 0


def test_a_broker_that_is_gone_after_the_change_gets_the_old_one_back(world: World) -> None:
    """On air for less than its deadline and the time a rollback takes; the verdict arrives when the way is there again."""
    town = Town(world)
    town.push(7)
    began = time.monotonic()
    until(lambda: town.configured.exists(), "the change")
    town.wire.is_open = False
    town.wire.cut()
    until(lambda: not town.configured.exists() or SSID not in town.configured.read_text(), "the old configuration", SHORTEST_S + 30)
    assert time.monotonic() - began < SHORTEST_S + 15
    town.wire.is_open = True
    assert town.until_state(7, "rolled_back", 60)["reason"] == "broker_unreachable"
    assert "confirmed" not in {state for _, state, _ in town.states()}


def test_a_daemon_killed_in_the_test_is_confirmed_for_by_its_successor(world: World) -> None:
    """It finds the test in root's word, and its first connection is a new one; exactly one verdict."""
    town = Town(world)
    town.wire.is_open = True
    town.push(7)
    until(lambda: town.configured.exists(), "the change")
    town.agent.kill()
    until(lambda: town.is_testing(7), "the test")
    town.agent.start()
    town.until_state(7, "confirmed")
    assert [state for _, state, _ in town.states() if state in ("confirmed", "rolled_back")] == ["confirmed"]


def test_a_daemon_killed_in_the_test_and_not_started_again_costs_the_push(world: World) -> None:
    """Nobody confirms: root takes it back in time, and whoever starts later says so."""
    town = Town(world)
    town.push(7)
    until(lambda: town.configured.exists(), "the change")
    town.agent.kill()
    until(lambda: town.word().get("reported", {}).get("state") == "rolled_back", "root's verdict", SHORTEST_S + 30)
    assert not town.configured.exists() or SSID not in town.configured.read_text()
    town.agent.start()
    assert town.until_state(7, "rolled_back")["reason"] == "broker_unreachable"


def test_of_a_thousand_pushes_the_last_one_wins(world: World) -> None:
    """Faster than a thousand a minute: few files, few signatures checked, few writes to flash, and the last revision is in force."""
    town = Town(world)
    inodes: set[int] = set()
    is_over = threading.Event()

    def count() -> None:
        while not is_over.wait(0.02):
            if (lying := town.agent.run_dir / "inbox/desired").exists():
                inodes.add(os.stat(lying).st_mtime_ns)

    counter = threading.Thread(target=count)
    counter.start()
    began = time.monotonic()
    try:
        for revision in range(1, 1001):
            # Whichever was taken before the last one, the last one differs from it.
            town.push(revision, {"agent": {"report_interval_s": 2 + revision % 4 if revision < 1000 else 1}})
            time.sleep(max(0.0, began + revision * 0.03 - time.monotonic()))
        took_s = time.monotonic() - began
        confirmed = town.until_state(1000, "confirmed", 60)
    finally:
        is_over.set()
        counter.join()
    assert confirmed["current"] == 1000
    push = until(lambda: town.agent.state().get("push", {}).get("state") == "confirmed" and town.agent.state()["push"], "the daemon's own word")
    assert push["received"] >= 1000
    assert max(len(inodes), push["passed_on"]) <= took_s + 3
    assert town.verifications() <= took_s / 10 + 4
    assert len(town.city.on(REPORTED)) <= 10 * (took_s / 10 + 4)


def test_pushes_of_others_are_refused_and_change_nothing(world: World) -> None:
    """Unsigned, for another access point, by a stranger, and three forged ones: each rejected with its reason, the last three with an alert."""
    town = Town(world)
    until(lambda: town.push(1, {"agent": {}}) and town.word().get("keys"), "root has spoken", every_s=1.0)
    town.until_state(1, "unchanged")
    before = files(town.agent.folder / "state")
    for payload, reason in ((json.dumps(DOCUMENT).encode(), "malformed"), (sign.push(KEY, ConfigClaims(CITY, "rw-0502", 2, 1, "x", DOCUMENT)), "wrong_ap")):
        town.city.say(DESIRED, payload, retain=True)
        until(lambda reason=reason: town.states()[-1][1:] == ("rejected", reason), lambda: f"rejected, only {town.states()}")
        assert town.city.on(REPORTED)[-1].message["verified"] is False
    town.push(2, key=STRANGER)
    until(lambda: town.states()[-1][1:] == ("rejected", "unknown_key"), lambda: f"unknown_key, only {town.states()}")
    for revision in (3, 4, 5):
        head, _, signature = town.push(revision, key=sign.SecretKey(KEY.kid, bytes(32))).rpartition(b".")
        assert head and signature
        until(lambda revision=revision: town.word().get("refusals") == revision - 2, lambda: f"{town.word()}", 40)
    until(lambda: [one for one in town.city.on("alert/push-refused") if one.payload], "the alert")
    assert town.states()[-1][1:] == ("rejected", "bad_signature")
    changed = {path for path, seen in files(town.agent.folder / "state").items() if before.get(path) != seen}
    # What time it is on the simulated box, which a real one asks /proc for, lies beside its configuration.
    played = town.agent.folder / "state/simulated"
    assert changed <= {str(played), str(played / "time")}
    assert SSID not in town.ssids()


def test_a_push_whose_cause_of_refusal_is_gone_is_taken_when_it_comes_again(world: World) -> None:
    """Signed with a key that is put into keys_dir afterwards: the very same bytes once more are judged anew, and confirmed."""
    town = Town(world)
    message = town.push(7, key=STRANGER)
    assert town.until_state(None, "rejected")["reason"] == "unknown_key"
    (world.folder / "keys/new.pub").write_bytes(keyfile.public_key(STRANGER.public, "new"))
    town.city.say(DESIRED, message, retain=True)
    town.until_state(7, "confirmed", 60)


def shown(town: Town) -> Iterator[bytes]:
    """Give what an access point shows of itself to whoever looks, except the push itself."""
    for heard in town.city.heard[:]:
        if not heard.topic.endswith((DESIRED, "config/plan")):
            yield heard.topic.encode() + heard.payload
    yield town.agent.log().encode()
    for path in town.agent.run_dir.rglob("*"):
        if path.is_file() and path.parent.name != "inbox":
            yield path.read_bytes()


def watch(folder: str, seen: set[bytes]) -> None:
    """Note command line and environment of every process whose command line names the folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            if folder.encode() in line:
                seen |= {line, (process / "environ").read_bytes()}
        except OSError:
            continue  # it ended meanwhile


def test_no_key_of_a_push_gets_out(world: World) -> None:
    """A key that is pushed and one that a push only names: in no message but the push, no log, no state, no command line, no environment."""
    town = Town(world)
    pushed, named = "kopi-tubruk-Zz91", "wedang-jahe-Qq42"
    secret = town.secrets / "office"
    secret.write_text(named + "\n")
    secret.chmod(0o600)
    networks = {
        "a": {"ssid": "Staf A", "security": "psk2", "bands": ["2g"], "key": pushed},
        "b": {"ssid": "Staf B", "security": "psk2-sae", "bands": ["5g"], "key_ref": "office"},
    }
    seen: set[bytes] = set()
    is_over = threading.Event()
    folder = str(world.folder)

    def look() -> None:
        while not is_over.wait(0.01):
            watch(folder, seen)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        message = town.push(7, {"ssids": networks})
        town.city.say("config/plan", sign.push(KEY, ConfigClaims(CITY, AP, 8, 1, "x", {"ssids": networks}, SHORTEST_S)))
        town.until_state(7, "confirmed", 40)
        until(lambda: town.city.on("config/plan/result"), "the plan", 40)
        town.city.say(DESIRED, sign.push(KEY, ConfigClaims(CITY, AP, 9, 1, "x", {"ssids": {"a": networks["a"] | {"bands": 5}}}, SHORTEST_S)), retain=True)
        town.until_state(9, "rejected", 40)
    finally:
        is_over.set()
        looker.join()
    for words in (("config", "show"), ("config", "history"), ("status", "--json")):
        seen.add(run(town.agent, *words).encode())
    assert any(b"agent.apply" in each for each in seen)
    assert any(b"rollback" in each or b"guard" in each for each in seen)
    # The search proves itself on the push, where both stand.
    assert find(message, {pushed}) == {pushed}
    assert named in town.configured.read_text() and pushed in town.configured.read_text()
    for data in [*shown(town), *seen]:
        assert not find(data, {pushed, named}), data[:300]


def run(agent: Agent, *words: str) -> str:
    """Run one of the commands that print."""
    done = agent.command(*words)
    return done.stdout + done.stderr


def test_a_plan_is_answered_and_changes_nothing(world: World) -> None:
    """config/plan is planned by root and answered, not retained; a retained one is refused; neither file nor verdict is touched."""
    town = Town(world)
    said = ConfigClaims(CITY, AP, 7, 1, "dinas", DOCUMENT, SHORTEST_S)
    town.city.say("config/plan", sign.push(KEY, said))
    result: Callable[[], Any] = lambda: town.city.on("config/plan/result")  # noqa: E731
    (first,) = until(result, "the plan")
    assert (first.message["state"], first.message["revision"], first.message["impact"]) == ("planned", 7, "bss")
    assert [change["path"] for change in first.message["changes"]] == ["ssids.warga"]
    assert not town.configured.exists()
    town.city.say("config/plan", sign.push(KEY, said))
    assert until(lambda: result()[1:], "the plan, asked for once more")[0].message == first.message
    assert town.city.on(REPORTED) == [] or town.states()[-1][0] is None
