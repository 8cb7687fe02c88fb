"""Pushes that are right in form and signed by nobody, for tests of those who look before a signature is checked."""

from __future__ import annotations

from collections.abc import Mapping

from agent.wire import claims, jws

CITY, AP, KID = "malang", "rw-0501", "00112233aabbccdd"
DOCUMENT: Mapping[str, object] = {"ssids": {"public": {"ssid": "Malang RW 05", "security": "open", "bands": ["2g"]}}}


def unsigned(revision: int = 7, *, city: str = CITY, ap: str = AP, kid: str = KID, kind: str = claims.KIND, **config: object) -> bytes:
    """Make a push with 64 zero bytes for a signature."""
    said = claims.ConfigClaims(city, ap, revision, 1_790_000_000, "a test", config or dict(DOCUMENT), 180)
    return jws.compact(jws.signing_input(kid, claims.members(said) | {"kind": kind}), bytes(64))
