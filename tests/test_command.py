"""The daemon's half of commands, with a broker, a router and a root that the test plays: what is passed on, what is told, and what it does itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent.command import Commands
from agent.endings import MOST_OWN
from agent.errors import Unavailable
from agent.outbox import Outbox
from agent.own_hands import OwnHands
from agent.post import Post
from agent.sensing import Overrun
from agent.wire import claims, command, jws, schemas, shapes
from tests.fakes.broker import FakeBroker
from tests.fakes.router import FakeRouter
from tests.reports import BOOT
from tests.settings_of import settings
from tests.unsigned import AP, CITY, KID

RESULT = Draft202012Validator(shapes.strict(schemas.published("command-result")))


class Bench:
    """A Commands, everything around it, and time that only `move` lets pass."""

    def __init__(self, folder: Path) -> None:
        self.run_dir = folder / "run"
        self.now, self.uptime = 100.0, 5000.0
        self.broker, self.router = FakeBroker(), FakeRouter()
        self.settings = settings(agent={"id": AP, "city": CITY}, paths={"run_dir": str(self.run_dir)})
        (self.run_dir / "status").mkdir(parents=True, exist_ok=True)
        self.keys: tuple[str, ...] = (KID,)
        self.reports, self.restarts, self.number = 0, 0, 0
        self.guard: Callable[[Callable[[], object]], object] = lambda run: run()
        self.word: dict[str, Any] = {"v": 1, "handled": {}, "results": [], "todo": [], "commands": ["locate"]}
        self.start()

    def start(self) -> None:
        """Start the daemon's part, again where it ran before: another process."""
        self.post = Post(self.broker, Outbox(str(self.run_dir / "outbox"), BOOT, 524288), self.router.clock, 60, "json")  # type: ignore[arg-type]  # a fake
        names = SimpleNamespace(renew=lambda: None, name=lambda mac: "0123456789ab")
        hands = OwnHands(self.router, names, self._report, lambda run: self.guard(run))  # type: ignore[arg-type]  # fakes
        self.commands = Commands(
            self.settings, self.router, self.post, hands, lambda: self.keys, self._restart, lambda: self.now, lambda: self.uptime  # type: ignore[arg-type]  # fakes
        )

    def _report(self) -> int:
        self.reports += 1
        return 40 + self.reports

    def _restart(self) -> None:
        self.restarts += 1

    def turn(self, is_acknowledged: bool = True) -> None:
        self.post.take_events()
        for event in self.post.drain():
            self.commands.take(event)
        self.commands.advance()
        self.post.hand_over()
        if is_acknowledged:
            self.broker.acknowledge()

    def move(self, seconds: float) -> None:
        """Let time pass, with a turn whenever something is due."""
        ends = self.now + seconds
        while True:
            self.turn()
            step = min(self.commands.due(), ends - self.now)
            if self.now >= ends:
                return
            self.now, self.uptime = self.now + max(step, 0.001), self.uptime + max(step, 0.001)

    def order(self, name: str, *, kid: str = KID, **more: Any) -> bytes:
        """Make a command that nobody signed."""
        self.number += 1
        known: dict[str, Any] = {"city": CITY, "ap": AP, "id": f"id-{self.number}", "boot": BOOT, "until_uptime_s": 5060, "args": {}, "issued_at": 0}
        said = claims.CommandClaims(**(known | {"name": name} | more))
        return jws.compact(jws.signing_input(kid, claims.command_members(said)), bytes(64))

    def bring(self, name: str, payload: bytes, *, is_retained: bool = False) -> None:
        self.broker.bring(f"command/{name}", payload, is_retained=is_retained)
        self.turn()

    def lying(self, group: str) -> bytes | None:
        file = self.run_dir / f"inbox/command.{group}"
        return file.read_bytes() if file.exists() else None

    def root_says(self, **members: Any) -> None:
        self.word |= members
        file = self.run_dir / "status/command.json"
        file.unlink(missing_ok=True)
        file.write_text(json.dumps(self.word) + " " * self.number)
        self.now += 1
        self.commands.look()
        self.turn()

    def root_answers(self, raw: bytes, state: str, group: str, **more: Any) -> None:
        """Let root say how the command in that file stands."""
        said = jws.parse(raw).payload
        entry = command.result(state, str(said["id"]), **more) | {"name": said["name"], "of": sha(raw)}
        others = [one for one in self.word["results"] if one["id"] != said["id"]]
        self.root_says(handled=self.word["handled"] | {group: sha(raw)}, results=[*others, entry])

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """Give what was told of commands: which, and what."""
        found = [(one.topic, json.loads(one.payload)) for one in self.broker.sent if one.topic.startswith("command/")]
        for _, payload in found:
            RESULT.validate(payload)
        return found


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def at(tmp_path: Path) -> Bench:
    """One with a connection."""
    bench = Bench(tmp_path)
    bench.broker.connect()
    bench.turn()
    return bench


