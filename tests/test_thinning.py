"""Merging reports: exact where it must be, a mean where it may be, and a report again."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import thinning
from agent.wire import messages, schemas, shapes
from tests.reports import report

# A loaded machine is no fault of what is tested.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

Report = dict[str, Any]


def _reports(count: int, first: int = 1) -> list[Report]:
    return [report(seq, 60.0 * seq) for seq in range(first, first + count)]


def _differing(*hosts: Report) -> list[Report]:
    return [{"boot": "b", "seq": seq, "span_s": 60, "host": host} for seq, host in enumerate(hosts, 1)]


def test_merged_report_is_valid() -> None:
    """What five reports are merged to satisfies the published schema, closed."""
    merged = thinning.merge(_reports(5))
    jsonschema.Draft202012Validator(shapes.strict(schemas.published("report"))).validate(merged)


def test_merged_again_is_valid() -> None:
    """Merged reports merge with plain ones to a valid report."""
    merged = thinning.merge([thinning.merge(_reports(3)), *_reports(2, 4), thinning.merge(_reports(2, 6))])
    jsonschema.Draft202012Validator(shapes.strict(schemas.published("report"))).validate(merged)
    assert (merged["from_seq"], merged["seq"]) == (1, 7)


def test_envelope_is_of_the_last() -> None:
    """Seq, time, uptime and clock are the last report's."""
    reports = _reports(5)
    merged = thinning.merge(reports)
    assert {name: merged[name] for name in ("seq", "at", "uptime_s", "clock")} == {name: reports[-1][name] for name in ("seq", "at", "uptime_s", "clock")}


def test_unknown_time_stays_unknown() -> None:
    """When the last report has no `at`, an older one is not taken for it."""
    last = report(2, 120.0, clock="none")
    assert "at" not in thinning.merge([report(1, 60.0), last])


def test_the_fullest_pool_is_a_mean_with_its_highest() -> None:
    """A gauge; the pools' size is a setting."""
    parts = [{"leases": 150, "pool": 300, "fullest_ratio": 1.0}, {"leases": 120, "pool": 300, "fullest_ratio": 0.8}, {"leases": 120, "pool": 300}]
    merged = thinning.merge([{"boot": "b", "seq": seq, "span_s": 60, "dhcp": part} for seq, part in enumerate(parts, 1)])
    assert merged["dhcp"] == {"leases": 130, "pool": 300, "fullest_ratio": 0.9}
    assert merged["max"] == {"dhcp.leases": 150, "dhcp.fullest_ratio": 1.0}


def test_counters_are_the_last() -> None:
    """A counter is the last one, also where it went back."""
    reports = _reports(3)
    reports[2]["interfaces"][0]["rx_bytes_total"] = 5
    assert thinning.merge(reports)["interfaces"][0]["rx_bytes_total"] == 5


def test_counter_of_a_part_that_went_is_the_last_known() -> None:
    """A part that later reports lack keeps what it last was."""
    reports = _reports(3)
    del reports[2]["interfaces"][0], reports[1]["host"], reports[2]["host"]
    merged = thinning.merge(reports)
    wan = next(row for row in merged["interfaces"] if row["name"] == "wan")
    assert wan["rx_bytes_total"] == reports[1]["interfaces"][0]["rx_bytes_total"]
    assert merged["host"] == reports[0]["host"]


def test_mean_is_weighted_by_span() -> None:
    """A gauge is weighted by the seconds it stands for."""
    reports = _differing({"cpu_ratio": 0.1}, {"cpu_ratio": 0.9})
    reports[0]["span_s"] = 180
    assert thinning.merge(reports)["host"]["cpu_ratio"] == 0.3


def test_maximum_stands_by_its_path() -> None:
    """The highest value of a gauge is kept beside its mean."""
    merged = thinning.merge(_differing({"cpu_ratio": 0.1}, {"cpu_ratio": 0.9}))
    assert merged["max"] == {"host.cpu_ratio": 0.9}


def test_maximum_equal_to_mean_is_left_out() -> None:
    """A gauge that did not move needs no maximum."""
    assert "max" not in thinning.merge(_differing({"cpu_ratio": 0.5}, {"cpu_ratio": 0.5}))


def test_maximum_survives_merging_again() -> None:
    """A peak of a merged report is still there after the next merge."""
    one = thinning.merge(_differing({"cpu_ratio": 0.1}, {"cpu_ratio": 0.9}))
    other = {"boot": "b", "seq": 3, "span_s": 60, "host": {"cpu_ratio": 0.2}}
    assert thinning.merge([one, other])["max"] == {"host.cpu_ratio": 0.9}


def test_lists_are_matched_by_key() -> None:
    """Items are matched by name, whatever their order."""
    reports = _reports(2)
    reports[1]["bss"].reverse()
    merged = thinning.merge(reports)
    assert merged["bss"][0]["ifname"] == "phy0-ap0"
    expected = (reports[0]["bss"][0]["stations"] + reports[1]["bss"][1]["stations"]) / 2
    assert merged["bss"][0]["stations"] == expected


