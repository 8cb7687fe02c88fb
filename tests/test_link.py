"""The conduct within one connection, with moments given and a session that a test answers for."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from agent.dialect import Version
from agent.echo import Echo
from agent.link import Connected, Event, Limits, Link, Message, Plan, Published, Refused
from agent.notices import NO_REASON, Accepted, Acknowledged, Arrived, Ended, Notice, Subscribed
from agent.wire import messages, topics
from tests.turning import BOOT, ROOT, Presence

K = 30
ME, OTHER = "00000000000000aa", "00000000000000bb"
PLAN = Plan(ROOT, Presence(), ("ack",), K, Limits(), "127.0.0.1:1883", False)


class FakeSession:
    """Keeps what was said, and gives what a test put into `inbox`."""

    protocol: Version = 5
    overflowed = 0
    fault: OSError | None = None

    def __init__(self) -> None:
        self.inbox: deque[Notice] = deque()
        self.is_over = False
        self.asked: list[Any] = []
        self.said: list[tuple[str, bytes, int, bool]] = []

    def turn(self) -> bool:
        return bool(self.inbox)

    def keep_alive(self) -> None:
        pass

    def has_pending(self) -> bool:
        return False

    def fds(self) -> dict[int, int]:
        return {}

    def subscribe(self, asked: list[tuple[str, int]]) -> None:
        self.asked += asked

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool, expiry_s: int | None = None, content_type: str | None = None) -> int | None:
        self.said.append((topic, payload, qos, retain))
        return len(self.said)

    def close(self) -> None:
        self.is_over = True


class Talk:
    """A link and both ends of what it says; accepted at moment 0."""

    def __init__(self, names: tuple[str, ...] = (ME,), was_born: bool = False, plan: Plan = PLAN) -> None:
        self.session = FakeSession()
        self.events: deque[Event] = deque()
        self.link = Link(plan, self.session, names, was_born, Echo(), self.events, 0.0)  # type: ignore[arg-type]  # a session by shape
        self.hear(0.0, Accepted(0, None, None, None))

    def hear(self, now: float, *notices: Notice) -> None:
        self.session.inbox.extend(notices)
        self.link.advance(now)

    def presence(self, now: float, payload: bytes) -> None:
        self.hear(now, Arrived(f"{ROOT}/{topics.PRESENCE}", payload, False))

    def born(self) -> Talk:
        """Let the birth be acknowledged and come back."""
        self.hear(0.0, Acknowledged(1, 0))
        self.presence(0.0, PLAN.presence.birth(ME))
        return self

    def births(self) -> int:
        return sum(b'"online"' in payload for topic, payload, _, _ in self.session.said if topic.endswith(topics.PRESENCE))

    def publish(self, now: float, token: int) -> int | None:
        return self.link.publish("report", b"{}", False, None, None, token, now)


@pytest.mark.parametrize("names", [(ME,), (OTHER, ME)])
def test_every_connection_subscribes_to_everything(names: tuple[str, ...]) -> None:
    """Presence, echo and the caller's, on the first connection and on each later one; the birth is retained."""
    talk = Talk(names)
    assert talk.session.asked == [(f"{ROOT}/presence", 1), (f"{ROOT}/echo", 0), (f"{ROOT}/ack", 1)]
    assert talk.session.said == [(f"{ROOT}/presence", PLAN.presence.birth(ME), 1, True)]
    assert list(talk.events) == [Connected(ME, "5")]


def test_a_late_will_is_answered_at_once_then_at_most_every_ten_seconds() -> None:
    """Whoever writes `lost` each second for a minute brings a handful of births, and the last word is ours."""
    talk, lost = Talk().born(), PLAN.presence.lost(OTHER)
    talk.presence(1.0, lost)
    assert talk.births() == 2
    for now in range(2, 62):
        talk.hear(float(now), *(Acknowledged(mid, 0) for mid in range(1, len(talk.session.said) + 1)))
        talk.presence(float(now), lost)
    assert 6 <= talk.births() <= 8
    last = talk.link.due_at(62.0)
    talk.hear(max(last, 72.0))
    assert talk.session.said[-1][1] == PLAN.presence.birth(ME)


