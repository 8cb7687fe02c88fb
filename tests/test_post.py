"""What is handed over to the broker, in which order, and what is said again when it was not acknowledged."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from agent.broker import Connected, Event, Lost, Message
from agent.outbox import Outbox
from agent.post import MOST_APART, Post
from tests.fakes.broker import FakeBroker
from tests.fakes.router import FakeClock
from tests.reports import BOOT, event, report


class Office(NamedTuple):
    """A post with its broker, outbox and clock."""

    post: Post
    broker: FakeBroker
    outbox: Outbox
    clock: FakeClock
    others: list[Event]

    def put(self, count: int = 1) -> None:
        for _ in range(count):
            self.outbox.put("report", report(self.outbox.next_seq(), self.clock.move(60)))

    def turn(self) -> bool:
        """Do what the daemon does once a turn."""
        has_changed = self.post.take_events()
        self.others.extend(self.post.drain())
        self.post.hand_over()
        return has_changed

    def seqs(self) -> list[int]:
        return [json.loads(sent.payload)["seq"] for sent in self.broker.on("report")]


def office(folder: Path, most: int = 16, encoding: Literal["json", "deflate"] = "json") -> Office:
    broker, clock = FakeBroker(most), FakeClock()
    outbox = Outbox(str(folder), BOOT, 524288)
    return Office(Post(broker, outbox, clock, 60, encoding), broker, outbox, clock, [])  # type: ignore[arg-type]  # a fake


@pytest.fixture
def at(tmp_path: Path) -> Office:
    return office(tmp_path)


def test_nothing_is_handed_over_without_a_connection(at: Office) -> None:
    """Everything waits until there is a session."""
    at.put(3)
    at.post.announce("info", b"{}")
    at.turn()
    assert at.broker.sent == []
    assert at.post.wait() is None


def test_retained_news_go_first_and_only_the_newest_of_each_topic(at: Office) -> None:
    """Of two announcements on one topic one is sent; reports come after."""
    at.put()
    at.post.announce("info", b"old")
    at.post.announce("alert/flash-full", b"")
    at.post.announce("info", b"new")
    at.broker.connect()
    at.turn()
    assert [(sent.topic, sent.payload, sent.retain) for sent in at.broker.sent[:2]] == [("info", b"new", True), ("alert/flash-full", b"", True)]
    assert at.broker.sent[2].topic == "report"
    assert not at.broker.sent[2].retain


def test_the_live_report_goes_before_the_backlog(at: Office) -> None:
    """After an outage the newest report is the first to go, then the oldest."""
    at.put(5)
    at.broker.connect()
    at.turn()
    assert at.seqs()[:3] == [5, 1, 2]


def test_only_a_puback_releases(at: Office) -> None:
    """A message stays in the outbox until the broker has acknowledged it."""
    at.put()
    at.broker.connect()
    at.turn()
    assert at.outbox.figures().count == 1
    at.broker.acknowledge()
    at.turn()
    assert at.outbox.figures().count == 0


def test_a_lost_session_says_everything_in_flight_again(at: Office) -> None:
    """News and reports without PUBACK go again over the next session, the same bytes."""
    at.put()
    at.post.announce("info", b"news")
    at.broker.connect()
    at.turn()
    first = [(sent.topic, sent.payload) for sent in at.broker.sent]
    at.broker.lose()
    at.broker.connect()
    assert at.turn()
    assert [(sent.topic, sent.payload) for sent in at.broker.sent[2:]] == first


def test_newer_news_are_not_overwritten_by_lost_older_ones(at: Office) -> None:
    """What was announced anew while the old was under way is what is said after the reconnect."""
    at.post.announce("info", b"old")
    at.broker.connect()
    at.turn()
    at.post.announce("info", b"new")
    at.broker.lose()
    at.broker.connect()
    at.turn()
    assert [sent.payload for sent in at.broker.on("info")] == [b"old", b"new"]


def test_no_more_than_the_broker_has_room_for(tmp_path: Path) -> None:
    """With room for two, the third waits for a PUBACK."""
    at = office(tmp_path, most=2)
    at.put(4)
    at.broker.connect()
    at.turn()
    assert len(at.broker.sent) == 2
    at.turn()
    assert len(at.broker.sent) == 2
    at.broker.acknowledge(1)
    at.turn()
    assert len(at.broker.sent) == 3


def test_a_refused_report_waits_and_is_not_lost(at: Office) -> None:
    """The broker's refusal delays a report, it does not release it."""
    at.put()
    at.broker.connect()
    at.turn()
    at.broker.refuse(1)
    at.turn()
    assert at.outbox.figures().count == 1
    assert len(at.broker.sent) == 1
    wait = at.post.wait()
    assert wait is not None
    at.clock.move(wait + 0.1)
    at.turn()
    assert at.seqs() == [1, 1]


