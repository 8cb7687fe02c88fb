"""The key of a network in a document, given or by the name of a secret: what is wrong with it, in words that tell nothing of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.bss import KEYED, security_of
from agent.change import Fault
from agent.checked import fault

KEY = "a key of 8 to 63 printable ASCII characters"
_KEY = re.compile(r"[ -~]{8,63}", re.ASCII)


def check(path: str, value: object, entry: Mapping[str, object]) -> list[Fault]:
    """Give what is wrong with `key` of an ssid, which is `entry`, without saying anything of it but its length."""
    if security_of(entry) not in (None, *KEYED):
        return [fault(path, "conflict", "set", f"none with security {security_of(entry)}")]
    if not isinstance(value, str):
        return [fault(path, "type", "no text", KEY)]
    if _KEY.fullmatch(value):
        return []
    return [fault(path, "length" if not 8 <= len(value) <= 63 else "characters", f"a text of {len(value)} characters", KEY)]


def check_ref(path: str, value: object, entry: Mapping[str, object], secrets: Mapping[str, str]) -> list[Fault]:
    """Give what is wrong with `key_ref`, which names one of `secrets`. It is not said: it may be the key itself, in the wrong place."""
    if "key" in entry:
        return [fault(path, "conflict", "set beside key", "one of the two")]
    if security_of(entry) not in (None, *KEYED):
        return [fault(path, "conflict", "set", f"none with security {security_of(entry)}")]
    if not isinstance(value, str) or value not in secrets:
        return [fault(path, "secret", "no name of a secret on this access point", "a file's name in its secrets_dir")]
    return [] if _KEY.fullmatch(secrets[value]) else [fault(path, "secret", "the name of a secret that is no key", f"one that holds {KEY}")]
