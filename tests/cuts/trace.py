"""What a program did to files, in order, as the kernel saw it: `strace` run over a whole scenario and read back.

Only what happened counts: a call that failed is left out. What this file does not understand is an error, never a guess.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

FORKS = ("clone", "clone3", "fork", "vfork")
CALLS = (
    # What changes files, or makes a change durable.
    *("open", "openat", "openat2", "creat", "write", "pwrite64", "writev", "pwritev", "pwritev2", "truncate", "ftruncate", "fallocate"),
    *("sendfile", "copy_file_range", "splice", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat"),
    *("mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "fchmodat2", "fsync", "fdatasync", "sync", "syncfs", "sync_file_range"),
    *("msync", "setxattr", "fsetxattr"),
    # What must be known to read the above.
    *("lseek", "chdir", "fchdir", "umask", "execve", *FORKS),
)


class Op(NamedTuple):
    """One thing done: by which process, what, to which path (absolute; "" for all), and with what.

    `kind`: create, truncate, write, copy, rename, link, unlink, rmdir, mkdir, chmod, fsync, sync, exec.
    `path` is what is changed; `other` the way it came from (rename, link, copy) or the program (exec).
    `at`: offset in bytes, None: where the last write ended; for `create`, `mkdir` and `chmod` the mode.
    """

    pid: int
    kind: str
    path: str
    other: str = ""
    data: bytes = b""
    at: int | None = None
    size: int = 0


class Unmodelled(Exception):
    """A program used a way to files that the model does not know: teach the model before trusting it."""


def record(command: Sequence[str], log: Path, environment: Mapping[str, str], cwd: str = "/", timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a command and all that it starts under strace, the log going to a file."""
    return subprocess.run(
        under_strace(command, log), env=dict(environment), cwd=cwd, timeout=timeout_s, text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )


def under_strace(command: Sequence[str], log: Path) -> list[str]:
    """Give the command that runs another, and all that it starts, with a log of what they do to files."""
    calls = ",".join(f"?{name}" for name in CALLS)  # "?": not every kernel and machine has all of them
    # What `sync` means is the model's to say; this machine's disks need not be written for it.
    words = ("-e", "signal=none", "-e", f"trace={calls}", "-e", "inject=sync:retval=0")
    return ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "4000000", "-o", str(log), *words, *command]


class _Call(NamedTuple):
    pid: int
    name: str
    words: list[str]
    result: str