def test_joins_are_summed() -> None:
    """Joins and leaves are sums, the most stations is the most of all."""
    reports = _reports(5)
    merged = thinning.merge(reports)["stations"]
    assert merged["joins"] == sum(each["stations"]["joins"] for each in reports)
    assert merged["leaves"] == sum(each["stations"]["leaves"] for each in reports)
    assert merged["max"] == max(each["stations"]["max"] for each in reports)


def test_peaks_are_maxima() -> None:
    """A peak rate is the highest, not the mean, of the peaks."""
    reports = _reports(5)
    merged = thinning.merge(reports)
    assert merged["interfaces"][0]["rx_peak_bps"] == max(each["interfaces"][0]["rx_peak_bps"] for each in reports)
    assert merged["bss"][0]["stations_max"] == max(each["bss"][0]["stations_max"] for each in reports)


def test_settings_are_not_averaged() -> None:
    """A channel that changed is the new channel, not one between."""
    reports = _reports(2)
    reports[1]["radios"][0]["channel"] = 11
    assert thinning.merge(reports)["radios"][0]["channel"] == 11


def test_worst_uplink_state_is_told() -> None:
    """Of all states of the uplink the lowest failing layer is kept."""
    reports = _reports(4)
    for each, state in zip(reports, ("ok", "gateway", "internet", "ok"), strict=True):
        each["uplink"]["state"] = state
    assert thinning.merge(reports)["uplink"]["state"] == "gateway"


def test_one_reset_marks_the_whole() -> None:
    """An interface that was reset in one report was reset in the merged one."""
    reports = _reports(3)
    reports[0]["interfaces"][1]["reset"] = True
    merged = thinning.merge(reports)["interfaces"]
    assert [row["reset"] for row in merged] == [False, True, False, False]


def test_alerts_are_united() -> None:
    """Every alert that was open in one of the reports is named once."""
    reports = _reports(3)
    for each, codes in zip(reports, (["uplink-down"], [], ["flash-full", "uplink-down"]), strict=True):
        each["alerts"] = codes
    assert thinning.merge(reports)["alerts"] == ["uplink-down", "flash-full"]


def test_collector_error_is_kept() -> None:
    """A collector that failed in the span is named, with its last error and its longest time."""
    reports = _reports(3)
    reports[0]["agent"]["collectors"]["host"] = {"ms": 100.0, "error": "first"}
    reports[1]["agent"]["collectors"]["host"] = {"ms": 2.0, "error": "second"}
    reports[2]["agent"]["collectors"]["host"] = {"ms": 3.0}
    assert thinning.merge(reports)["agent"]["collectors"]["host"] == {"ms": 100.0, "error": "second"}


@pytest.mark.parametrize("reports", [[], _reports(1) + _reports(1, 3), [report(1, 60), report(2, 120, boot="0" * 16)], _reports(2)[::-1]])
def test_only_a_run_is_merged(reports: list[Report]) -> None:
    """Nothing, a gap, another boot and the wrong order are refused."""
    with pytest.raises(ValueError, match=r"merge|follow"):
        thinning.merge(reports)


def test_input_is_left_alone() -> None:
    """Merging changes none of its reports."""
    reports = _reports(5)
    before = copy.deepcopy(reports)
    thinning.merge(reports)
    assert reports == before


@UNTIMED
@given(st.lists(st.integers(1, 8), min_size=1, max_size=8), st.integers(1, 3600))
def test_merging_in_steps_is_as_exact(cuts: list[int], span: int) -> None:
    """However a run is cut and merged in steps: it covers the same seqs and seconds, sums and counters are exact, no mean leaves its range."""
    reports = [report(seq, 60.0 * seq, span_s=span) for seq in range(1, sum(cuts) + 1)]
    rest, steps = list(reports), []
    for cut in cuts:
        steps.append(thinning.merge(rest[:cut]))
        rest = rest[cut:]
    merged = thinning.merge(steps)
    assert (merged["from_seq"], merged["seq"], merged["span_s"]) == (1, len(reports), span * len(reports))
    assert merged["stations"]["joins"] == sum(each["stations"]["joins"] for each in reports)
    assert merged["interfaces"][0]["rx_bytes_total"] == reports[-1]["interfaces"][0]["rx_bytes_total"]
    loads = [each["host"]["load1"] for each in reports]
    assert min(loads) - 0.01 <= merged["host"]["load1"] <= max(loads) + 0.01
    assert abs(merged["host"]["load1"] - sum(loads) / len(loads)) < 0.03
    assert merged.get("max", {}).get("host.load1", merged["host"]["load1"]) == pytest.approx(max(loads), abs=0.01)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("host", "name", "ifname", "max", "rx_bps", "x_total", "joins")), inner, max_size=3)
    ),
    max_leaves=8,
)
_NAMES = st.sampled_from(("host", "uplink", "bss", "interfaces", "radios", "stations", "alerts", "agent", "max", "span_s", "late", "at", "more"))


@UNTIMED
@given(st.lists(st.dictionaries(_NAMES, _JSON, max_size=6), min_size=1, max_size=5))
def test_any_json_merges_to_json(parts: list[Report]) -> None:
    """Whatever stands in the parts, the result is JSON and covers the same seqs."""
    merged = thinning.merge([part | {"boot": "b", "seq": seq} for seq, part in enumerate(parts, 1)])
    assert messages.encode(merged)
    assert (merged["from_seq"], merged["seq"]) == (1, len(parts))
