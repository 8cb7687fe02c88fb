"""`agent`: how often this access point samples and reports, in seconds.

Never touches agent.toml: what is pushed lies in package `rwagent`, and goes when it is not named.
"""

from __future__ import annotations

from agent.change import Change, Edit, Facts, Fault, Tree
from agent.checked import fault, members, number, shown, whole
from agent.owned import PACKAGE, PUSHED, pushed

NAME = "agent"
LONGEST_S = 3600
KNOBS = ("report_interval_s", "sample_interval_s")


def check(part: object, facts: Facts) -> list[Fault]:
    """Give everything that is wrong with this part of a document."""
    if part is None:
        return []
    faults = members(NAME, part, dict.fromkeys(KNOBS, whole(1, LONGEST_S)))
    if not isinstance(part, dict) or "sample_interval_s" not in part:
        return faults
    path, sample, report = f"{NAME}.sample_interval_s", number(part["sample_interval_s"]), number(part.get("report_interval_s"))
    if "report_interval_s" not in part:
        faults.append(fault(path, "conflict", shown(part["sample_interval_s"]), f"{NAME}.report_interval_s beside it"))
    elif sample is not None and report is not None and LONGEST_S >= sample > report >= 1:
        faults.append(fault(path, "range", str(sample), f"1 to {NAME}.report_interval_s ({report})"))
    return faults


def changes(part: object, tree: Tree, facts: Facts) -> list[Change]:
    """Give what it takes to make the knobs as this part, which has passed the check, says."""
    named = part if isinstance(part, dict) else {}
    stands, found = pushed(tree), []
    for knob in KNOBS:
        before, after = stands.get(knob), str(number(named[knob])) if knob in named else None
        if before != after:
            make = () if after is None else (Edit(PACKAGE, PUSHED, type=PUSHED),)
            found.append(Change(f"{NAME}.{knob}", _said(before), _said(after), "live", (*make, Edit(PACKAGE, PUSHED, knob, after))))
    return found


def current(tree: Tree, facts: Facts) -> dict[str, object]:
    """Give the knobs that were pushed, as a document would say them."""
    stands = pushed(tree)
    return {knob: _said(stands[knob]) for knob in KNOBS if knob in stands}


def _said(value: str | None) -> object:
    return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) < 9 else value
