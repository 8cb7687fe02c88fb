"""What root wants of caps, as its script wrote it down: read with suspicion, and held against the kernel."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Unavailable
from agent.records import Caps
from agent.router import caps
from agent.router.caps import NOT_UNDERSTOOD, NOT_YET, Cap, Wanted, parse, parse_rows, read

SSID = {
    "ssid": "public",
    "down_kbit": 30000,
    "up_kbit": 10000,
    "station_down_kbit": 5000,
    "station_up_kbit": 2000,
    "ifnames": ["rw-public-2g", "rw-public-5g"],
}
UPLINK = {"uplink": "wan", "down_kbit": 45000}
PUBLIC = Cap("public", 30000, 10000, 5000, 2000, ("rw-public-2g", "rw-public-5g"))


def place(folder: Path, content: bytes | str) -> Path:
    file = folder / "caps.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_ssids_and_the_uplink_are_read() -> None:
    """By the names of the script; what is absent is not capped."""
    assert parse_rows([SSID, UPLINK]) == [PUBLIC, Cap("uplink", 45000, None, None, None, ("wan",))]


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"ssid": "public"},
        SSID | {"ssid": "Malang RW 05"},
        SSID | {"ssid": 5},
        SSID | {"ssid": "uplink"},
        SSID | {"ifnames": "wlan0"},
        SSID | {"ifnames": ["wlan0; reboot"]},
        SSID | {"ifnames": ["a" * 16]},
        SSID | {"ifnames": ["wlan0"] * 65},
        SSID | {"down_kbit": 0},
        SSID | {"down_kbit": True},
        SSID | {"down_kbit": "30000"},
        SSID | {"down_kbit": 1.5},
        SSID | {"station_up_kbit": 10**8},
        {"uplink": "../wan", "down_kbit": 1},
        {"uplink": ["wan"], "down_kbit": 1},
    ],
)
def test_a_row_that_is_none_is_refused(row: dict[str, object]) -> None:
    """A cap half understood would be called standing."""
    with pytest.raises(ValueError, match=r"cap|devices|rate"):
        parse_rows([row])
    assert parse(json.dumps({"v": 1, "wanted": [row]}).encode()) == Wanted(error=NOT_UNDERSTOOD)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b"null", b"\xff", b'{"v":2,"wanted":[]}', b'{"v":true,"wanted":[]}', b'{"v":1}', b'{"v":1,"wanted":{}}', b"[" * 60000]
)
def test_a_file_that_is_none_is_said(raw: bytes) -> None:
    """Not "no cap is wanted"."""
    assert parse(raw) == Wanted(error=NOT_UNDERSTOOD)


def test_what_root_could_not_do_is_told_in_its_words() -> None:
    """Bounded, and fit for a screen."""
    assert parse(b'{"v":1,"error":"tc: no\\u001b[2J such","wanted":[]}').error == "tc: no\\x1b[2J such"
    assert len(parse(json.dumps({"v": 1, "error": "x" * 5000, "wanted": []}).encode()).error) == caps.LONGEST_ERROR
    assert parse(b'{"v":1,"error":7,"wanted":[]}').error == NOT_UNDERSTOOD


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*SSID, "uplink"]), inner),
    )
)
def test_no_content_is_an_exception(value: object) -> None:
    """Whatever JSON stands where the caps should."""
    assert isinstance(parse(json.dumps({"v": 1, "wanted": value}).encode()), Wanted)
    assert isinstance(parse(json.dumps({"v": 1, "wanted": [value]}).encode()), Wanted)


def test_no_word_and_no_file_is_no_cap(tmp_path: Path) -> None:
    """Nor is an empty file one."""
    file = tmp_path / "caps"
    assert read(str(tmp_path), str(file)) == Wanted()
    file.touch()
    assert read(str(tmp_path), str(file)) == Wanted()
    assert caps.look(str(tmp_path), str(file)) == Caps()


def test_a_file_and_no_word_of_root_is_a_cap_that_does_not_stand(tmp_path: Path) -> None:
    """Its script never ran since the start of the box: the caps are wanted, and nobody set them."""
    file = tmp_path / "caps"
    file.write_text("v 1\n")
    assert caps.look(str(tmp_path), str(file)) == Caps(True, (NOT_YET,))


def test_what_root_could_not_read_is_not_held_against_the_kernel(tmp_path: Path) -> None:
    """Only its reason is told."""
    place(tmp_path, '{"v":1,"error":"line 2 of the caps: expected a rate","wanted":[]}')
    assert caps.look(str(tmp_path), "")[:3] == (True, ("line 2 of the caps: expected a rate",), ())


def test_a_wanted_cap_is_held_against_the_kernel(tmp_path: Path) -> None:
    """Nothing of it is there; its devices are those whose stations are capped, and what facts say of the hardware is handed on."""
    file = place(tmp_path, json.dumps({"v": 1, "wanted": [SSID | {"ssid": "nowhere0"}, UPLINK]}))
    found = caps.look(str(tmp_path), "", True)
    assert (found.is_wanted, found.per_station, found.is_bypassed, found.made_at) == (True, PUBLIC.devices, True, file.stat().st_mtime_ns)
    assert {"rwd-nowhere0 is missing", "rwu-nowhere0 is missing"} <= set(found.missing)


def test_a_kernel_that_cannot_be_asked_does_not_hide_why_root_failed(tmp_path: Path) -> None:
    """Without traffic control neither can do anything: what root says is certain; without its word the kernel's silence is no verdict."""

    def lacking(_: Sequence[Cap]) -> list[str]:
        raise Unavailable("Operation not supported")

    place(tmp_path, json.dumps({"v": 1, "error": "tc is missing", "wanted": [UPLINK]}))
    assert caps.look(str(tmp_path), "", None, lacking)[:2] == (True, ("tc is missing",))
    place(tmp_path, json.dumps({"v": 1, "wanted": [UPLINK]}))
    with pytest.raises(Unavailable, match="not supported"):
        caps.look(str(tmp_path), "", None, lacking)


def test_what_is_no_regular_file_or_too_long_is_said(tmp_path: Path) -> None:
    """A pipe holds nobody up, a link is not followed, and of a flood nothing is believed."""
    file = place(tmp_path, b"x" * (caps.FILE_BYTES + 1))
    assert read(str(tmp_path), "").error == NOT_UNDERSTOOD
    file.unlink()
    os.mkfifo(file)
    assert read(str(tmp_path), "").error == NOT_UNDERSTOOD
    file.unlink()
    (tmp_path / "other").write_text('{"v":1,"wanted":[]}')
    file.symlink_to("other")
    assert read(str(tmp_path), "").error == NOT_UNDERSTOOD


def test_each_backend_has_a_place_of_its_own() -> None:
    """As the stores place the file."""
    assert caps.place("openwrt", "/x/state") == "/etc/rwagent/caps"
    assert caps.place("linux", "/etc/rwagent/state/") == "/etc/rwagent/caps"
    assert caps.place("simulated", "/x/state") == "/x/state/simulated/caps"
