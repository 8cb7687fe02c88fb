"""The form of an enrolment bundle, `<id>.tar.gz`: what the city puts in and an access point takes out, and no more than that. Pure text.

bundle.json     {"v":1,"city":…,"ap":…,"certificate_expires_at":…}: whom it is for
agent.toml      the settings, with the paths of /etc/rwagent
ca.pem  client.pem  client.key
keys/NAME.pub   the city's public signing keys
state/floor     a revision; what is signed with it or a lower one is not applied
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from agent.wire import keyfile, topics
from agent.wire.messages import Malformed, decode_strict

VERSION = 1
FOLDER = "/etc/rwagent"
MANIFEST, SETTINGS, CA, CERTIFICATE, KEY, FLOOR = "bundle.json", "agent.toml", "ca.pem", "client.pem", "client.key", "state/floor"
KEYS, STATE = "keys", "state"
MOST_BYTES = {MANIFEST: 4096, SETTINGS: 65536, CA: 65536, CERTIFICATE: 65536, KEY: 65536, FLOOR: 64}
MOST_KEYS = 32
MODES = {MANIFEST: 0o640, SETTINGS: 0o640, CA: 0o640, CERTIFICATE: 0o640, KEY: 0o640, FLOOR: 0o600}
FOLDER_MODES = {KEYS: 0o750, STATE: 0o700}
KEY_MODE = 0o640
MOST_REVISION = 2**53 - 1
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_PUBLIC_KEY = re.compile(r"keys/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\.pub")


class Manifest(NamedTuple):
    """Whom a bundle is for, and the last Unix second of its certificate."""

    city: str
    ap: str
    certificate_expires_at: int


def most_bytes(name: str) -> int | None:
    """Give the most bytes that a member of this name may have; None when no bundle has such a member."""
    return keyfile.MAX_BYTES if _PUBLIC_KEY.fullmatch(name) else MOST_BYTES.get(name)


def manifest_text(manifest: Manifest) -> bytes:
    """Write bundle.json."""
    return json.dumps({"v": VERSION, **manifest._asdict()}).encode() + b"\n"


def parse_manifest(raw: bytes) -> Manifest:
    """Read bundle.json; Malformed when it is none, or of another version."""
    found = decode_strict(raw.strip(), MOST_BYTES[MANIFEST])
    version, city, ap, expires = (found.get(name) for name in ("v", *Manifest._fields))
    if version != VERSION:
        raise Malformed(f"its version is {version!r}, expected {VERSION}: made for another version of the agent")
    for what, name in (("city", city), ("ap", ap)):
        if not isinstance(name, str) or not topics.is_name(name):
            raise Malformed(f"its {what} is {str(name)[:60]!r}, expected 1 to {topics.LONGEST_NAME} of a-z, 0-9 and -")
    if type(expires) is not int:
        raise Malformed("its certificate_expires_at is no whole number")
    assert isinstance(city, str) and isinstance(ap, str)
    return Manifest(city, ap, expires)


def parse_floor(raw: bytes) -> int:
    """Read state/floor; Malformed when it is no revision."""
    text = raw.strip()
    if not text.isdigit() or int(text) > MOST_REVISION:
        raise Malformed(f"is {raw[:20]!r}, expected a whole number up to {MOST_REVISION}")
    return int(text)


def toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Write settings as TOML: tables of texts, numbers, true, false, moments and lists of these; ValueError for anything else."""
    return "\n".join(f"[{_name(table)}]\n{_lines(keys)}" for table, keys in tables.items() if keys)


def _lines(keys: Mapping[str, object]) -> str:
    return "".join(f"{_name(key)} = {_value(value)}\n" for key, value in keys.items())


def _name(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _value(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # JSON's text is TOML's, but for DEL, which TOML wants escaped (TOML 1.0, basic strings).
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise ValueError(f"{type(value).__name__} has no place in settings")
