"""The public keys an access point trusts, and whether a push was signed with one of them: root's side.

The daemon never imports it. No cryptography of our own: the box's tool for its own packages decides, and the key's number is
compared by us as well, because usign does not.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from agent.errors import Unavailable
from agent.router.child import SEARCH, Failed, Program
from agent.wire import keyfile
from agent.wire.jws import Jws
from agent.wire.keyfile import PublicKey
from agent.wire.messages import Malformed

MOST_KEYS = 32
TIMEOUT_S = 10.0  # 60,000 bytes by usign take tenths of a second on the slowest box
# Both take the same words: verify, quietly, this message, this public key, this signature.
PROGRAMS = ("usign", "signify-openbsd")
SAID_NO = 1  # the exit status of both for a bad signature


class Keys(NamedTuple):
    """The keys of a directory by their ids, and a sentence for each file that holds none."""

    by_kid: Mapping[str, PublicKey]
    errors: tuple[str, ...]


def load(directory: str) -> Keys:
    """Read a directory of public keys, one a file; a file that is none costs itself only. Of two keys with one number neither is taken."""
    found: dict[str, tuple[str, PublicKey]] = {}
    errors: list[str] = []
    twice: set[str] = set()
    try:
        names = _names(directory)
    except OSError as error:
        return Keys({}, (f"{directory}: cannot be read ({error.strerror}), expected a directory of public keys",))
    if len(names) > MOST_KEYS:
        errors.append(f"{directory}: more than {MOST_KEYS} files, the rest is not read")
    for name in names[:MOST_KEYS]:
        path = os.path.join(directory, name)
        try:
            key = keyfile.parse_public_key(_read(path))
        except OSError as error:
            errors.append(f"{path}: cannot be read ({error.strerror})")
        except Malformed as error:
            errors.append(f"{path}: {error}")
        else:
            first, _ = found.setdefault(key.kid, (path, key))
            if first != path:
                twice.add(key.kid)
                errors.append(f"{path}: has the key number {key.kid} of {first}; neither is taken, remove one")
    return Keys({kid: key for kid, (_, key) in found.items() if kid not in twice}, tuple(errors))


def verify(jws: Jws, key: PublicKey, directory: str, search: str = SEARCH) -> bool:
    """Say whether `key` signed exactly these bytes; Unavailable when nothing on this box can tell.

    `directory`: in RAM and this user's alone, for the files that the tool reads; `search`: where programs are looked for.
    """
    if jws.kid != key.kid:
        return False
    for name in PROGRAMS:
        program = Program(name, search, TIMEOUT_S)
        if program.is_there():
            return _by_program(program, jws, key, directory)
    return _by_package(jws, key)


def _by_program(program: Program, jws: Jws, key: PublicKey, directory: str) -> bool:
    files = {
        "verify.message": jws.signing_input,
        "verify.pub": keyfile.public_key(key, "key of a push"),
        "verify.sig": keyfile.signature(jws.kid, jws.signature, "signature of a push"),
    }
    with _there(directory, files) as (message, public, made):
        try:
            program.run("-V", "-q", "-m", message, "-p", public, "-x", made)
        except Failed as error:
            if error.code != SAID_NO:
                raise
            return False
    return True


def _by_package(jws: Jws, key: PublicKey) -> bool:
    try:
        # Only here, because no router needs it: there usign is part of the system.
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        where = "usign (OpenWrt), signify-openbsd (Debian, Ubuntu) or Python's cryptography"
        raise Unavailable(f"nothing here can check a signature: install {where}") from None
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(jws.signature, jws.signing_input)
    except InvalidSignature:
        return False
    return True


@contextmanager
def _there(directory: str, files: Mapping[str, bytes]) -> Iterator[list[str]]:
    """Have files in a directory while entered, none of which was there before; give their paths."""
    paths = [os.path.join(directory, name) for name in files]
    try:
        for path, content in zip(paths, files.values(), strict=True):
            _remove(path)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(content)
        yield paths
    except OSError as error:
        raise Unavailable(f"{directory}: no room for checking a signature ({error.strerror})") from None
    finally:
        for path in paths:
            _remove(path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _names(directory: str) -> list[str]:
    """Name what lies in a directory, in order; hidden files are an editor's, not keys."""
    return sorted(name for name in os.listdir(directory) if not name.startswith("."))


def _read(path: str) -> bytes:
    """Read one regular file, never through a link, never waiting for a FIFO's other end."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Malformed("not a regular file")
        return os.read(fd, keyfile.MAX_BYTES + 1)
    finally:
        os.close(fd)
