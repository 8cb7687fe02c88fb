"""What a push would mean before it is one: the layers with the new one in place, each access point's whole document, and every fault in them.

Touches no broker, signs nothing and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from agent.wire import claims, jws
from agent.wire.messages import MAX_INTEGER
from fleet import document as documents
from fleet import layers
from fleet.changes import Revision
from fleet.errors import BadInput
from fleet.layers import Document, Layer, Origin, Path
from fleet.secrets import Secrets
from fleet.selector import Node, Point

COMING = 0  # the change that is not one yet
NAMED = 3  # access points in a fault
SIGNATURE_CHARACTERS = 87  # of a JWS, with its dot


class Wish(NamedTuple):
    """What somebody wants of a node: its layer (names where keys stood; None: the one in force), and how."""

    node: Node
    layer: Document | None
    is_below_contract: bool = False
    is_all: bool = False


class Target(NamedTuple):
    """What a wish means to one access point. `last`: its last revision; `is_due`: it is to be told."""

    point: Point
    document: Document
    origins: Mapping[Path, Origin]
    last: Revision | None
    is_due: bool
    is_below_contract: bool

    def differences(self) -> list[layers.Difference]:
        """Give what it is told anew."""
        return layers.differences(self.last.document if self.last else {}, self.document)


class Draft(NamedTuple):
    """A wish with all that follows. `is_new`: the node's layer changes."""

    node: Node
    layer: Document
    is_new: bool
    targets: list[Target]

    @property
    def due(self) -> list[Target]:
        """Give the access points that are to be told."""
        return [target for target in self.targets if target.is_due]


def make(wish: Wish, below: Sequence[Point], in_force: Mapping[Node, Layer], newest: Mapping[int, Revision]) -> Draft:
    """Merge and check; BadInput with every fault of every access point."""
    there = in_force.get(wish.node)
    layer = wish.layer if wish.layer is not None else dict(there.document) if there else {}
    is_new = wish.layer is not None and (not there or layers.differences(there.document, layer) != [])
    nodes = dict(in_force)
    if is_new:
        nodes[wish.node] = Layer(wish.node.level, wish.node.name, COMING, layer)
    cache: _Cache = {}
    targets = [_target(wish, point, *_merged(point, nodes, cache), newest.get(point.number)) for point in below]
    _refuse(wish, targets)
    return Draft(wish.node, layer, is_new, targets)


def check_removals(draft: Draft, in_force: Mapping[Node, Layer]) -> None:
    """Refuse a removal that takes out nothing for anybody: it is a typing error."""
    level = layers.LEVELS.index(draft.node.level)
    outer = {node: found for node, found in in_force.items() if layers.LEVELS.index(node.level) < level}
    cache: _Cache = {}
    merged = [_merged(target.point, outer, cache)[0] for target in draft.targets]
    idle = [path for path in layers.removals(draft.layer) if not any(layers.has(document, path) for document in merged)]
    documents.refuse(str(draft.node), (documents.Fault((), f"remove has {layers.dotted(path)}, which no level outside of this one sets") for path in idle))


def check_sizes(draft: Draft, secrets: Secrets) -> None:
    """Refuse what would be too long once it is signed; reads the keys, so that none is missing when it comes to signing."""
    seen: set[int] = set()
    for target in draft.targets:
        # Merged once for all access points with the same layers.
        if id(target.document) in seen:
            continue
        seen.add(id(target.document))
        whole = secrets.put_back(target.document, partial(_whence, target.origins))
        longest = claims.ConfigClaims("x" * 48, "x" * 48, MAX_INTEGER, MAX_INTEGER, "é" * claims.LONGEST_AUTHOR, whole, claims.LONGEST_CONFIRM_S, True)
        size = len(jws.signing_input("0" * jws.KID_LENGTH, claims.members(longest))) + SIGNATURE_CHARACTERS
        if size > jws.MAX_BYTES:
            raise BadInput(f"{target.point.id}: its whole document is {size} bytes once it is signed, expected at most {jws.MAX_BYTES}: say less")


def origin(origins: Mapping[Path, Origin], path: Path) -> Origin | None:
    """Give where the value at a path comes from; of what is missing, where something around it does."""
    for depth in range(len(path), 0, -1):
        near = [found for one, found in origins.items() if one[:depth] == path[:depth]]
        if near:
            return near[-1]
    return None


def _whence(origins: Mapping[Path, Origin], path: Path) -> str:
    return said(origin(origins, path))


def said(found: Origin | None) -> str:
    """Say where a value comes from."""
    if found is None:
        return "no layer"
    return f"{found} ({'this one' if found.change == COMING else f'change {found.change}'})"


_Cache = dict[tuple[Node, ...], tuple[Document, dict[Path, Origin]]]


def _merged(point: Point, nodes: Mapping[Node, Layer], cache: _Cache) -> tuple[Document, dict[Path, Origin]]:
    """Merge the layers of one access point, once for all that have the same ones."""
    its = tuple(node for node in point.nodes() if node in nodes)
    if its not in cache:
        try:
            cache[its] = layers.effective(nodes[node] for node in its)
        except BadInput as error:
            raise BadInput(f"{point.id}: {error}") from None
    return cache[its]


def _target(wish: Wish, point: Point, document: Document, origins: Mapping[Path, Origin], last: Revision | None) -> Target:
    told = last.document if last else {}
    is_due = wish.is_all or layers.differences(told, document) != []
    cap = _down_cap(document)
    return Target(point, document, origins, last, is_due, cap is not None and cap < point.contract_mbps)


def _down_cap(document: Mapping[str, object]) -> float | None:
    """The uplink's cap on downloads in Mbps. The contract's one figure speaks of these; what goes up may be less."""
    uplink = document.get("uplink")
    cap = uplink.get("cap") if isinstance(uplink, Mapping) else None
    rate = cap.get("down_mbps") if isinstance(cap, Mapping) else None
    return float(rate) if isinstance(rate, int | float) else None


def _refuse(wish: Wish, targets: Iterable[Target]) -> None:
    """Tell each fault once, with whom it concerns and where it comes from."""
    whom: dict[str, list[str]] = {}
    faults: dict[int, list[documents.Fault]] = {}
    for target in targets:
        key = id(target.document)
        if key not in faults:
            faults[key] = documents.faults(_with_plain_keys(target.document))
        for fault in faults[key]:
            whom.setdefault(f"{fault.sentence}; set by {said(origin(target.origins, fault.path))}", []).append(target.point.id)
        if target.is_below_contract and not wish.is_below_contract and not _was_meant(target):
            sentence = f"uplink.cap.down_mbps is {_down_cap(target.document):g} Mbps, below the contract of {target.point.contract_mbps:g} Mbps"
            whom.setdefault(f"{sentence}; if that is meant, say --below-contract", []).append(target.point.id)
    documents.refuse(str(wish.node), (documents.Fault((), f"{sentence} ({_names(ids)})") for sentence, ids in whom.items()))


def _was_meant(target: Target) -> bool:
    """A cap that is in force was meant when it was pushed."""
    return target.last is not None and target.last.is_below_contract and _down_cap(target.last.document) == _down_cap(target.document)


def _with_plain_keys(document: Document) -> Document:
    """What the check of form takes in a name's place: each key was checked before its name stood there."""
    ssids = document.get("ssids")
    if not isinstance(ssids, Mapping):
        return document
    shown = {name: {**entry, "key": "x" * 8} if isinstance(entry, Mapping) and isinstance(entry.get("key"), str) else entry for name, entry in ssids.items()}
    return {**document, "ssids": shown}


def _names(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"{', '.join(ids[:NAMED])}{more}"