# From the broker to root and back.


def test_a_command_goes_to_root_and_its_states_come_back(at: Bench) -> None:
    """The bytes as they came, root rung for, each state once."""
    raw = at.order("locate")
    at.bring("locate", raw)
    assert at.lying("act") == raw and at.router.rings == 1
    at.root_answers(raw, "running", "act")
    at.root_answers(raw, "succeeded", "act", output={"leds": ["a"]}, took_ms=3)
    at.move(2)
    assert [(topic, one["state"], one["id"]) for topic, one in at.told()] == [("command/locate/result", state, "id-1") for state in ("running", "succeeded")]
    assert at.told()[-1][1] == {"v": 1, "state": "succeeded", "id": "id-1", "output": {"leds": ["a"]}, "took_ms": 3}


def test_root_is_rung_for_until_it_answers(at: Bench) -> None:
    """Every five seconds; not any more after that."""
    raw = at.order("locate")
    at.bring("locate", raw)
    at.move(11)
    assert at.router.rings == 3
    at.root_answers(raw, "succeeded", "act")
    at.move(60)
    assert at.router.rings == 3 and at.commands.due() > 60


def test_who_waits_for_nothing_is_not_woken(at: Bench) -> None:
    """No file is read, no time is due."""
    at.move(1)
    assert at.commands.due() >= 3600


def test_one_of_a_class_after_the_other(at: Bench) -> None:
    """Four wait; the next is told busy; the other class has its own."""
    orders = [at.order("locate") for _ in range(6)]
    for raw in orders:
        at.bring("locate", raw)
    other = at.order("scan")
    at.bring("scan", other)
    at.move(2)
    assert at.lying("act") == orders[0] and at.lying("ask") == other
    assert [(one["id"], one["code"], one["verified"]) for _, one in at.told()] == [("id-6", "busy", False)]
    for raw in orders[:5]:
        assert at.lying("act") == raw
        at.root_answers(raw, "succeeded", "act")
    assert len([one for _, one in at.told() if one["state"] == "succeeded"]) == 5


def test_what_waited_too_long_is_told_expired(at: Bench) -> None:
    """And root is not bothered with it."""
    first, second = at.order("locate"), at.order("locate")
    at.bring("locate", first)
    at.bring("locate", second)
    at.move(61)
    at.root_answers(first, "succeeded", "act")
    at.move(2)
    assert [(one["id"], one["state"]) for _, one in at.told()] == [("id-1", "succeeded"), ("id-2", "expired")] and at.lying("act") == first


def test_root_that_does_not_answer_is_told(at: Bench) -> None:
    """Half a minute after the command's time; a late answer is told all the same."""
    raw = at.order("locate")
    at.bring("locate", raw)
    at.move(95)
    assert [(one["id"], one["state"], one["verified"]) for _, one in at.told()] == [("id-1", "timed_out", False)]
    at.root_answers(raw, "succeeded", "act")
    assert at.told()[-1][1]["state"] == "succeeded"


