"""Spoilt bytes: what becomes of a good message on the way, or in the hands of somebody who means harm."""

from __future__ import annotations

import random


def mutated(rng: random.Random, payload: bytes) -> bytes:
    """Spoil a payload in one of the ways that bytes get spoilt."""
    spoilt = bytearray(payload)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(spoilt) + 1)
        way = rng.randrange(5)
        if way == 0:
            spoilt[place : place + 1] = bytes([rng.randrange(256)])
        elif way == 1:
            del spoilt[place : place + rng.randint(1, 20)]
        elif way == 2:
            spoilt[place:place] = rng.choice([b"null", b"1e999", b"{", b"[", b'"', b"\\ud800", b"-", b"9" * 30, b"true", b"\x00", b"\xff", b",", b":"])
        elif way == 3:
            spoilt[place:place] = spoilt[rng.randrange(len(spoilt) + 1) :][:50]
        else:
            spoilt[:] = spoilt[:place]
    return bytes(spoilt)
