"""One push from the command line to its last verdict: checked, recorded, signed, published, followed."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from agent.wire.messages import Payload
from fleet import changes, explaining, pushing, selector, sign, store
from fleet.city import City
from fleet.draft import Draft, Target, Wish
from fleet.errors import Refused
from fleet.following import BAD, SILENT, Ear, Following, Row, Said
from fleet.pushing import Act, Published
from fleet.secrets import Secrets
from fleet.selector import Node
from fleet.sign import SecretKey
from fleet.verdicts import NOT_SENT, Screen, names

DONE, FAILED = 0, 1
LOOK_EVERY_S = 0.25
WAIT_S, PLAN_WAIT_S = 300, 60


class Line(Protocol):
    """The city's MQTT client, as far as a push goes."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> int:
        """Send a message; give its packet identifier."""

    def wait_published(self, mids: Iterable[int], within_s: float) -> set[int]:
        """Wait until the broker took these; give those that it did not."""

    def subscribe(self, filters: Iterable[str]) -> None:
        """Hear these topics."""

    def messages(self, most: int, within_s: float) -> Iterable[Said]:
        """Give what came; without any wait for the first."""

    def close(self) -> None:
        """Disconnect."""


class Options(NamedTuple):
    """How it is done. `wait_s`: how long verdicts are waited for, 0 not at all; `is_explained`: it is shown before where each value comes from."""

    passphrase_file: str | None = None
    wait_s: float = WAIT_S
    is_dry_run: bool = False
    is_explained: bool = False


MakeWish = Callable[[sqlite3.Connection, Node, Secrets], Wish]


