"""The daemon's half of a push, with a broker, a router and a root that the test plays: what is passed on, what is told, when it confirms."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent import said
from agent.errors import Unavailable
from agent.outbox import Outbox
from agent.post import Post
from agent.push import QUIET_S, Push
from agent.wire import jws
from tests.fakes.broker import FakeBroker
from tests.fakes.router import FakeRouter
from tests.reports import BOOT
from tests.settings_of import settings
from tests.unsigned import AP, KID, unsigned

RUN, NONCE = "0123456789abcdef", "f0" * 16
DESIRED, REPORTED, PLAN, RESULT = "config/desired", "config/reported", "config/plan", "config/plan/result"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Bench:
    """A Push, everything around it, and time that only `move` lets pass."""

    def __init__(self, folder: Path) -> None:
        self.run_dir = folder / "run"
        self.now, self.uptime = 100.0, 5000.0
        self.broker, self.router = FakeBroker(), FakeRouter()
        self.told: list[tuple[str, dict[str, object]]] = []
        self.settings = settings(agent={"id": AP, "city": "malang"}, paths={"run_dir": str(self.run_dir)})
        (self.run_dir / "status").mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Start the daemon's part, again where it ran before: another process, another connection."""
        self.post = Post(self.broker, Outbox(str(self.run_dir / "outbox"), BOOT, 524288), self.router.clock, 60, "json")  # type: ignore[arg-type]  # a fake
        tell = lambda kind, data: self.told.append((kind, data))  # noqa: E731  # its type is Push's to say
        self.push = Push(self.settings, self.router, self.post, self.broker, tell, lambda: self.now, lambda: self.uptime)  # type: ignore[arg-type]  # fakes

    def turn(self) -> None:
        """Do what the daemon does once a turn; the broker acknowledges at once."""
        self.post.take_events()
        for event in self.post.drain():
            self.push.take(event)
        self.push.advance()
        self.post.hand_over()
        self.broker.acknowledge()

    def move(self, seconds: float) -> None:
        """Let time pass, with a turn whenever something is due, as the daemon's loop has it."""
        ends = self.now + seconds
        while True:
            self.turn()
            step = min(self.push.due(), ends - self.now)
            if self.now >= ends:
                return
            self.now, self.uptime = self.now + max(step, 0.001), self.uptime + max(step, 0.001)

    def connect(self, **how: bool) -> None:
        self.broker.connect(**how)
        self.turn()

    def bring(self, topic: str, payload: bytes, *, is_retained: bool = False) -> None:
        self.broker.bring(topic, payload, is_retained=is_retained)
        self.turn()

    def root_says(self, state: str | None = None, name: str = said.CONFIG, **members: Any) -> None:
        """Let root write its word, and the daemon take its next sample."""
        if state is not None:
            reported = {"v": 1, "state": state, "revision": 7} | members.pop("reported", {})
            members = {"reported": {key: value for key, value in reported.items() if value is not None}, "at_uptime_s": self.uptime} | members
        file = self.run_dir / "status" / name
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"v": 1} | members))
        new.replace(file)
        self.push.look()
        self.turn()

    def testing(self, run: str = RUN, nonce: str = NONCE) -> None:
        self.root_says("testing", test={"run": run, "nonce": nonce, "until_uptime_s": self.uptime + 180})

    def lies(self, name: str = "desired") -> bytes | None:
        """Give what lies in the inbox."""
        file = self.run_dir / "inbox" / name
        return file.read_bytes() if file.exists() else None

    def said(self, topic: str = REPORTED) -> list[dict[str, Any]]:
        return [json.loads(sent.payload) for sent in self.broker.on(topic)]


