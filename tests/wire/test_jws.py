"""JWS: one frame in one spelling is read, whatever else comes is refused with a code and a sentence that quotes nothing of it."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import claims, jws
from agent.wire.jws import Refused
from agent.wire.messages import MAX_DEPTH, MAX_INTEGER
from tests.replayed import counted
from tests.signing import AP, CITY, CLAIMS, KEY, respelled, sealed, signed

GOLDEN = Path(__file__).parents[1] / "golden"
PUSH = signed(CLAIMS)
HEADER = {"alg": "EdDSA", "typ": "rw+jws", "kid": KEY.kid}
ROUNDS, EACH = 8, 12_500
CODES = {"oversize", "malformed", "wrong_kind", "wrong_city", "wrong_ap"}


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def framed(header: object = HEADER, payload: object = CLAIMS) -> bytes:
    """A signed frame of any header and payload, as text or to be made JSON."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return sealed(b".".join(b64(part) for part in parts))


def refusal(message: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        jws.parse(message)
    return caught.value


# What is made


def test_the_golden_push_is_made_of_the_golden_claims() -> None:
    """The same key and claims always give the same bytes."""
    message = json.loads((GOLDEN / "config-claims_full.json").read_text(encoding="utf-8"))
    assert signed(message) == (GOLDEN / "push.jws").read_bytes()


def test_a_push_made_is_a_push_read() -> None:
    """Framing and parsing give back key id, claims, the signed bytes and the signature."""
    read = jws.parse(PUSH)
    assert (read.kid, read.payload) == (KEY.kid, CLAIMS)
    assert read.signing_input == PUSH.rpartition(b".")[0]
    assert read.signature == KEY.sign(read.signing_input)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.booleans() | st.none(), max_size=6))
def test_any_claims_survive_the_frame(message: dict[str, object]) -> None:
    """Whatever JSON the claims are, they are read as they were signed."""
    assert jws.parse(signed(message)).payload == message


@pytest.mark.parametrize("kid", ["", "9E1F04C2B7D35A68", "9e1f04c2b7d35a6", "9e1f04c2b7d35a680", '9e1f04c2b7d35a6"'])
def test_nothing_is_made_for_what_is_no_keys_id(kid: str) -> None:
    """A wrong id is a bug of the caller, told at once."""
    with pytest.raises(ValueError, match="kid is"):
        jws.signing_input(kid, CLAIMS)


def test_nothing_is_made_of_half_a_signature() -> None:
    """A signature has 64 bytes."""
    with pytest.raises(ValueError, match="63 bytes, expected 64"):
        jws.compact(b"a.b", bytes(63))


# What is refused


@pytest.mark.parametrize(
    "header",
    [
        HEADER | {"alg": "none"},
        HEADER | {"alg": "HS256"},
        HEADER | {"alg": "eddsa"},
        HEADER | {"alg": ["EdDSA"]},
        HEADER | {"typ": "JWT"},
        HEADER | {"typ": "rw+JWS"},
        HEADER | {"crit": ["b64"], "b64": False},
        HEADER | {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "x"}},
        HEADER | {"kid": KEY.kid.upper()},
        HEADER | {"kid": KEY.kid[:15]},
        HEADER | {"kid": KEY.kid + "\n"},
        HEADER | {"kid": "../../../etc/pw"},
        HEADER | {"kid": None},
        HEADER | {"kid": 1},
        {"alg": "EdDSA", "typ": "rw+jws"},
        {"alg": "EdDSA", "kid": KEY.kid},
        {},
        [],
        b'{"alg":"none","alg":"EdDSA","typ":"rw+jws","kid":"9e1f04c2b7d35a68"}',
        b'{"alg":"EdDSA","typ":"rw+jws","kid":"9e1f04c2b7d35a68"',
        b"null",
        b'{"alg":"EdDSA","typ":"rw+jws","kid":"9e1f04c2b7d35a68"}' + b" " * 300,
    ],
)
def test_a_header_that_is_not_ours_is_refused(header: object) -> None:
    """Neither another algorithm nor another type, nor any member that is not the contract's, though it is signed."""
    error = refusal(framed(header))
    assert error.code == "malformed"
    assert "header" in str(error)


