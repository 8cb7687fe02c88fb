"""Which words of an access point are about this push, and when all have ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleet.city import City
from fleet.following import Ear, Following
from tests.fleet.pushed_city import Air, Heard

IDS = ("rw-0001", "rw-0002", "rw-0003")


class Pair:
    """An ear on the air, and a following of revision 7."""

    def __init__(self, folder: Path, offline: set[str] | None = None, hashes: dict[str, str] | None = None, before: dict[str, Any] | None = None) -> None:
        self.air = Air(City(folder, "malang"), IDS)
        self.air.offline = offline or set()
        for ap, message in (before or {}).items():
            self.air.reports(ap, **message)
        self.ear = Ear(self.air.city, self.air, IDS)
        self.ear.settle()
        self.following = Following(dict.fromkeys(IDS, 7), self.ear, hashes)

    def say(self, ap: str = "rw-0001", below: str = "config/reported", **message: Any) -> str:
        """Let one say something; give how it stands with it."""
        self.air.say(ap, below, {"v": 1} | message)
        self.ear.listen(0, self.following)
        return next(row.state for row in self.following.rows if row.ap == ap)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


@pytest.mark.parametrize("state", ["received", "applying", "testing", "confirmed", "unchanged", "rejected", "rolled_back", "failed"])
def test_what_it_says_of_this_revision_counts(pair: Pair, state: str) -> None:
    assert pair.say(revision=7, state=state) == state


def test_an_older_verdict_is_none(pair: Pair) -> None:
    assert pair.say(revision=6, state="confirmed") == "sent"


def test_a_higher_revision_supersedes(pair: Pair) -> None:
    """Somebody pushed again, and it is that push's verdict."""
    assert pair.say(revision=8, state="testing") == "superseded"
    assert pair.say(revision=8, state="failed") == "superseded"


def test_a_verdict_that_came_before_the_higher_revision_stays(pair: Pair) -> None:
    assert pair.say(revision=7, state="rolled_back") == "rolled_back"
    assert pair.say(revision=8, state="received") == "rolled_back"


def test_a_refusal_that_no_signature_vouches_for_names_no_revision_and_counts(pair: Pair) -> None:
    assert pair.say(state="rejected", reason="unknown_key", verified=False) == "rejected"


def test_such_a_refusal_from_before_does_not_count_when_it_is_repeated(tmp_path: Path) -> None:
    """On each connect an access point publishes its last word again, with another session."""
    old = {"state": "rejected", "reason": "unknown_key", "verified": False, "took_ms": 12, "session": "a" * 16}
    pair = Pair(tmp_path, before={"rw-0001": old})
    assert pair.say(**old | {"session": "b" * 16}) == "sent"
    assert pair.say(**old | {"session": "b" * 16, "took_ms": 13}) == "rejected"


def test_it_is_over_when_all_who_are_there_have_a_verdict(tmp_path: Path) -> None:
    pair = Pair(tmp_path, {"rw-0003"})
    assert not pair.following.is_over
    pair.say("rw-0001", revision=7, state="confirmed")
    pair.say("rw-0002", revision=7, state="testing")
    assert not pair.following.is_over
    pair.say("rw-0002", revision=7, state="rolled_back", reason="not_on_air")
    assert pair.following.is_over
    assert [row.state for row in pair.following.ended()] == ["confirmed", "rolled_back", "waiting"]
    assert pair.following.ended()[1].reason == "not_on_air"


def test_who_is_away_while_it_tries_is_waited_for(pair: Pair) -> None:
    """The test of a push drops the connection: its will is no end."""
    pair.say("rw-0001", revision=7, state="testing")
    assert pair.say("rw-0001", "presence", state="lost") == "testing"
    assert not pair.following.is_over


def test_who_goes_away_before_a_word_is_not_waited_for_and_counts_when_back(pair: Pair) -> None:
    assert pair.say("rw-0001", "presence", state="lost") == "waiting"
    assert pair.say("rw-0001", "presence", state="online") == "sent"


def test_who_was_there_and_gave_no_verdict_is_silent(pair: Pair) -> None:
    pair.say("rw-0001", revision=7, state="testing")
    assert [row.state for row in pair.following.ended()] == ["silent", "silent", "silent"]


def test_words_of_others_and_what_is_no_message_do_not_count(pair: Pair) -> None:
    pair.air.say("rw-0099", "config/reported", {"v": 1, "revision": 7, "state": "failed"})
    pair.air._queue.append(pair.air._queue[-1]._replace(topic="wifi/v1/malang/rw-0001/config/reported", payload=b"\xff{"))
    pair.air._queue.append(pair.air._queue[-1]._replace(topic="$SYS/x"))
    assert pair.say(revision=True, state="confirmed") == "sent"
    assert pair.say(revision=7, state="strange") == "sent"
    assert {row.state for row in pair.following.rows} == {"sent"}


def test_a_plans_answer_must_be_about_the_same_document(tmp_path: Path) -> None:
    pair = Pair(tmp_path, {"rw-0002"}, dict.fromkeys(IDS, "sha256:a"))
    assert pair.say(below="config/plan/result", revision=7, state="planned", hash="sha256:b") == "sent"
    assert pair.say(revision=7, state="confirmed") == "sent"
    assert pair.say(below="config/plan/result", revision=7, state="planned", hash="sha256:a") == "planned"
    assert [row.state for row in pair.following.rows] == ["planned", "offline", "sent"]


def test_a_refused_plan_may_name_neither_revision_nor_hash(tmp_path: Path) -> None:
    pair = Pair(tmp_path, hashes=dict.fromkeys(IDS, "sha256:a"))
    assert pair.say(below="config/plan/result", state="rejected", reason="unknown_key") == "rejected"


def test_faults_are_told_without_what_does_not_print(pair: Pair) -> None:
    pair.say(revision=7, state="rejected", reason="invalid", errors=[{"path": "a", "code": "x", "message": "a\x1b[2J is bad"}, 3])
    assert pair.following.rows[0].errors == ["a?[2J is bad"]


def test_many_are_heard_by_few_filters(tmp_path: Path) -> None:
    """And among them only those that are asked for."""
    ids = [f"rw-{number:04d}" for number in range(101)]
    air = Air(City(tmp_path, "malang"), [*ids, "other"])
    filters: list[str] = []
    air.subscribe = filters.extend  # type: ignore[method-assign]  # to see them
    Ear(air.city, air, ids)
    assert filters == [f"wifi/v1/malang/+/{below}" for below in ("presence", "config/reported", "config/plan/result")]


def test_a_busy_broker_has_time_to_begin(tmp_path: Path) -> None:
    """What is retained may come a second after it was asked for; who is not heard of by then is not there."""
    air = Air(City(tmp_path, "malang"), IDS)
    real, waited = air.messages, [0.0]

    def slow(most: int, within_s: float) -> list[Heard]:
        waited[0] += within_s
        return real(most, within_s) if waited[0] >= 1.0 else []

    air.messages = slow  # type: ignore[method-assign]  # it takes a second
    ear = Ear(air.city, air, IDS)
    ear.settle()
    assert ear.online == set(IDS)
