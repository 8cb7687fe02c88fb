"""The table of alerts: thresholds both ways, hold times, and no flapping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.alerts import RULES, Alerts, Change

HOLDS = {rule.code: (rule.raise_after_s, rule.clear_after_s) for rule in RULES}
LEVELS = {
    "dhcp-pool-full": ("dhcp", "leases", "pool", 0.95, 0.90, 0.84),
    "flash-full": ("host", "flash_free_bytes", "flash_total_bytes", 0.04, 0.07, 0.11),
    "memory-low": ("host", "memory_available_bytes", "memory_total_bytes", 0.07, 0.10, 0.16),
    "conntrack-full": ("host", "conntrack", "conntrack_max", 0.90, 0.80, 0.74),
}


def level(code: str, ratio: float) -> dict[str, object]:
    """A report in which that code's figure stands at that ratio."""
    part, of, to, *_ = LEVELS[code]
    return {part: {of: round(ratio * 1000), to: 1000}}


def keep(alerts: Alerts, report: dict[str, object], since: float, seconds: float, facts: dict[str, float] | None = None) -> list[Change]:
    """Give the same report every 10 s, from `since` on; tell all that changed."""
    changes = []
    for moment in range(0, int(seconds) + 1, 10):
        changes += alerts.step(since + moment, report, facts or {})
    return changes


@pytest.mark.parametrize("code", LEVELS)
def test_ratio_raises_and_clears_at_its_own_thresholds(code: str) -> None:
    """Raised beyond the first threshold, kept between the two, cleared beyond the second."""
    bad, between, good = LEVELS[code][3:]
    alerts = Alerts()
    assert keep(alerts, level(code, between), 0, 1000) == []
    (raised,) = keep(alerts, level(code, bad), 2000, 1000)
    assert (raised.code, raised.raised) == (code, True)
    assert keep(alerts, level(code, between), 4000, 1000) == [] and list(alerts.open) == [code]
    (cleared,) = keep(alerts, level(code, good), 6000, 1000)
    assert (cleared.code, cleared.raised, alerts.open) == (code, False, {})


@pytest.mark.parametrize("code", LEVELS)
def test_a_moment_is_no_problem(code: str) -> None:
    """One good interval within the hold time starts it again."""
    bad, _, good = LEVELS[code][3:]
    alerts = Alerts()
    for start in range(0, 5000, 1000):
        assert keep(alerts, level(code, bad), start, HOLDS[code][0] - 10) == []
        assert alerts.step(start + 900, level(code, good)) == []


@pytest.mark.parametrize("code", LEVELS)
def test_data_carries_the_figures(code: str) -> None:
    """Who reads the alert needs no report beside it."""
    alerts = Alerts()
    report = level(code, LEVELS[code][3])
    (raised,) = keep(alerts, report, 0, 400)
    assert raised.data == report[LEVELS[code][0]]


def test_the_full_pool_raises_at_exactly_95_in_100() -> None:
    """The threshold itself is full; nine tenths is not."""
    assert keep(Alerts(), {"dhcp": {"leases": 95, "pool": 100}}, 0, 600) != []
    assert keep(Alerts(), {"dhcp": {"leases": 94, "pool": 100}}, 0, 600) == []


def test_a_full_pool_is_raised_beside_an_empty_one() -> None:
    """Half of all addresses are free, and none where the public is; the data says why."""
    full: dict[str, object] = {"leases": 150, "pool": 300, "fullest_ratio": 1.0}
    alerts = Alerts()
    (raised,) = keep(alerts, {"dhcp": full}, 0, 600)
    assert (raised.code, raised.data) == ("dhcp-pool-full", full)
    (cleared,) = keep(alerts, {"dhcp": full | {"fullest_ratio": 0.84}}, 2000, 600)
    assert (cleared.raised, alerts.open) == (False, {})


def test_the_fullest_pool_is_judged_also_without_a_sum() -> None:
    """A pool of unknown size beside it makes the sum unknown."""
    (raised,) = keep(Alerts(), {"dhcp": {"leases": 50, "fullest_ratio": 0.95}}, 0, 600)
    assert raised.data == {"leases": 50, "fullest_ratio": 0.95}


def test_the_sums_do_not_raise_where_no_pool_is_full() -> None:
    """Leases of a network that has no pool any more fill none."""
    assert keep(Alerts(), {"dhcp": {"leases": 150, "pool": 150, "fullest_ratio": 0.5}}, 0, 600) == []