_LINE = re.compile(r"(\d+)\s+(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)", re.DOTALL)
_END = re.compile(r"(.*)\)\s+= (.*)", re.DOTALL)
_FD = re.compile(r"(-?\w+)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


def _calls(lines: Iterable[str]) -> Iterator[_Call]:
    """Give the finished calls in the order in which they finished."""
    begun: dict[int, str] = {}
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            if "+++" in line or "---" in line:
                continue
            raise Unmodelled(f"strace's line is not understood: {line[:200]!r}")
        pid, name, rest = int(found[1]), found[2], found[3]
        if "<... " in line:
            rest = begun.pop(pid) + rest
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix("<unfinished ...>").rstrip()
            continue
        ended = _END.match(rest)
        if ended is None:
            raise Unmodelled(f"strace's line is not understood: {line[:200]!r}")
        yield _Call(pid, name, _split(ended[1]), ended[2])


def _split(text: str) -> list[str]:
    """Split arguments at the commas that are in no bracket; strings hold none, being hex."""
    if "[" not in text and "{" not in text:
        return text.split(", ")
    words, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        if letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and depth == 0:
            words.append(text[start:at].strip())
            start = at + 1
    return [*words, text[start:].strip()]


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _string(word: str) -> bytes:
    found = _TEXT.fullmatch(word)
    if found is None or found[2]:
        raise Unmodelled(f"not a whole string: {word[:80]!r}")
    return _hex(found[1])


class _Process:
    def __init__(self, cwd: str, umask: int) -> None:
        self.cwd, self.umask = cwd, umask


class _Reader:
    """Understands calls one after the other; knows each process's directory and umask."""

    def __init__(self, calls: list[_Call], parents: dict[int, int], cwd: str, umask: int) -> None:
        self._calls = calls
        self._parents = parents
        self._first = _Process(cwd, umask)
        self._processes: dict[int, _Process] = {}

    def ops(self) -> Iterator[Op]:
        for call in self._calls:
            if call.result.startswith(("-1 ", "?")) or call.name in FORKS:
                continue
            yield from getattr(self, f"_{call.name}", self._unknown)(call)

    def _process(self, pid: int) -> _Process:
        if pid not in self._processes:
            parent = self._process(self._parents[pid]) if pid in self._parents else self._first
            self._processes[pid] = _Process(parent.cwd, parent.umask)
        return self._processes[pid]

    def _path(self, call: _Call, word: str, at: str = "AT_FDCWD") -> str:
        found = _FD.fullmatch(at)
        base = os.fsdecode(_hex(found[2])) if found else self._process(call.pid).cwd
        return os.path.normpath(os.path.join(base, os.fsdecode(_string(word))))

    def _of_fd(self, word: str) -> str:
        """The path of a descriptor; "" for what has no name any more, or never had one."""
        found = _FD.fullmatch(word)
        if found is None:
            raise Unmodelled(f"a descriptor without its path: {word!r}")
        path = os.fsdecode(_hex(found[2]))
        return path if path.startswith("/") and not found[3] else ""

    def _unknown(self, call: _Call) -> Iterator[Op]:
        paths = [os.fsdecode(_hex(found[2])) for word in call.words for found in _FD.finditer(word)]
        if not paths and _TEXT.fullmatch(call.words[0]):
            paths = [self._path(call, call.words[0])]
        yield Op(call.pid, "unknown", paths[0] if paths else "", call.name)

    def _openat(self, call: _Call) -> Iterator[Op]:
        yield from self._opened(call, self._path(call, call.words[1], call.words[0]), call.words[2], call.words[3:])

    def _open(self, call: _Call) -> Iterator[Op]:
        yield from self._opened(call, self._path(call, call.words[0]), call.words[1], call.words[2:])

    def _creat(self, call: _Call) -> Iterator[Op]:
        yield from self._opened(call, self._path(call, call.words[0]), "O_WRONLY|O_CREAT|O_TRUNC", call.words[1:])

    def _opened(self, call: _Call, path: str, flags: str, mode: list[str]) -> Iterator[Op]:
        names = flags.split("|")
        if "O_TMPFILE" in names:
            yield Op(call.pid, "unknown", path, "O_TMPFILE")
        if "O_CREAT" in names:
            yield Op(call.pid, "create", path, at=int(mode[0], 8) & 0o7777 & ~self._process(call.pid).umask)
        if "O_TRUNC" in names:
            yield Op(call.pid, "truncate", path, size=0)
        if "O_WRONLY" in names or "O_RDWR" in names:
            yield Op(call.pid, "position", path, at=-1 if "O_APPEND" in names else 0)

    def _lseek(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "position", self._of_fd(call.words[0]), at=int(call.result.split()[0]))

    def _write(self, call: _Call) -> Iterator[Op]:
        yield from self._written(call, _string(call.words[1]), None)

    def _pwrite64(self, call: _Call) -> Iterator[Op]:
        yield from self._written(call, _string(call.words[1]), int(call.words[3]))

    def _writev(self, call: _Call) -> Iterator[Op]:
        yield from self._written(call, b"".join(_string(found[0]) for found in _TEXT.finditer(call.words[1])), None)

    def _written(self, call: _Call, data: bytes, at: int | None) -> Iterator[Op]:
        if path := self._of_fd(call.words[0]):
            yield Op(call.pid, "write", path, data=data[: int(call.result.split()[0])], at=at)

    def _sendfile(self, call: _Call) -> Iterator[Op]:
        if call.words[2] != "NULL":
            yield from self._unknown(call)
        yield Op(call.pid, "copy", self._of_fd(call.words[0]), self._of_fd(call.words[1]), size=int(call.result.split()[0]))

    def _copy_file_range(self, call: _Call) -> Iterator[Op]:
        if call.words[1] != "NULL" or call.words[3] != "NULL":
            yield from self._unknown(call)
        yield Op(call.pid, "copy", self._of_fd(call.words[2]), self._of_fd(call.words[0]), size=int(call.result.split()[0]))

    def _truncate(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "truncate", self._path(call, call.words[0]), size=int(call.words[1]))

    def _ftruncate(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "truncate", self._of_fd(call.words[0]), size=int(call.words[1]))

    def _fallocate(self, call: _Call) -> Iterator[Op]:
        if call.words[1] != "0":
            yield from self._unknown(call)
        yield Op(call.pid, "extend", self._of_fd(call.words[0]), size=int(call.words[2]) + int(call.words[3]))

    def _rename(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "rename", self._path(call, call.words[1]), self._path(call, call.words[0]))

    def _renameat(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "rename", self._path(call, call.words[3], call.words[2]), self._path(call, call.words[1], call.words[0]))

    def _renameat2(self, call: _Call) -> Iterator[Op]:
        if "EXCHANGE" in call.words[4] or "WHITEOUT" in call.words[4]:
            yield from self._unknown(call)
        yield from self._renameat(call)

    def _link(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "link", self._path(call, call.words[1]), self._path(call, call.words[0]))

    def _linkat(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "link", self._path(call, call.words[3], call.words[2]), self._path(call, call.words[1], call.words[0]))

    def _symlink(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "unknown", self._path(call, call.words[1]), "symlink")

    def _symlinkat(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "unknown", self._path(call, call.words[2], call.words[1]), "symlinkat")

    def _unlink(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "unlink", self._path(call, call.words[0]))

    def _unlinkat(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "rmdir" if "AT_REMOVEDIR" in call.words[2] else "unlink", self._path(call, call.words[1], call.words[0]))

    def _rmdir(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "rmdir", self._path(call, call.words[0]))

    def _mkdir(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "mkdir", self._path(call, call.words[0]), at=int(call.words[1], 8) & ~self._process(call.pid).umask)

    def _mkdirat(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "mkdir", self._path(call, call.words[1], call.words[0]), at=int(call.words[2], 8) & ~self._process(call.pid).umask)

    def _mknod(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "unknown", self._path(call, call.words[0]), "mknod")

    def _chmod(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "chmod", self._path(call, call.words[0]), at=int(call.words[1], 8) & 0o7777)

    def _fchmod(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "chmod", self._of_fd(call.words[0]), at=int(call.words[1], 8) & 0o7777)

    def _fchmodat(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "chmod", self._path(call, call.words[1], call.words[0]), at=int(call.words[2], 8) & 0o7777)

    def _fsync(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "fsync", self._of_fd(call.words[0]))

    _fdatasync = _fsync

    def _sync(self, call: _Call) -> Iterator[Op]:
        yield Op(call.pid, "sync", "")

    _syncfs = _sync

    def _chdir(self, call: _Call) -> Iterator[Op]:
        self._process(call.pid).cwd = self._path(call, call.words[0])
        yield from ()

    def _fchdir(self, call: _Call) -> Iterator[Op]:
        self._process(call.pid).cwd = self._of_fd(call.words[0])
        yield from ()

    def _umask(self, call: _Call) -> Iterator[Op]:
        self._process(call.pid).umask = int(call.words[0], 8)
        yield from ()

    def _execve(self, call: _Call) -> Iterator[Op]:
        argv = [os.fsdecode(_string(found[0])) for found in _TEXT.finditer(call.words[1])]
        yield Op(call.pid, "exec", self._path(call, call.words[0]), " ".join(argv))


class Log(NamedTuple):
    """What was done, in order, and who started whom."""

    ops: list[Op]
    parents: dict[int, int]

    def families(self, roots: Iterable[int]) -> dict[int, list[Op]]:
        """Give, for each of these processes, what it and all that it started did."""
        found: dict[int, list[Op]] = {root: [] for root in roots}
        of: dict[int, int | None] = {root: root for root in found}
        for op in self.ops:
            if (root := self._root(op.pid, of)) is not None:
                found[root].append(op)
        return found

    def _root(self, pid: int, of: dict[int, int | None]) -> int | None:
        if pid not in of:
            of[pid] = self._root(self.parents[pid], of) if pid in self.parents else None
        return of[pid]


def read(log: Path, cwd: str = "/", umask: int = 0o022) -> Log:
    """Read strace's log of a run that began in `cwd` with `umask`."""
    with log.open(encoding="ascii") as lines:
        calls = list(_calls(line.rstrip("\n") for line in lines))
    parents: dict[int, int] = {}
    for call in calls:
        if call.name in FORKS and call.result[:1].isdigit():
            child = int(call.result.split()[0])
            if child in parents:
                raise Unmodelled(f"two processes had the number {child}: record less at once")
            parents[child] = call.pid
    return Log(list(_Reader(calls, parents, cwd, umask).ops()), parents)