def test_the_order_of_the_headers_members_is_free() -> None:
    """Other libraries order them otherwise; the members are what counts."""
    assert jws.parse(framed(dict(reversed(HEADER.items())))).kid == KEY.kid


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"[]", "not a JSON object"),
        (b"", "base64url"),
        (b"{}x", "not JSON"),
        (b'{"revision":1,"revision":2}', "twice"),
        (b'{"config":{"ssids":{"a":1,"a":2}}}', "twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "infinity"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"9" * 40_000 + b"}", "a number is too large"),
        (b'{"a":9007199254740992}', "a number is too large"),
        (b'{"a":-9007199254740992}', "a number is too large"),
        (b'{"a":"\\ud800"}', "not UTF-8"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "not JSON"),
        (b'{"a":"\n"}', "not JSON"),
        (b'{"a":"\x00"}', "not JSON"),
        (b'{"a":' * 7_000 + b"1" + b"}" * 7_000, "nested too deeply"),
        (b"[" * 44_000, "nested too deeply"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested too deeply"),
        (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "nested too deeply"),
    ],
)
def test_a_payload_that_readers_could_read_differently_is_refused(payload: bytes, reason: str) -> None:
    """Though signed: duplicates, NaN, numbers too large, depth, broken text are no claims."""
    error = refusal(framed(payload=payload))
    assert error.code == "malformed"
    assert reason in str(error)


def test_the_deepest_that_is_taken_is_what_the_contract_says() -> None:
    """Exactly MAX_DEPTH levels are read."""
    payload = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
    assert jws.parse(framed(payload=payload)).payload == json.loads(payload)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "three parts"),
        (b"..", "header"),
        (PUSH + b"\n", "signature"),
        (PUSH + b"=", "signature"),
        (PUSH + b"==", "signature"),
        (b" " + PUSH, "header"),
        (b"\xef\xbb\xbf" + PUSH, "header"),
        (PUSH + b".", "three parts"),
        (b"." + PUSH, "three parts"),
        (PUSH.rpartition(b".")[0], "three parts"),
        (PUSH.rpartition(b".")[0] + b".", "signature"),
        (PUSH[:-1], "signature"),
        (PUSH[:-4], "signature"),
        (PUSH + b"AAAA", "signature"),
        (PUSH.replace(b".", b"\n.", 1), "header"),
        (PUSH.replace(b".", b"==.", 1), "header"),
        (PUSH.replace(b".", b".=", 1), "payload"),
        (b'{"payload":"' + PUSH + b'"}', "header"),
        ("１".encode() + PUSH, "header"),
        (bytes(range(256)), "three parts"),
    ],
)
def test_a_frame_in_another_spelling_is_refused(message: bytes, reason: str) -> None:
    """Padding, line breaks, white space, more or fewer parts: none is the push that was signed."""
    error = refusal(message)
    assert error.code == "malformed"
    assert reason in str(error)


def test_base64_has_one_spelling() -> None:
    """The last letter's spare bits, the other alphabet and letters that decoders pass over are refused."""
    head, payload, signature = PUSH.split(b".")
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = bytes([letters[letters.index(signature[-1]) + 1]])
    assert base64.urlsafe_b64decode(signature[:-1] + spare + b"==") == jws.parse(PUSH).signature
    assert refusal(b".".join((head, payload, signature[:-1] + spare))).code == "malformed"
    other = framed(payload=b'{"a":"\xc3\xbf\xc3\xbf\xc3\xbf>>>???"}')
    assert b"-" in other.split(b".")[1] or b"_" in other.split(b".")[1]
    assert (
        refusal(b".".join(part.replace(b"-", b"+").replace(b"_", b"/") if place == 1 else part for place, part in enumerate(other.split(b".")))).code
        == "malformed"
    )
    for letter in (b"*", b"!", b"\0", b" ", b"%"):
        assert refusal(b".".join((head, letter + payload, signature))).code == "malformed"


@pytest.mark.parametrize("times", range(1, 16))
def test_a_signature_has_one_spelling(times: int) -> None:
    """S with the group's order added is the same to usign and signify (see test_signature.py); it is refused before they see it."""
    assert "one spelling" in str(refusal(jws.compact(PUSH.rpartition(b".")[0], respelled(jws.parse(PUSH).signature, times))))


@pytest.mark.parametrize("number", [jws.ORDER, 2**256 - 1])
def test_a_signature_whose_number_is_out_of_range_is_refused(number: int) -> None:
    """RFC 8032 takes S from 0 to the order, without it."""
    head = PUSH.rpartition(b".")[0]
    assert "one spelling" in str(refusal(jws.compact(head, bytes(32) + number.to_bytes(32, "little"))))
    assert jws.parse(jws.compact(head, bytes(32) + (jws.ORDER - 1).to_bytes(32, "little"))).kid == KEY.kid