def test_a_dead_radio_beside_a_living_sibling_with_the_same_ssid() -> None:
    """The SSID is still on air at 2.4 GHz; the dead 5 GHz radio is raised all the same, and named."""
    report: dict[str, object] = {
        "radios": [{"radio": "radio0", "band": "2g", "up": True}, {"radio": "radio1", "band": "5g", "up": False}],
        "bss": [
            {"ifname": "phy0-ap0", "radio": "radio0", "ssid": "Malang RW 05", "up": True},
            {"ifname": "phy1-ap0", "radio": "radio1", "ssid": "Malang RW 05", "up": False},
        ],
    }
    radio, ssid = keep(Alerts(), report, 0, 120)
    assert (radio.code, radio.data) == ("radio-down", {"radios": [{"radio": "radio1", "band": "5g"}]})
    assert (ssid.code, ssid.data) == ("ssid-not-on-air", {"bss": [{"ifname": "phy1-ap0", "radio": "radio1", "ssid": "Malang RW 05"}]})


def test_a_radar_check_is_no_dead_radio() -> None:
    """60 s of silence before a DFS channel raise nothing."""
    alerts = Alerts()
    assert keep(alerts, {"radios": [{"radio": "radio1", "up": False}]}, 0, 60) == []
    assert alerts.step(70, {"radios": [{"radio": "radio1", "up": True}]}) == []


def test_a_radio_not_wanted_on_air_is_no_problem() -> None:
    """A radio that is switched off, or checks a weather channel for 10 minutes, raises nothing, nor do its networks; wanted again, both are missed."""
    alerts = Alerts()
    networks = [{"ifname": "a", "radio": "radio1", "up": False}]
    assert keep(alerts, {"radios": [{"radio": "radio1", "up": False, "wanted": False}], "bss": networks}, 0, 600) == []
    missed = keep(alerts, {"radios": [{"radio": "radio1", "up": False, "wanted": True}], "bss": networks}, 700, 120)
    assert [change.code for change in missed] == ["radio-down", "ssid-not-on-air"]


def test_an_unwanted_radio_hides_no_dead_sibling() -> None:
    """Only its own silence is meant."""
    radios = [{"radio": "radio0", "up": False, "wanted": False}, {"radio": "radio1", "up": False}]
    (raised,) = keep(Alerts(), {"radios": radios}, 0, 120)
    assert raised.data == {"radios": [{"radio": "radio1"}]}


def test_a_removed_network_clears_its_alert() -> None:
    """When the last network is taken out of the config, none is missing on air."""
    alerts = Alerts()
    assert keep(alerts, {"bss": [{"ifname": "a", "up": False}]}, 0, 120) != []
    assert keep(alerts, {"bss": []}, 200, 120) != []
    assert alerts.open == {}


@pytest.mark.parametrize("state", ["link", "address", "gateway", "dns", "internet"])
def test_uplink_down_at_any_layer(state: str) -> None:
    """Every state but ok is down, and told."""
    alerts = Alerts()
    (raised,) = keep(alerts, {"uplink": {"state": state}}, 0, 60)
    assert (raised.code, raised.data) == ("uplink-down", {"state": state})
    assert [change.raised for change in keep(alerts, {"uplink": {"state": "ok"}}, 100, 60)] == [False]


def test_a_changed_layer_keeps_the_alert_and_its_figures_up_to_date() -> None:
    """From gateway to dns the uplink is still down; the open alert says what fails now."""
    alerts = Alerts()
    keep(alerts, {"uplink": {"state": "gateway"}}, 0, 60)
    assert keep(alerts, {"uplink": {"state": "dns"}}, 70, 600) == []
    assert alerts.open["uplink-down"].data == {"state": "dns"}


def test_certificate_below_30_days() -> None:
    """Raised under 30 days, cleared over 31."""
    alerts = Alerts()
    assert alerts.step(0, {"clock": "ntp"}, {"certificate_days": 30.0}) == []
    (raised,) = alerts.step(60, {"clock": "ntp"}, {"certificate_days": 29.96})
    assert (raised.code, raised.data) == ("certificate-expiring", {"certificate_days": 30.0})
    assert alerts.step(120, {"clock": "ntp"}, {"certificate_days": 31.0}) == []
    assert [change.raised for change in alerts.step(180, {"clock": "ntp"}, {"certificate_days": 365.0})] == [False]


@pytest.mark.parametrize("clock", ["floor", "none"])
def test_days_by_a_wrong_clock_raise_nothing(clock: str) -> None:
    """A clock in 2070 makes no certificate expire, and one in 1970 clears no alert."""
    alerts = Alerts()
    assert alerts.step(0, {"clock": clock}, {"certificate_days": -9000.0}) == []
    assert alerts.step(60, {"clock": "ntp"}, {"certificate_days": 3.0}) != []
    assert alerts.step(120, {"clock": clock}, {"certificate_days": 9000.0}) == []


