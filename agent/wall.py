"""The wall between the daemon and root: who must own what before root acts, and how root reads and writes where the daemon may do anything.

The daemon owns run_dir and may rename, link or swap all in it at any moment: root goes by descriptors of directories, follows no link,
waits for no FIFO, and reads each file once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from agent.errors import Rejected
from agent.flash import Flash
from agent.settings import Settings

MOST_BYTES = 60_000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Demand(NamedTuple):
    """What one path must be: a directory or a file, and which permission bits nobody may have there."""

    path: str
    is_directory: bool
    forbidden: int
    mode: str
    may_be_absent: bool = False


def demands(settings: Settings, config: str) -> list[Demand]:
    """Give what must be so of everything that root believes; secrets and state are root's alone, settings and keys are root's to write."""
    paths, push = settings.paths, settings.push
    found = [
        _settings(config),
        Demand(push.keys_dir, True, 0o022, "750", True),
        Demand(push.secrets_dir, True, 0o077, "700", True),
        Demand(paths.state_dir, True, 0o077, "700"),
        Demand(paths.apply_dir, True, 0o077, "700"),
    ]
    if settings.broker.key_file:
        found.append(Demand(settings.broker.key_file, False, 0o027, "640", True))
    for folder, forbidden, mode in ((push.keys_dir, 0o022, "640"), (push.secrets_dir, 0o077, "600")):
        with suppress(OSError):
            found += [Demand(os.path.join(folder, name), False, forbidden, mode) for name in sorted(os.listdir(folder))]
    return found


def check_settings(config: str) -> None:
    """Rejected when somebody else may have written the settings: nothing they name may be touched then."""
    if found := _faults([_settings(config)], os.geteuid()):
        raise Rejected("; ".join(found))


def _settings(config: str) -> Demand:
    return Demand(config, False, 0o022, "640")


def prepare(settings: Settings) -> None:
    """Make root's own two directories where they are missing; Rejected when that cannot be."""
    paths = settings.paths
    try:
        if not os.path.lexists(paths.state_dir):
            Flash().make_directory(paths.state_dir)
        if not os.path.lexists(paths.apply_dir):
            os.makedirs(paths.apply_dir, 0o700)  # RAM
    except OSError as error:
        raise Rejected(f"{paths.state_dir} and {paths.apply_dir} must be there: {error.strerror}; mkdir -m 700 them") from None


def faults(settings: Settings, config: str) -> list[str]:
    """Name everything that is not as it must be, each with the command that mends it."""
    uid = os.geteuid()
    if uid and settings.router.backend != "simulated":
        return [f'router.backend is {settings.router.backend!r}, which only root may change; run rwagent-apply as root, or use backend = "simulated"']
    return _faults(demands(settings, config), uid)


def _faults(wanted: Sequence[Demand], uid: int) -> list[str]:
    found = [sentence for demand in wanted for sentence in _check(demand, uid)]
    folders = {folder for demand in wanted for folder in _above(demand.path)} - {demand.path for demand in wanted}
    return found + [sentence for folder in sorted(folders) for sentence in _check_folder(folder, uid)]


def _check(demand: Demand, uid: int) -> Iterator[str]:
    path = demand.path
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        if not demand.may_be_absent:
            yield f"{path} is missing; " + (f"mkdir -m {demand.mode} {path}" if demand.is_directory else "put it there")
        return
    except OSError as error:
        yield f"{path}: {error.strerror}; expected one that this user may read"
        return
    is_right = stat.S_ISDIR if demand.is_directory else stat.S_ISREG
    if not is_right(seen.st_mode):
        yield f"{path} is {'no directory' if demand.is_directory else 'no regular file'}; a link or anything else is not followed: put a real one there"
        return
    if seen.st_uid != uid:
        yield f"{path} belongs to user {seen.st_uid}; chown {uid} {path}"
    if seen.st_mode & demand.forbidden:
        yield f"{path} has mode {stat.S_IMODE(seen.st_mode):03o}; chmod {demand.mode} {path}"


def _above(path: str) -> Iterator[str]:
    """Give every directory above a path, and above what a link on the way leads to: whoever may write to one could put another thing there."""
    for folder in {os.path.dirname(one) for one in (os.path.abspath(path), os.path.realpath(path))}:
        yield folder
        while folder != "/":
            folder = os.path.dirname(folder)
            yield folder


def _check_folder(folder: str, uid: int) -> Iterator[str]:
    try:
        seen = os.stat(folder)
    except OSError:
        return
    if seen.st_uid not in (0, uid) or (seen.st_mode & 0o022 and not seen.st_mode & stat.S_ISVTX):
        yield f"{folder} (user {seen.st_uid}, mode {stat.S_IMODE(seen.st_mode):03o}) is not root's alone; chown {uid} {folder} && chmod go-w {folder}"


class Inbox:
    """What the daemon puts in: read only, never believed, never removed."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir

    def read(self, name: str, most: int = MOST_BYTES) -> bytes | None:
        """Give a file's bytes, at most one more than `most`; None when there is no regular file of the inbox's own user."""
        try:
            with _opened(self._run_dir) as run_dir, _opened("inbox", run_dir) as inbox:
                return _read(inbox, name, most)
        except OSError:
            return None


def _read(inbox: int, name: str, most: int) -> bytes | None:
    owner = os.fstat(inbox)
    if owner.st_mode & 0o022:
        return None  # not the daemon alone could have put it there
    fd = os.open(name, _READ, dir_fd=inbox)
    try:
        seen = os.fstat(fd)
        # Another's file under a new name (a hard link) would be read with root's rights.
        if not stat.S_ISREG(seen.st_mode) or seen.st_uid != owner.st_uid:
            return None
        with open(fd, "rb", closefd=False) as file:
            return file.read(most + 1)
    finally:
        os.close(fd)


class StatusFolder:
    """run_dir/status/, root's own: what root says. Made when it is missing; one that is not root's own is never written to."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir

    def check(self) -> None:
        """Rejected when it is not one that only we can write to."""
        with self._folder():
            pass

    def put(self, name: str, content: bytes) -> None:
        """Replace a file whole, readable for everybody; Rejected when the directory is no longer ours."""
        with self._folder() as folder:
            new = f".{name}.new"
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=folder)
            with open(os.open(new, _NEW, 0o644, dir_fd=folder), "wb") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(content)
            os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)

    @contextmanager
    def _folder(self) -> Iterator[int]:
        path = os.path.join(self._run_dir, "status")
        try:
            with _opened(self._run_dir) as run_dir:
                with suppress(FileExistsError):
                    os.mkdir("status", 0o755, dir_fd=run_dir)
                    with _opened("status", run_dir) as folder:
                        os.fchmod(folder, 0o755)  # a strict umask must not keep it from the daemon
                with _opened("status", run_dir) as folder:
                    seen = os.fstat(folder)
                    if seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
                        raise Rejected(f"{path} belongs to user {seen.st_uid}, mode {stat.S_IMODE(seen.st_mode):03o}; rm -r {path} (it is made anew)")
                    yield folder
        except OSError as error:
            raise Rejected(f"{path}: {error.strerror}; {self._run_dir} must be a directory of rwagent's user, {path} one of root") from None


@contextmanager
def _opened(path: str, above: int | None = None) -> Iterator[int]:
    fd = os.open(path, _DIRECTORY, dir_fd=above)
    try:
        yield fd
    finally:
        os.close(fd)
