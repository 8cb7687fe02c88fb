"""The daemon's half of a push: from the broker into root's inbox, and what root says of it back to the broker.

Judges nothing but form and address: signature, content and revision are root's. Starts nothing, waits for nothing; one thread's object.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from agent.broker import Broker, Connected, Event, Flooded, Lost, Message
from agent.errors import Unavailable
from agent.inbox import CONFIRM, DESIRED, PLAN, Inbox, sha256
from agent.post import Post
from agent.said import CONFIG, NOTHING, Said, Word, parse, parse_plan
from agent.said import PLAN as PLAN_FILE
from agent.wire import claims, config, jws, messages, topics

if TYPE_CHECKING:
    from agent.router.doorbell import Doorbell
    from agent.settings import Settings

LOG = logging.getLogger(__name__)

WRITE_EVERY_S = 1.0
LOOK_EVERY_S = 1.0
RING_EVERY_S = 10.0
REFUSE_EVERY_S = 10.0
AGAIN_EVERY_S = 10.0
DEAF_S = 10.0
STRANGER_EVERY_S = 60.0
QUIET_S = 600.0
REFUSALS = 3
# Root that gives no sign for so long is looked for only as often as it is rung for.
PATIENCE_S = 60.0
# Longer than any push may take: a status that says "testing" after that was left there by somebody who died.
LONGEST_PUSH_S = 900.0
NEVER_S = 3600.0
# Rejected for now only: root's time for another try is then this file's own.
PASSING = ("busy", "unsupported")


class _Slot:
    """One kind of push: what waits to be put into the inbox, and the SHA-256 of what lies there and of what root judged."""

    def __init__(self, name: str, lying: str) -> None:
        self.name = name
        self.waiting: bytes | None = None
        self.lying = lying
        self.handled = ""
        self.is_asked_again = False
        self.again_at = 0.0

    @property
    def is_awaited(self) -> bool:
        """Say whether root has yet to look at what lies there."""
        return bool(self.lying) and self.lying != self.handled


class Figures(NamedTuple):
    """How many pushes came, were put into the inbox and were refused here, and how often root was rung for, since the start."""

    received: int
    passed_on: int
    refused: int
    rung: int


class Push:
    """The pushes of the daemon's life. `tell` puts an event; moments are the world's monotonic seconds, root's are seconds of uptime."""

    def __init__(
        self,
        settings: Settings,
        router: Doorbell,
        post: Post,
        broker: Broker,
        tell: Callable[[str, dict[str, object]], None],
        monotonic: Callable[[], float] = time.monotonic,
        uptime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._city, self._ap = settings.city, settings.id
        self._router, self._post, self._broker, self._tell = router, post, broker, tell
        self._monotonic, self._uptime = monotonic, uptime
        self._inbox = Inbox(settings.paths.run_dir)
        self._desired, self._plan = (_Slot(name, self._inbox.lying(name)) for name in (DESIRED, PLAN))
        self._config_word, self._plan_word = (Word(settings.paths.run_dir, name) for name in (CONFIG, PLAN_FILE))
        self._session: str | None = None
        self._to_confirm = self._confirmed = ""
        self._refusals: dict[str, bytes] = {}
        self._refusals_logged: set[tuple[str, str]] = set()
        # The push that root tries or will try again, by its SHA-256: it comes back when another lies in its place at that time.
        self._tried: tuple[str, bytes] | None = None
        self._deaf_run = ""
        self._received = self._passed_on = self._refused = self._rung = 0
        now = monotonic()
        self._write_at = self._ring_at = self._refuse_at = self._look_at = self._stirred_at = now
        self._quiet_until = self._stranger_at = self._deaf_at = now
        self._has_told = False
        self._is_news = False  # what is found at the start may be of last week
        self.said = NOTHING
        self.look()
        self._is_news = True

    # What the daemon asks.

    def figures(self) -> Figures:
        """Give the counts since the start."""
        return Figures(self._received, self._passed_on, self._refused, self._rung)

    def summary(self) -> dict[str, object]:
        """Give what `rwagent status` shows: the counts, and how the last push stands."""
        reported = self.said.reported or {}
        last = {name: reported.get(name) for name in ("revision", "state", "reason", "current")}
        return self.figures()._asdict() | {name: value for name, value in last.items() if value is not None} | {"held": self.said.is_held}

    def facts(self) -> dict[str, float]:
        """Give what alerts need: bad signatures in a row, and whether a config is held back for good."""
        return {"bad_signatures": float(self.said.refusals), "config_held": float(self.said.is_held)}

    def due(self) -> float:
        """Seconds of the world until `advance` must be called at the latest."""
        moments = [self._monotonic() + NEVER_S]
        if any(slot.waiting is not None for slot in (self._desired, self._plan)):
            moments.append(max(self._write_at, self._quiet_until))
        moments += [max(slot.again_at, self._quiet_until) for slot in (self._desired, self._plan) if slot.is_asked_again]
        if self._is_ring_wanted():
            moments.append(self._ring_at)
        elif self.said.retry_at_uptime_s is not None and self._can_try_again():
            moments.append(self._monotonic() + max(0.0, self.said.retry_at_uptime_s - self._uptime()))
        if self._is_under_way():
            moments.append(self._look_at)
        elif self._refusals:
            moments.append(self._refuse_at)
        return max(0.0, min(moments) - self._monotonic())

    # What the daemon wants done.

    def take(self, event: Event) -> None:
        """Take what the broker's session brought and is not the post's."""
        if isinstance(event, Connected):
            self._session = event.session
            self._announce()
        elif isinstance(event, Lost):
            self._session = None
        elif isinstance(event, Flooded):
            self._refuse(self._desired, jws.Refused("oversize", f"the broker kept a packet of more than {event.limit} bytes for us"), None)
        elif isinstance(event, Message) and event.topic == topics.CONFIG_REPORTED:
            self._hear(event.payload)
        elif isinstance(event, Message) and event.topic in topics.PUSHES:
            self._take_push(self._desired if event.topic == topics.CONFIG_DESIRED else self._plan, event)

    def advance(self) -> None:
        """Do what is due: write, ring, look, refuse."""
        now = self._monotonic()
        if now >= self._look_at and self._is_under_way():
            self.look()
        for slot in (self._desired, self._plan):
            if slot.waiting is not None and now >= max(self._write_at, self._quiet_until):
                self._write(slot, slot.waiting, now)
            if slot.is_asked_again and now >= max(slot.again_at, self._quiet_until):
                self._answer_again(slot, now)
        if now >= self._ring_at and self._is_ring_wanted():
            self._ring(now)
        self._notice_deafness(now)
        if self._refusals and now >= self._refuse_at and not self._is_under_way():
            self._tell_refusals(now)

    def look(self) -> None:
        """Read what root says, where that may be new."""
        now = self._monotonic()
        self._look_at = now + LOOK_EVERY_S
        found = self._config_word.news()
        if found is not None:
            former, self.said = self.said, parse(found)
            self._desired.handled = self.said.handled
            self._heed(former, now)
        found = self._plan_word.news()
        planned = None if found is None else parse_plan(found)
        if planned is not None:
            was_awaited, self._plan.handled = self._plan.is_awaited, planned.handled
            # What is found at the start was answered to whoever asked our predecessor.
            if was_awaited and not self._plan.is_awaited and self._is_news:
                self._post.say(topics.CONFIG_PLAN_RESULT, messages.encode(planned.result))
        if self._to_confirm:
            self._confirm()

    # From the broker to root.

    def _take_push(self, slot: _Slot, message: Message) -> None:
        if not message.payload:
            return  # somebody cleared the topic: nothing is desired anew
        self._received += 1
        payload: messages.Payload = {}
        try:
            if slot is self._plan and message.is_retained:
                raise jws.Refused("malformed", "the push is retained, but a plan is of its moment: expected no retain flag")
            frame = jws.parse(message.payload)
            payload = frame.payload
            is_lying = sha256(message.payload) == slot.lying
            if not is_lying and not self._may_be_known(frame.kid):
                raise jws.Refused("unknown_key", f"the push is signed with a key that is not trusted here, expected one of {', '.join(self.said.keys)}")
            claims.parse(payload, self._city, self._ap, claims.KINDS if slot is self._plan else (claims.KIND,))
        except jws.Refused as error:
            self._refuse(slot, error, claims.revision_of(payload))
        else:
            # The newest wins, also when it is what lies there already.
            slot.waiting = None if is_lying else message.payload
            # A retained one comes with each connection, and so does the verdict: only a rejected one may stand otherwise by now.
            slot.is_asked_again = is_lying and not slot.is_awaited and (not message.is_retained or self._is_rejected())

    def _may_be_known(self, kid: str) -> bool:
        """Say whether root is to be asked about a key: once a minute also about one that it has not named, for it may have been given since."""
        if not self.said.keys or kid in self.said.keys:
            return True
        now = self._monotonic()
        if now < self._stranger_at:
            return False
        self._stranger_at = now + STRANGER_EVERY_S
        return True

    def _write(self, slot: _Slot, content: bytes, now: float) -> None:
        self._write_at = now + WRITE_EVERY_S
        try:
            self._inbox.put(slot.name, content)
        except OSError as error:
            self._complain("push not passed on, trying again: file=%s reason=%s", slot.name, error.strerror)
            self._write_at = now + RING_EVERY_S
            return
        slot.waiting, slot.lying = None, sha256(content)
        self._passed_on += 1
        self._stirred_at = self._ring_at = now

    def _is_rejected(self) -> bool:
        """Say whether root's last word is that it rejects what lies there."""
        return self.said.handled == self._desired.lying and self.said.state == "rejected"

    def _answer_again(self, slot: _Slot, now: float) -> None:
        """Repeat the verdict on a push that came again; what was rejected or only planned is root's to judge once more, for the box may have changed."""
        slot.is_asked_again, slot.again_at = False, now + AGAIN_EVERY_S
        if slot is self._desired:
            self._announce()
        if slot is self._plan or self._is_rejected():
            try:
                self._inbox.ask_again(slot.name)
            except OSError as error:
                self._complain("root cannot be asked again: file=%s reason=%s", slot.name, error.strerror)
                return
            slot.handled = ""
            self._stirred_at = self._ring_at = now

    def _is_ring_wanted(self) -> bool:
        return self._is_retry_due() or self._desired.is_awaited or self._plan.is_awaited

    def _is_retry_due(self) -> bool:
        retry_at = self.said.retry_at_uptime_s
        return retry_at is not None and self._uptime() >= retry_at and self._can_try_again()

    def _can_try_again(self) -> bool:
        """Say whether the push of the retry lies there, or can be put there; without the broker it could only fail, and there are but two of them."""
        return self._session is not None and (self._is_retry_of_lying() or self._tried is not None)

    def _is_retry_of_lying(self) -> bool:
        is_of_other = self.said.state == "rejected" and (self.said.reported or {}).get("reason") not in PASSING
        return bool(self._desired.lying) and self.said.handled == self._desired.lying and not is_of_other

    def _ring(self, now: float) -> None:
        self._ring_at = now + RING_EVERY_S
        if self._tried is not None and self._is_retry_due() and not self._desired.is_awaited and not self._is_retry_of_lying():
            self._write(self._desired, self._tried[1], now)
        self._rung += 1
        try:
            self._router.ring()
        except Unavailable as error:
            self._complain("root cannot be rung for, trying again: %s%s", error, "")
        if now > self._stirred_at + PATIENCE_S:
            # Nobody looks each second any more.
            self.look()
            if self._is_ring_wanted():
                self._complain("root does not take a push up, trying again: after_s=%d%s", round(now - self._stirred_at), "")

    def _complain(self, text: str, *values: object) -> None:
        if not self._has_told:
            LOG.warning(text, *values)
        self._has_told = True

    # From root to the broker.

    def _is_under_way(self) -> bool:
        """Say whether news of root are to be expected each second."""
        idle_s = self._monotonic() - self._stirred_at
        return (self.said.state in config.ON_THE_WAY and idle_s < LONGEST_PUSH_S) or (self._is_ring_wanted() and idle_s < PATIENCE_S)

    def _heed(self, former: Said, now: float) -> None:
        """Pass on what root says anew."""
        said = self.said
        self._stirred_at, self._has_told = now, False
        self._keep_tried()
        if said.state != "rejected":
            self._refusals_logged.clear()
        if self._is_news and said.refusals >= REFUSALS and said.refusals > former.refusals:
            self._quiet_until = now + QUIET_S
            LOG.warning("no push is passed on for now: bad_signatures=%d quiet_s=%d", said.refusals, QUIET_S)
        if said.reported != former.reported:
            if self._is_news and said.revision is not None and (said.state, said.revision) != (former.state, former.revision):
                LOG.info("push: revision=%d state=%s", said.revision, said.state)
                self._tell("config", {"revision": said.revision, "step": said.state})
            self._announce()
            # One topic, two messages: what waits there must not take the place of this one before it was sent.
            self._refuse_at = max(self._refuse_at, now + WRITE_EVERY_S)
        if said.test is not None and (former.test is None or said.test.run != former.test.run):
            # Only a connection made from now on goes through what was changed.
            self._session = None
            self._deaf_at = now + DEAF_S
            self._broker.drop()

    def _keep_tried(self) -> None:
        """Remember the push that root takes up: whatever is put into its place and refused must not cost it its retries."""
        said = self.said
        if said.state in config.ON_THE_WAY or (said.state == "rolled_back" and said.retry_at_uptime_s is not None):
            if said.handled and said.handled == self._desired.lying:
                content = self._inbox.read(DESIRED)
                self._tried = (said.handled, content) if content is not None and sha256(content) == said.handled else None
        elif said.state != "rejected":
            self._tried = None

    def _announce(self) -> None:
        if self.said.reported is None:
            return
        payload = dict(self.said.reported)
        if self.said.test is not None:
            payload["run"] = self.said.test.run
            payload = payload if self._session is None else config.with_session(payload, self._session)
        self._post.announce(topics.CONFIG_REPORTED, messages.encode(payload))

    def _hear(self, payload: bytes) -> None:
        """Confirm the test once our own word about it has gone to the broker and back over a connection made since it began."""
        test = self.said.test
        if test is None or self._session is None or self._confirmed == test.run:
            return
        try:
            heard = config.parse_reported(payload)
        except messages.Malformed:
            return
        if (heard.state, heard.run, heard.session) == ("testing", test.run, self._session):
            self._confirmed, self._to_confirm = test.run, test.nonce
            self._confirm()

    def _notice_deafness(self, now: float) -> None:
        """Say once in a test why it will fail: the broker has our word, and does not give it back."""
        test = self.said.test
        if test is None or self._session is None or test.run in (self._confirmed, self._deaf_run) or self._post.is_under_way(topics.CONFIG_REPORTED):
            self._deaf_at = now + DEAF_S
        elif now >= self._deaf_at:
            self._deaf_run = test.run
            topic = f"{topics.root(self._city, self._ap)}/{topics.CONFIG_REPORTED}"
            LOG.warning("the broker takes our word on the push and does not deliver it to us; allow us to read topic=%s", topic)

    def _confirm(self) -> None:
        try:
            self._inbox.put(CONFIRM, self._to_confirm.encode())
        except OSError as error:
            self._complain("test not confirmed, trying again: file=%s reason=%s", CONFIRM, error.strerror)
            return
        self._to_confirm = ""
        LOG.info("push: the broker is reached through the change: revision=%s", self.said.revision)

    # What is refused here.

    def _refuse(self, slot: _Slot, error: jws.Refused, revision: int | None) -> None:
        self._refused += 1
        faults = [("", error.code, str(error))]
        if slot is self._desired:
            clock, current = self._router.clock, (self.said.reported or {}).get("current")
            current = current if isinstance(current, int) else None
            at = int(clock.wall()) if clock.state() == "ntp" else None
            told = config.reported("rejected", revision=revision, current=current, reason=error.code, errors=faults, verified=False, at=at)
            self._refusals[topics.CONFIG_REPORTED] = messages.encode(told)
        else:
            self._refusals[topics.CONFIG_PLAN_RESULT] = messages.encode(config.plan_result(revision, reason=error.code, errors=faults))
        # Once for each reason until root takes a push: whoever may write there must not fill the log.
        if (slot.name, error.code) not in self._refusals_logged:
            self._refusals_logged.add((slot.name, error.code))
            LOG.warning("push refused: file=%s reason=%s: %s", slot.name, error.code, error)

    def _tell_refusals(self, now: float) -> None:
        self._refuse_at = now + REFUSE_EVERY_S
        for topic, payload in self._refusals.items():
            (self._post.announce if topic == topics.CONFIG_REPORTED else self._post.say)(topic, payload)
        self._refusals.clear()