def test_what_came_before_the_own_birth_is_no_late_will() -> None:
    """The retained `lost` that every connect finds is older than the birth on its way over it."""
    talk = Talk()
    talk.presence(0.1, PLAN.presence.lost(OTHER))
    assert talk.births() == 1


def test_an_echo_that_returns_does_not_replace_a_puback() -> None:
    """The loop is proven again and again, but what is in flight is never acknowledged: the connection is replaced."""
    talk = Talk().born()
    assert talk.publish(0.0, 7) is not None
    for now in range(1, 2 * K):
        talk.hear(float(now), Arrived(f"{ROOT}/ack", b"{}", False))
        assert talk.link.ending is None, now
    talk.hear(2.0 * K, Arrived(f"{ROOT}/ack", b"{}", False))
    assert talk.link.ending is not None
    assert talk.link.ending.reason == "no PUBACK for 60 s"


def test_only_a_puback_makes_it_published() -> None:
    """Success and refusal by the broker's code; a number nobody waits for is nothing."""
    talk = Talk().born()
    first, second = talk.publish(1.0, 7), talk.publish(1.0, 8)
    talk.events.clear()
    assert first is not None and second is not None
    talk.hear(1.0, Acknowledged(first, 0), Acknowledged(second, 0x97), Acknowledged(99, 0))
    assert list(talk.events) == [Published(7), Refused(8, "quota exceeded (0x97)")]


def test_the_birth_counts_as_in_flight() -> None:
    """Sixteen with it, and one more once it is acknowledged."""
    talk = Talk()
    assert talk.link.room() == 15
    tokens = [talk.publish(0.0, number) for number in range(20)]
    assert tokens[15:] == [None] * 5
    talk.hear(0.0, Acknowledged(1, 0))
    assert talk.link.room() == 1


def test_the_farewell_is_said_once_and_waited_for() -> None:
    """Not said before its PUBACK, and never twice; a late will meanwhile is not answered."""
    talk = Talk().born()
    assert [talk.link.say_stopped(1.0) for _ in range(3)] == [False] * 3
    talk.presence(1.0, PLAN.presence.lost(OTHER))
    assert [payload for _, payload, _, _ in talk.session.said] == [PLAN.presence.birth(ME), PLAN.presence.stopped(ME)]
    talk.hear(1.0, Acknowledged(2, 0))
    assert talk.link.say_stopped(1.0)


def test_somebody_elses_birth_is_met_only_after_an_own_one_was_heard() -> None:
    """The retained birth of a former process is nobody else, also to a second session whose first was cut early; later ones are."""
    stranger = messages.encode(messages.presence_birth(BOOT, "00000000000000cc", None, "0.1.0"))
    for names, was_born, is_met in (((ME,), False, False), ((OTHER, ME), False, False), ((OTHER, ME), True, True)):
        talk = Talk(names, was_born)
        talk.presence(0.1, stranger)
        assert talk.link.has_met_other is is_met


def test_an_echo_of_another_session_proves_nothing() -> None:
    """Neither one of a former session nor one never sent; both are counted."""
    talk = Talk()
    for session, number in ((OTHER, 1), (ME, 1)):
        talk.hear(0.1, Arrived(f"{ROOT}/echo", messages.encode(messages.echo(session, number)), False))
    assert talk.link.ignored == 2


def test_a_refused_echo_subscription_is_not_held_against_the_broker() -> None:
    """Its ACL forbids it: no echo is sent, and the session stays."""
    talk = Talk().born()
    talk.hear(0.0, Subscribed((1, 0x87, 1)))
    for now in range(1, 55):
        talk.hear(float(now), Acknowledged(99, 0))
    assert talk.link.ending is None
    assert not [topic for topic, *_ in talk.session.said if topic.endswith("/echo")]


