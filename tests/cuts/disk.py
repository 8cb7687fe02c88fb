"""A flash chip as a power cut sees it: what a program believes is written, and what a cut may leave of it.

The rules, stricter than any one file system: a file's bytes are there after fsync of the file; a name (made, renamed, removed) after
fsync of its directory; `sync` does both for all. Before that anything goes: nothing of it, all of it, names without their
bytes (empty, half, zeros), any of the waiting names. A rename may leave both names (jffs2), never none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.cuts.trace import Op, Unmodelled

# What may be left: path below the flash -> mode and bytes, None for a directory.
State = tuple[tuple[str, int, bytes | None], ...]


class _Node:
    """A file or a directory: as it is for programs, and as it is on the chip."""

    def __init__(self, mode: int, is_directory: bool) -> None:
        self.mode = self.saved_mode = mode
        self.is_directory = is_directory
        self.data = b""
        self.saved: bytes | None = None  # None: not a byte of it was ever made durable
        self.position = 0
        self.names: dict[str, _Node] = {}
        self.saved_names: dict[str, _Node] = {}


class _Waiting:
    """A change of one name that is not durable yet; `after` must have come before it (a rename's old name goes last)."""

    def __init__(self, directory: _Node, name: str, node: _Node | None, after: _Waiting | None) -> None:
        self.directory, self.name, self.node, self.after = directory, name, node, after


class Disk:
    """The files below `base`; those below `base`/flash lie on the flash, the others in RAM.

    `plain` takes a path and bytes written there, and gives the bytes, as many, as they are to be compared.
    """

    def __init__(self, base: str, plain: Callable[[str, bytes], bytes] = lambda _, data: data) -> None:
        self.base = base
        self._plain = plain
        self._flash = f"{base}/flash"
        self._root = _Node(0o755, True)
        self._waiting: list[_Waiting] = []
        self._read_from: dict[tuple[int, str], int] = {}
        self._load(self._root, base)

    def _load(self, node: _Node, path: str) -> None:
        for entry in os.scandir(path):
            found = _Node(entry.stat(follow_symlinks=False).st_mode & 0o7777, entry.is_dir(follow_symlinks=False))
            node.names[entry.name] = node.saved_names[entry.name] = found
            if found.is_directory:
                self._load(found, entry.path)
            elif entry.is_file(follow_symlinks=False):
                found.data = found.saved = self._plain(entry.path, Path(entry.path).read_bytes())

    def is_flash(self, path: str) -> bool:
        """Say whether a path lies on the flash."""
        return path == self._flash or path.startswith(self._flash + "/")

    def _is_ours(self, path: str) -> bool:
        return path.startswith(self.base + "/")

    def _find(self, path: str) -> _Node | None:
        node: _Node | None = self._root
        for name in path[len(self.base) + 1 :].split("/"):
            if name:
                node = node.names.get(name) if node is not None else None
        return node

    def _node(self, path: str) -> _Node:
        node = self._find(path)
        if node is None:
            raise Unmodelled(f"{path} is changed, but nobody made it")
        return node

    def _set(self, path: str, node: _Node | None, after: _Waiting | None = None) -> _Waiting:
        directory, name = self._node(os.path.dirname(path)), os.path.basename(path)
        if node is None:
            del directory.names[name]
        else:
            directory.names[name] = node
        waiting = _Waiting(directory, name, node, after)
        if self.is_flash(path):
            self._waiting.append(waiting)
        else:
            _enter(directory.saved_names, waiting)
        return waiting

    def read(self, path: str) -> bytes | None:
        """Give what a program would read; None when there is no such file."""
        node = self._find(path)
        return None if node is None or node.is_directory else node.data

    def apply(self, op: Op) -> bool:
        """Take one thing that was done; say whether it matters to the flash (each such moment is a cut point)."""
        if op.kind == "sync":
            self._sync_all()
            return True
        if op.kind == "exec":
            return True
        ours = [path for path in (op.path, op.other) if self._is_ours(path)]
        if not ours:
            return False
        if op.kind == "unknown":
            if any(map(self.is_flash, ours)):
                raise Unmodelled(f"{op.other} of {op.path}")
            return False
        if not self._is_ours(op.path):
            if op.kind == "rename":
                raise Unmodelled(f"{op.other} was moved away to {op.path}")
            return False
        if op.kind in ("rename", "link") and self.is_flash(op.path) != self.is_flash(op.other):
            raise Unmodelled(f"{op.other} lies on another chip than {op.path}")
        changed = getattr(self, f"_{op.kind}")(op)
        return changed is not False and any(map(self.is_flash, ours))

    def _create(self, op: Op) -> bool:
        if self._find(op.path) is not None:
            return False
        assert op.at is not None
        self._set(op.path, _Node(op.at, False))
        return True

    def _position(self, op: Op) -> bool:
        node = self._find(op.path)
        if node is not None and op.at is not None:
            node.position = op.at
        return False

    def _write(self, op: Op) -> None:
        node = self._node(op.path)
        at = op.at if op.at is not None else node.position if node.position >= 0 else len(node.data)
        node.data = node.data[:at].ljust(at, b"\0") + self._plain(op.path, op.data) + node.data[at + len(op.data) :]
        if op.at is None and node.position >= 0:
            node.position = at + len(op.data)

    def _copy(self, op: Op) -> bool:
        if op.size == 0:
            return False
        source = self._find(op.other) if self._is_ours(op.other) else None
        if source is None:
            raise Unmodelled(f"{op.path} is copied from {op.other}, whose content is not known")
        at = self._read_from.get((op.pid, op.other), 0)
        self._read_from[op.pid, op.other] = at + op.size
        self._write(op._replace(data=source.data[at : at + op.size]))
        return True

    def _truncate(self, op: Op) -> bool:
        node = self._node(op.path)
        if len(node.data) == op.size:
            return False
        node.data = node.data[: op.size].ljust(op.size, b"\0")
        return True

    def _extend(self, op: Op) -> None:
        node = self._node(op.path)
        node.data = node.data.ljust(op.size, b"\0")

    def _rename(self, op: Op) -> bool:
        node, there = self._node(op.other), self._find(op.path)
        if node is there:
            return False
        if there is not None and there.is_directory and there.names:
            raise Unmodelled(f"{op.other} is renamed over {op.path}, which is not empty")
        # A file that moves into a directory nobody will find is still found where it was.
        directory = self._node(os.path.dirname(op.path))
        home = next((waiting for waiting in reversed(self._waiting) if waiting.node is directory), None)
        self._set(op.other, None, self._set(op.path, node, home))
        return True

    def _link(self, op: Op) -> None:
        self._set(op.path, self._node(op.other))

    def _unlink(self, op: Op) -> None:
        self._set(op.path, None)

    _rmdir = _unlink

    def _mkdir(self, op: Op) -> None:
        assert op.at is not None
        self._set(op.path, _Node(op.at, True))

    def _chmod(self, op: Op) -> None:
        assert op.at is not None
        self._node(op.path).mode = op.at

    def _fsync(self, op: Op) -> bool:
        node = self._find(op.path)
        if node is None:
            return False
        self._save(node)
        for waiting in [waiting for waiting in self._waiting if waiting.directory is node]:
            self._persist(waiting)
        return True

    def _save(self, node: _Node) -> None:
        node.saved, node.saved_mode = node.data, node.mode

    def _persist(self, waiting: _Waiting) -> None:
        if waiting not in self._waiting:
            return
        if waiting.after is not None:
            self._persist(waiting.after)
        # What waited for the same name before it is overtaken.
        for earlier in [other for other in self._waiting if other.directory is waiting.directory and other.name == waiting.name]:
            self._waiting.remove(earlier)
            if earlier is waiting:
                break
        _enter(waiting.directory.saved_names, waiting)

    def _sync_all(self) -> None:
        for waiting in list(self._waiting):
            self._persist(waiting)
        nodes = [self._root]
        for node in nodes:
            self._save(node)
            nodes += node.names.values()

    def states(self) -> Iterator[State]:
        """Give all that a power cut now may leave on the flash; some of it more than once."""
        for persisted in _choices(self._waiting):
            names: dict[int, dict[str, _Node]] = {}
            for waiting in persisted:
                if (directory := id(waiting.directory)) not in names:
                    names[directory] = dict(waiting.directory.saved_names)
                _enter(names[directory], waiting)
            found: list[tuple[str, _Node]] = []
            _walk(self._root.names["flash"], "flash", names, found)
            unsaved = {id(node): node for _, node in found if not node.is_directory and (node.data != node.saved or node.mode != node.saved_mode)}
            for left in _torn(list(unsaved.values())):
                yield tuple((path, *left.get(id(node), (node.saved_mode, node.saved if not node.is_directory else None))) for path, node in found)

    def now(self) -> State:
        """Give the flash as programs see it."""
        found: list[tuple[str, _Node]] = []
        _walk(self._root.names["flash"], "flash", None, found)
        return tuple((path, node.mode, None if node.is_directory else node.data) for path, node in found)


def _walk(node: _Node, path: str, names: dict[int, dict[str, _Node]] | None, found: list[tuple[str, _Node]]) -> None:
    """Add what lies below a directory, sorted; `names` is what a directory holds instead of its saved names (None: as programs see it)."""
    found.append((path, node))
    if node.is_directory:
        here = node.names if names is None else names.get(id(node), node.saved_names)
        for name in sorted(here):
            _walk(here[name], f"{path}/{name}", names, found)


def _enter(names: dict[str, _Node], waiting: _Waiting) -> None:
    if waiting.node is None:
        names.pop(waiting.name, None)
    else:
        names[waiting.name] = waiting.node


def _choices(waiting: list[_Waiting]) -> Iterator[list[_Waiting]]:
    """Which of the waiting names came through: the first so many; all subsets while they are few, else each alone and each missing."""
    subsets: Iterable[list[_Waiting]]
    if len(waiting) <= 5:
        subsets = ([one for at, one in enumerate(waiting) if bits >> at & 1] for bits in range(2 ** len(waiting)))
    else:
        yield from (waiting[:count] for count in range(len(waiting) + 1))
        subsets = [[one] for one in waiting] + [[other for other in waiting if other is not one] for one in waiting]
    for subset in subsets:
        if all(one.after is None or one.after in subset or one.after not in waiting for one in subset):
            yield subset


def _torn(unsaved: list[_Node]) -> Iterator[dict[int, tuple[int, bytes]]]:
    """What may be left of the bytes that were not made durable: all, what was durable, half, nothing, zeros; for two files in all pairs."""
    ways: list[dict[int, tuple[int, bytes]]] = [{}]
    if len(unsaved) > 2:
        for way in range(5):
            yield {id(node): _left(node)[way] for node in unsaved}
        return
    for node in unsaved:
        ways = [way | {id(node): left} for way in ways for left in _left(node)]
    yield from ways


def _left(node: _Node) -> list[tuple[int, bytes]]:
    half = node.data[: len(node.data) // 2]
    return [(node.mode, node.data), (node.saved_mode, node.saved or b""), (node.mode, half), (node.mode, b""), (node.mode, bytes(len(node.data)))]


def run(disk: Disk, ops: Iterable[Op], is_cut: bool) -> tuple[int, set[State]]:
    """Take all that a run did; give at how many moments the power could have failed, and (where that is asked for) all that may be left then."""
    moments, left = 0, set(disk.states()) if is_cut else set()
    for op in ops:
        if disk.apply(op):
            moments += 1
            if is_cut and op.kind != "exec":
                left.update(disk.states())
    return moments, left


class Cut(NamedTuple):
    """One moment of a run at which the power may fail: after which thing done, and what may be left."""

    number: int
    op: Op
    states: frozenset[State]


def cuts(disk: Disk, ops: Iterable[Op]) -> Iterator[Cut]:
    """Give each moment that matters to the flash, in order, with all that a power cut may leave then."""
    number = 0
    states = frozenset(disk.states())
    for op in ops:
        if disk.apply(op):
            # Starting a program changes nothing, but is a moment all the same.
            states = states if op.kind == "exec" else frozenset(disk.states())
            yield Cut(number, op, states)
            number += 1


def put(state: State, base: str) -> None:
    """Make what was left into files below `base`, where nothing of it lies yet."""
    for path, mode, data in state:
        full = os.path.join(base, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if data is None:
            os.makedirs(full, exist_ok=True)
        else:
            Path(full).write_bytes(data)
        os.chmod(full, mode)
