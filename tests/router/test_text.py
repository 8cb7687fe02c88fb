"""From bytes to text and figures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.router.text import Kept, dbm, mac, printable, read_bytes, read_line, unescape, whole


@pytest.mark.parametrize(
    ("text", "level"),
    [("-92 dBm", -92), ("-30 [-33, -32] dBm", -30), ("170", -86), ("0 dBm", None), ("12", None), ("-128", None), ("-999", None), ("", None), ("x", None)],
)
def test_level_is_negative_or_unknown(text: str, level: int | None) -> None:
    """A level is negative dBm; a byte printed unsigned is turned back; zero and nonsense are unknown."""
    assert dbm(text) == level


@pytest.mark.parametrize("text", ["", "-1", "x", "²", "٣", "1" * 21, "18446744073709551616", "9" * 5000])
def test_absurd_counter_is_unknown(text: str) -> None:
    """What is no counter of 64 bits is None."""
    assert whole(text) is None


def test_counter_of_64_bits_is_kept() -> None:
    """The largest counter there is passes, its unit does not matter."""
    assert whole("18446744073709551615 ms") == (1 << 64) - 1


def test_ssid_escapes_become_bytes_then_text() -> None:
    """iw's and hostapd's escapes give back the SSID's UTF-8."""
    assert unescape(r"\x20Warung \xc3\xa9 \"x\" \x5c \e\x00") == r' Warung é "x" \ \x1b\x00'


def test_ssid_bytes_that_are_not_utf8_stand_as_escapes() -> None:
    """An SSID of foreign bytes is shown, not refused."""
    assert unescape(r"a\xff\xfe") == r"a\xff\xfe"


def iw_escape(ssid: bytes) -> str:
    """Print an SSID as iw's print_ssid_escaped does."""
    shown = ""
    for place, byte in enumerate(ssid):
        is_inner_blank = byte == 0x20 and place not in (0, len(ssid) - 1)
        shown += chr(byte) if (0x21 <= byte < 0x7F and byte != 0x5C) or is_inner_blank else f"\\x{byte:02x}"
    return shown


@given(st.binary(max_size=32))
def test_any_ssid_survives_the_way_through_iw(ssid: bytes) -> None:
    """What iw escaped comes back as the text of the same bytes."""
    assert unescape(iw_escape(ssid)) == printable(os.fsdecode(ssid))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\x1b[2J", r"a\x1b[2J"),
        ("a\n\tb\x00", r"a\x0a\x09b\x00"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("\u202egnp.exe\u2028", r"\u202egnp.exe\u2028"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_does_not_print_is_spelled_out(raw: str, shown: str) -> None:
    """Control characters, line breaks and marks of direction reach nobody's terminal, in a name or in an SSID."""
    assert printable(raw) == shown
    assert unescape("".join(f"\\x{byte:02x}" for byte in raw.encode())) == shown


@pytest.mark.parametrize("text", [" Warung Bu Sri ", "é ñ ü", "咖啡 ☕", "قهوة", "🙂👍🏽", "a\\b|{}"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """Blanks, letters of any script and emoji are no escapes."""
    assert (printable(text), unescape("".join(f"\\x{byte:02x}" for byte in text.encode()))) == (text, text)


@given(st.binary(max_size=32))
def test_every_name_and_ssid_is_one_printable_line(raw: bytes) -> None:
    """Whatever the bytes."""
    assert printable(os.fsdecode(raw)).isprintable() and unescape(iw_escape(raw)).isprintable()


@given(st.binary(max_size=15))
def test_any_device_name_can_be_put_into_json(name: bytes) -> None:
    """A printable name always encodes to UTF-8."""
    assert isinstance(printable(os.fsdecode(name)).encode(), bytes)


@given(st.text())
def test_figures_never_raise(text: str) -> None:
    """Any text gives a figure or None."""
    for read in (whole, dbm, mac):
        read(text)


def test_file_longer_than_a_page_is_read_whole() -> None:
    """A /proc file of many pages is read to its end."""
    assert len(read_bytes("/proc/kallsyms", 20000)) == 20000 or not os.access("/proc/kallsyms", os.R_OK)


def test_kept_file_is_read_anew_and_whole_each_time(tmp_path: Path) -> None:
    """What stands there now comes from its beginning, however long it is; one that is not there yet is found later."""
    file = tmp_path / "file"
    kept = Kept(str(file))
    with pytest.raises(OSError):
        kept.read()
    for content in (b"one\n", bytes(range(256)) * 100, b""):
        file.write_bytes(content)
        assert kept.read() == content


def test_missing_file_has_no_line(tmp_path: Path) -> None:
    """A file that is not there is None, and so is an empty one."""
    (tmp_path / "empty").write_text("\n")
    assert read_line(str(tmp_path / "absent")) is None
    assert read_line(str(tmp_path / "empty")) is None