def test_the_largest_push_is_read_and_one_byte_more_is_oversize() -> None:
    """60,000 bytes are the bound."""

    def padded(more: int) -> bytes:
        return signed(CLAIMS | {"config": {"x": "a" * more}})

    room = (jws.MAX_BYTES - len(padded(0))) * 3 // 4
    largest = max((padded(more) for more in range(room - 4, room + 4) if len(padded(more)) <= jws.MAX_BYTES), key=len)
    assert jws.MAX_BYTES - 2 <= len(largest) <= jws.MAX_BYTES
    assert jws.parse(largest).payload["ap"] == AP
    for message in (b"a" * (jws.MAX_BYTES + 1), largest + b"aaa", bytes(1 << 20)):
        assert refusal(message).code == "oversize"
    assert refusal(b"a" * jws.MAX_BYTES).code == "malformed"


def test_a_refusal_quotes_nothing() -> None:
    """What a stranger sends does not reach log or topic by way of the sentence, nor by the exception's cause."""
    secret = "hunter2-aa:bb:cc:dd:ee:ff"
    for message in (
        secret.encode(),
        framed({"alg": secret}),
        framed(HEADER | {"kid": secret}),
        framed(payload={secret: 1}),
        framed(payload=f'{{"a":{secret}'.encode()),
    ):
        try:
            claims.parse(jws.parse(message).payload, CITY, AP)
        except Refused as error:
            assert "hunter2" not in str(error)
            assert error.__cause__ is None
        else:
            pytest.fail("not refused")


@given(st.binary(max_size=200) | st.lists(st.binary(max_size=60).map(b64), max_size=4).map(b".".join))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    """No bytes raise anything but Refused."""
    try:
        jws.parse(message)
    except Refused as error:
        assert error.code in CODES


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 44_000,
        b'{"a":' * 7_000,
        b'{"a":[' + b"{}," * 14_000 + b"1]}",
        b'{"a":[' + b"0," * 20_000 + b"0]}",
        b'{"a":' + b"9" * 44_000 + b"}",
        b'{"a":"' + b"\\u0041" * 7_000 + b'"}',
    ],
)
def test_the_worst_push_costs_little_memory(payload: bytes) -> None:
    """No push of 60,000 bytes makes more than 6 MiB, whatever it is of."""
    message = framed(payload=payload)
    assert len(message) <= jws.MAX_BYTES
    tracemalloc.start()
    try:
        jws.parse(message)
    except Refused:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 6 * 2**20


def test_a_number_of_thousands_of_digits_is_counted_not_read() -> None:
    """Also on a Python that would read it: that takes time with the square of the digits."""
    code = (
        "import sys; getattr(sys, 'set_int_max_str_digits', print)(0)\n"
        "from agent.wire.messages import Malformed, decode_strict\n"
        "try:\n    decode_strict(b'{\"a\":' + b'9' * 40_000 + b'}', 60_000)\n"
        "except Malformed as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.strip() == "a number is too large"


def test_the_daemon_pays_for_nothing_more_than_base64s_c_half() -> None:
    """Beyond what messages.py loads, frame and claims bring only themselves and binascii: no hashlib, no base64, no cryptography."""
    code = (
        "import sys, agent.wire.messages, agent.wire.topics\nbefore = set(sys.modules)\n"
        "import agent.wire.jws, agent.wire.claims\nprint(*sorted(set(sys.modules) - before))"
    )
    said = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert set(said.split()) <= {"agent.wire.jws", "agent.wire.claims", "binascii"}


# 100,000 changes of a push

Change = Callable[[random.Random, bytes], bytes]
HOSTILE_TEXTS = [
    b"\n",
    b"\r\n",
    b'"',
    b"'",
    b"\x00",
    b"../",
    b"../../etc/passwd",
    b"$(id)",
    b"`id`",
    b"%s%n",
    b"\\",
    b"\xff",
    b"\xc0\x80",
    b"=",
    b" ",
    b".",
    b"\xe2\x80\xae",
    b"\xed\xa0\x80",
]
HOSTILE_VALUES = [
    *(
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"-0",
        b"1.0",
        b"007",
        b"0x7",
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b"'x'",
        b"9" * 400,
        b"-1",
        b"9007199254740993",
    ),
    *(
        b"[" * 500 + b"]" * 500,
        b'{"a":' * 30 + b"1" + b"}" * 30,
        b'"\\u0000"',
        b'"\\ud800"',
        b'"\\n"',
        b'"../.."',
        b'"' + b"A" * 50_000 + b'"',
        b"18446744073709551616",
    ),
]


def flipped(rng: random.Random, message: bytes) -> bytes:
    """Some bits turned over."""
    changed = bytearray(message)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: random.Random, message: bytes) -> bytes:
    """A piece taken out, at the end or anywhere."""
    first = rng.randrange(len(message))
    return message[:first] + (message[rng.randrange(first, len(message)) + 1 :] if rng.random() < 0.5 else b"")


