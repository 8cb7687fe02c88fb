"""The files that signify and usign share: a comment line, then one line of base64 that holds a key or a signature.

Pure: reads and makes their bytes, never a file. The comment is for people; nothing is believed of it.
"""

from __future__ import annotations

import binascii
from typing import NamedTuple

from agent.wire.messages import Malformed

MAX_BYTES = 4_096
ALGORITHM = b"Ed"
KEY_NUMBER_BYTES, PUBLIC_BYTES, SIGNATURE_BYTES = 8, 32, 64

_COMMENT = b"untrusted comment: "
_LONGEST_COMMENT = 1_023  # signify's


class PublicKey(NamedTuple):
    """An Ed25519 public key; `kid` is its number, 16 lower-case hex digits."""

    kid: str
    public: bytes


def wrap(comment: str, blob: bytes) -> bytes:
    """Make a file of a comment (one printable line, not empty) and what it holds."""
    if not comment.isprintable() or not 0 < len(comment.encode()) <= _LONGEST_COMMENT:
        raise ValueError(f"the comment is {comment!r}, expected 1 to {_LONGEST_COMMENT} printable characters")
    return _COMMENT + comment.encode() + b"\n" + binascii.b2a_base64(blob)


def unwrap(text: bytes, size: int) -> bytes:
    """Give the `size` bytes that a file holds, or raise Malformed with a sentence that quotes none of them."""
    if len(text) > MAX_BYTES:
        raise Malformed(f"more than {MAX_BYTES} bytes, expected a key of signify or usign")
    comment, _, rest = text.partition(b"\n")
    if not comment.startswith(_COMMENT):
        raise Malformed(f'the first line does not begin with "{_COMMENT.decode()}", expected a file of signify or usign')
    line, _, after = rest.partition(b"\n")
    try:
        blob = binascii.a2b_base64(line)
    except binascii.Error:
        blob = b""
    if after or len(blob) != size or binascii.b2a_base64(blob, newline=False) != line:
        raise Malformed(f"the second and last line is not {size} bytes in base64")
    if blob[:2] != ALGORITHM:
        raise Malformed(f"not of the algorithm {ALGORITHM.decode()} (Ed25519)")
    return blob


def public_key(key: PublicKey, comment: str) -> bytes:
    """Make a public key's file."""
    return wrap(comment, ALGORITHM + bytes.fromhex(key.kid) + key.public)


def parse_public_key(text: bytes) -> PublicKey:
    """Read a public key's file, or raise Malformed."""
    blob = unwrap(text, len(ALGORITHM) + KEY_NUMBER_BYTES + PUBLIC_BYTES)
    return PublicKey(blob[2:10].hex(), blob[10:])


def signature(kid: str, made: bytes, comment: str) -> bytes:
    """Make the file of a signature made with the key `kid`."""
    return wrap(comment, ALGORITHM + bytes.fromhex(kid) + made)
