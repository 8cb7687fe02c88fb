"""Stations of all BSSs and of each: counts, comings and goings, signals, rates, retries."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors import stations
from agent.errors import Unavailable
from agent.records import Bss, Knobs, Station
from tests.fakes.router import FakeRouter

KNOBS = Knobs(50, False)
G2 = Bss("phy0-ap0", "radio0", "2g", "Malang RW 05", "02:00:00:00:00:01", True, 1_000, 2_000)
G5 = Bss("phy1-ap0", "radio1", "5g", "Malang RW 05", "02:00:00:00:00:02", True, 1_000, 2_000)
MBIT = 125_000

Readable = dict[Bss, "list[Station] | None"]


def mac(number: int) -> str:
    return f"0a:de:ad:be:{number >> 8:02x}:{number & 255:02x}"


def one(number: int, bss: Bss = G2, signal: int | None = -58, authorized: bool = True, sent: int | None = 0, retries: int | None = 0) -> Station:
    return Station(mac(number), bss.ifname, authorized, signal, sent, retries)


def span_of(*samples: Readable) -> stations.Span:
    span = stations.Span(KNOBS)
    add(span, 0, *samples)
    return span


def add(span: stations.Span, since: float, *samples: Readable) -> None:
    """Take samples ten seconds apart, the first at `since`."""
    for place, sample in enumerate(samples):
        span.add(since + 10 * place, (tuple(sample), {bss.ifname: listed for bss, listed in sample.items()}))


def parts(span: stations.Span) -> tuple[dict[str, object], list[dict[str, object]]]:
    part = span.part(0)
    totals, rows = part.get("stations", {}), part["bss"]
    assert isinstance(totals, dict) and isinstance(rows, list)
    return totals, rows


def test_a_report_has_the_names_of_the_contract() -> None:
    """Totals and one row per BSS."""
    totals, rows = parts(span_of({G2: []}, {G2._replace(rx_bytes_total=1_000 + 10 * MBIT, tx_bytes_total=2_000 + 20 * MBIT): [one(1)]}))
    assert totals == {"now": 1, "max": 1, "joins": 1, "leaves": 0, "weak_ratio": 0.0}
    assert rows == [
        {
            "ifname": "phy0-ap0",
            "radio": "radio0",
            "band": "2g",
            "ssid": "Malang RW 05",
            "bssid": "02:00:00:00:00:01",
            "up": True,
            "stations": 1,
            "stations_max": 1,
            "signal_p50_dbm": -58,
            "signal_p10_dbm": -58,
            "rx_bps": 1_000_000,
            "tx_bps": 2_000_000,
        }
    ]


def test_unauthorised_stations_are_not_counted() -> None:
    """A station that did not finish the handshake, or lingers after a deauthentication, is nobody."""
    totals, rows = parts(span_of({G2: [one(1), one(2, authorized=False)]}))
    assert (totals["now"], rows[0]["stations"]) == (1, 1)


def test_a_station_in_two_networks_is_one_station() -> None:
    """While it roams, a station stands in both lists."""
    totals, rows = parts(span_of({G2: [one(1)], G5: [one(1, G5)]}))
    assert totals["now"] == 1
    assert [row["stations"] for row in rows] == [1, 1]


def test_roaming_is_neither_join_nor_leave() -> None:
    """From 2.4 to 5 GHz of the same access point nobody came and nobody went."""
    totals, _ = parts(span_of({G2: [one(1)], G5: []}, {G2: [], G5: [one(1, G5)]}))
    assert (totals["joins"], totals["leaves"], totals["max"]) == (0, 0, 1)


def test_first_sample_counts_no_joins() -> None:
    """Who was there when the agent started did not join then."""
    totals, _ = parts(span_of({G2: [one(1), one(2)]}))
    assert (totals["joins"], totals["leaves"]) == (0, 0)


def test_joins_and_leaves_between_samples() -> None:
    """0, 3, 1 stations: three came, two went; the span's maximum is 3."""
    span = span_of({G2: []}, {G2: [one(1), one(2), one(3)]}, {G2: [one(2)]})
    totals, rows = parts(span)
    assert totals == {"now": 1, "max": 3, "joins": 3, "leaves": 2, "weak_ratio": 0.0}
    assert rows[0]["stations_max"] == 3


