"""Counters, device-side rates, peaks and resets of the network devices."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.collectors import traffic
from agent.records import Interface, Knobs
from tests.fakes.router import FakeRouter

CALM = Knobs(50, False)
PEAKS = Knobs(50, True)
WAN = Interface("wan", 2, "uplink", True, 1000, "full", 1_000_000, 500_000, 1, 2, 3, 4)
MBIT = 125_000  # bytes a second


def at(rx: int, tx: int = 0, interface: Interface = WAN) -> Interface:
    """The interface after that many more bytes."""
    return interface._replace(rx_bytes_total=interface.rx_bytes_total + rx, tx_bytes_total=interface.tx_bytes_total + tx)


def span_of(*samples: tuple[float, list[Interface]], knobs: Knobs = CALM) -> traffic.Span:
    span = traffic.Span(knobs)
    for moment, interfaces in samples:
        span.add(moment, interfaces)
    return span


def rows(span: traffic.Span) -> list[dict[str, object]]:
    part = span.part(0)["interfaces"]
    assert isinstance(part, list)
    return part


def row(span: traffic.Span) -> dict[str, object]:
    (only,) = rows(span)
    return only


def has_rates(row: dict[str, object]) -> bool:
    return any(name.endswith("_bps") for name in row)


def test_a_row_has_the_names_of_the_contract() -> None:
    """Counters as read, rates as the mean over the span."""
    assert row(span_of((0, [WAN]), (10, [at(10 * MBIT)]), (20, [at(60 * MBIT, 20 * MBIT)]))) == {
        "name": "wan",
        "role": "uplink",
        "up": True,
        "link_mbps": 1000,
        "duplex": "full",
        "rx_bytes_total": 1_000_000 + 60 * MBIT,
        "tx_bytes_total": 500_000 + 20 * MBIT,
        "rx_bps": 3_000_000,
        "tx_bps": 1_000_000,
        "rx_errors_total": 1,
        "tx_errors_total": 2,
        "rx_dropped_total": 3,
        "tx_dropped_total": 4,
        "reset": False,
    }


def test_unknown_speed_and_duplex_are_absent() -> None:
    """A bridge has neither."""
    bridge = row(span_of((0, [WAN._replace(name="br-lan", role="lan", link_mbps=None, duplex=None)])))
    assert "link_mbps" not in bridge and "duplex" not in bridge


def test_first_reading_has_no_rate_and_is_no_reset() -> None:
    """One reading of a counter is no rate."""
    first = row(span_of((0, [WAN])))
    assert not has_rates(first) and first["reset"] is False


def test_spans_join_without_a_gap() -> None:
    """What moves between the last sample of one span and the first of the next is in the next."""
    span = span_of((0, [WAN]), (10, [at(10 * MBIT)]))
    rows(span)
    span.add(20, [at(40 * MBIT)])
    assert row(span)["rx_bps"] == 3_000_000


def test_counter_going_back_is_a_reset_without_rates() -> None:
    """No negative, no spike: the flag instead, even when the sum over the span looks fine."""
    back = row(span_of((0, [WAN]), (10, [at(50 * MBIT)]), (20, [at(20 * MBIT)])))
    assert back["reset"] is True and not has_rates(back)


def test_one_way_going_back_takes_both_rates() -> None:
    """A device whose sent bytes were reset is not believed about the received ones."""
    assert not has_rates(row(span_of((0, [WAN]), (10, [WAN._replace(rx_bytes_total=2_000_000, tx_bytes_total=0)]))))


def test_new_ifindex_is_a_reset() -> None:
    """A device created anew is another one, although its counters are higher."""
    anew = row(span_of((0, [WAN]), (10, [at(MBIT)._replace(ifindex=9)])))
    assert anew["reset"] is True and not has_rates(anew)


def test_faster_than_the_link_is_a_reset() -> None:
    """Garbage for one sample spoils that span, and comes back as a reset, never as a spike."""
    garbage = row(span_of((0, [WAN]), (10, [at(2**40)]), (20, [at(20 * MBIT)])))
    assert garbage["reset"] is True and not has_rates(garbage)


def test_garbage_at_one_sample_is_seen_although_the_span_looks_plausible() -> None:
    """Bytes no link carries in 1 s do not hide in a mean over 100 s."""
    burst = row(span_of((0, [WAN]), (1, [at(2000 * MBIT)]), (100, [at(2000 * MBIT)])))
    assert burst["reset"] is True and not has_rates(burst)


def test_after_a_reset_the_next_span_has_rates() -> None:
    """A reset costs one span."""
    span = span_of((0, [WAN]), (10, [at(-1_000_000)]))
    assert row(span)["reset"] is True
    span.add(20, [at(-1_000_000 + 10 * MBIT)])
    after = row(span)
    assert (after["reset"], after["rx_bps"]) == (False, 1_000_000)


def test_a_link_that_slowed_down_is_judged_by_its_faster_speed() -> None:
    """What ran at 1000 Mbit/s before the renegotiation is no garbage at 100."""
    assert row(span_of((0, [WAN]), (10, [at(3000 * MBIT)._replace(link_mbps=100)])))["rx_bps"] == 300_000_000


def test_a_vanished_device_is_left_out() -> None:
    """Its last counters are not its counters now."""
    lan = WAN._replace(name="lan1", role="lan")
    assert [one["name"] for one in rows(span_of((0, [WAN, lan]), (10, [WAN])))] == ["wan"]


def test_a_device_that_comes_back_is_a_reset() -> None:
    """A PPP device that was away counts from 0: told, so that nobody subtracts its totals."""
    span = span_of((0, [WAN]), (10, []), (20, [at(-1_000_000)._replace(ifindex=7)]))
    back = row(span)
    assert back["reset"] is True and not has_rates(back)
    span.add(30, [at(-1_000_000 + 10 * MBIT)._replace(ifindex=7)])
    assert row(span)["rx_bps"] == 1_000_000


def test_a_new_device_needs_two_readings() -> None:
    """An interface that appears has counters at once and rates later."""
    guest = WAN._replace(name="guest", role="other")
    new = rows(span_of((0, [WAN]), (10, [WAN, guest])))[1]
    assert new["reset"] is False and not has_rates(new)


def test_without_second_readings_there_are_no_peaks() -> None:
    """A peak that was not sampled is absent, not equal to the mean."""
    assert "rx_peak_bps" not in row(span_of((0, [WAN]), (10, [at(10 * MBIT)]), knobs=PEAKS))


def test_peak_is_the_fastest_second() -> None:
    """61 Mbit/s for a second within a span of 6 Mbit/s."""
    span = span_of((0, [WAN]), knobs=PEAKS)
    moved = 0
    for second in range(1, 10):
        moved += 61 * MBIT if second == 4 else 0
        span.peak(second, [at(moved)])
    span.add(10, [at(moved)])
    only = row(span)
    assert (only["rx_peak_bps"], only["tx_peak_bps"], only["rx_bps"]) == (61_000_000, 0, 6_100_000)


def test_the_sample_itself_ends_a_second() -> None:
    """A burst between the last 1-second reading and the sample is a peak too."""
    span = span_of((8, [WAN]), knobs=PEAKS)
    span.peak(9, [WAN])
    span.add(10, [at(5 * MBIT)])
    assert row(span)["rx_peak_bps"] == 5_000_000


def test_a_peak_belongs_to_its_span() -> None:
    """The next span does not inherit it."""
    span = span_of((0, [WAN]), knobs=PEAKS)
    span.peak(1, [at(61 * MBIT)])
    span.add(10, [at(61 * MBIT)])
    rows(span)
    span.peak(11, [at(62 * MBIT)])
    span.add(20, [at(62 * MBIT)])
    assert row(span)["rx_peak_bps"] == 1_000_000


def test_two_readings_at_almost_the_same_moment_are_no_second() -> None:
    """A counter that steps between two readings a millisecond apart is no burst of 8 Gbit/s."""
    span = span_of((0, [WAN]), knobs=PEAKS)
    span.peak(1.0, [at(MBIT)])
    span.peak(1.001, [at(9 * MBIT)])
    span.peak(2.0, [at(9 * MBIT)])
    span.add(10, [at(9 * MBIT)])
    assert row(span)["rx_peak_bps"] == 8_000_000


def test_a_late_reading_is_no_second() -> None:
    """Seconds missed (a slow box) do not make a mean of 5 s a peak."""
    span = span_of((0, [WAN]), knobs=PEAKS)
    span.peak(5, [at(50 * MBIT)])
    assert "rx_peak_bps" not in row(span)


def test_going_back_at_a_second_is_a_reset() -> None:
    """A reset hidden between two samples by fast traffic is seen by the 1-second readings."""
    span = span_of((0, [WAN]), knobs=PEAKS)
    span.peak(1, [at(-1_000_000)])
    span.add(10, [at(10 * MBIT)])
    assert row(span)["reset"] is True


def test_garbage_at_a_second_is_no_peak() -> None:
    """Faster than the link is not the fastest."""
    span = span_of((0, [WAN]), knobs=PEAKS)
    span.peak(1, [at(MBIT)])
    span.peak(2, [at(1000 * MBIT * 2)])
    span.add(10, [at(1000 * MBIT * 2)])
    assert row(span)["rx_peak_bps"] == 200_000_000  # the sample's mean


def test_an_old_reset_is_not_found_again_when_peaking_begins() -> None:
    """The first 1-second reading is compared with the last sample, not with one from before the reset."""
    span = span_of((0, [WAN]), (10, [at(-1_000_000)]))
    rows(span)
    span.add(20, [at(100 - 1_000_000)])
    span.peak(21, [at(200 - 1_000_000)])
    assert row(span)["reset"] is False


def test_peaking_when_so_set() -> None:
    """`peaks = true` asks for each second from the start."""
    assert traffic.Span(PEAKS).is_peaking


def test_peaking_above_a_third_of_the_contract() -> None:
    """Above 30 % of 50 Mbit/s on the uplink, either way, the seconds are wanted; at 30 % not yet; and no longer when it is calm again."""
    span = span_of((0, [WAN]))
    assert not span.is_peaking
    span.add(10, [at(150 * MBIT)])
    assert not span.is_peaking
    span.add(20, [at(150 * MBIT, 151 * MBIT)])
    assert span.is_peaking
    span.add(30, [at(150 * MBIT, 151 * MBIT)])
    assert not span.is_peaking


def test_a_busy_lan_is_no_peak_of_the_uplink() -> None:
    """Only the uplink has a contract."""
    lan = WAN._replace(name="lan1", role="lan")
    assert not span_of((0, [lan]), (10, [at(900 * MBIT, interface=lan)])).is_peaking


def test_no_wifi_and_no_cable_is_an_empty_list() -> None:
    """A box whose devices are all gone says so; one that could not be read says nothing."""
    assert span_of((0, traffic.collect(FakeRouter()))).part(0) == {"interfaces": []}
    assert traffic.Span(CALM).part(0) == {}


def test_more_devices_than_a_report_holds_are_left_out() -> None:
    """A host with a thousand containers still reports its uplink, in a report that is valid."""
    many = [WAN, *(WAN._replace(name=f"veth{number}", role="other") for number in range(1000))]
    assert len(traffic.collect(FakeRouter(interfaces=many))) == traffic.INTERFACES_MAX


def test_names_that_come_and_go_without_end_are_bounded() -> None:
    """A container host makes a new device name each minute; the memory of names does not grow for ever."""
    span = traffic.Span(CALM)
    for moment in range(2000):
        span.add(moment, [WAN._replace(name=f"veth{moment}")])
    assert len(span._known) <= traffic.KNOWN_MAX
    assert len(span._tracks) == 1


READINGS = st.lists(
    st.tuples(
        st.sampled_from(("sample", "second", "report")),
        st.floats(0.001, 100),
        st.integers(0, 2**45),
        st.integers(0, 2**45),
        st.integers(1, 2),
        st.sampled_from((None, 10, 1000)),
        st.booleans(),
    ),
    max_size=40,
)


@given(READINGS, st.booleans())
def test_never_a_spike_never_a_negative_and_no_peak_below_the_mean(readings: list[tuple[str, float, int, int, int, int | None, bool]], peaks: bool) -> None:
    """Whatever the counters say, a rate is absent or possible on the fastest link seen, and absent wherever there was a reset."""
    span = traffic.Span(Knobs(50, peaks))
    moment = 0.0
    for kind, passed, rx, tx, ifindex, link, is_there in readings:
        moment += passed
        interfaces = [WAN._replace(rx_bytes_total=rx, tx_bytes_total=tx, ifindex=ifindex, link_mbps=link)] if is_there else []
        if kind == "sample":
            span.add(moment, interfaces)
        elif kind == "second":
            span.peak(moment, interfaces)
        for one in span.part(moment).get("interfaces", []) if kind == "report" else []:  # type: ignore[union-attr]
            rates = {name: value for name, value in one.items() if name.endswith("_bps")}
            assert all(0 <= value <= 12_500_000_000 for value in rates.values())
            assert not (one["reset"] and rates)
            assert one.get("rx_peak_bps", 2**60) >= one.get("rx_bps", 0)
            assert one.get("tx_peak_bps", 2**60) >= one.get("tx_bps", 0)
