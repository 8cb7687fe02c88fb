"""The daemon's half of commands: from the broker into root's inbox, what root says of them back to the broker, and those that need no root done.

Judges nothing but form, address and time: whose a command is and whether it may be done is root's to say. Waits for nothing; one thread's object.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from agent.broker import Event, Message
from agent.commands import CLASSES, COMMANDS, load
from agent.endings import Endings
from agent.errors import Unavailable
from agent.inbox import Inbox, sha256
from agent.said import Word, read_object
from agent.wire import claims, command, jws, messages, topics

if TYPE_CHECKING:
    from agent.own_hands import OwnHands
    from agent.post import Post
    from agent.router.doorbell import Doorbell
    from agent.settings import Settings

LOG = logging.getLogger(__name__)

STATUS = "command.json"
MOST_WAITING = 4  # of each class
MOST_REFUSALS = 8  # told at once; whoever floods the topic must not make us flood another
MOST_COMPLAINTS = 128
REFUSE_EVERY_S = 1.0
STRANGER_EVERY_S = 60.0
RING_EVERY_S = 5.0
LOOK_EVERY_S = 0.25
GRACE_S = 30.0  # that root may take beyond a command's time to say that it is over
PATIENCE_S = 120.0  # for the ending of what root has begun: more than any command's own limit
RESTART_WITHIN_S = 3.0
NEVER_S = 3600.0


class _Order(NamedTuple):
    """One command that waits for root, or lies there: what it named itself, the file's SHA-256, and the uptime until which it is good."""

    name: str
    id: str
    of: str
    raw: bytes
    until_uptime_s: float


class _Slot:
    """One class of commands: the one that lies in the inbox, and those behind it."""

    def __init__(self, name: str) -> None:
        self.file = f"command.{name}"
        self.lying: _Order | None = None
        self.waiting: list[_Order] = []


class Figures(NamedTuple):
    """How many commands came, were passed on to root and were refused here, since the start."""

    received: int
    passed_on: int
    refused: int