def test_refused_news_are_given_up(at: Office) -> None:
    """A retained message that the broker's ACL forbids is not repeated in a loop."""
    at.post.announce("info", b"news")
    at.broker.connect()
    at.turn()
    at.broker.refuse(1)
    at.turn()
    at.turn()
    assert len(at.broker.on("info")) == 1


def test_an_ack_releases_and_brings_back_what_is_missing(at: Office) -> None:
    """After the first ack a PUBACKed report is kept, sent again when named missing, and gone when covered."""
    at.broker.connect()
    at.broker.bring("ack", b'{"boot":"%s","through":0}' % BOOT.encode())
    at.turn()
    at.put()
    at.turn()
    at.broker.acknowledge()
    at.turn()
    assert at.outbox.figures().kept == 1
    at.broker.bring("ack", b'{"boot":"%s","through":1,"missing":[[1,1]]}' % BOOT.encode())
    at.turn()
    assert at.seqs() == [1, 1]
    at.broker.acknowledge()
    at.broker.bring("ack", b'{"boot":"%s","through":1}' % BOOT.encode())
    at.turn()
    assert at.outbox.figures().count == 0


@pytest.mark.parametrize("payload", [b"", b"banana", b"{}", b"\xff", b'{"boot":"x","through":1}'])
def test_a_malformed_ack_is_counted(at: Office, payload: bytes) -> None:
    """What is no ack changes nothing and is counted."""
    at.put()
    at.broker.connect()
    at.broker.bring("ack", payload)
    at.turn()
    assert at.post.ignored == 1
    assert at.outbox.figures().count == 1


def test_a_retained_ack_is_counted_and_ignored(at: Office) -> None:
    """An ack that lies retained is of another day."""
    at.put()
    at.broker.connect()
    at.broker.bring("ack", b'{"boot":"%s","through":1}' % BOOT.encode(), is_retained=True)
    at.turn()
    assert at.post.ignored == 1
    assert at.outbox.figures().count == 1


def test_deflate_is_for_reports_only(tmp_path: Path) -> None:
    """A deflated report says so in its content type; an event stays readable."""
    at = office(tmp_path, encoding="deflate")
    at.put()
    at.outbox.put("event", event(at.outbox.next_seq(), at.clock.move(1)))
    at.broker.connect()
    at.turn()
    (sent,) = at.broker.on("report")
    assert sent.content_type == "application/json+deflate"
    assert json.loads(zlib.decompress(sent.payload))["seq"] == 1
    assert json.loads(at.broker.on("event")[0].payload)["seq"] == 2
    assert at.broker.on("event")[0].content_type == "application/json"


def test_what_is_not_retained_expires_and_what_is_does_not(at: Office) -> None:
    """Message expiry belongs on reports and events, never on a retained topic."""
    at.put()
    at.post.announce("info", b"news")
    at.broker.connect()
    at.turn()
    assert at.broker.on("info")[0].expiry_s is None
    assert at.broker.on("report")[0].expiry_s is not None


def test_a_report_sent_late_says_so(at: Office) -> None:
    """Older than two intervals at its first sending: late; the live one is not."""
    at.put(5)
    at.broker.connect()
    at.turn()
    late = {json.loads(sent.payload)["seq"]: json.loads(sent.payload)["late"] for sent in at.broker.on("report")}
    assert (late[5], late[1]) == (False, True)


