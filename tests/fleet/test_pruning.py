"""What is kept of a message: the contract's members at every depth, and nothing that must not be kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import schemas, shapes
from fleet import pruning
from fleet.pruning import ABSENT, pruner
from tests.reports import report

MAC = "a4:83:e7:12:34:56"
GOLDEN = Path(__file__).resolve().parents[1] / "golden"
REPORT, INFO, REPORTED = (pruner(schemas.PAYLOADS[name]) for name in ("report", "info", "config-reported"))


@pytest.mark.parametrize(("name", "prune"), [("report", REPORT), ("info", INFO), ("config-reported", REPORTED)])
def test_what_the_contract_shows_stays_whole(name: str, prune: pruning.Prune) -> None:
    """Not one member of the golden messages is lost, the first time nor once its texts are known."""
    files = sorted(GOLDEN.glob(f"{name}*.json"))
    assert files
    for file in files * 2:
        message = json.loads(file.read_text(encoding="utf-8"))
        assert prune(message) == message


def test_made_up_reports_stay_whole() -> None:
    """Nor is one of any other report as agents make them."""
    for seq in range(1, 30):
        message = report(seq, 60.0 * seq)
        assert REPORT(message) == message


def places(schema: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Give the path of every object that the contract names members of; 0 stands for an item of a list."""
    if schema.get("type") == "array":
        return places(schema["items"], (*path, "0"))
    found = [path] if "properties" in schema else []
    for name, member in schema.get("properties", {}).items():
        found += places(member, (*path, name))
    if "additionalProperties" in schema:
        found += places(schema["additionalProperties"], (*path, "stations"))
    return found


@pytest.mark.parametrize("path", places(schemas.REPORT), ids="/".join)
def test_no_member_is_kept_that_the_contract_does_not_name(path: tuple[str, ...]) -> None:
    """At every depth: next to what is known, in lists and in objects of any names."""
    inside: Any = {"spy": MAC, "key": "hunter2", "stations": {"x": MAC}}
    for level in reversed(path):
        inside = [inside] if level == "0" else {level: inside}
    kept = json.dumps(REPORT(inside))
    assert MAC not in kept and "hunter2" not in kept and "spy" not in kept


@pytest.mark.parametrize("value", [[MAC], {"x": MAC}, {MAC: 1}, None])
def test_a_value_of_another_kind_is_not_kept(value: object) -> None:
    """Where a number, a truth or a text belongs, nothing else is kept; nor a text where a number belongs."""
    message = {"seq": value, "late": value, "clock": value, "stations": {"now": value}, "bss": [{"ssid": value, "up": value}], "alerts": [value]}
    assert REPORT(message) == {"stations": {}, "bss": [{}], "alerts": []}
    assert REPORT({"seq": MAC, "late": 1, "uptime_s": True, "stations": [], "bss": {}}) == {}
    assert REPORT([]) is ABSENT


def test_texts_have_no_addresses_but_the_access_points_own() -> None:
    """A BSSID in its own place and form stays, any other address does not."""
    message = {
        "bss": [{"bssid": "02:00:00:00:00:01", "ssid": f"near {MAC}"}, {"bssid": "02-00-00-00-00-01", "ifname": MAC.replace(":", "")}],
        "ap": "02abcdef0123",
    }
    for _ in range(2):
        assert REPORT(message) == {"bss": [{"bssid": "02:00:00:00:00:01", "ssid": "near ***"}, {"ifname": "***"}], "ap": "02abcdef0123"}
    assert REPORT({"agent": {"collectors": {"abcdefabcdef": {"ms": 1}, MAC: {}, "traffic": {"ms": 2, "error": f"{MAC} key=x"}}}}) == {
        "agent": {"collectors": {"traffic": {"ms": 2, "error": "*** key=***"}}}
    }
    assert REPORT({"max": {MAC: 1.0, "host.cpu_ratio": 0.5, "x": MAC}}) == {"max": {"host.cpu_ratio": 0.5}}


def test_long_lists_texts_and_objects_are_cut() -> None:
    """At what the contract bounds."""
    kept = REPORT({"alerts": ["flash-full"] * 100, "agent": {"collectors": {"a" * 30: {"error": "x" * 300}}}, "max": {f"a{n}": 1 for n in range(2_000)}})
    assert len(kept["alerts"]) == 64 and kept["agent"]["collectors"]["a" * 30]["error"] == "x" * 200 and len(kept["max"]) == 1_000


def test_an_address_at_a_cut_is_not_half_kept() -> None:
    """The stars come first."""
    assert INFO({"model": "x" * 120 + MAC})["model"] == "x" * 120 + "***"


def test_free_parts_are_starred() -> None:
    """What a verdict says of a document is any JSON."""
    kept = REPORTED({"changes": [{"path": "x", "from": {"key": "hunter2", "a": [MAC]}, "to": 7, "impact": "bss", "who": MAC}]})
    assert kept == {"changes": [{"path": "x", "from": {"key": "***", "a": ["***"]}, "to": 7, "impact": "bss"}]}


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes up texts does not fill the memory, and texts that changed in passing are never taken for good."""
    monkeypatch.setattr(pruning, "MOST_REMEMBERED", 3)
    prune = pruner(shapes.record("x", {"a": shapes.text("x", 64), "b": shapes.of("object", "y", additionalProperties=shapes.flag("z"))}))
    for number in range(20):
        assert prune({"a": f"{number}", "b": {f"n{number}": True}}) == {"a": f"{number}", "b": {f"n{number}": True}}
        assert prune({"a": MAC}) == {"a": "***"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(MAC),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10) | st.sampled_from(sorted(schemas.REPORT["properties"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_borne(value: object) -> None:
    """Nothing raises, and no address comes through."""
    for prune in (REPORT, INFO, REPORTED):
        kept = prune(value)
        assert kept is ABSENT or MAC not in json.dumps(kept).replace(f'"bssid": "{MAC}"', "")