class Commands:
    """The commands of the daemon's life. `keys`: those that root trusts; `restart` begins the daemon anew. Moments as in agent/push.py.

    `hands`: None where only root does what is done; `why_not` says of a command's name why it is not taken at present, "": it is.
    """

    def __init__(
        self,
        settings: Settings,
        router: Doorbell,
        post: Post,
        hands: OwnHands | None,
        keys: Callable[[], tuple[str, ...]],
        restart: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
        uptime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        why_not: Callable[[str], str] = lambda _name: "",
    ) -> None:
        self._why_not = why_not
        self._city, self._ap, self._boot = settings.city, settings.id, router.boot()
        self._router, self._post, self._hands, self._keys, self._begin_anew = router, post, hands, keys, restart
        self._monotonic, self._uptime = monotonic, uptime
        self._run_dir = settings.paths.run_dir
        self._inbox = Inbox(self._run_dir)
        self._slots = {name: _Slot(name) for name in CLASSES}
        self._word = Word(self._run_dir, STATUS)
        self._open: dict[str, float] = {}  # ids that root has begun, and until when their ending is waited for
        self._endings = Endings(self._run_dir, self._boot)
        self._refusals: list[tuple[str, messages.Payload]] = []
        self._complaints: set[str] = set()
        self._received = self._passed_on = self._refused = 0
        now = monotonic()
        self._ring_at = self._look_at = self._refuse_at = self._stranger_at = now
        self._restart_at: float | None = None
        self._is_at_work = False
        self.refusals = 0
        # Only who can do what: results and what is to be done are for a daemon that turns.
        self.possible = _possible(read_object(self._word.path) or {})

    # What the daemon asks.

    def figures(self) -> Figures:
        """Give the counts since the start."""
        return Figures(self._received, self._passed_on, self._refused)

    def due(self) -> float:
        """Seconds of the world until `advance` must be called at the latest."""
        now = self._monotonic()
        moments = [now + NEVER_S]
        if self._is_awaiting():
            moments.append(self._look_at)
        if any(slot.lying is not None for slot in self._slots.values()):
            moments.append(self._ring_at)
        if self._refusals:
            moments.append(self._refuse_at)
        if self._restart_at is not None:
            moments.append(self._restart_at)
        return max(0.0, min(moments) - now)

    # What the daemon wants done.

    def take(self, event: Event) -> None:
        """Take what the broker's session brought, when it is a command."""
        if isinstance(event, Message) and (name := topics.command_of(event.topic)) is not None and event.payload:
            self._received += 1
            self._take(name, event)

    def advance(self) -> None:
        """Do what is due: look, give up, write, ring, refuse, begin anew."""
        now = self._monotonic()
        if now >= self._look_at and self._is_awaiting():
            self.look()
        for slot in self._slots.values():
            self._move_on(slot, now)
        if now >= self._ring_at and any(slot.lying is not None for slot in self._slots.values()):
            self._ring(now)
        if self._refusals and now >= self._refuse_at:
            self._refuse_at = now + REFUSE_EVERY_S
            for name, told in self._refusals:
                self._say(name, told)
            self._refusals.clear()
        self._note_lost(self._endings.hear(self._post.is_under_way))
        self._restart(now)

    def look(self) -> None:
        """Read what root says, where that is new; and do what it passed on to us."""
        if self._is_at_work:
            return  # a report that a command asks for takes a sample, which looks here: what it is about would be done twice
        now = self._monotonic()
        self._look_at = now + LOOK_EVERY_S
        found = self._word.news()
        if found is not None:
            self._heed(found, now)
        for own_id in [own_id for own_id, until in self._open.items() if now > until]:
            del self._open[own_id]

    # From the broker to root.

    def _take(self, name: str, message: Message) -> None:
        payload: messages.Payload = {}
        try:
            if message.is_retained:
                raise jws.Refused("retained", "the command is retained, but a command is of its moment: clear the topic, and send it without the retain flag")
            frame = jws.parse(message.payload)
            payload = frame.payload
            known = self._keys()
            if known and frame.kid not in known and not self._may_ask():
                raise jws.Refused("unknown_key", f"the command is signed with a key that is not trusted here, expected one of {', '.join(known)}")
            found = claims.parse_command(payload, self._city, self._ap, name)
            self._expect_now(found)
            if why := self._why_not(name):
                raise jws.Refused("unsupported", why)
        except jws.Refused as error:
            self._refuse(name, claims.id_of(payload), error)
            return
        own = self._endings.own.get(found.id)
        if own is not None:
            self._queue_refusal(name, own)  # done here before: the first result again
            return
        # What is in no table is root's to refuse as well, for it may be newer than we are.
        slot = self._slots[COMMANDS.get(name, CLASSES[0])]
        order = _Order(name, found.id, sha256(message.payload), message.payload, float(found.until_uptime_s))
        lying = [slot.lying] if slot.lying is not None else []
        if any(one.of == order.of for one in (*lying, *slot.waiting)):
            return  # it is on its way
        if len(slot.waiting) >= MOST_WAITING:
            self._refuse(name, found.id, jws.Refused("busy", f"{MOST_WAITING} commands wait already before this one; send it later"))
            return
        slot.waiting.append(order)

    def _expect_now(self, found: claims.CommandClaims) -> None:
        """Refuse what root would refuse, so that it is not started for it."""
        now = self._uptime()
        if found.boot != self._boot:
            raise jws.Refused("wrong_boot", f"the command is for boot {found.boot}, this is boot {self._boot}; send a new one")
        if now > found.until_uptime_s and found.id not in self._endings.told:
            raise jws.Refused("expired", f"the command was good until an uptime of {found.until_uptime_s} s, it is {now:.0f} s; send a new one")

    def _may_ask(self) -> bool:
        """Say whether root is to be asked about a key that it has not named: once a minute, for it may have been given since."""
        now = self._monotonic()
        if now < self._stranger_at:
            return False
        self._stranger_at = now + STRANGER_EVERY_S
        return True

    def _move_on(self, slot: _Slot, now: float) -> None:
        """Give up what root does not answer, and put the next one into the inbox."""
        uptime = self._uptime()
        if slot.lying is not None and uptime > slot.lying.until_uptime_s + GRACE_S:
            order, slot.lying = slot.lying, None
            message = "root's half did not answer; is rwagent-apply there? rwagent doctor says"
            self._say(order.name, command.result("timed_out", order.id, "timed_out", message, verified=False))
        while slot.lying is None and slot.waiting:
            order = slot.waiting.pop(0)
            if uptime > order.until_uptime_s and order.id not in self._endings.told:
                self._refuse(order.name, order.id, jws.Refused("expired", "the command's time came to its end while others were done; send a new one"))
                continue
            self._put(slot, order, now)

    def _put(self, slot: _Slot, order: _Order, now: float) -> None:
        try:
            if self._hands is not None:
                self._hands.names.renew()  # whom a pseudonym means, root finds out by today's key
            self._inbox.put(slot.file, order.raw)
        except (OSError, Unavailable) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._refuse(order.name, order.id, jws.Refused("busy", f"the command cannot be passed on: {slot.file}: {reason}; send it later"))
            return
        slot.lying = order
        self._passed_on += 1
        self._ring_at = self._look_at = now

    def _ring(self, now: float) -> None:
        self._ring_at = now + RING_EVERY_S
        try:
            self._router.ring()
        except Unavailable as error:
            self._complain("ring", "root cannot be rung for a command, trying again: %s", str(error))

    # From root to the broker.

    def _is_awaiting(self) -> bool:
        return bool(self._open) or any(slot.lying is not None for slot in self._slots.values())

    def _heed(self, found: dict[str, object], now: float) -> None:
        """Pass on what is new, and take what lies there for answered where root says so."""
        results = [one for one in _objects(found.get("results")) if one.get("state") in command.STATES]
        self.possible = _possible(found)
        refusals = found.get("refusals")
        self.refusals = refusals if type(refusals) is int else 0
        handled = found.get("handled")
        for name, slot in self._slots.items():
            if slot.lying is not None and isinstance(handled, dict) and handled.get(name) == slot.lying.of:
                order, slot.lying = slot.lying, None
                self._complaints.clear()
                # Also what was told before: it was asked for again.
                for one in results:
                    if one.get("of") == order.of:
                        self._tell(order.name, one, now)
        for one in results:
            own_id, own_name = one.get("id"), one.get("name")
            if not isinstance(own_id, str) or not isinstance(own_name, str) or not topics.is_name(own_name) or "verified" in one:
                continue
            if self._endings.is_news(own_id, one["state"]):
                self._tell(own_name, one, now)
        for todo in _objects(found.get("todo")):
            self._carry_out(todo)

    def _tell(self, name: str, entry: messages.Payload, now: float) -> None:
        """Pass on what root says of one command."""
        own_id, state = entry.get("id"), str(entry["state"])
        if isinstance(own_id, str):
            entry = self._endings.standing(own_id, entry)
            state = str(entry["state"])
            if state in command.ON_THE_WAY:
                self._open[own_id] = now + PATIENCE_S
            else:
                self._open.pop(own_id, None)
        self._say(name, {member: value for member, value in entry.items() if member not in ("of", "name")})

    def _say(self, name: str, told: messages.Payload) -> None:
        """Hand a result over to the broker; of one command only the newest waits."""
        own_id, topic = told.get("id"), topics.command_result(name)
        try:
            payload = messages.encode(told)
        except ValueError:
            return
        if not isinstance(own_id, str):
            self._post.say(topic, payload, "-")
            return
        spare = b""
        if "output" in told:
            message = f"what it found has {len(payload)} bytes with all, more than the broker takes; ask for less"
            spare = messages.encode(command.result("failed", own_id, "too_large", message))
        self._post.say(topic, payload, own_id, spare)
        if told.get("verified", True):
            self._endings.tell(own_id, str(told["state"]), topic)

    # What is done here.

    def _carry_out(self, todo: messages.Payload) -> None:
        """Do what root has verified and passed on, once."""
        own_id, name, args, until = (todo.get(member) for member in ("id", "name", "args", "until_uptime_s"))
        if not isinstance(own_id, str) or not isinstance(name, str) or not isinstance(args, dict) or type(until) not in (int, float):
            return
        if name not in COMMANDS or own_id in self._endings.own or load(name).BY != "agent" or self._hands is None:
            return
        if self._uptime() > until:  # type: ignore[operator]  # a number
            ending = command.result("expired", own_id, "expired", "the command's time came to its end before it was done; send a new one")
        else:
            LOG.info("command: name=%s id=%s", name, own_id)
            self._is_at_work = True
            ending = self._hands.run(own_id, load(name), args)
            self._is_at_work = False
        lost = self._endings.finish(own_id, ending)
        self._note_lost(lost)
        if lost and self._hands.is_restart_wanted and self._restart_at is None:
            # Who begins then would find root's word, and nothing of ours beside it: it would begin anew again and again.
            self._hands.is_restart_wanted = False
            ending = command.result("failed", own_id, "unavailable", f"it was not begun, for that it was cannot be written down: {lost}")
            self._endings.finish(own_id, ending)
        if not self._hands.is_restart_wanted:
            self._open.pop(own_id, None)
            self._say(name, ending)
        elif self._restart_at is None:
            # Its ending is told by who begins then.
            self._say(name, command.result("running", own_id))
            self._restart_at = self._monotonic() + RESTART_WITHIN_S

    def _restart(self, now: float) -> None:
        if self._restart_at is None:
            return
        if now >= self._restart_at or not any(self._post.is_under_way(topics.command_result("restart-agent"), own_id) for own_id in self._endings.own):
            self._restart_at = None
            self._begin_anew()

    # What is refused here.

    def _refuse(self, name: str, own_id: str | None, error: jws.Refused) -> None:
        self._refused += 1
        state = "expired" if error.code == "expired" else "rejected"
        self._queue_refusal(name, command.result(state, own_id, error.code, str(error), verified=False))
        self._complain(f"{name} {error.code}", "command refused: %s", f"name={name} code={error.code}: {error}")

    def _queue_refusal(self, name: str, told: messages.Payload) -> None:
        if len(self._refusals) < MOST_REFUSALS:
            self._refusals.append((name, told))

    def _note_lost(self, lost: str) -> None:
        if lost:
            self._complain("memory", "what was done cannot be remembered: %s", lost)

    def _complain(self, reason: str, text: str, value: str) -> None:
        """Once for each reason until root answers: whoever may write there must not fill the log."""
        if reason not in self._complaints and len(self._complaints) < MOST_COMPLAINTS:
            self._complaints.add(reason)
            LOG.warning(text, value)


def _possible(found: messages.Payload) -> tuple[str, ...]:
    return tuple(name for name in COMMANDS if name in _list(found.get("commands")))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _objects(value: object) -> list[messages.Payload]:
    return [one for one in _list(value) if isinstance(one, dict)]
