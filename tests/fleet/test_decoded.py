"""Messages as a person reads them."""

from __future__ import annotations

import json

import pytest

from agent.wire import jws, messages
from fleet.decoded import UNCHECKED, decode, document, line, safe_json
from tests.reports import report

KID = "0123456789abcdef"
CLAIMS = {"kind": "config", "ap": "rw-0501", "revision": 7, "config": {"ssids": {"office": {"ssid": "A", "key": "hunter2hunter2"}}}}
SIGNED = jws.compact(jws.signing_input(KID, CLAIMS), b"\0" * 64)


@pytest.mark.parametrize("below", ["config/desired", "config/plan", "command/reboot"])
def test_what_is_signed_is_shown_as_its_claims(below: str) -> None:
    """The key's id is told, and that nobody checked the signature; keys are starred."""
    found = decode(below, SIGNED)
    assert found.signed_by == KID
    text = line("10:00:00", "rw-0501", below, found, True, False)
    assert f"kid {KID}, {UNCHECKED}" in text and "(retained)" in text
    assert "hunter2" not in text and '"revision":7' in text
    assert document(1.0, "rw-0501", below, found, True)["signature"] == UNCHECKED


def test_a_deflated_report_is_inflated() -> None:
    """What is deflated reads as what is not."""
    plain = messages.encode(report(1, 60))
    assert decode("report", messages.deflate(plain)) == decode("report", plain)


@pytest.mark.parametrize(
    ("below", "payload", "said"),
    [("report", b"\x1b[2J{", "not JSON"), ("config/desired", b"a.b", "no JWS"), ("report", b"", "empty"), ("presence", b"", "retained here any more")],
)
def test_what_is_not_understood_is_shown_with_why(below: str, payload: bytes, said: str) -> None:
    """The bytes are spelled out, and nothing in them reaches the terminal."""
    found = decode(below, payload)
    text = line("10:00:00", "rw-0501", below, found, False, True)
    assert said in (found.fault or "") and text.isprintable()


def test_every_character_prints() -> None:
    """Escapes, directions and line breaks inside values stand as JSON's escapes, and mean the same to a reader of JSON."""
    hostile = {"ssid": "a\x1b[2J\n\u202e\u2028\U000e0001", "\x9b": 1}
    text = safe_json(hostile)
    assert text.isprintable() and json.loads(text) == hostile
    pretty = safe_json(hostile, 2)
    assert all(one.isprintable() for one in pretty.splitlines()) and json.loads(pretty) == hostile


def test_names_that_are_no_names_are_spelled_out() -> None:
    """A topic is as hostile as a payload."""
    assert line("10:00:00", "rw\x1b", "report\n", decode("report", b"{}"), False, False).isprintable()


def test_a_document_has_only_what_applies() -> None:
    """What is absent is absent."""
    assert document(1.23456, "rw-0501", "event", decode("event", b'{"v":1}'), False) == {
        **{"at": 1.235, "ap": "rw-0501", "topic": "event", "retained": False, "message": {"v": 1}},
    }
    assert document(1.0, "rw-0501", "event", decode("event", b"x"), False)["raw"] == "x"


def test_secrets_are_starred_by_any_name() -> None:
    """Also in what no key belongs into; ids of public keys are none."""
    shown = decode("info", messages.encode({"psk": "hunter2", "radios": [{"sae_password": "hunter2", "keys": ["00"]}]})).message
    assert shown == {"psk": "***", "radios": [{"sae_password": "***", "keys": ["00"]}]}


@pytest.mark.parametrize("deep", [100, 400, 700, 990, 5_000])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_does_not_end_it(deep: int, pair: tuple[str, str]) -> None:
    """What can just be read may be too deep to be looked through; it is shown all the same, or said to be too deep."""
    found = decode("report", f'{{"a":{pair[0] * deep}1{pair[1] * deep}}}'.encode())
    for is_pretty in (False, True):
        assert line("10:00:00", "rw-0501", "report", found, False, is_pretty)
    assert json.dumps(document(1.0, "rw-0501", "report", found, False))