def test_clock_untrusted_after_ten_minutes() -> None:
    """A box needs a while after boot to find the time; after 600 s of uptime without, it is told."""
    alerts = Alerts()
    assert keep(alerts, {"clock": "floor"}, 30, 590) == []
    (raised,) = alerts.step(630, {"clock": "none"})
    assert (raised.code, raised.data, raised.since) == ("clock-untrusted", {"clock": "none"}, None)
    assert [change.raised for change in keep(alerts, {"clock": "ntp"}, 640, 60)] == [False]


def test_identity_taken_for_an_hour_after_the_last_time() -> None:
    """Raised at once, prolonged by the next take-over, cleared an hour after the last."""
    alerts = Alerts()
    assert alerts.step(50, {}) == []
    (raised,) = alerts.step(100, {}, {"identity_taken_at": 90.0})
    assert (raised.code, raised.data) == ("identity-taken", {"ago_s": 10.0})
    assert alerts.step(3700, {}, {"identity_taken_at": 3000.0}) == []
    assert alerts.step(6599, {}, {"identity_taken_at": 3000.0}) == []
    assert [change.raised for change in alerts.step(6600, {}, {"identity_taken_at": 3000.0})] == [False]


@pytest.mark.parametrize("missing", [{}, {"uplink": {}}, {"uplink": {"address": "192.0.2.10"}}, {"uplink": None}, {"uplink": "dns"}])
def test_a_missing_part_neither_raises_nor_clears(missing: dict[str, object]) -> None:
    """Unknown is neither good nor bad, and nonsense is unknown."""
    alerts = Alerts()
    assert keep(alerts, missing, 0, 600) == []
    assert len(keep(alerts, {"uplink": {"state": "dns"}}, 1000, 60)) == 1
    assert keep(alerts, missing, 2000, 5000) == []
    assert list(alerts.open) == ["uplink-down"]


@pytest.mark.parametrize(
    "host",
    [
        {"flash_free_bytes": 0},
        {"flash_free_bytes": 0, "flash_total_bytes": 0},
        {"flash_free_bytes": "0", "flash_total_bytes": 1},
        {"flash_free_bytes": float("nan"), "flash_total_bytes": 1},
    ],
)
def test_half_a_ratio_is_no_figure(host: dict[str, object]) -> None:
    """Without a whole there is no share; nobody divides by zero."""
    assert keep(Alerts(), {"host": host}, 0, 900) == []


def test_since_is_when_it_began() -> None:
    """Not when the hold time was over: Unix seconds, counted back from the report's own end."""
    alerts = Alerts()
    alerts.step(100, {"at": 1_790_000_000, "uplink": {"state": "dns"}})
    (raised,) = alerts.step(160, {"at": 1_790_000_060, "uplink": {"state": "dns"}})
    assert raised.since == 1_790_000_000
    alerts.step(220, {"at": 1_790_000_120, "uplink": {"state": "ok"}})
    (cleared,) = alerts.step(280, {"at": 1_790_000_180, "uplink": {"state": "ok"}})
    assert cleared.since == 1_790_000_000


@pytest.mark.parametrize(("code", "fact", "bad", "good"), [("push-refused", "bad_signatures", 3, 0), ("config-held", "config_held", 1, 0)])
def test_what_root_says_of_pushes_raises_and_clears_at_once(code: str, fact: str, bad: float, good: float) -> None:
    """Two bad signatures are none too many, three are; it clears with the first good one. No word of root, no judgement."""
    alerts = Alerts()
    assert alerts.step(100, {}, {fact: bad - 1.0}) == []
    (raised,) = alerts.step(160, {}, {fact: bad})
    assert (raised.code, raised.raised, raised.data) == (code, True, {fact: bad})
    assert alerts.step(220, {}, {}) == []
    assert [(change.code, change.raised) for change in alerts.step(280, {}, {fact: good})] == [(code, False)]


def capped(standing: bool, **more: object) -> dict[str, object]:
    return {"caps": {"standing": standing, "missing": [] if standing else ["rwd-public is missing"], **more}}


NO_CAPS = {"agent": {"collectors": {"caps": {"ms": 0.1}}}}
UNREAD = {"agent": {"collectors": {"caps": {"ms": 0.1, "error": "the kernel cannot be asked"}}}}


