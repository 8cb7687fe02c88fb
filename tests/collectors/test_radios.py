"""Channel, power, noise and airtime of each radio."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.collectors import radios
from agent.records import Knobs, Radio
from tests.fakes.router import FakeRouter

KNOBS = Knobs(50, False)
RADIO = Radio("radio0", "phy0", "2g", 6, 20, 20.0, -95, 10_000, 4_000, 1_000, True)
COUNTERS = st.none() | st.integers(0, 2**40)


def survey(active: int | None, busy: int | None, tx: int | None, radio: Radio = RADIO) -> Radio:
    return radio._replace(active_ms_total=active, busy_ms_total=busy, tx_ms_total=tx)


def rows(*samples: list[Radio]) -> list[dict[str, object]]:
    span = radios.Span(KNOBS)
    for at, sample in enumerate(samples):
        span.add(at * 10, sample)
    part = span.part(len(samples) * 10)["radios"]
    assert isinstance(part, list)
    return part


def test_airtime_is_the_share_of_the_time_listened() -> None:
    """43 % busy and 11 % own transmission over the span, and all else as read."""
    assert rows([RADIO], [survey(20_000, 8_300, 2_100)]) == [
        {
            "radio": "radio0",
            "phy": "phy0",
            "band": "2g",
            "channel": 6,
            "width_mhz": 20,
            "tx_power_dbm": 20,
            "noise_dbm": -95,
            "airtime_busy_ratio": 0.43,
            "airtime_tx_ratio": 0.11,
            "up": True,
        }
    ]


def test_no_survey_leaves_airtime_out() -> None:
    """A driver without survey gives no airtime, and no 0 either."""
    silent = survey(None, None, None)._replace(noise_dbm=None, band=None, channel=None, width_mhz=None, tx_power_dbm=None)
    assert rows([silent], [silent]) == [{"radio": "radio0", "phy": "phy0", "up": True}]


def test_survey_that_stands_still_leaves_airtime_out() -> None:
    """Nothing listened is no share."""
    assert "airtime_busy_ratio" not in rows([RADIO], [RADIO])[0]


def test_survey_that_went_back_leaves_airtime_out() -> None:
    """A restarted radio counts from 0 again."""
    assert "airtime_busy_ratio" not in rows([RADIO], [survey(500, 200, 100)])[0]


def test_after_a_reset_the_rest_of_the_span_counts() -> None:
    """What was listened since the restart is true and is told."""
    row = rows([RADIO], [survey(500, 200, 100)], [survey(1500, 700, 100)])[0]
    assert (row["airtime_busy_ratio"], row["airtime_tx_ratio"]) == (0.5, 0.0)


def test_another_channel_begins_anew() -> None:
    """The survey of channel 11 is not compared with the one of channel 6."""
    moved = survey(90_000, 90_000, 0)._replace(channel=11)
    assert "airtime_busy_ratio" not in rows([RADIO], [moved])[0]


def test_ratio_is_clamped() -> None:
    """Drivers count busy a little ahead of active; more than all of the time is all of it."""
    assert rows([RADIO], [survey(11_000, 5_100, 1_000)])[0]["airtime_busy_ratio"] == 1.0


def test_each_span_starts_where_the_last_ended() -> None:
    """The second report's airtime has nothing of the first's."""
    span = radios.Span(KNOBS)
    span.add(0, [RADIO])
    span.add(10, [survey(20_000, 14_000, 1_000)])
    span.part(10)
    span.add(20, [survey(30_000, 14_000, 6_000)])
    (row,) = span.part(20)["radios"]  # type: ignore[misc]
    assert (row["airtime_busy_ratio"], row["airtime_tx_ratio"]) == (0.0, 0.5)


def test_a_dead_radio_stands_beside_its_living_sibling() -> None:
    """A radio that is down is in the list, with `up` false, and says whether it is missed."""
    dead = RADIO._replace(name="radio1", phy="phy1", band="5g", up=False)
    off = dead._replace(name="radio2", wanted=False)
    found = [(row["radio"], row["up"], row.get("wanted")) for row in rows([RADIO, dead, off])]
    assert found == [("radio0", True, None), ("radio1", False, True), ("radio2", False, False)]


def test_no_wifi_has_no_part() -> None:
    """A box without radios does not say so every minute."""
    span = radios.Span(KNOBS)
    span.add(0, radios.collect(FakeRouter()))
    assert span.part(0) == {}


def test_radios_that_are_all_gone_are_an_empty_list() -> None:
    """A box that had a radio and lost it (a firmware crash) says that there is none."""
    span = radios.Span(KNOBS)
    span.add(0, [RADIO])
    span.part(0)
    span.add(10, [])
    assert span.part(10) == {"radios": []}


def test_half_decibels_keep_their_half() -> None:
    """Power is whole where it is whole."""
    assert rows([RADIO._replace(tx_power_dbm=22.5)])[0]["tx_power_dbm"] == 22.5


def test_a_span_without_a_sample_has_no_part() -> None:
    """No reading, no part."""
    assert radios.Span(KNOBS).part(0) == {}


@given(st.lists(st.builds(survey, COUNTERS, COUNTERS, COUNTERS), min_size=1))
def test_airtime_stays_a_ratio(samples: list[Radio]) -> None:
    """Whatever the survey says, airtime is absent or between 0 and 1."""
    row = rows(*([sample] for sample in samples))[0]
    assert all(0 <= row[name] <= 1 for name in ("airtime_busy_ratio", "airtime_tx_ratio") if name in row)  # type: ignore[operator]
