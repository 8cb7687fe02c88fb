"""Signed pushes for tests: one fixed key of a city that does not exist, and what it signs."""

from __future__ import annotations

from typing import Any

from agent.wire import jws
from fleet.sign import SecretKey

CITY, AP = "malang", "rw-0501"
# Not random, so that golden pushes are always the same bytes; it opens nothing.
KEY = SecretKey("9e1f04c2b7d35a68", bytes(range(32)))
OTHER = SecretKey("9e1f04c2b7d35a69", bytes(range(1, 33)))
CONFIG: dict[str, Any] = {
    "ssids": {"public": {"ssid": "Malang RW 05", "security": "psk2", "bands": ["2g", "5g"], "enabled": True, "key": "rahasia-sekali"}},
    "radios": {"2g": {"channel": "auto", "tx_power_dbm": 20}},
}
CLAIMS: dict[str, Any] = {
    **{"kind": "config", "city": CITY, "ap": AP, "revision": 7, "issued_at": 1790000000, "author": "Sri Wahyuni"},
    **{"confirm_within_s": 180, "config": CONFIG},
}


def signed(claims: dict[str, Any], key: SecretKey = KEY) -> bytes:
    """Sign any claims, right or wrong."""
    return sealed(jws.signing_input(key.kid, claims), key)


def sealed(signing_input: bytes, key: SecretKey = KEY) -> bytes:
    """Sign any header and payload, already encoded."""
    return jws.compact(signing_input, key.sign(signing_input))


def respelled(signature: bytes, times: int) -> bytes:
    """A signature with the group's order added to its S: a second spelling that usign and signify take for the same."""
    number = int.from_bytes(signature[32:], "little") + times * jws.ORDER
    return signature[:32] + number.to_bytes(32, "little")