@pytest.fixture
def at(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# From the broker to root.


def test_a_push_lies_in_the_inbox_and_root_is_rung_for(at: Bench) -> None:
    """The very bytes that came, at once."""
    at.connect()
    at.bring(DESIRED, unsigned())
    assert (at.lies(), at.router.rings) == (unsigned(), 1)


def test_the_ring_is_repeated_until_root_has_handled_it(at: Bench) -> None:
    """Each ten seconds, whatever else root says; no more once its word names these bytes."""
    at.connect()
    at.bring(DESIRED, unsigned())
    at.move(29)
    assert at.router.rings == 3
    at.root_says("rejected", handled=sha(b"another"))
    at.move(2)
    assert at.router.rings == 4
    at.root_says("confirmed", handled=sha(unsigned()))
    at.move(3600)
    assert at.router.rings == 4


def test_a_root_that_cannot_be_rung_for_is_rung_for_again(at: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A ubus that is away is no end of it, and is said once."""
    rings = []

    def fail() -> None:
        rings.append(at.now)
        raise Unavailable("ubus: no such file")

    at.router.ring = fail  # type: ignore[method-assign]  # a fake
    at.connect()
    at.bring(DESIRED, unsigned())
    at.move(100)
    assert len(rings) == 11
    assert len([record for record in caplog.records if "cannot be rung for" in record.message]) == 1


def test_a_root_that_never_answers_costs_few_wake_ups(at: Bench) -> None:
    """After a minute without a word nobody looks each second any more."""
    at.connect()
    at.bring(DESIRED, unsigned())
    at.move(120)
    turns = 0
    ends = at.now + 600
    while at.now < ends:
        at.now += max(at.push.due(), 0.001)
        at.push.advance()
        turns += 1
    assert turns <= 61


def test_a_thousand_pushes_a_minute(at: Bench) -> None:
    """At most one file a second; the last push is the one that lies there; all are counted."""
    at.connect()
    writes, inodes = 0, {0}
    for number in range(1000):
        at.bring(DESIRED, unsigned(number + 1))
        inode = os.stat(at.run_dir / "inbox/desired").st_ino
        writes, inodes = writes + (inode not in inodes), {inode}
        at.move(0.06)
    at.move(1)
    assert at.lies() == unsigned(1000)
    assert writes <= 61
    figures = at.push.figures()
    assert (figures.received, figures.refused) == (1000, 0)
    assert figures.passed_on <= 61


def test_the_same_push_again_is_neither_written_nor_rung_for(at: Bench) -> None:
    """The retained push comes with every connection: when root has handled it nothing happens but that the verdict is said again."""
    at.connect()
    at.bring(DESIRED, unsigned())
    at.root_says("confirmed", handled=sha(unsigned()))
    inode, rings, said_before = os.stat(at.run_dir / "inbox/desired").st_ino, at.router.rings, len(at.said())
    for times in range(1, 4):
        at.broker.lose()
        at.move(1)
        at.connect(is_resumed=True)
        at.bring(DESIRED, unsigned(), is_retained=True)
        at.move(30)
        assert len(at.said()) == said_before + times
    assert at.said()[-1] == {"v": 1, "state": "confirmed", "revision": 7}
    assert (os.stat(at.run_dir / "inbox/desired").st_ino, at.router.rings) == (inode, rings)


def test_the_newest_wins_also_when_it_is_the_one_that_lies_there(at: Bench) -> None:
    """A, then B and A again within one second: A stays, and B is never put."""
    at.connect()
    at.bring(DESIRED, unsigned(1))
    at.bring(DESIRED, unsigned(2))
    at.bring(DESIRED, unsigned(1))
    at.move(5)
    assert at.lies() == unsigned(1)


def test_a_restarted_daemon_finds_what_lies_there(at: Bench) -> None:
    """What its predecessor put and root has not handled is rung for without any message from the broker."""
    at.connect()
    at.bring(DESIRED, unsigned())
    rings = at.router.rings
    at.start()
    at.move(1)
    assert at.router.rings == rings + 1


def test_a_cleared_topic_is_no_push(at: Bench) -> None:
    """Somebody who deletes the retained message desires nothing: no file, no refusal."""
    at.connect()
    at.bring(DESIRED, b"")
    at.move(30)
    assert (at.lies(), at.router.rings, at.said(), at.push.figures().received) == (None, 0, [], 0)


def test_an_inbox_that_cannot_be_written_is_tried_again(at: Bench) -> None:
    """No room now: the push waits, and nothing else is held up."""
    (at.run_dir / "inbox").write_text("in the way")
    at.connect()
    at.bring(DESIRED, unsigned())
    at.move(5)
    (at.run_dir / "inbox").unlink()
    at.move(10)
    assert at.lies() == unsigned()


# What is refused here.


def damaged() -> bytes:
    return unsigned()[:-2] + b"!!"


@pytest.mark.parametrize(
    ("payload", "reason", "revision"),
    [
        (b"x" * (jws.MAX_BYTES + 1), "oversize", None),
        (b"\xff\x00", "malformed", None),
        (b'{"ssids":{}}', "malformed", None),
        (damaged(), "malformed", None),
        (unsigned(city="surabaya"), "wrong_city", 7),
        (unsigned(ap="rw-0502"), "wrong_ap", 7),
        (unsigned(kind="command"), "wrong_kind", 7),
    ],
)
def test_what_fails_the_cheap_checks_is_refused_without_root(at: Bench, payload: bytes, reason: str, revision: int | None) -> None:
    """Nothing is written or rung for; config/reported names the reason, and that nobody vouches for it; what is in force is still named."""
    at.connect()
    at.root_says("confirmed", keys=[KID], reported={"current": 5})
    at.told.clear()
    at.bring(DESIRED, payload)
    at.move(30)
    told = at.said()[-1]
    assert (at.lies(), at.router.rings) == (None, 0)
    assert (told["state"], told["reason"], told["verified"], told.get("revision"), told["current"]) == ("rejected", reason, False, revision, 5)
    assert [fault["code"] for fault in told["errors"]] == [reason]
    assert at.told == []


def test_a_key_that_root_has_not_named_is_asked_about_once_a_minute(at: Bench) -> None:
    """It may have been put into keys_dir since; what else comes of strangers within the minute is refused without root."""
    at.connect()
    at.root_says("confirmed", keys=[KID])
    at.bring(DESIRED, unsigned(1, kid="f" * 16))
    assert at.lies() == unsigned(1, kid="f" * 16)
    at.move(2)
    at.root_says("rejected", handled=sha(unsigned(1, kid="f" * 16)), keys=[KID])
    at.bring(DESIRED, unsigned(2, kid="f" * 16))
    at.move(11)
    assert at.lies() == unsigned(1, kid="f" * 16)
    assert (at.said()[-1]["reason"], at.said()[-1]["revision"], at.said()[-1]["verified"]) == ("unknown_key", 2, False)
    at.move(60)
    at.bring(DESIRED, unsigned(3, kid="f" * 16))
    assert at.lies() == unsigned(3, kid="f" * 16)


def test_an_unknown_key_is_roots_to_judge_while_root_has_named_none(at: Bench) -> None:
    """Before root's first word the daemon knows no keys: it passes on."""
    at.connect()
    at.bring(DESIRED, unsigned(kid="f" * 16))
    assert at.lies() is not None


def test_a_refused_push_does_not_take_the_place_of_a_good_one(at: Bench) -> None:
    """Garbage that comes within the second after a good push hinders it not."""
    at.connect()
    at.bring(DESIRED, unsigned(1))
    at.bring(DESIRED, unsigned(2))
    at.bring(DESIRED, b"garbage")
    at.move(2)
    assert at.lies() == unsigned(2)


def test_a_flood_of_garbage_makes_no_flood_of_refusals(at: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Six hundred in a minute: at most seven refusals and one line in the log; all are counted."""
    at.connect()
    for _ in range(600):
        at.bring(DESIRED, b"garbage")
        at.move(0.1)
    assert 1 <= len(at.said()) <= 7
    assert at.push.figures().refused == 600
    assert len([record for record in caplog.records if "push refused" in record.message]) == 1


def test_the_former_verdict_returns_with_the_next_connection(at: Bench) -> None:
    """A refusal is news, not the state of the access point."""
    at.connect()
    at.root_says("confirmed")
    at.bring(DESIRED, b"garbage")
    at.move(1)
    assert at.said()[-1]["state"] == "rejected"
    at.broker.lose()
    at.move(1)
    at.connect(is_resumed=False)
    assert at.said()[-1]["state"] == "confirmed"


def test_a_refusal_waits_while_a_push_is_tested(at: Bench) -> None:
    """What the city sees of a push under way is not overwritten by somebody's garbage."""
    at.connect()
    at.testing()
    at.connect()
    at.bring(DESIRED, b"garbage")
    at.move(30)
    assert {told["state"] for told in at.said()} == {"testing"}
    at.root_says("confirmed")
    at.move(1)
    assert [told["state"] for told in at.said()][-2:] == ["confirmed", "rejected"]


def test_three_bad_signatures_are_ten_quiet_minutes(at: Bench) -> None:
    """Nothing is passed on meanwhile; then the newest is. The alert stands until a good signature ends the row."""
    at.connect()
    for bad in (1, 2, 3):
        assert at.push.facts()["bad_signatures"] == bad - 1
        at.bring(DESIRED, unsigned(bad))
        at.move(11)
        at.root_says("rejected", handled=sha(unsigned(bad)), refusals=bad)
    at.bring(DESIRED, unsigned(4))
    at.bring(DESIRED, unsigned(5))
    at.bring(PLAN, unsigned(6))
    at.move(QUIET_S - 1)
    assert (at.lies(), at.lies("plan")) == (unsigned(3), None)
    at.move(3)
    assert (at.lies(), at.lies("plan")) == (unsigned(5), unsigned(6))
    assert at.push.facts()["bad_signatures"] == 3
    at.root_says("confirmed", handled=sha(unsigned(5)), refusals=0)
    assert at.push.facts()["bad_signatures"] == 0


def test_a_word_that_repeats_old_refusals_makes_no_new_quiet(at: Bench) -> None:
    """Only one more bad signature begins the ten minutes anew."""
    at.connect()
    at.root_says("rejected", handled=sha(b"x"), refusals=3)
    at.move(QUIET_S - 10)
    at.root_says("rejected", handled=sha(b"x"), refusals=3, keys=[KID])
    at.bring(DESIRED, unsigned())
    at.move(12)
    assert at.lies() == unsigned()


# From root to the broker.


def test_roots_word_is_said_as_it_is_and_each_step_is_an_event(at: Bench) -> None:
    """received, applying, confirmed: each on config/reported, retained, and each an event with its revision."""
    at.connect()
    for state in ("received", "applying", "confirmed"):
        at.root_says(state, reported={"changes": [{"path": "ssids.public.ssid", "impact": "bss"}]})
    assert [told["state"] for told in at.said()] == ["received", "applying", "confirmed"]
    assert at.said()[-1]["changes"] == [{"path": "ssids.public.ssid", "impact": "bss"}]
    assert all(sent.retain for sent in at.broker.on(REPORTED))
    assert at.told == [("config", {"revision": 7, "step": state}) for state in ("received", "applying", "confirmed")]


def test_the_first_sight_of_a_verdict_is_no_event(at: Bench) -> None:
    """A restarted daemon says the verdict again, and makes no news of it."""
    at.root_says("rolled_back")
    at.told.clear()
    at.start()
    at.connect()
    assert (at.told, at.said()[-1]["state"]) == ([], "rolled_back")


def test_a_verdict_is_repeated_with_every_connection(at: Bench) -> None:
    """Also when the broker remembers the session."""
    at.root_says("confirmed")
    for times in range(1, 4):
        at.connect(is_resumed=True)
        assert len(at.said()) == times
        at.broker.lose()
        at.move(1)


def test_a_push_under_way_is_looked_at_each_second_and_otherwise_not(at: Bench) -> None:
    """A step is told within a second; without a push there is nothing to wake up for."""
    at.connect()
    assert at.push.due() >= 3600
    at.root_says("applying")
    assert at.push.due() <= 1
    file = at.run_dir / "status/config.json"
    file.with_suffix(".new").write_text(json.dumps({"reported": {"v": 1, "state": "confirmed", "revision": 7}}))
    file.with_suffix(".new").replace(file)
    at.move(1.1)
    assert at.said()[-1]["state"] == "confirmed"
    assert at.push.due() >= 3600


def test_a_word_left_behind_is_not_watched_for_ever(at: Bench) -> None:
    """`testing` for a quarter of an hour without news: whoever wrote it is gone."""
    at.connect()
    at.testing()
    at.move(1000)
    assert at.push.due() >= 3600


def test_hostile_words_of_root_end_nothing(at: Bench) -> None:
    """Not JSON, not an object, nonsense: nothing is said, nothing is raised."""
    at.connect()
    for content in (b"", b"\xff", b"[]", b'{"reported":7,"test":[],"agent":"x","keys":{}}', b'{"reported":{"state":"testing"},"test":{"run":1}}'):
        (at.run_dir / "status/config.json").write_bytes(content)
        at.push.look()
        at.turn()
    assert [told["state"] for told in at.said()] == ["testing"]
    assert at.broker.drops == 0


# Confirming.


def test_it_confirms_once_its_own_word_came_back_over_a_new_connection(at: Bench) -> None:
    """Drop without a word, connect anew, say testing with run and session, hear just that again: then the nonce lies there."""
    at.connect()
    at.testing()
    assert (at.broker.drops, at.broker.is_connected) == (1, False)
    at.move(1)
    at.connect()
    sent = at.broker.on(REPORTED)[-1]
    told = json.loads(sent.payload)
    assert (told["state"], told["run"], told["session"]) == ("testing", RUN, "0000000000000002")
    assert at.lies("confirm") is None, "PUBACK alone is not enough"
    at.bring(REPORTED, sent.payload)
    assert at.lies("confirm") == NONCE.encode()


def test_the_word_of_the_old_connection_confirms_nothing(at: Bench) -> None:
    """What comes back over the connection from before the change, or is retained from there, is not heard."""
    at.connect()
    at.testing()
    before = {"v": 1, "state": "testing", "revision": 7, "run": RUN, "session": "0000000000000001"}
    at.bring(REPORTED, json.dumps(before).encode())
    at.connect()
    at.bring(REPORTED, json.dumps(before).encode(), is_retained=True)
    at.move(5)
    assert at.lies("confirm") is None


@pytest.mark.parametrize(
    "other",
    [
        {"run": "f" * 16},
        {"session": "f" * 16},
        {"session": None},
        {"state": "applying"},
        {"state": "confirmed"},
    ],
)
def test_another_word_confirms_nothing(at: Bench, other: dict[str, object]) -> None:
    """Another run, another session, no session, another state."""
    at.connect()
    at.testing()
    at.connect()
    told = at.said()[-1] | other
    at.bring(REPORTED, json.dumps(told).encode())
    at.bring(REPORTED, b"garbage")
    assert at.lies("confirm") is None


def test_a_connection_lost_in_the_test_begins_again(at: Bench) -> None:
    """The third connection says its own name, and only that one's coming back counts."""
    at.connect()
    at.testing()
    at.connect()
    second = at.broker.on(REPORTED)[-1].payload
    at.broker.lose()
    at.move(1)
    at.connect()
    at.bring(REPORTED, second)
    assert at.lies("confirm") is None
    at.bring(REPORTED, at.broker.on(REPORTED)[-1].payload)
    assert at.lies("confirm") == NONCE.encode()
    assert at.broker.drops == 1


def test_each_run_is_dropped_for_and_confirmed_by_itself(at: Bench) -> None:
    """A second push drops the connection again and has its own nonce; the same word read twice does not."""
    for number, run in enumerate(("a" * 16, "b" * 16), 1):
        at.connect()
        at.testing(run, f"{number:032x}")
        at.testing(run, f"{number:032x}")
        assert at.broker.drops == number
        at.connect()
        at.bring(REPORTED, at.broker.on(REPORTED)[-1].payload)
        assert at.lies("confirm") == f"{number:032x}".encode()
        at.root_says("confirmed")


def test_a_daemon_started_in_the_test_confirms_for_its_predecessor(at: Bench) -> None:
    """It finds the test in root's word; its first connection is a new one."""
    at.connect()
    at.testing()
    at.start()
    at.connect()
    at.bring(REPORTED, at.broker.on(REPORTED)[-1].payload)
    assert at.lies("confirm") == NONCE.encode()


def test_a_confirm_that_cannot_be_written_is_written_as_soon_as_it_can(at: Bench) -> None:
    """A full RAM file system for a second does not cost the push."""
    at.connect()
    at.testing()
    at.connect()
    (at.run_dir / "inbox").write_text("in the way")
    at.bring(REPORTED, at.broker.on(REPORTED)[-1].payload)
    (at.run_dir / "inbox").unlink()
    at.move(1.1)
    assert at.lies("confirm") == NONCE.encode()


def test_no_nonce_is_ever_published(at: Bench) -> None:
    """Whoever hears the topics could otherwise confirm."""
    at.connect()
    at.testing()
    at.connect()
    at.bring(REPORTED, at.broker.on(REPORTED)[-1].payload)
    at.root_says("confirmed")
    assert not [sent for sent in at.broker.sent if NONCE.encode() in sent.payload]


# Later tries.


def test_a_push_that_may_be_tried_again_is_rung_for_when_its_time_has_come(at: Bench) -> None:
    """Root allows it 600 s of uptime after its word; rung for then, and again until there is news."""
    at.connect()
    at.bring(DESIRED, unsigned())
    at.root_says("rolled_back", handled=sha(unsigned()), retry_in_s=600)
    rings = at.router.rings
    at.move(598)
    assert at.router.rings == rings
    at.move(3)
    assert at.router.rings == rings + 1
    at.move(10)
    assert at.router.rings == rings + 2
    at.root_says("applying", handled=sha(unsigned()))
    at.move(30)
    assert at.router.rings == rings + 2


def test_a_config_held_back_is_a_fact_for_the_alerts(at: Bench) -> None:
    """Until root says otherwise."""
    at.root_says("rolled_back", held=True)
    assert at.push.facts()["config_held"] == 1
    at.root_says("confirmed")
    assert at.push.facts()["config_held"] == 0


# Plans.


def test_a_plan_is_passed_on_and_its_result_said_once(at: Bench) -> None:
    """Not retained, once, when root's answer is to these bytes."""
    at.connect()
    at.bring(PLAN, unsigned())
    assert (at.lies("plan"), at.router.rings) == (unsigned(), 1)
    at.root_says(name=said.PLAN, handled=sha(b"another"), result={"v": 1, "state": "planned", "revision": 6})
    assert at.said(RESULT) == []
    at.root_says(name=said.PLAN, handled=sha(unsigned()), result={"v": 1, "state": "planned", "revision": 7})
    at.root_says(name=said.PLAN, handled=sha(unsigned()), result={"v": 1, "state": "planned", "revision": 7})
    assert at.said(RESULT) == [{"v": 1, "state": "planned", "revision": 7}]
    assert [sent.retain for sent in at.broker.on(RESULT)] == [False]


def test_a_retained_plan_is_ignored_and_reported(at: Bench) -> None:
    """A plan is of its moment: nothing is passed on, and the result says why."""
    at.connect()
    at.bring(PLAN, unsigned(), is_retained=True)
    at.move(1)
    (told,) = at.said(RESULT)
    assert (at.lies("plan"), told["state"], told["reason"]) == (None, "rejected", "malformed")
    assert "retain" in told["errors"][0]["message"]


def test_a_refused_plan_is_told_on_its_own_topic(at: Bench) -> None:
    """config/reported is not touched."""
    at.connect()
    at.bring(PLAN, unsigned(ap="rw-0502"))
    at.move(1)
    assert [(told["state"], told["reason"], told["revision"]) for told in at.said(RESULT)] == [("rejected", "wrong_ap", 7)]
    assert at.said() == []


# Asked for again.


def test_a_command_is_no_plan(at: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """What comes on a command's topic is the commands' own to judge: no word about a plan, and not counted as a push."""
    at.connect()
    at.bring("command/locate", unsigned(kind="command"))
    at.move(30)
    assert (at.said(RESULT), at.lies("plan"), at.push.figures().refused, caplog.text) == ([], None, 0, "")


def test_the_same_push_again_repeats_its_verdict_without_root(at: Bench) -> None:
    """Somebody who publishes the confirmed push once more hears so, at most once in ten seconds; root is not asked."""
    at.connect()
    at.bring(DESIRED, unsigned())
    at.root_says("confirmed", handled=sha(unsigned()))
    at.move(20)
    before, rings = len(at.said()), at.router.rings
    for _ in range(50):
        at.bring(DESIRED, unsigned())
        at.move(1)
    at.move(20)
    assert 5 <= len(at.said()) - before <= 6
    assert (at.router.rings, at.lies("desired.again")) == (rings, None)


def test_a_rejected_push_again_is_roots_to_judge_again(at: Bench) -> None:
    """Its cause may be gone: answered at once with the last word, root is asked by another mark, at most once in ten seconds; also when it is retained."""
    at.connect()
    at.bring(DESIRED, unsigned())
    at.root_says("rejected", handled=sha(unsigned()), keys=["f" * 16])
    marks = set()
    for is_retained in (False, True):
        at.move(20)
        before, rings = len(at.said()), at.router.rings
        for _ in range(8):
            at.bring(DESIRED, unsigned(), is_retained=is_retained)
            at.move(1)
        assert (len(at.said()), at.router.rings) == (before + 1, rings + 1)
        marks.add(at.lies("desired.again"))
        at.root_says("rejected", handled=sha(unsigned()), keys=["f" * 16])
        at.move(5)
    assert len(marks) == 2 and None not in marks
    at.root_says("confirmed", handled=sha(unsigned()))
    assert at.said()[-1]["state"] == "confirmed"


def test_the_same_plan_again_is_planned_again(at: Bench) -> None:
    """The box may have changed since: root is asked, and its answer is said though it is the same."""
    at.connect()
    for times in range(1, 3):
        at.bring(PLAN, unsigned())
        at.move(1)
        assert at.router.rings == times
        at.root_says(name=said.PLAN, handled=sha(unsigned()), result={"v": 1, "state": "planned", "revision": 7})
        assert len(at.said(RESULT)) == times
        at.move(30)
    assert at.lies("plan.again") is not None


def test_an_old_plan_is_not_answered_by_every_start(at: Bench) -> None:
    """Whoever asked has the answer of the run before."""
    at.connect()
    at.bring(PLAN, unsigned())
    at.root_says(name=said.PLAN, handled=sha(unsigned()), result={"v": 1, "state": "planned", "revision": 7})
    at.start()
    at.connect()
    at.move(5)
    assert len(at.said(RESULT)) == 1


# What others do meanwhile.


def rolled_back_with_a_retry(at: Bench) -> None:
    at.connect()
    at.bring(DESIRED, unsigned(7))
    at.root_says("testing", handled=sha(unsigned(7)))
    at.root_says("rolled_back", handled=sha(unsigned(7)), retry_in_s=600, reported={"reason": "broker_unreachable"})


def test_a_push_refused_in_between_costs_no_retry(at: Bench) -> None:
    """A lower revision takes its place in the inbox and is refused; when the time has come the one to be tried lies there again."""
    rolled_back_with_a_retry(at)
    at.bring(DESIRED, unsigned(3))
    at.move(2)
    at.root_says("rejected", handled=sha(unsigned(3)), retry_in_s=500, held=False, reported={"revision": 3, "reason": "stale"})
    at.move(498)
    assert at.lies() == unsigned(3)
    at.move(4)
    assert at.lies() == unsigned(7)


def test_a_push_put_off_for_a_moment_is_not_replaced(at: Bench) -> None:
    """The box was busy: the time that root names is the newer push's own."""
    rolled_back_with_a_retry(at)
    at.bring(DESIRED, unsigned(8))
    at.move(2)
    at.root_says("rejected", handled=sha(unsigned(8)), retry_in_s=60, reported={"revision": 8, "reason": "busy"})
    rings = at.router.rings
    at.move(62)
    assert (at.lies(), at.router.rings) == (unsigned(8), rings + 1)


def test_a_retry_whose_push_is_not_known_any_more_is_not_rung_for(at: Bench) -> None:
    """Root could only refuse what lies there once more, every ten seconds for ever."""
    rolled_back_with_a_retry(at)
    at.bring(DESIRED, unsigned(3))
    at.move(2)
    at.root_says("rejected", handled=sha(unsigned(3)), retry_in_s=500, reported={"revision": 3, "reason": "stale"})
    at.start()
    at.connect()
    rings = at.router.rings
    at.move(600)
    assert at.router.rings == rings


def test_a_retry_waits_for_the_broker(at: Bench) -> None:
    """Without a connection it could only fail, and there are two of them; with the next one it is rung for."""
    rolled_back_with_a_retry(at)
    rings = at.router.rings
    at.broker.lose()
    at.move(700)
    assert at.router.rings == rings
    assert at.push.due() > 60
    at.connect()
    at.move(1)
    assert at.router.rings == rings + 1


def test_a_restart_begins_no_quiet_anew(at: Bench) -> None:
    """Old refusals found at the start are no news."""
    at.connect()
    at.root_says("rejected", handled=sha(b"x"), refusals=3)
    at.move(QUIET_S + 100)
    at.start()
    at.connect()
    at.bring(DESIRED, unsigned(9))
    at.move(2)
    assert at.lies() == unsigned(9)


def test_two_kinds_of_garbage_in_turn_are_two_lines(at: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Each reason is logged once until root takes a push again."""
    lines = lambda: len([record for record in caplog.records if "push refused" in record.message])  # noqa: E731
    at.connect()
    for _ in range(20):
        at.bring(DESIRED, b"garbage")
        at.bring(DESIRED, unsigned(ap="rw-0502"))
    assert lines() == 2
    at.root_says("confirmed")
    at.bring(DESIRED, b"garbage")
    assert lines() == 3


def test_a_broker_that_does_not_let_us_hear_ourselves_is_named_once(at: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Acknowledged, not heard for ten seconds: what to allow. Not while the acknowledgement is still to come."""
    lines = lambda: [record.message for record in caplog.records if "allow us to read" in record.message]  # noqa: E731
    at.connect()
    at.testing()
    at.broker.acknowledge = lambda *_tokens: None  # type: ignore[method-assign]  # a fake
    at.connect()
    at.move(30)
    assert lines() == []
    del at.broker.acknowledge
    at.move(9)
    assert lines() == []
    at.move(30)
    assert [line.partition("topic=")[2] for line in lines()] == [f"wifi/v1/malang/{AP}/config/reported"]


def test_a_flood_that_the_broker_keeps_is_reported(at: Bench) -> None:
    """Nobody saw the push, so no revision is named."""
    at.connect()
    at.root_says("confirmed")
    at.broker.flood(262_144)
    at.move(2)
    told = at.said()[-1]
    assert (told["state"], told["reason"], told["verified"], "revision" in told) == ("rejected", "oversize", False, False)
