"""What a push would do, asked of the access points themselves: signed as a plan, which none of them ever applies.

Nothing is stored but a line of the audit log.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence

from agent.wire import claims, config, topics
from agent.wire.messages import Payload
from fleet import audit, changes, explaining, layers, pushing, selector, sign
from fleet.changes import Revision
from fleet.city import City
from fleet.delivery import DONE, FAILED, Line, MakeWish, Options, follow
from fleet.draft import Draft, Target
from fleet.errors import BadInput
from fleet.explaining import Explained
from fleet.following import BAD, OFFLINE, SILENT, Ear, Following, Row
from fleet.pushing import Act
from fleet.secrets import Secrets
from fleet.verdicts import MOST_CHANGES, Screen, changed, names, plain

TAKEN_WITHIN_S = 10.0
UNCHANGED = "unchanged"
WHO_NOTICES = {
    "live": "nobody notices",
    "bss": "the stations of that network reconnect",
    "radio": "all stations of that radio reconnect",
    "network": "everybody behind the access point",
}


def prepare(connection: sqlite3.Connection, to: str, make: MakeWish, secrets: Secrets) -> Draft:
    """Check everything as a push does."""
    node, below = selector.resolve(to, selector.points(connection))
    return pushing.prepare(connection, make(connection, node, secrets), below, secrets)


def explain(connection: sqlite3.Connection, ap: str, drafted: Draft | None) -> list[Explained]:
    """Give each value of one access point's document with its origin, as a draft would have it or as it is."""
    if drafted is not None:
        target = next((target for target in drafted.targets if target.point.id == ap), None)
        if target is None:
            raise BadInput(f"--explain is {ap!r}, which is not below {drafted.node}; expected one of {names([each.point.id for each in drafted.targets])}")
        return explaining.explained(target.document, target.origins)
    in_force = changes.in_force(connection)
    return explaining.explained(*layers.effective(in_force[node] for node in selector.one(ap, selector.points(connection)).nodes() if node in in_force))


def run(city: City, drafted: Draft, secrets: Secrets, act: Act, options: Options, connect: Callable[[], Line], screen: Screen) -> int:
    """Ask all that are there and show what they say; give the exit code: 1 when one of them refused it or did not answer."""
    pushing.check_act(act)
    key = sign.unlocked(str(city.signing_key), options.passphrase_file)
    with contextlib.closing(connect()) as line:
        ear = Ear(city, line, [target.point.id for target in drafted.targets])
        ear.settle()
        asked = {target.point.id: _revision(target, act, ear) for target in drafted.targets}
        signed = {ap: sign.push(key, pushing.claims_of(city, ap, asked[ap], secrets, claims.PLAN_KIND)) for ap in asked if ap in ear.online}
        following = Following({ap: one.revision for ap, one in asked.items()}, ear, {ap: one.hash for ap, one in asked.items()})
        if signed:
            entry = pushing.signing_entry(key, claims.PLAN_KIND, {ap: asked[ap].revision for ap in signed}, signed)
            audit.record(city, "plan", {"to": str(drafted.node), "author": act.author, "source": act.source} | entry)
            # Never retained, and only to who is there: an answer of tomorrow would be to nobody's question.
            mids = [line.publish(f"{topics.root(city.name, ap)}/{topics.CONFIG_PLAN}", message) for ap, message in signed.items()]
            line.wait_published(mids, TAKEN_WITHIN_S)
        follow(ear, following, options.wait_s, screen)
    rows = following.ended()
    show(rows, screen)
    return FAILED if any(row.state in (*BAD, SILENT) for row in rows) else DONE


def impacts(rows: Sequence[Row]) -> dict[str, int]:
    """Count what it costs, the worst first: what was planned by its impact, the others by their state."""
    found = Counter(_word(row) for row in rows)
    order = (*BAD, SILENT, *reversed(config.IMPACTS), UNCHANGED, OFFLINE)
    return {word: found[word] for word in sorted(found, key=lambda word: order.index(word) if word in order else len(order))}


def show(rows: Sequence[Row], screen: Screen) -> None:
    """Show what would change, once for all that say the same, who refused it and why, and the sum of it."""
    alike: dict[str, list[Row]] = {}
    for row in rows:
        alike.setdefault(repr((_word(row), row.reason, row.errors, row.message.get("changes"))), []).append(row)
    for group in sorted(alike.values(), key=lambda group: -len(group)):
        _show_group(group, screen)
    counted = impacts(rows)
    told = [f"{word} {count}" + (f" ({WHO_NOTICES[word]})" if word in WHO_NOTICES else "") for word, count in counted.items()]
    screen.line(", ".join(told), event="summary", impacts=counted)


def _show_group(group: Sequence[Row], screen: Screen) -> None:
    ids, word, found = [row.ap for row in group], _word(group[0]), _listed(group[0], "changes")
    shown = [each for change in found for each in _apart(change)]
    lines = [f"{len(ids)} × {names(ids)}: {' '.join(one for one in (word, group[0].reason) if one)}"]
    lines += [f"  {error}" for error in group[0].errors]
    lines += [f"  {changed(change.get('path'), change.get('from'), change.get('to'))} ({plain(change.get('impact'))})" for change in shown[:MOST_CHANGES]]
    if len(shown) > MOST_CHANGES:
        lines.append(f"  and {len(shown) - MOST_CHANGES} more (--json tells all)")
    screen.line("\n".join(lines), event="plan", access_points=ids, result=word, reason=group[0].reason, errors=group[0].errors, changes=found)


def _apart(change: Payload) -> list[Payload]:
    """Take a change of a whole table, as of a cap, apart into those of its values."""
    before, after = change.get("from"), change.get("to")
    if not isinstance(before, dict) and not isinstance(after, dict):
        return [change]
    tables = [value if isinstance(value, dict) else {} for value in (before, after)]
    found = []
    for name in dict.fromkeys((*tables[0], *tables[1])):
        values = [table.get(name) for table in tables]
        if values[0] != values[1]:
            found += _apart(change | {"path": f"{change.get('path')}.{name}", "from": values[0], "to": values[1]})
    return found


def _listed(row: Row, member: str) -> list[Payload]:
    rows = row.message.get(member)
    return [one for one in rows if isinstance(one, dict)] if isinstance(rows, list) else []


def _word(row: Row) -> str:
    """What it means to one access point, in a word."""
    if row.state != "planned":
        return row.state
    impact = row.message.get("impact")
    return impact if isinstance(impact, str) and impact in config.IMPACTS else UNCHANGED


def _revision(target: Target, act: Act, ear: Ear) -> Revision:
    """What a push would give it now; never stored."""
    number = pushing.next_revision(target.last.revision if target.last else 0, pushing.highest(ear.reported.get(target.point.id, {})))
    public = claims.public_hash(target.document)
    return Revision(target.point.number, number, 0, int(time.time()), act.author, public, target.document, act.confirm_within_s, target.is_below_contract)