# What is refused here.


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda at: b"no command", "malformed"),
        (lambda at: b"x" * 60_001, "oversize"),
        (lambda at: at.order("locate", kid="f" * 16), "unknown_key"),
        (lambda at: at.order("locate", ap="rw-0502"), "wrong_ap"),
        (lambda at: at.order("locate", city="bandung"), "wrong_city"),
        (lambda at: at.order("reboot"), "malformed"),
        (lambda at: at.order("locate", boot="0" * 16), "wrong_boot"),
        (lambda at: at.order("locate", until_uptime_s=4999), "expired"),
    ],
)
def test_what_cannot_be_for_us_does_not_reach_root(at: Bench, make: Callable[[Bench], bytes], code: str) -> None:
    """Told with the reason and that no signature vouches for it; the log hears of each reason once."""
    at.commands._may_ask()  # the stranger's key was asked about a moment ago
    at.bring("locate", make(at))
    at.move(2)
    ((topic, told),) = at.told()
    assert (topic, told["code"], told["verified"], bool(told["message"])) == ("command/locate/result", code, False, True)
    assert told["state"] == ("expired" if code == "expired" else "rejected") and at.lying("act") is None and at.router.rings == 0


def test_a_retained_one_is_ignored_and_told(at: Bench) -> None:
    """However good it is: it would come with every connection."""
    at.bring("locate", at.order("locate"), is_retained=True)
    at.move(2)
    assert [(one["code"], one["state"]) for _, one in at.told()] == [("retained", "rejected")] and at.lying("act") is None


def test_a_cleared_topic_is_no_command(at: Bench) -> None:
    """Nothing is told."""
    at.bring("locate", b"", is_retained=True)
    at.move(2)
    assert at.told() == []


