"""The files the settings name: there, of the right kind, and secrets closed to others; and the id that the certificate gives.

Reads the files and changes nothing; the commands to run stand in the faults.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Any

from agent import identity
from agent.errors import Rejected
from agent.settings import Fault
from agent.wire.topics import LONGEST_NAME, is_name

MAX_BYTES = 65536
NAME_ALLOWED = f"1 to {LONGEST_NAME} of a-z, 0-9 and -"


def check_files(broker: dict[str, Any], given_id: str | None, bad: frozenset[str]) -> tuple[str, list[Fault]]:
    """Check the files of the broker's table, pairs that must be whole, and find the id ("" when unknown); `bad` are the keys at fault already."""
    faults: list[Fault] = []
    for one, other in (("cert_file", "key_file"), ("key_file", "cert_file"), ("username", "password_file")):
        if broker[one] and not broker[other] and f"broker.{other}" not in bad:
            faults.append(Fault(f"broker.{other}", "missing", f"expected with broker.{one}"))
    used = {key: broker[key] for key in _CONTENT if broker[key]}
    broken = {key: allowed for key, path in used.items() if (allowed := _allowed(key, path))}
    faults += [Fault(f"broker.{key}", f'"{used[key]}"', allowed) for key, allowed in broken.items()]
    if given_id is not None or bad & {"agent", "agent.id", "broker.cert_file"} or "cert_file" in broken:
        return given_id or "", faults
    identity_found, more = _from_certificate(broker["cert_file"])
    return identity_found, faults + more


def _from_certificate(cert_file: str) -> tuple[str, list[Fault]]:
    expected = f"expected {NAME_ALLOWED}, or broker.cert_file with a certificate whose CN is that"
    if not cert_file:
        return "", [Fault("agent.id", "missing", expected)]
    cn = identity.certificate(cert_file).cn
    if is_name(cn):
        return cn, []
    return "", [Fault("agent.id", "missing", f"{expected}; its CN is {cn[:60]!a}")]


def exposed(path: str) -> str | None:
    """Give the command that closes a secret's file to others; None when it is closed."""
    if not os.stat(path).st_mode & 0o007:
        return None
    # Imported here, as in settings_rules, because a start without a fault must not pay for it.
    import shlex

    return f"chmod o-rwx {shlex.quote(path)}"


def _allowed(key: str, path: str) -> str | None:
    """Say what is expected of a file when it is not so; None when it is."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            return "expected a regular file"
        chmod = exposed(path) if key in _SECRETS else None
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES)
    except PermissionError:
        return "expected a file this user may read: run as root or as the agent's user"
    except OSError as error:
        return f"expected a file that can be read ({error.strerror})"
    if chmod is not None:
        return f"expected a file closed to others: run {chmod}"
    return _CONTENT[key](content)


def _certificate(content: bytes) -> str | None:
    try:
        identity.parse(content)
    except Rejected as error:
        return f"expected a certificate in PEM: {error}"
    return None


def _private_key(content: bytes) -> str | None:
    if b"PRIVATE KEY-----" not in content:
        return "expected a private key in PEM"
    # OpenSSL would ask a terminal for the passphrase, and wait for ever.
    return "expected a private key without a passphrase" if b"ENCRYPTED" in content else None


def _password(content: bytes) -> str | None:
    return None if content.split(b"\n", 1)[0].strip() else "expected a file whose first line is the password"


_SECRETS = frozenset({"key_file", "password_file"})
_CONTENT: dict[str, Callable[[bytes], str | None]] = {
    "ca_file": _certificate,
    "cert_file": _certificate,
    "key_file": _private_key,
    "password_file": _password,
}