def test_latency_is_known_after_the_first_puback(at: Office) -> None:
    """There is no figure before, and a whole number of milliseconds after."""
    assert at.post.latency_p95_ms() is None
    at.put()
    at.broker.connect()
    at.turn()
    at.broker.acknowledge()
    at.turn()
    latency = at.post.latency_p95_ms()
    assert isinstance(latency, int)
    assert latency >= 0


def test_nothing_is_left_of_what_was_published(at: Office) -> None:
    """A thousand reports, published and acknowledged: no table of the post grows."""

    def held() -> int:
        return sum(len(value) for value in vars(at.post).values() if isinstance(value, (dict, list, set)))

    at.broker.connect()
    before = held()
    for _ in range(1000):
        at.put()
        at.turn()
        at.broker.acknowledge()
        at.turn()
    assert (held(), len(at.broker.on("report"))) == (before, 1000)


def test_of_two_of_a_topic_in_flight_the_newer_is_said_again(at: Office) -> None:
    """A clear and then a raise, both lost: the raise stands, not the clear."""
    at.broker.connect()
    at.post.announce("alert/uplink-down", b"")
    at.turn()
    at.post.announce("alert/uplink-down", b"raised")
    at.turn()
    at.broker.lose()
    at.turn()
    at.broker.connect()
    at.turn()
    assert [sent.payload for sent in at.broker.on("alert/uplink-down")] == [b"", b"raised", b"raised"]