def test_joins_and_leaves_across_reports() -> None:
    """A change between the last sample of one report and the first of the next is in the next, and only there."""
    span = span_of({G2: [one(1)]})
    parts(span)
    add(span, 10, {G2: [one(2)]})
    totals, _ = parts(span)
    assert (totals["joins"], totals["leaves"], totals["max"]) == (1, 1, 1)


def test_a_network_that_cannot_be_read_keeps_its_stations() -> None:
    """A silent hostapd is not 20 people going home: they stay counted, and the row goes without their figures."""
    totals, rows = parts(span_of({G2: [one(1)], G5: [one(2, G5)]}, {G2: [one(1)], G5: None}))
    assert (totals["now"], totals["joins"], totals["leaves"]) == (2, 0, 0)
    assert "stations" not in rows[1] and "signal_p50_dbm" not in rows[1] and "stations_max" not in rows[1]
    assert rows[1]["up"] is True


def test_unread_for_a_whole_span_is_unknown() -> None:
    """Numbers are not frozen: after a span without a reading the total is absent, and the living network's row stays."""
    span = span_of({G2: [one(1)], G5: [one(2, G5)]})
    parts(span)
    add(span, 10, {G2: [one(1)], G5: None}, {G2: [one(1)], G5: None})
    totals, rows = parts(span)
    assert totals == {}
    assert rows[0]["stations"] == 1


def test_who_is_found_after_the_unknown_has_not_joined() -> None:
    """When the network can be read again, its stations are simply there; nobody of the former ones has left."""
    span = span_of({G2: [one(1)], G5: [one(2, G5)]})
    parts(span)
    add(span, 10, {G2: [one(1)], G5: None})
    parts(span)
    add(span, 20, {G2: [one(1)], G5: None}, {G2: [one(1)], G5: [one(3, G5)]}, {G2: [one(1)], G5: [one(3, G5), one(4, G5)]})
    totals, _ = parts(span)
    assert (totals["now"], totals["joins"], totals["leaves"]) == (3, 1, 0)


def test_unread_from_the_start_is_unknown() -> None:
    """Before the first reading nobody knows, and the first one is no join."""
    span = span_of({G2: None})
    totals, _ = parts(span)
    assert totals == {}
    add(span, 10, {G2: [one(1)]})
    assert parts(span)[0]["joins"] == 0


def test_a_network_off_air_has_no_stations() -> None:
    """hostapd restarting: they left, and come back as joins; the counts do not freeze."""
    off = G2._replace(up=False)
    span = span_of({G2: [one(1), one(2)]}, {off: None}, {G2: [one(1)]})
    totals, _ = parts(span)
    assert (totals["now"], totals["joins"], totals["leaves"]) == (1, 1, 2)


def test_a_network_that_vanished_took_its_stations() -> None:
    """A BSS that is not in the list any more has no row, and its stations left."""
    totals, rows = parts(span_of({G2: [one(1)], G5: [one(2, G5)]}, {G2: [one(1)]}))
    assert (totals["now"], totals["leaves"], len(rows)) == (1, 1, 1)


def test_weak_is_below_minus_75() -> None:
    """Of -75, -76 and -90 two are weak; a station without a signal is not asked."""
    totals, _ = parts(span_of({G2: [one(1, signal=-75), one(2, signal=-76), one(3, signal=-90), one(4, signal=None)]}))
    assert totals["weak_ratio"] == 0.667


def test_weak_counts_a_station_once_by_its_best_signal() -> None:
    """Lingering at -90 in the network it left does not make a station weak."""
    for at_2g, at_5g in ((-90, -50), (-50, -90)):
        totals, _ = parts(span_of({G2: [one(1, signal=at_2g)], G5: [one(1, G5, signal=at_5g)]}))
        assert totals["weak_ratio"] == 0.0