def test_events_that_nobody_drains_are_bounded() -> None:
    """A flood of acks fills the queue to its bound; the rest is counted."""
    talk = Talk().born()
    talk.hear(1.0, *(Arrived(f"{ROOT}/ack", b"{}", False) for _ in range(3000)))
    assert sum(isinstance(event, Message) for event in talk.events) <= 1024
    assert len(talk.events) + talk.link.ignored >= 3000


def test_the_brokers_word_is_the_reason() -> None:
    """A DISCONNECT's code ends the session with its words; silence says that it closed."""
    for code, words in ((0x8B, "mqtt: the broker ended the session: server shutting down (0x8b)"), (NO_REASON, "mqtt: 127.0.0.1:1883: closed the connection")):
        talk = Talk().born()
        talk.hear(1.0, Ended(code))
        assert talk.link.ending is not None
        assert (talk.link.ending.reason, talk.link.ending.was_accepted, talk.link.ending.is_cut) == (words, True, False)


def test_a_second_connack_is_no_new_session() -> None:
    """A broker that repeats it makes us neither subscribe nor bear again."""
    talk = Talk()
    said = list(talk.session.said)
    talk.hear(1.0, Accepted(0, None, None, None))
    assert talk.session.said == said
    assert len([event for event in talk.events if isinstance(event, Connected)]) == 1


def test_a_push_that_is_too_long_is_handed_up_as_far_as_tells_so() -> None:
    """As much as its reader needs to call it oversize; anything else of that size is ignored."""
    talk = Talk(plan=PLAN._replace(subscriptions=("ack", "config/desired", "config/plan"))).born()
    talk.events.clear()
    for below in ("ack", "config/desired", "config/plan"):
        talk.hear(1.0, Arrived(f"{ROOT}/{below}", b"x" * 100_000, False))
    assert [(event.topic, len(event.payload)) for event in talk.events if isinstance(event, Message)] == [("config/desired", 60_001), ("config/plan", 60_001)]
    assert talk.link.ignored == 1


def test_a_narrow_connection_subscribes_to_pushes_and_commands_later() -> None:
    """Not with the rest, but by themselves; a refused one is called by its own name."""
    talk = Talk(plan=PLAN._replace(subscriptions=("ack", "config/desired", "config/plan", topics.COMMANDS), is_narrow=True)).born()
    assert [topic for topic, _ in talk.session.asked] == [f"{ROOT}/{below}" for below in ("presence", "echo", "ack")]
    talk.link.widen()
    assert [topic for topic, _ in talk.session.asked[3:]] == [f"{ROOT}/{below}" for below in ("config/desired", "config/plan", "command/+")]
    assert not talk.link.is_narrow


def test_a_command_is_handed_up_by_its_name() -> None:
    """Whatever its name; what is beside the grammar, another's, or not asked for is ignored."""
    talk = Talk(plan=PLAN._replace(subscriptions=("ack", topics.COMMANDS))).born()
    others = (f"{ROOT}/command/A", f"{ROOT}/command/a/result", f"{ROOT}/command/+", f"x/{ROOT}/command/a", f"{ROOT}x/command/a")
    talk.hear(1, Arrived(f"{ROOT}/command/locate", b"jws", True), *(Arrived(topic, b"jws", False) for topic in others))
    assert [event for event in talk.events if isinstance(event, Message)] == [Message("command/locate", b"jws", True)]
    plain = Talk().born()
    plain.hear(1, Arrived(f"{ROOT}/command/locate", b"jws", False))
    assert not [event for event in plain.events if isinstance(event, Message)]


def test_a_command_that_is_too_long_is_handed_up_as_far_as_tells_so() -> None:
    """Like a push."""
    talk = Talk(plan=PLAN._replace(subscriptions=(topics.COMMANDS,))).born()
    talk.hear(1, Arrived(f"{ROOT}/command/locate", b"x" * 100_000, False))
    assert [len(event.payload) for event in talk.events if isinstance(event, Message)] == [60_001]
