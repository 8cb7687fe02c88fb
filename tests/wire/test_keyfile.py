"""Key files: the bytes that usign and signify write, strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import keyfile
from agent.wire.keyfile import PublicKey
from agent.wire.messages import Malformed

# Written by `usign -G` (openwrt/usign c4c72b1); its secret half was thrown away.
USIGN = b"untrusted comment: public key 53dec45d15b15765\nRWRT3sRdFbFXZfFtLuTG/Eri1tVqr1+wIFi5yTNPyLGB2CL+rBXBHEuG\n"
KEY = PublicKey("53dec45d15b15765", bytes.fromhex("f16d2ee4c6fc4ae2d6d56aaf5fb02058b9c9334fc8b181d822feac15c11c4b86"))


def test_a_key_of_usign_is_read_and_made_again() -> None:
    """Key number and key are where usign puts them, and our file is usign's, byte for byte."""
    assert keyfile.parse_public_key(USIGN) == KEY
    assert keyfile.public_key(KEY, "public key 53dec45d15b15765") == USIGN


def test_the_last_line_break_may_be_missing() -> None:
    """As usign takes it."""
    assert keyfile.parse_public_key(USIGN[:-1]) == KEY


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=32, max_size=32))
def test_any_key_survives_its_file(number: bytes, public: bytes) -> None:
    """What is made is read."""
    key = PublicKey(number.hex(), public)
    assert keyfile.parse_public_key(keyfile.public_key(key, "Kunci kota")) == key


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "first line"),
        (USIGN.partition(b"\n")[2], "first line"),
        (b"trusted comment: x\n" + USIGN.partition(b"\n")[2], "first line"),
        (USIGN.partition(b"\n")[0], "second"),
        (USIGN + USIGN, "second and last"),
        (USIGN + b"\n", "second and last"),
        (USIGN.replace(b"\n", b"\r\n"), "second"),
        (USIGN.replace(b"RWRT", b"RW RT"), "second"),
        (USIGN.replace(b"RWRT", b"RW*RT"), "second"),
        (USIGN[:-5] + b"\n", "second"),
        (USIGN[:-1] + b"AAAA\n", "second"),
        (USIGN.replace(b"RWRT", b"RXRT"), "algorithm"),
        (b"untrusted comment: " + b"x" * 5_000 + b"\n" + USIGN.partition(b"\n")[2], "more than 4096"),
        (bytes(4_096), "first line"),
    ],
)
def test_what_is_no_key_is_refused_without_a_quote(text: bytes, reason: str) -> None:
    """Each kind of wrong file gives Malformed that says what is expected."""
    with pytest.raises(Malformed, match=reason) as caught:
        keyfile.parse_public_key(text)
    assert "RWRT" not in str(caught.value) and "53dec" not in str(caught.value)


@given(st.binary(max_size=200) | st.binary(max_size=90).map(lambda rest: USIGN[:40] + rest))
def test_any_bytes_are_a_key_or_malformed(text: bytes) -> None:
    """No bytes raise anything but Malformed."""
    try:
        keyfile.parse_public_key(text)
    except Malformed as error:
        assert str(error)


@pytest.mark.parametrize("comment", ["", "two\nlines", "x" * 1_024])
def test_a_comment_that_would_break_the_file_is_a_bug_of_the_caller(comment: str) -> None:
    """signify takes one line of at most 1,023 bytes, and none is empty."""
    with pytest.raises(ValueError, match="the comment is"):
        keyfile.wrap(comment, b"Ed")
