"""What of a message may be kept that nobody understood, or that says more than it should: no MAC address, no key, no token.

Pure. Stars hide too much rather than too little.
"""

from __future__ import annotations

import functools
import hashlib
import re

from agent.wire.claims import STARS
from fleet.rows import Quarantined

LONGEST_BEGINNING = 256
LONGEST_TOPIC = 128
READ = 2048  # of a payload: more is never looked at, and what the cut tears apart lies beyond the beginning
MAC = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{2}(?:([:._-]?)[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![0-9A-Fa-f])|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}")
_NO_NUMBER = re.compile(rf"(?![0-9]{{12}}(?![0-9A-Fa-f]))(?:{MAC.pattern})")
# A name that tells what stands behind it, in JSON or not, and its value to the end of the string or word.
# Every repetition is bounded where something must follow it: whoever writes "pass" a thousand times must not make us search for minutes.
_SECRET = re.compile(
    r"""((?:key|psk|sae|pass|secret|token|pwd|auth|cookie|private)\w{0,32}\\{0,8}["']?\s{0,8}[:=]\s{0,8})"""
    r"""(\\{0,8}"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;}\]]+)""",
    re.IGNORECASE,
)
_LONG = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
# The name of a member whose value is a secret, whole.
_SECRET_NAME = re.compile(r"(?:key|psk|passwd|pwd|passcode|(?:password|passphrase|secret|token|cookie|credential)s?|(?<![a-z])pass)[0-9]*\W*$", re.IGNORECASE)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})|\\{1,8}(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
_WRAPPED = 3  # an escape may stand in an escape
_TORN = 20  # characters before a cut that may be the half of an address or a token
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 16_384, 128
Patterns = tuple[tuple[re.Pattern[str], str], ...]
_TEXT: Patterns = ((_SECRET, rf"\1{STARS}"), (MAC, STARS))
_SSID: Patterns = ((_NO_NUMBER, STARS),)
_SHOWN = {ord(c): f"\\{name}" for c, name in (("\n", "n"), ("\r", "r"), ("\t", "t"), ("\\", "\\"))}


def row(at: int, topic: str, payload: bytes, reason: str) -> Quarantined:
    """Make the row of one poisonous message."""
    named = "/".join(beginning(level.encode(errors="replace")) for level in topic[:READ].split("/"))[:LONGEST_TOPIC]
    return Quarantined(at, named, reason, len(payload), hashlib.sha256(payload).hexdigest(), beginning(payload))


def beginning(payload: bytes) -> str:
    """Give how a payload begins, at most LONGEST_BEGINNING printable characters, with stars for whatever could be an address, a key or a token."""
    text = _unescaped(payload[:READ].decode(errors="replace").replace("\0", ""))  # UTF-16 is every second byte
    if len(payload) > READ:
        text = text[:-_TORN]
    for pattern, put in (*_TEXT, (_LONG, STARS)):
        text = pattern.sub(put, text)
    return spelled(text)[:LONGEST_BEGINNING]


def spelled(text: str) -> str:
    """Give a text with every character spelled out that would not print: a terminal obeys them."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_SHOWN.get(ord(c)) or (c if c.isprintable() else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}") for c in text)


def is_address(name: str) -> bool:
    """Say whether a name holds what could be a MAC address."""
    return MAC.search(name) is not None


def is_secret(name: str) -> bool:
    """Say whether what is called so is a secret: a key, a password, a token."""
    return _SECRET_NAME.search(name) is not None


def clean(text: str) -> str:
    """Give a text with stars for addresses and for what a name in it tells to be a secret, behind escapes too."""
    return _remembered(text, _TEXT) if len(text) <= _LONGEST_REMEMBERED else _cleaned(text, _TEXT)


def clean_ssid(text: str) -> str:
    """Give a network's name with stars for addresses. It is on air anyway, and may be a telephone's number or tell a password."""
    return _remembered(text, _SSID) if len(text) <= _LONGEST_REMEMBERED else _cleaned(text, _SSID)


def starred(value: object) -> object:
    """Give any JSON, nested no deeper than what came down strictly decoded, with stars for secrets by their names and for addresses, in names too."""
    if type(value) is dict:
        return {clean(name): STARS if is_secret(name) else starred(inner) for name, inner in value.items()}
    if type(value) is list:
        return [starred(inner) for inner in value]
    return clean(value) if type(value) is str else value


def _cleaned(text: str, patterns: Patterns) -> str:
    plain = cleaned = _unescaped(text)
    for pattern, put in patterns:
        cleaned = pattern.sub(put, cleaned)
    return text if cleaned == plain else cleaned


_remembered = functools.lru_cache(_MOST_REMEMBERED)(_cleaned)  # a city's few words come over and over


def _unescaped(text: str) -> str:
    """Undo the escapes of URLs and of JSON, a few times over."""
    for _ in range(_WRAPPED):
        if "%" not in text and "\\" not in text:
            break
        text = _ESCAPE.sub(lambda found: chr(int(found[found.lastindex or 1], 16)), text)
    return text