def doubled(rng: random.Random, message: bytes) -> bytes:
    """A piece said twice."""
    first = rng.randrange(len(message))
    last = rng.randrange(first, len(message)) + 1
    return message[:last] + message[first:last] + message[last:]


def stuffed(rng: random.Random, message: bytes) -> bytes:
    """Hostile letters put in, or in place of others."""
    at = rng.randrange(len(message) + 1)
    text = rng.choice(HOSTILE_TEXTS)
    return message[:at] + text + message[at + rng.choice((0, len(text))) :]


def revalued(rng: random.Random, message: bytes) -> bytes:
    """The value of one member of the JSON inside replaced by a hostile one."""
    starts = [place + 1 for place, letter in enumerate(message) if letter == 0x3A]
    at = rng.choice(starts)
    ends = [place for place in range(at, len(message)) if message[place] in b",}"]
    return message[:at] + rng.choice(HOSTILE_VALUES) + message[ends[0] :]


def repeated(rng: random.Random, message: bytes) -> bytes:
    """A member said a second time."""
    name = rng.choice((b"revision", b"ap", b"config", b"kind", b"alg"))
    return message[:-1] + b',"' + name + b'":' + rng.choice(HOSTILE_VALUES[:16]) + b"}"


def swollen(rng: random.Random, message: bytes) -> bytes:
    """A megabyte of something in the middle."""
    at = rng.randrange(len(message))
    return message[:at] + rng.choice((b"A", b"[", b'{"a":', b"\\u0041", b"9", b".")) * (1 << 20) + message[at:]


BYTEWISE: list[Change] = [flipped, cut, doubled, stuffed]
WITHIN: list[Change] = [*BYTEWISE, revalued, repeated]


def unsigned_of(rng: random.Random) -> bytes:
    """A changed push that the city never signed: its bytes changed, or its header or payload under the old signature."""
    if rng.random() < 0.001:
        return swollen(rng, PUSH)
    if rng.random() < 0.5:
        return rng.choice(BYTEWISE)(rng, PUSH)
    header, payload, signature = PUSH.split(b".")
    parts = [jws._decoded(header, "header"), jws._decoded(payload, "payload")]
    place = rng.random() < 0.75
    parts[place] = rng.choice(WITHIN)(rng, parts[place])
    return b".".join((*(b64(part) for part in parts), signature))


def signed_of(rng: random.Random) -> bytes:
    """A push that the city did sign, with something hostile in it."""
    return sealed(b64(json.dumps(HEADER).encode()) + b"." + b64(rng.choice(WITHIN)(rng, json.dumps(CLAIMS, separators=(",", ":")).encode())))


def fate(message: bytes) -> tuple[str, Any]:
    """What becomes of a push before its document is looked at; any exception but Refused goes through."""
    try:
        read = jws.parse(message)
        said = claims.parse(read.payload, CITY, AP)
    except Refused as error:
        assert error.code in CODES
        return error.code, None
    if read.kid != KEY.kid:
        return "unknown_key", None
    try:
        Ed25519PublicKey.from_public_bytes(KEY.public.public).verify(read.signature, read.signing_input)
    except InvalidSignature:
        return "bad_signature", None
    return "verified", said


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_no_change_of_a_push_is_taken_for_a_push(seed: int, record_property: pytest.RecordProperty) -> None:
    """Of all changes of one push only the original bytes are accepted and verified; what the city signs is refused or read exactly."""
    rng = random.Random(seed)
    fates: dict[str, int] = {}
    # All of them once; where the profile is the quick one (the other Pythons), a part.
    each = EACH if settings.default.max_examples >= 100 else EACH // 5
    for number in range(each):
        is_signed = number % 5 == 0
        message = signed_of(rng) if is_signed else unsigned_of(rng)
        outcome, said = fate(message)
        fates[outcome] = fates.get(outcome, 0) + 1
        if outcome != "verified":
            continue
        if is_signed:
            told = json.loads(jws._decoded(message.split(b".")[1], "payload"))
            assert claims.members(said) == {"confirm_within_s": claims.CONFIRM_WITHIN_S} | {name: value for name, value in told.items() if value is not False}
        else:
            assert message == PUSH
    record_property(counted("mutations of pushes"), each)
    # The changes reach every check: a generator that only makes rubbish would prove nothing. A part of them may miss a rare one.
    assert each < EACH or CODES | {"bad_signature", "unknown_key", "verified"} <= set(fates)
    assert fates["bad_signature"] > each / 60 and fates["verified"] > each / 60
