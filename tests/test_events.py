"""A change is told once; the first sight of something is no change."""

from __future__ import annotations

from agent.events import Event, Watch


def test_uplink_change_is_told_with_how_long_the_former_state_lasted() -> None:
    """An operator reads how long the uplink was down from one event."""
    watch = Watch()
    assert watch.uplink("ok", 100.0) == []
    assert watch.uplink("ok", 160.0) == []
    assert watch.uplink("gateway", 220.0) == [Event("uplink", {"from": "ok", "to": "gateway", "for_s": 120.0})]
    assert watch.uplink("ok", 250.5) == [Event("uplink", {"from": "gateway", "to": "ok", "for_s": 30.5})]


def test_each_radio_is_told_by_itself() -> None:
    """A dead radio beside a living sibling is one event; a radio seen for the first time is none."""
    watch = Watch()
    assert watch.radios([("radio0", True), ("radio1", True)]) == []
    assert watch.radios([("radio0", True), ("radio1", False)]) == [Event("radio", {"radio": "radio1", "up": False})]
    assert watch.radios([("radio0", True), ("radio1", False), ("radio2", False)]) == []
    assert watch.radios([("radio0", True), ("radio1", True), ("radio2", False)]) == [Event("radio", {"radio": "radio1", "up": True})]


def test_clock_from_1970_to_now_to_an_hour_back() -> None:
    """Trust won and every step of the clock is told with its size; drift is not."""
    watch = Watch()
    assert watch.clock("none", 10.0, 10.0) == []
    assert watch.clock("none", 70.5, 70.0) == []
    assert watch.clock("ntp", 1_790_000_130.0, 130.0) == [Event("clock", {"from": "none", "to": "ntp", "step_s": 1_789_999_999.5})]
    assert watch.clock("ntp", 1_790_000_190.9, 190.0) == []
    assert watch.clock("ntp", 1_789_996_650.9, 250.0) == [Event("clock", {"from": "ntp", "to": "ntp", "step_s": -3600.0})]
