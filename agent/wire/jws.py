"""The signed frame around a push: a JWS in compact form (RFC 7515; EdDSA, RFC 8037), read strictly and made.

Checks no signature: it says what is to be checked. Every byte from outside is hostile: what is not exactly the
frame the contract names is refused, and one frame has one spelling only.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import NamedTuple

from agent.wire.messages import Malformed, Payload, decode_strict, encode

MAX_BYTES = 60_000
CONTENT_TYPE = "application/jose"  # RFC 7515, 9.2.1
ALGORITHM, TYPE = "EdDSA", "rw+jws"
KID_LENGTH = 16
SIGNATURE_BYTES = 64
# The order of Ed25519's group (RFC 8032, 5.1).
ORDER = 2**252 + 27742317777372353535851937790883648493

_MAX_HEADER_BYTES = 256
_HEX = frozenset("0123456789abcdef")
_TO_URL, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_+/", b"+/**")


class Refused(ValueError):
    """A push is not taken: `code` is the reason as `config/reported` names it, the text a sentence that quotes none of its bytes."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Jws(NamedTuple):
    """One signed message, taken apart; its signature is not checked yet. `signing_input` is what was signed, byte for byte."""

    kid: str
    signing_input: bytes
    payload: Payload
    signature: bytes


def parse(message: bytes) -> Jws:
    """Take a JWS apart, or raise Refused with `oversize` or `malformed`."""
    if len(message) > MAX_BYTES:
        raise Refused("oversize", f"the message has {len(message)} bytes, expected at most {MAX_BYTES}")
    parts = message.split(b".")
    if len(parts) != 3:
        raise _malformed("the message is no JWS in compact form, expected three parts with dots between")
    header, payload, signature = (_decoded(part, name) for part, name in zip(parts, ("header", "payload", "signature"), strict=True))
    kid = _kid(header)
    _expect_canonical(signature)
    try:
        claims = decode_strict(payload, MAX_BYTES)
    except Malformed as error:
        raise _malformed(f"the payload is refused: {error}") from None
    return Jws(kid, message[: -len(parts[2]) - 1], claims, signature)


def signing_input(kid: str, claims: Mapping[str, object]) -> bytes:
    """Give the bytes to be signed with the key `kid`; ValueError when it is no key's id."""
    if not is_kid(kid):
        raise ValueError(f"kid is {kid!r}, expected {KID_LENGTH} lower-case hex digits")
    header = {"alg": ALGORITHM, "typ": TYPE, "kid": kid}
    return _encoded(encode(header)) + b"." + _encoded(encode(claims))


def compact(signed: bytes, signature: bytes) -> bytes:
    """Give the JWS of what `signing_input` gave and its signature of 64 bytes."""
    if len(signature) != SIGNATURE_BYTES:
        raise ValueError(f"the signature has {len(signature)} bytes, expected {SIGNATURE_BYTES}")
    return signed + b"." + _encoded(signature)


def is_kid(text: str) -> bool:
    """Say whether `text` is a key's id: its number, as 16 lower-case hex digits."""
    return len(text) == KID_LENGTH and _HEX.issuperset(text)


def _kid(header: bytes) -> str:
    """Find the key's id in a header that says nothing but what is ours to say: neither algorithm nor type is the sender's choice."""
    try:
        members = decode_strict(header, _MAX_HEADER_BYTES)
    except Malformed as error:
        raise _malformed(f"the header is refused: {error}") from None
    kid = members.get("kid")
    if members != {"alg": ALGORITHM, "typ": TYPE, "kid": kid}:
        raise _malformed(f"the header is not the contract's, expected alg {ALGORITHM}, typ {TYPE}, kid and nothing else")
    if not isinstance(kid, str) or not is_kid(kid):
        raise _malformed(f"the header's kid is not a key's id, expected {KID_LENGTH} lower-case hex digits")
    return kid


def _expect_canonical(signature: bytes) -> None:
    """RFC 8032, 5.1.7, wants S below the group's order; usign and signify do not look, and would take a second spelling of a good signature."""
    if len(signature) != SIGNATURE_BYTES:
        raise _malformed(f"the signature has {len(signature)} bytes, expected {SIGNATURE_BYTES}")
    if int.from_bytes(signature[32:], "little") >= ORDER:
        raise _malformed("the signature is not in its one spelling (RFC 8032)")


def _decoded(part: bytes, name: str) -> bytes:
    try:
        decoded = binascii.a2b_base64(part.translate(_FROM_URL) + b"=" * (-len(part) % 4))
    except binascii.Error:
        decoded = b""
    # The decoder passes over letters that are not base64's and over bits to spare; what encodes to the same part had neither.
    if not decoded or _encoded(decoded) != part:
        raise _malformed(f"the {name} is not base64url in its one spelling (RFC 7515: no padding)")
    return decoded


def _encoded(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL)


def _malformed(sentence: str) -> Refused:
    return Refused("malformed", sentence)