def test_a_flood_of_garbage_is_counted_and_logged_once(at: Office, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may write to our ack cannot fill the log."""
    at.broker.connect()
    for _ in range(50):
        at.broker.bring("ack", b"garbage")
    at.turn()
    assert at.post.ignored == 50
    assert len([record for record in caplog.records if "message ignored" in record.message]) == 1


def test_a_broker_that_forgot_us_is_told_the_news_again(at: Office) -> None:
    """After a restart without its store it has no `info` and no open alert of ours; one that remembers us has."""
    at.broker.connect()
    at.post.announce("info", b"who")
    at.turn()
    at.broker.acknowledge()
    for is_resumed, times in ((True, 1), (False, 2)):
        at.broker.lose()
        at.turn()
        at.broker.connect(is_resumed=is_resumed)
        at.turn()
        assert len(at.broker.on("info")) == times


def test_refused_news_are_kept_for_the_next_session(at: Office) -> None:
    """A broker that is full today may take the alert tomorrow."""
    at.broker.connect()
    at.post.announce("alert/flash-full", b"raised")
    at.turn()
    at.broker.refuse(at.broker.on("alert/flash-full")[0].token)
    at.turn()
    assert len(at.broker.on("alert/flash-full")) == 1
    at.broker.lose()
    at.turn()
    at.broker.connect()
    at.turn()
    assert [sent.payload for sent in at.broker.on("alert/flash-full")] == [b"raised", b"raised"]


def test_what_is_said_once_is_not_retained_and_not_said_again(at: Office) -> None:
    """A plan's result waits for a connection, goes once, and is nothing that a broker without memory has to be told anew."""
    at.post.say("config/plan/result", b"old")
    at.post.say("config/plan/result", b"new")
    at.broker.connect()
    at.turn()
    (sent,) = at.broker.on("config/plan/result")
    assert (sent.payload, sent.retain) == (b"new", False)
    at.broker.acknowledge()
    at.turn()
    at.broker.lose()
    at.turn()
    at.broker.connect(is_resumed=False)
    at.turn()
    assert len(at.broker.on("config/plan/result")) == 1


def test_what_is_not_the_posts_is_given_on_in_order(at: Office) -> None:
    """Connections that come and go and every message but the acks, once each, in the order they came."""
    at.broker.connect()
    at.broker.bring("config/desired", b"a", is_retained=True)
    at.broker.bring("ack", b"{}")
    at.broker.bring("config/plan", b"b")
    at.turn()
    at.broker.lose()
    at.turn()
    assert [type(event) for event in at.others] == [Connected, Message, Message, Lost]
    assert at.others[1:3] == [Message("config/desired", b"a", True), Message("config/plan", b"b", False)]
    assert at.post.drain() == []


def test_what_is_about_different_things_waits_side_by_side(at: Office) -> None:
    """Of one topic and thing the newest, of one topic and two things both; whose waiting is bounded."""
    for payload, about in ((b"1", "a"), (b"2", "b"), (b"3", "a")):
        at.post.say("command/locate/result", payload, about)
    assert at.post.is_under_way("command/locate/result", "a") and not at.post.is_under_way("command/locate/result")
    at.broker.connect()
    at.turn()
    assert sorted((sent.payload, sent.retain) for sent in at.broker.on("command/locate/result")) == [(b"2", False), (b"3", False)]
    at.broker.acknowledge()
    at.turn()
    assert not at.post.is_under_way("command/locate/result", "a")
    at.broker.lose()
    at.turn()
    at.post.announce("info", b"who")
    for number in range(100):
        at.post.say("command/locate/result", b"%d" % number, str(number))
    at.broker.connect()
    while at.post.is_under_way("command/locate/result", "99") or at.post.is_under_way("info"):
        at.turn()
        at.broker.acknowledge()
    assert [sent.payload for sent in at.broker.on("command/locate/result")[2:]] == [b"%d" % number for number in range(68, 100)] and at.broker.on("info")


def test_answers_that_nobody_will_have_are_given_up(at: Office) -> None:
    """A broker that makes us answer and refuses each answer does not fill our memory, in this session or the next; what is retained goes again."""
    at.broker.connect()
    at.post.announce("info", b"news")
    for number in range(200):
        at.post.say("command/locate/result", b"{}", f"id-{number}")
        at.turn()
        at.broker.refuse(at.broker.sent[-1].token)
        at.turn()
    sent = len(at.broker.sent)
    assert not at.post.is_under_way("command/locate/result", "id-7")
    at.broker.lose()
    at.turn()
    at.broker.connect()
    at.turn()
    assert len(at.broker.sent) - sent <= 1


def test_what_waits_about_many_things_is_bounded(at: Office) -> None:
    """The newest are kept, also of what was on its way when a connection was lost."""
    for session in range(4):
        for number in range(20):
            at.post.say("command/locate/result", b"{}", f"id-{session}-{number}", b"short")
        at.broker.connect()
        at.turn()
        at.broker.lose()
        at.turn()
    at.broker.connect()
    for _ in range(9):
        at.turn()
        at.broker.acknowledge()
    assert not at.post.is_under_way("command/locate/result", "id-3-19") and len(at.broker.sent) <= 4 * 16 + MOST_APART
    assert not [value for value in vars(at.post).values() if isinstance(value, dict) and value]


def test_what_is_too_long_for_this_broker_is_said_shorter(at: Office) -> None:
    """Once; the short word is refused as well only where nothing at all is taken."""
    at.broker.connect()
    at.post.say("command/logs/result", b"long", "id-1", b"short")
    for _ in range(3):
        at.turn()
        if at.broker.sent:
            at.broker.refuse(at.broker.sent[-1].token)
    assert [one.payload for one in at.broker.sent] == [b"long", b"short"]


@pytest.mark.parametrize("first", ["acknowledged", "refused"])
def test_what_is_said_shorter_is_of_the_long_word_alone(at: Office, first: str) -> None:
    """An older word about the same may be under way beside it: what becomes of that one says nothing of the long one."""
    at.broker.connect()
    at.post.say("command/logs/result", b"running", "id-1")
    at.turn()
    at.post.say("command/logs/result", b"long", "id-1", b"short")
    at.turn()
    running, long = at.broker.sent
    (at.broker.acknowledge if first == "acknowledged" else at.broker.refuse)(running.token)
    at.turn()
    assert [one.payload for one in at.broker.sent] == [b"running", b"long"]
    at.broker.refuse(long.token)
    at.turn()
    assert [one.payload for one in at.broker.sent] == [b"running", b"long", b"short"]
