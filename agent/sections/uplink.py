"""`uplink`: what may pass the way out, both ways. Its addresses and how it connects are never touched."""

from __future__ import annotations

from agent import caps
from agent.change import Change, Facts, Fault, Tree
from agent.checked import fault, members, shown

NAME = "uplink"
CAP = "cap"
_DOWN = "down_mbps"


def check(part: object, facts: Facts) -> list[Fault]:
    """Give everything that is wrong with this part of a document."""
    return [] if part is None else members(NAME, part, {CAP: lambda path, value: _cap(path, value, facts)})


def changes(part: object, tree: Tree, facts: Facts) -> list[Change]:
    """Give what it takes to make the cap as this part, which has passed the check, says."""
    cap = part.get(CAP) if isinstance(part, dict) else None
    edits = tuple(caps.edits(tree, caps.UPLINK, cap))
    return [Change(f"{NAME}.{CAP}", caps.seen(tree, caps.UPLINK), cap, "live", edits)] if edits else []


def current(tree: Tree, facts: Facts) -> dict[str, object]:
    """Give the cap as a document would say it."""
    cap = caps.seen(tree, caps.UPLINK)
    return {} if cap is None else {CAP: cap}


def _cap(path: str, value: object, facts: Facts) -> list[Fault]:
    if facts.caps_problem:
        return [Fault(path, "unsupported", f"{path} cannot be carried out: {facts.caps_problem}")]
    if found := caps.check(path, value, may_have_stations=False):
        return found
    if not facts.uplink:
        why = "it is not known now which interface leads out (no default route, or a bridge with several ports in use); set router.uplink in its settings"
        return [Fault(path, "unsupported", f"{path} cannot be carried out: {why}")]
    down = value.get(_DOWN) if isinstance(value, dict) else None
    # A contract's one figure is that of downloads.
    if facts.is_below_meant or down is None or down >= facts.contract_mbps:
        return []
    allowed = f'at least the contract\'s {facts.contract_mbps:g}, or "below_contract": true in the push'
    return [fault(f"{path}.{_DOWN}", "below_contract", shown(down), allowed)]