def test_no_signal_at_all_is_absent() -> None:
    """A driver without signals gives neither a share nor percentiles."""
    totals, rows = parts(span_of({G2: [one(1, signal=None)]}))
    assert "weak_ratio" not in totals and "signal_p50_dbm" not in rows[0]


def test_percentiles_are_of_the_last_sample() -> None:
    """p50 is the middle, p10 the tenth from below: of -80 to -61, -71 and -79."""
    everyone = [one(number, signal=-80 + number) for number in range(20)]
    _, rows = parts(span_of({G2: [one(1, signal=-20)]}, {G2: everyone}))
    assert (rows[0]["signal_p50_dbm"], rows[0]["signal_p10_dbm"]) == (-71, -79)


@pytest.mark.parametrize("count", [0, 1, 400])
def test_any_number_of_stations(count: int) -> None:
    """Nobody is zeros, and no share of nobody; one is one, and 400 are 400."""
    totals, rows = parts(span_of({G2: [one(number) for number in range(count)]}))
    assert totals == {"now": count, "max": count, "joins": 0, "leaves": 0} | ({"weak_ratio": 0.0} if count else {})
    assert rows[0]["stations"] == count


def test_a_flood_of_station_entries_is_bounded() -> None:
    """More entries than a BSS has association ids cannot be stations."""
    totals, _ = parts(span_of({G2: [one(number) for number in range(5000)]}))
    assert totals["now"] == stations.STATIONS_MAX


def test_pair_stands_only_where_it_is() -> None:
    """The two networks of an owe-transition carry the same name."""
    _, rows = parts(span_of({G2._replace(pair="public"): [], G5: []}))
    assert rows[0]["pair"] == "public" and "pair" not in rows[1]


def test_what_a_network_does_not_tell_is_absent() -> None:
    """No SSID, no BSSID, no counters: no nulls either."""
    _, rows = parts(span_of({G2._replace(band=None, ssid=None, bssid=None, rx_bytes_total=None): []}))
    assert rows == [{"ifname": "phy0-ap0", "radio": "radio0", "up": True, "stations": 0, "stations_max": 0}]


def test_counters_going_back_leave_the_rates_out() -> None:
    """A reset between two samples of the span is seen, although the ends look fine; the next span has rates again."""
    span = span_of({G2: []}, {G2._replace(tx_bytes_total=5): []}, {G2._replace(tx_bytes_total=9_000): []})
    _, rows = parts(span)
    assert "rx_bps" not in rows[0] and "tx_bps" not in rows[0]
    add(span, 30, {G2._replace(tx_bytes_total=9_000 + 10 * MBIT): []})
    assert parts(span)[1][0]["tx_bps"] == 1_000_000


def test_a_network_made_anew_leaves_the_rates_out() -> None:
    """Another device's counters are not compared, although they passed the former ones'; the next span has rates again."""
    before, anew = G2._replace(ifindex=8), G2._replace(ifindex=9, rx_bytes_total=9_000, tx_bytes_total=9_000)
    span = span_of({before: []}, {anew: []}, {anew: []})
    _, rows = parts(span)
    assert "rx_bps" not in rows[0] and "tx_bps" not in rows[0]
    add(span, 30, {anew._replace(tx_bytes_total=9_000 + 10 * MBIT): []})
    assert parts(span)[1][0]["tx_bps"] == 1_000_000


def test_retries_are_a_share_of_all_transmissions() -> None:
    """92 packets and 8 retries, over two stations."""
    before = [one(1, sent=100, retries=50), one(2, sent=0, retries=0)]
    after = [one(1, sent=150, retries=55), one(2, sent=42, retries=3)]
    assert parts(span_of({G2: before}, {G2: after}))[1][0]["tx_retry_ratio"] == 0.08


def test_retries_leave_out_who_came_went_or_was_reset() -> None:
    """Only a station that is there at both ends, with counters that rose, tells something about the span."""
    before = [one(1, sent=100, retries=50), one(2, sent=900, retries=900), one(4, sent=0, retries=0), one(5, sent=0, retries=None)]
    after = [one(1, sent=110, retries=60), one(2, sent=10, retries=5), one(3, sent=500, retries=500), one(5, sent=50, retries=50)]
    assert parts(span_of({G2: before}, {G2: after}))[1][0]["tx_retry_ratio"] == 0.5


