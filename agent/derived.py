"""The files that are made of the whole tree and no package of it: each has a script of its name (agent/ash), which carries it out.

A push replaces them as it does packages: journaled, put in place, told, tested live and rolled back. A further one is a line of this table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from agent import caps, dns
from agent.change import Facts, Tree
from agent.owned import PACKAGE

Reason = Literal["caps_not_standing", "not_resolving"]


class Derived(NamedTuple):
    """How one such file is made (b"": none is wanted, which no file at all says too), and why a push is rolled back while it is not carried out.

    `device`: the one that it names and only the box knows, "" when it is not known now.

    `patience_s`: how long without a break it may be found not to be so; None: until the deadline. Where others than this box must do
    something for it, those behind it should not wait long, and a push that leaves the file alone is not to blame.
    """

    text: Callable[[Tree, str], bytes]
    device: Callable[[Facts], str]
    reason: Reason
    patience_s: float | None = None


# By the file's name, in the journal and for everybody who is told of it. agent/ash/rollback names them too.
DERIVED: dict[str, Derived] = {
    "caps": Derived(caps.text, lambda facts: facts.uplink, "caps_not_standing"),
    "dns": Derived(dns.text, lambda facts: facts.public_device, "not_resolving", patience_s=20.0),
}


def is_asked_for(tree: Tree) -> bool:
    """Say whether any of them may be wanted."""
    return any(section.type in (caps.SECTION, dns.SECTION) for section in tree.get(PACKAGE, {}).values())


def made(tree: Tree, facts: Facts) -> tuple[tuple[str, bytes], ...]:
    """Give each file as a tree asks for it."""
    return tuple((name, derived.text(tree, derived.device(facts))) for name, derived in DERIVED.items())
