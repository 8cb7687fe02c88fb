"""One command from the command line to its last result: to whom it can go, signed for each one's boot and uptime, published, followed.

Never retained, and only to who is there. Nothing is stored but a line of the audit log, which is written before anything leaves this process.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from agent.wire import topics
from agent.wire.claims import CommandClaims
from fleet import audit, remarks, selector, sign, store, view
from fleet.city import City
from fleet.commands import COMMANDS, Order
from fleet.delivery import DONE, FAILED, LOOK_EVERY_S, Line
from fleet.results import GOOD, OFFLINE, SILENT, UNHEARD, UNSUPPORTED, Hearing, Results, Row
from fleet.results_drawn import Screen
from fleet.selector import Node, Point
from fleet.words import number

LONGEST_TIMEOUT_S = 3_000
# An access point takes a command that ends at most an hour ahead (DESIGN.md 3.1); what is late by more than this is dead there.
LATE_S = 30
TAKEN_WITHIN_S = 30.0
NO_ROOT = "no result, and it named no command that it takes: does rwagent-apply run there?"


class Wire(Line, Protocol):
    """The city's MQTT client, as far as a command goes."""

    @property
    def connects(self) -> int:
        """Count the connections that it has had: of what came between two of them nothing is known."""


class Options(NamedTuple):
    """How it is done. `timeout_s`: how long results are waited for."""

    passphrase_file: str | None
    timeout_s: float


class Known(NamedTuple):
    """What `rwctl serve` heard of one access point: the boot of its newest report, the uptime it has by now, the commands that it says it takes."""

    boot: str
    uptime_s: float
    commands: tuple[str, ...] | None


def targets(city: City, to: str) -> tuple[Node, list[Point]]:
    """Find whom a command is for; BadInput, with what is close, when nobody is."""
    with contextlib.closing(store.open_city(city)) as connection:
        return selector.resolve(to, selector.points(connection))


def known(city: City, points: Sequence[Point]) -> dict[str, Known]:
    """Give what `rwctl serve` heard of these; who never reported is missing."""
    ids = {point.number: point.id for point in points}
    with contextlib.closing(store.open_live(city)) as live:
        rows = live.execute("SELECT ap, boot, report_at, report, info FROM state WHERE boot IS NOT NULL AND report_at IS NOT NULL").fetchall()
    # Arrivals are by the city's time.
    now = time.time() + remarks.serving_of(city).clock_off_s
    found = {}
    for at, boot, report_at, report, info in rows:
        uptime_s = number(view.document(report).get("uptime_s"))
        if at in ids and uptime_s is not None:
            found[ids[at]] = Known(boot, uptime_s + max(0.0, now - report_at), _commands(view.document(info)))
    return found


def run(city: City, node: Node, points: Sequence[Point], order: Order, options: Options, connect: Callable[[], Wire], screen: Screen) -> int:
    """Do it; give the exit code: 1 when one of them was not there, did not take it, or did not say that it succeeded."""
    key = sign.unlocked(str(city.signing_key), options.passphrase_file)
    there = known(city, points)
    with contextlib.closing(connect()) as line:
        hearing = Hearing(city, line, [point.id for point in points], order.name)
        hearing.settle()
        apart = {point.id: reason for point in points if (reason := why_not(order, there.get(point.id), hearing.online.get(point.id)))}
        said = {ap: _claims(city, ap, order, there[ap], options) for ap in (point.id for point in points) if ap not in apart}
        signed = {ap: sign.command(key, claims) for ap, claims in said.items()}
        results = Results(order.name, {ap: claims.id for ap, claims in said.items()}, apart)
        try:
            if signed:
                _record(city, node, order, key.kid, said, signed)
                _publish(city, line, order, signed, results, screen)
            _follow(hearing, line, results, options.timeout_s, screen, lambda: _again(city, line, order, signed, results))
        except KeyboardInterrupt:
            screen.interrupted()
        finally:
            screen.close()
    rows = [_explained(row, there) for row in results.ended()]
    screen.ending(rows)
    return DONE if all(row.state in GOOD for row in rows) else FAILED


def why_not(order: Order, there: Known | None, online_boot: str | None) -> str:
    """Say why an access point is not asked; "": it is. `online_boot`: the boot that its presence names, None while it is not there."""
    if online_boot is None:
        return OFFLINE
    if there is None or (online_boot and online_boot != there.boot):
        return UNHEARD
    if there.commands is not None and order.name not in there.commands:
        return UNSUPPORTED
    return ""


def _claims(city: City, ap: str, order: Order, there: Known, options: Options) -> CommandClaims:
    until = int(there.uptime_s + options.timeout_s + LATE_S)
    return CommandClaims(city.name, ap, str(uuid.uuid4()), there.boot, until, order.name, order.args, int(time.time()))


def _record(city: City, node: Node, order: Order, kid: str, said: dict[str, CommandClaims], signed: dict[str, bytes]) -> None:
    together = hashlib.sha256(b"\n".join(signed[ap] for ap in sorted(signed)))
    ids = {ap: claims.id for ap, claims in sorted(said.items())}
    audit.record(city, "command", {"to": str(node), "name": order.name, "args": order.args, "kid": kid, "ids": ids, "sha256": together.hexdigest()})


def _publish(city: City, line: Line, order: Order, signed: dict[str, bytes], results: Results, screen: Screen) -> None:
    mids = {line.publish(_topic(city, ap, order), message): ap for ap, message in signed.items()}
    late = sorted(mids[mid] for mid in line.wait_published(mids, TAKEN_WITHIN_S))
    results.not_taken(late)
    screen.sent(order, len(signed) - len(late), len(results.rows))


def _topic(city: City, ap: str, order: Order) -> str:
    return f"{topics.root(city.name, ap)}/{topics.command(order.name)}"


def _again(city: City, line: Line, order: Order, signed: dict[str, bytes], results: Results) -> None:
    """Say the very same once more to those of whom nothing came: one id is done once, and its result told again."""
    for ap in results.open:
        line.publish(_topic(city, ap, order), signed[ap])


def _follow(hearing: Hearing, line: Wire, results: Results, timeout_s: float, screen: Screen, again: Callable[[], None]) -> None:
    """Listen until all who were asked have ended, or that long; `again` asks once more after the connection was away, for results are told once."""
    until, connects = time.monotonic() + timeout_s, line.connects
    while not results.is_over and (left := until - time.monotonic()) > 0:
        if line.connects != connects:
            connects = line.connects
            again()
        screen.progress(results.rows)
        hearing.listen(min(LOOK_EVERY_S, left), results)
    screen.progress(results.rows)


def _explained(row: Row, there: Mapping[str, Known]) -> Row:
    """Say of who is silent, and never named a command, that nobody there may be able to answer."""
    is_deaf = row.state == SILENT and not row.message and there[row.ap].commands is None
    return row._replace(message={"message": NO_ROOT}) if is_deaf else row


def cost(order: Order, count: int) -> str:
    """Say what it costs when so many are told, which must be meant; "": nothing, or it is only one."""
    costs = COMMANDS[order.name].costs
    return f"{order.name} for {count} access points: {costs}" if costs and count > 1 else ""


def _commands(info: dict[str, object]) -> tuple[str, ...] | None:
    """Read which commands an info names; None for none: root's half, which knows them, may not have spoken there yet."""
    found = info.get("commands")
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) and found else None