def test_nothing_sent_is_no_retry_ratio() -> None:
    """No transmission has no share of retries."""
    assert "tx_retry_ratio" not in parts(span_of({G2: [one(1)]}, {G2: [one(1)]}))[1][0]


def test_no_wifi_has_no_part() -> None:
    """A box without Wi-Fi says neither stations nor bss."""
    span = stations.Span(KNOBS)
    span.add(0, stations.collect(FakeRouter()))
    assert span.part(0) == {}


def test_wifi_that_is_all_gone_is_zero() -> None:
    """When the last network was taken away, the report says zero, so that an open alert can clear."""
    totals, rows = parts(span_of({G2: [one(1)]}, {}))
    assert (totals["now"], totals["leaves"], rows) == (0, 1, [])


def test_a_span_without_a_sample_has_no_part() -> None:
    """No reading, no part."""
    span = span_of({G2: []})
    span.part(0)
    assert span.part(60) == {}


def test_collect_marks_what_could_not_be_read() -> None:
    """One network without an answer costs only its own stations."""
    router = FakeRouter(bss=[G2, G5], stations={G2.ifname: [one(1)], G5.ifname: Unavailable("no socket")})
    assert stations.collect(router) == ((G2, G5), {G2.ifname: [one(1)], G5.ifname: None})


def test_no_mac_address_in_the_report() -> None:
    """Nothing of a station's address is in any part, whatever happens to the station."""
    span = span_of({G2: [one(1), one(2)], G5: None}, {G2: [one(2, sent=9)], G5: [one(3, G5), one(1, G5, authorized=False)]})
    text = json.dumps(span.part(0))
    assert "0a:de:ad" not in text and "0ade" not in text


@pytest.mark.parametrize("nonsense", [None, "strong", (), 3.5])
def test_no_mac_address_in_an_error(nonsense: object) -> None:
    """Nonsense of a driver may be an error; the error does not tell whose."""
    broken = [one(1)._replace(signal_dbm=nonsense), one(2)._replace(tx_packets_total=nonsense)]  # type: ignore[arg-type]
    try:
        span_of({G2: [one(1), one(2)]}, {G2: broken}).part(0)
    except Exception as error:
        assert "0a:de" not in repr(error)


LISTS = st.none() | st.lists(
    st.builds(one, st.integers(0, 9), signal=st.none() | st.integers(-110, 0), authorized=st.booleans(), sent=st.integers(0, 99), retries=st.integers(0, 99)),
    max_size=9,
)
SAMPLES = st.lists(st.tuples(LISTS, LISTS, st.booleans(), st.booleans()), min_size=1, max_size=12)


@given(SAMPLES)
def test_the_figures_agree_with_each_other(samples: list[tuple[list[Station] | None, list[Station] | None, bool, bool]]) -> None:
    """Whatever is listed: nobody is counted twice, the maximum is one, shares are shares, and the books of a known span balance."""
    span = stations.Span(KNOBS)
    before: int | None = None
    for moment, (at_2g, at_5g, is_up, is_end) in enumerate(samples):
        span.add(moment, ((G2._replace(up=is_up), G5), {G2.ifname: at_2g, G5.ifname: at_5g}))
        if not is_end:
            continue
        totals, rows = parts(span)
        assert all(0 <= row.get(name, 0) <= 1 for row in rows for name in ("tx_retry_ratio",))  # type: ignore[operator]
        if not totals:
            before = None
            continue
        now, most, joins, leaves = (totals[name] for name in ("now", "max", "joins", "leaves"))
        assert 0 <= now <= most <= 10  # type: ignore[operator]
        assert 0 <= totals.get("weak_ratio", 0) <= 1  # type: ignore[operator]
        assert before is None or now == before + joins - leaves  # type: ignore[operator]
        before = now  # type: ignore[assignment]