@pytest.mark.parametrize("interval_s", [10, 60, 3600])
def test_caps_that_do_not_stand_are_raised_with_the_second_report(interval_s: float) -> None:
    """One report may have come while root was at work; the alert says what is missing, and goes as soon as all stands."""
    alerts = Alerts()
    assert alerts.step(100, capped(False)) == []
    (raised,) = alerts.step(100 + interval_s, capped(False))
    assert (raised.code, raised.data) == ("caps-not-standing", {"missing": ["rwd-public is missing"]})
    (cleared,) = alerts.step(100 + 2 * interval_s, capped(True))
    assert (cleared.raised, alerts.open) == (False, {})


def test_a_report_of_each_second_leaves_root_its_time() -> None:
    """Ten seconds, however many reports these are; one in between that is well begins anew."""
    alerts = Alerts()
    assert [alerts.step(second, capped(second == 5)) for second in range(14)] == [[]] * 14
    assert [change.code for second in range(14, 17) for change in alerts.step(second, capped(False))] == ["caps-not-standing"]


def test_a_bypass_is_raised_at_once() -> None:
    """Hardware that forwards past the caps does so from the first packet on, however well they stand."""
    alerts = Alerts()
    (raised,) = alerts.step(100, capped(True, bypassed=True))
    assert (raised.code, raised.data) == ("offload-bypasses-caps", {})
    assert [change.raised for change in alerts.step(160, capped(True))] == [False]


@pytest.mark.parametrize("report", [UNREAD, {}, {"agent": {}}, {"agent": {"collectors": {}}}])
def test_caps_that_could_not_be_read_change_nothing(report: dict[str, object]) -> None:
    """What is open stays open, and nothing is called well."""
    alerts = Alerts()
    for at in (100, 160):
        alerts.step(at, capped(False, bypassed=True))
    assert alerts.step(220, report) == [] and set(alerts.open) == {"caps-not-standing", "offload-bypasses-caps"}
    assert not Alerts().calm and "caps-not-standing" not in alerts.calm


def test_caps_that_nobody_wants_any_more_are_no_problem() -> None:
    """The part is gone and its collector had no error: both alerts go."""
    alerts = Alerts()
    for at in (100, 160):
        alerts.step(at, capped(False, bypassed=True))
    assert {(change.code, change.raised) for change in alerts.step(220, NO_CAPS)} == {("caps-not-standing", False), ("offload-bypasses-caps", False)}


def test_every_code_is_in_the_table_once() -> None:
    """The codes of the contract that exist now."""
    codes = Alerts.codes()
    assert sorted(codes) == sorted(
        [
            "radio-down",
            "ssid-not-on-air",
            "uplink-down",
            "dhcp-pool-full",
            "flash-full",
            "memory-low",
            "conntrack-full",
            "offload-bypasses-caps",
            "caps-not-standing",
            "certificate-expiring",
            "clock-untrusted",
            "push-refused",
            "config-held",
            "identity-taken",
        ]
    )


STEPS = st.lists(
    st.fixed_dictionaries(
        {"passed": st.floats(1, 400), "clock": st.sampled_from(("ntp", "floor", "none"))},
        optional={
            "state": st.sampled_from(("ok", "dns")),
            "up": st.booleans(),
            "ratio": st.floats(0, 1),
            "days": st.floats(28, 33),
            "taken": st.booleans(),
        },
    ),
    max_size=60,
)


@given(STEPS)
def test_no_code_changes_twice_within_its_hold_time(steps: list[dict[str, object]]) -> None:
    """Whatever the figures do: changes of a code alternate, `open` agrees with them, and no two lie closer than the hold time."""
    alerts, at, taken_at = Alerts(), 0.0, None
    last: dict[str, tuple[float, bool]] = {}
    for step in steps:
        at += step["passed"]  # type: ignore[operator]
        report: dict[str, object] = {"at": 1_790_000_000 + at, "clock": step["clock"]}
        if "state" in step:
            report["uplink"] = {"state": step["state"]}
        if "up" in step:
            report |= {"radios": [{"radio": "radio0", "up": step["up"]}], "bss": [{"ifname": "a", "up": step["up"]}]}
        for code in LEVELS if "ratio" in step else ():
            part, of, to, *_ = LEVELS[code]
            report[part] = {**report.get(part, {}), of: step["ratio"], to: 1}  # type: ignore[dict-item]
        taken_at = at if step.get("taken") else taken_at
        facts = {"certificate_days": step.get("days"), "identity_taken_at": taken_at}
        for change in alerts.step(at, report, {name: value for name, value in facts.items() if value is not None}):  # type: ignore[misc]
            before, was_raised = last.get(change.code, (float("-inf"), False))
            assert change.raised != was_raised
            assert at - before >= HOLDS[change.code][0 if change.raised else 1]
            last[change.code] = (at, change.raised)
    assert set(alerts.open) == {code for code, (_, raised) in last.items() if raised}
