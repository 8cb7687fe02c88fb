"""What is kept of a message that nobody understood: enough to find the fault, nothing that must not be kept."""

from __future__ import annotations

import base64
import hashlib
import time
import urllib.parse
from collections.abc import Callable

import pytest

from fleet import quarantine
from fleet.quarantine import LONGEST_BEGINNING, READ, beginning, clean, clean_ssid, row, spelled, starred

MACS = ("a4:83:e7:12:34:56", "A4-83-E7-12-34-56", "a483.e712.3456", "a483e7123456")


@pytest.mark.parametrize("mac", MACS)
@pytest.mark.parametrize("around", ['{{"mac":"{}"}}', "{}", "x {} y", '["{}"]', "{},"])
def test_no_address_in_any_spelling(mac: str, around: str) -> None:
    """A MAC address is starred however it is written."""
    assert mac not in beginning(around.format(mac).encode())
    assert "***" in beginning(around.format(mac).encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"key":"hunter2hunter2"}',
        '{"key": "hunter2 hunter2 with \\" inside hunter2"}',
        '{"psk":"hunter2hunter2","x":1}',
        "password=hunter2hunter2",
        "passphrase: hunter2hunter2",
        '{\\"sae_password\\":\\"hunter2hunter2\\"}',
        "{'token': 'hunter2hunter2'}",
        '{"key":"hunter2hunter2',
        "wpa_psk=hunter2hunter2\nauth_algs=1",
    ],
)
def test_no_key_by_its_name(text: str) -> None:
    """What is called a key, password or token is starred, also in JSON that is cut or lies in other JSON."""
    assert "hunter2" not in beginning(text.encode())


def test_no_long_token() -> None:
    """What looks like a signature, a key or a certificate is starred whatever it is called."""
    assert beginning(b"eyJhbGciOiJFZERTQSIsInR5cCI6InJ3K2p3cyJ9.abc") == "***.abc"


def test_what_remains_tells_the_fault() -> None:
    """The rest is there as it was."""
    assert beginning(b'{"v":1,"ap":"rw-0501","seq":"forty"}') == '{"v":1,"ap":"rw-0501","seq":"forty"}'


def test_a_secret_that_the_cut_tears_apart_is_not_shown() -> None:
    """A cut is made after the stars, not before."""
    text = b"x" * 19 + b" " + b"-" * (LONGEST_BEGINNING - 30) + b' "key":"hunter2hunter2hunter2"'
    assert "hunter2" not in beginning(text)


def test_control_characters_are_spelled_out() -> None:
    """A terminal that shows it does nothing."""
    assert spelled("a\x1b[2J\n\u202eb\\") == "a\\x1b[2J\\n\\u202eb\\\\"


def test_a_row_knows_its_message() -> None:
    """By size and hash a message can be recognised without being kept."""
    made = row(7, "wifi/v1/malang/rw-0501/report\x1b", b"poison", "not JSON")
    assert made == (7, "wifi/v1/malang/rw-0501/report\\x1b", "not JSON", 6, hashlib.sha256(b"poison").hexdigest(), "poison")


WRAPS: dict[str, Callable[[str], bytes]] = {
    "url": lambda text: urllib.parse.quote(text, safe="").encode(),
    "every letter url": lambda text: "".join(f"%{ord(c):02X}" for c in text).encode(),
    "json": lambda text: "".join(f"\\u{ord(c):04x}" for c in text).encode(),
    "json in json": lambda text: "".join(f"\\\\u{ord(c):04x}" for c in text).encode(),
    "json in url": lambda text: "".join(f"%5Cu{ord(c):04x}" for c in text).encode(),
    "hex escapes": lambda text: "".join(f"\\x{ord(c):02x}" for c in text).encode(),
    "utf-16 le": lambda text: text.encode("utf-16-le"),
    "utf-16 be": lambda text: text.encode("utf-16-be"),
    "hex": lambda text: text.encode().hex().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_what_is_wrapped_is_starred(wrap: Callable[[str], bytes]) -> None:
    """Escapes are undone before anything is looked for, also one in the other."""
    shown = beginning(wrap('{"mac":"a4:83:e7:12:34:56","key":"hunter2"}'))
    assert "***" in shown and "12" not in shown and "hunter" not in shown


def test_half_of_a_secret_at_the_end_of_what_is_read_is_not_shown() -> None:
    """Stars make a text shorter, so that what the reading tore apart would come to be shown."""
    payload = b'{"key":"' + b"x" * (READ - 22) + b'"} a4:83:e7:12:34:56'
    assert b"a4:83" in payload[:READ] and len(payload) > READ
    assert beginning(payload).startswith('{"key":***') and "a4:83" not in beginning(payload)


@pytest.mark.parametrize("text", ["pass" * 500, "key" + "a" * 60_000, "\\" * 60_000, "%" * 60_000, "pass" * 15_000, "key " * 15_000, '"' * 60_000])
def test_no_text_takes_long_to_look_through(text: str) -> None:
    """A search that begins anew at every letter and goes on to the end each time would take minutes (the worker's time limit ends it)."""
    begins = time.process_time()
    assert clean(text) and beginning(text.encode())
    assert time.process_time() - begins < 20


@pytest.mark.parametrize("mac", MACS)
def test_a_text_is_kept_without_addresses(mac: str) -> None:
    """In every spelling; what else it says stays, as do numbers and hashes that are none."""
    assert clean(f"station {mac} timed out, password=hunter2 x") == "station *** timed out, password=*** x"
    assert clean_ssid(f"near {mac}") == "near ***"
    for text in ("b1946ac92492d234", "sha256:" + "0a" * 32, "10.36.5.114", "fe80::1", "OpenWrt 23.05.3 r23809-234f1a2efa", "50%", "C:\\x", "phy0-ap0"):
        assert clean(text) == text


def test_a_networks_name_may_be_a_number() -> None:
    """A telephone's number has as many digits as an address; one with a letter in it is an address all the same."""
    assert clean_ssid("RW05 081234567890") == "RW05 081234567890"
    assert clean_ssid("password: tanya RT") == "password: tanya RT"
    assert clean_ssid("08123456789a") == "***"
    assert clean("081234567890") == "***"


@pytest.mark.parametrize("name", ["key", "KEY", "psk", "wpa_psk", "password", "pass", "passphrase", "sae_password", "key1", "wifi-pass", "passwords", "token "])
def test_what_is_called_a_secret_is_starred(name: str) -> None:
    """By its name, at any depth, whatever it is."""
    assert starred({"a": [{name: {"x": 1}}]}) == {"a": [{name: "***"}]}


@pytest.mark.parametrize("name", ["keys", "bypass", "key_ref", "monkeys", "author", "compass", "revision"])
def test_what_is_not_called_a_secret_stays(name: str) -> None:
    """Ids of public keys, and words that only look alike."""
    assert starred({name: "x"}) == {name: "x"}


def test_addresses_are_starred_in_names_and_lists() -> None:
    """Any JSON: names, texts, lists; numbers stay."""
    assert starred({MACS[0]: 1, "a": [MACS[3], 7, None, 1.5, True]}) == {"***": 1, "a": ["***", 7, None, 1.5, True]}


def test_what_is_remembered_is_bounded() -> None:
    """Long texts are not remembered, short ones only so many."""
    before = quarantine._remembered.cache_info()
    clean("x" * 10_000)
    after = quarantine._remembered.cache_info()
    assert after.misses == before.misses and after.maxsize == 16_384