class Delivery:
    """A push to a node, with what it needs: how to make the wish, and how to get a line to the broker."""

    def __init__(self, city: City, to: str, wish: MakeWish, act: Act, options: Options, connect: Callable[[], Line], screen: Screen) -> None:
        pushing.check_act(act)
        self._city, self._to, self._wish, self._act, self._options = city, to, wish, act, options
        self._connect, self._screen = connect, screen
        self._secrets = Secrets(city)
        self._key: SecretKey | None = None

    def run(self) -> int:
        """Do it; give the exit code: 1 when an access point refused it, took it back, failed or did not answer, or the broker did not take it."""
        with contextlib.closing(store.open_city(self._city)) as connection:
            found = self._draft(connection)
            if self._options.is_explained:
                explaining.show(found.targets, self._screen)
            if self._options.is_dry_run:
                return self._dry_run(found)
            self._unlock(connection, found)
            if not found.due and not changes.waiting(connection):
                return self._record_only(connection)
            with contextlib.closing(self._connect()) as line:
                return self._deliver(connection, line, [target.point.id for target in found.targets])

    def _draft(self, connection: sqlite3.Connection) -> Draft:
        node, below = selector.resolve(self._to, selector.points(connection))
        wish = self._wish(connection, node, self._secrets)
        if not self._options.is_dry_run:
            pushing.restore_keys(connection, node, self._secrets)
        return pushing.prepare(connection, wish, below, self._secrets, self._act.kind == pushing.PUSH)

    def _unlock(self, connection: sqlite3.Connection, found: Draft) -> None:
        if self._key is None and pushing.needs_key(connection, found):
            self._key = sign.unlocked(str(self._city.signing_key), self._options.passphrase_file)

    def _dry_run(self, found: Draft) -> int:
        self._screen.draft(found.targets)
        due, same = len(found.due), len(found.targets) - len(found.due)
        self._screen.line(f"would be told: {due}, same: {same}; nothing was sent", event="dry_run", told=due, same=same)
        return DONE

    def _record_only(self, connection: sqlite3.Connection) -> int:
        """No access point is told anything: what is set here an inner level sets otherwise, or it is there already."""
        with pushing.alone(self._city):
            found = self._draft(connection)
            if found.due:
                raise Refused(f"--to {self._to}: another push came between; run this again")
            number = pushing.commit(self._city, connection, found, self._act, None, self._secrets, {})
        what = "nothing is new" if number is None else f"change {number} is recorded, and no access point's document is another one for it"
        self._screen.line(f"{what}: same {len(found.targets)} (--all signs it anew)", event="same", change=number, same=len(found.targets))
        return self._tell_standing([target for target in found.targets if not target.is_due], {})

    def _deliver(self, connection: sqlite3.Connection, line: Line, aps: list[str]) -> int:
        ear = Ear(self._city, line, aps)
        ear.settle()
        with pushing.alone(self._city):
            found = self._draft(connection)
            self._unlock(connection, found)
            try:
                number = pushing.commit(self._city, connection, found, self._act, self._key, self._secrets, self._reported(found, ear))
                following = Following({ap: one.revision for ap, one in _of(connection, found).items()}, ear)
                published = pushing.publish_waiting(self._city, connection, line)
            except KeyboardInterrupt:
                self._tell_cut_short(connection)
                raise
        self._tell_published(number, published, found)
        told = self._follow(ear, following, published, number, len(found.targets) - len(found.due))
        apart = [target for target in found.targets if target.point.id not in published.taken and target.point.id not in published.missing]
        return max(told, self._tell_standing(apart, ear.reported))

    def _reported(self, found: Draft, ear: Ear) -> dict[str, int]:
        """What each access point says itself, from the broker and from what `rwctl serve` heard."""
        said = pushing.heard_by_serve(self._city, [target.point for target in found.targets])
        return {ap: max(pushing.highest(said.get(ap, {})), pushing.highest(ear.reported.get(ap, {}))) for ap in said.keys() | ear.reported.keys()}

    def _tell_cut_short(self, connection: sqlite3.Connection) -> None:
        """Ctrl-C takes nothing back that is recorded: `rwctl serve` would send it all the same."""
        waiting = sorted(changes.waiting(connection))
        if waiting:
            text = f"cut short: {len(waiting)} not sent yet; rwctl serve or the next push sends them, rwctl revert takes the change back"
            self._screen.line(text, event="cut_short", waiting=waiting)

    def _tell_standing(self, same: Sequence[Target], heard: Mapping[str, Payload]) -> int:
        """Say whose last verdict on the very same document is a bad one: that nothing is new for it is no success."""
        said = {**pushing.heard_by_serve(self._city, [target.point for target in same]), **heard}
        rows = [
            Row(one.point.id, one.last.revision, str(said[one.point.id].get("state")), said[one.point.id]) for one in same if one.last and one.point.id in said
        ]
        wrong = [row for row in rows if row.state in BAD and row.message.get("revision") == row.revision]
        if wrong:
            self._screen.standing(wrong)
        return FAILED if wrong else DONE

    def _tell_published(self, number: int | None, published: Published, found: Draft) -> None:
        taken, same = len(published.taken), len(found.targets) - len(found.due)
        text = f"change {number}: " if number is not None else ""
        text += f"{taken} pushed in {published.seconds * 1000:.0f} ms" + (f", same: {same}" if same else "")
        earlier = len(published.taken.keys() - {target.point.id for target in found.due})
        if earlier:
            text += f" ({earlier} of an earlier push that was cut short)"
        if published.missing:
            text += f"; not taken by the broker: {names(sorted(published.missing))}"
        self._screen.line(
            text, event="published", change=number, taken=taken, missing=sorted(published.missing), seconds=round(published.seconds, 3), same=same
        )

    def _follow(self, ear: Ear, following: Following, published: Published, number: int | None, same: int) -> int:
        follow(ear, following, self._options.wait_s, self._screen)
        rows = following.ended() if self._options.wait_s else following.rows
        rows = [row._replace(state=NOT_SENT) if row.ap in published.missing else row for row in rows]
        self._screen.ending(rows, change=number, same=same)
        return FAILED if published.missing or any(row.state in (*BAD, SILENT) for row in rows) else DONE


def follow(ear: Ear, following: Following, wait_s: float, screen: Screen) -> None:
    """Listen until all who are there have ended, or that long."""
    until = time.monotonic() + wait_s
    try:
        if wait_s:
            # What the broker sent before it took the push is here by now: who is said to be away is so.
            ear.listen(0, following)
        while wait_s:
            screen.progress(following)
            left = until - time.monotonic()
            if following.is_over or left <= 0:
                break
            ear.listen(min(LOOK_EVERY_S, left), following)
    except KeyboardInterrupt:
        screen.close()
        screen.line("no longer waited for; what was sent goes on, rwctl history tells how it ends", event="interrupted")
    finally:
        screen.close()


def _of(connection: sqlite3.Connection, found: Draft) -> dict[str, changes.Revision]:
    """The revisions that this push sends to its own access points, also those of an earlier one that was cut short."""
    own = {target.point.id for target in found.targets}
    return {ap: revision for ap, revision in changes.waiting(connection).items() if ap in own}