def test_whoever_floods_the_topic_does_not_make_us_flood(at: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Eight refusals a second at most, and one line of log for each reason."""
    for _ in range(3):
        for _ in range(100):
            at.broker.bring("command/locate", b"x", is_retained=False)
        at.move(1)
    assert len(at.told()) <= 4 * 8 and len(caplog.records) == 1 and at.commands.figures().refused == 300


def test_a_key_that_is_not_known_is_roots_to_judge_once_a_minute(at: Bench) -> None:
    """For it may have been given since."""
    at.bring("locate", at.order("locate", kid="f" * 16))
    at.bring("locate", at.order("locate", kid="f" * 16))
    at.move(2)
    assert at.lying("act") is not None and [one["code"] for _, one in at.told()] == ["unknown_key"]


def test_a_name_in_no_table_is_roots_to_refuse(at: Bench) -> None:
    """It may be newer than this half."""
    raw = at.order("format-flash")
    at.bring("format-flash", raw)
    assert at.lying("ask") == raw
    at.root_answers(raw, "rejected", "ask", code="unknown_command")
    assert at.told()[-1] == ("command/format-flash/result", {"v": 1, "state": "rejected", "id": "id-1", "code": "unknown_command"})


def test_without_a_key_for_stations_nothing_is_passed_on(at: Bench) -> None:
    """A full RAM is told."""
    at.commands._hands.names = SimpleNamespace(renew=lambda: (_ for _ in ()).throw(Unavailable("run/pseudonyms cannot be written")))  # type: ignore[assignment]
    at.bring("kick", at.order("kick"))
    at.move(2)
    assert [one["code"] for _, one in at.told()] == ["busy"] and at.lying("act") is None


# What comes again.


def test_the_same_bytes_again_get_the_first_result_again(at: Bench) -> None:
    """Also after their time: root says it from memory."""
    raw = at.order("locate")
    at.bring("locate", raw)
    at.root_answers(raw, "succeeded", "act", took_ms=3)
    other = at.order("kick")
    at.bring("kick", other)
    at.root_answers(other, "succeeded", "act")
    at.move(120)
    at.bring("locate", raw)
    at.root_answers(raw, "succeeded", "act", took_ms=3)
    assert [one["id"] for _, one in at.told()] == ["id-1", "id-2", "id-1"] and at.told()[0] == at.told()[2]


def test_what_lies_there_already_is_not_put_there_twice(at: Bench) -> None:
    """A broker may deliver a message twice."""
    raw = at.order("locate")
    for _ in range(3):
        at.bring("locate", raw)
    at.root_answers(raw, "succeeded", "act")
    at.move(2)
    assert len(at.told()) == 1 and at.commands.figures().passed_on == 1


def test_results_wait_for_the_broker_each_for_itself(at: Bench) -> None:
    """Of one command the newest state, of two commands both."""
    at.broker.lose()
    at.turn()
    for _ in range(2):
        raw = at.order("locate")
        at.bring("locate", raw)
        at.root_answers(raw, "running", "act")
        at.root_answers(raw, "succeeded", "act")
    assert at.told() == []
    at.broker.connect()
    at.turn()
    assert [(one["id"], one["state"]) for _, one in at.told()] == [("id-1", "succeeded"), ("id-2", "succeeded")]


def test_another_daemon_tells_what_nobody_heard(at: Bench) -> None:
    """What the broker acknowledged is not told again, what it did not is."""
    heard, unheard = at.order("locate"), at.order("scan")
    at.bring("locate", heard)
    at.root_answers(heard, "succeeded", "act")
    at.broker.lose()
    at.bring("scan", unheard)
    at.root_answers(unheard, "succeeded", "ask")
    before = len(at.told())
    at.start()
    at.broker.connect()
    at.move(11)
    at.commands.look()
    at.turn()
    assert [one["id"] for _, one in at.told()[before:]] == ["id-2"]


# What needs no root.


def todo(raw: bytes) -> dict[str, Any]:
    said = jws.parse(raw).payload
    return {name: said[name] for name in ("id", "name", "args", "until_uptime_s")}


def passed_on(at: Bench, raw: bytes, group: str = "ask") -> None:
    """Let root verify it and pass it on."""
    at.bring(str(jws.parse(raw).payload["name"]), raw)
    at.word["todo"] = [todo(raw)]
    at.root_answers(raw, "accepted", group)


def test_a_report_is_made_when_root_has_verified_it(at: Bench) -> None:
    """Not before, and once."""
    raw = at.order("report")
    at.bring("report", raw)
    assert at.reports == 0
    at.word["todo"] = [todo(raw)]
    for _ in range(3):
        at.root_answers(raw, "accepted", "ask")
    at.bring("report", raw)
    at.move(2)
    assert at.reports == 1 and at.told()[-1][1]["output"] == {"seq": 41}
    assert at.told()[-1] == at.told()[0] and len(at.told()) > 1


def test_a_report_whose_sample_finds_a_newer_word_of_roots_is_made_once(at: Bench) -> None:
    """Each sample looks for one, also that of the report which is just being made for a command."""
    raw, looks = at.order("report"), list[int]()

    def guard(run: Callable[[], object]) -> object:
        looks.append(1)
        if len(looks) < 3:
            at.root_says(commands=["locate", "reboot"][: len(looks)])
        return run()

    at.guard = guard
    passed_on(at, raw)
    at.move(2)
    assert at.reports == 1 and [one["output"] for _, one in at.told() if "output" in one] == [{"seq": 41}]


def test_stations_are_named_by_pseudonym(at: Bench) -> None:
    """And a box that cannot give them fails it."""
    at.router.bss = Unavailable("hostapd at de:ad:be:ef:00:01 does not answer")  # type: ignore[assignment]  # a fake
    passed_on(at, at.order("stations"))
    told = at.told()[-1][1]
    assert (told["state"], told["code"], "de:ad" in told["message"]) == ("failed", "unavailable", False)


@pytest.mark.parametrize(("fault", "state", "code"), [(Overrun(), "timed_out", "timed_out"), (KeyError("x"), "failed", "internal")])
def test_what_hangs_or_breaks_costs_its_own_result_only(at: Bench, fault: BaseException, state: str, code: str) -> None:
    """The loop goes on."""

    def guard(run: Callable[[], object]) -> object:
        raise fault

    at.guard = guard
    passed_on(at, at.order("report"))
    assert (at.told()[-1][1]["state"], at.told()[-1][1]["code"]) == (state, code)


def test_what_root_did_not_pass_on_is_not_done(at: Bench) -> None:
    """Nor what is root's to do, too old, or no list at all."""
    nameless, late = todo(at.order("report")) | {"name": []}, todo(at.order("report", until_uptime_s=4000))
    for rows in ([todo(at.order("reboot"))], [late], [{"id": 1}], "report", [{"id": "x", "name": "report"}], [nameless]):
        at.root_says(todo=rows)
    at.move(1)
    assert (at.reports, at.restarts) == (0, 0) and [one["state"] for _, one in at.told()] == ["expired"]


def test_restart_agent_is_told_by_who_begins_then(at: Bench) -> None:
    """Running before, succeeded after; and it is done once, although root's word still stands."""
    raw = at.order("restart-agent")
    passed_on(at, raw, "act")
    at.move(4)
    assert at.restarts == 1 and at.told()[-1][1]["state"] == "running"
    at.start()
    at.turn()
    at.commands.look()
    at.move(10)
    assert at.restarts == 1 and (at.told()[-1][1]["state"], at.told()[-1][1]["id"]) == ("succeeded", "id-1")


def test_without_a_memory_the_agent_does_not_begin_anew(at: Bench) -> None:
    """The next one would find root's word and no other, and so for as long as the command is good."""
    (at.run_dir / "commands.json.new").mkdir()
    passed_on(at, at.order("restart-agent"), "act")
    at.move(10)
    assert at.restarts == 0 and (at.told()[-1][1]["state"], at.told()[-1][1]["code"]) == ("failed", "unavailable")


def test_of_what_was_done_long_ago_at_least_the_ending_is_told(at: Bench) -> None:
    """Root knows only that it passed it on: without an ending the city would wait."""
    first = at.order("report")
    passed_on(at, first)
    for _ in range(MOST_OWN):
        passed_on(at, at.order("report"))
    at.start()
    at.bring("report", first)
    at.root_answers(first, "accepted", "ask")
    told = [one for _, one in at.told() if one["id"] == "id-1"][-1]
    assert (told["state"], "no longer kept" in told["message"], at.reports) == ("succeeded", True, MOST_OWN + 1)


def test_what_is_too_long_for_the_broker_is_told_as_such(at: Bench) -> None:
    """In a message that no broker finds too long."""
    raw = at.order("logs")
    at.bring("logs", raw)
    at.turn()
    of = {"handled": {"ask": sha(raw)}, "results": [command.result("succeeded", "id-1", output={"lines": ["x" * 30_000]}) | {"name": "logs", "of": sha(raw)}]}
    (at.run_dir / "status/command.json").write_text(json.dumps(at.word | of))
    at.now += 1
    at.commands.look()
    at.turn(is_acknowledged=False)
    at.broker.refuse(at.broker.sent[-1].token)
    at.turn()
    assert (at.told()[-1][1]["state"], at.told()[-1][1]["code"]) == ("failed", "too_large") and len(at.broker.sent[-1].payload) < 400


def test_hostile_words_of_roots_directory_are_data(at: Bench) -> None:
    """Whatever stands there, nothing breaks and nothing is told of it."""
    for members in (
        {"results": [{"state": "succeeded"}, {"state": "x", "id": "a", "name": "b"}, 7, {"state": "succeeded", "id": 7, "name": "a"}]},
        {"results": [{"state": "succeeded", "id": "a", "name": "../x"}], "handled": [], "commands": 7, "refusals": "x", "todo": {}},
    ):
        at.root_says(**members)
    at.move(1)
    assert at.told() == [] and at.commands.possible == () and at.commands.refusals == 0


def test_what_this_box_can_do_is_known_from_the_start(at: Bench) -> None:
    """Before the first turn, for `info` is sent then."""
    at.root_says(commands=["reboot", "locate", "unheard-of"])
    at.start()
    assert at.commands.possible == ("locate", "reboot")


def test_no_address_leaves(at: Bench) -> None:
    """Whatever a collector gave."""
    at.guard = lambda run: {"ssid": "de:ad:be:ef:00:01 lounge", "de:ad:be:ef:00:02": [("DE-AD-BE-EF-00-03",)]}
    passed_on(at, at.order("stations"))
    assert at.told()[-1][1]["state"] == "succeeded" and "ad:be" not in json.dumps(at.told()) and "AD-BE" not in json.dumps(at.told())
