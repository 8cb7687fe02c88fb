"""What iw prints, from captures, by hand and from chance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Unavailable
from agent.records import Station
from agent.router.child import Program
from agent.router.iw import NO_SURVEY, Iw, Survey, Wlan, band_of, parse_interfaces, parse_stations, parse_survey
from tests.fakes.iw import FakeIw

CAPTURES = Path(__file__).parents[1] / "captures"


def capture(name: str) -> str:
    """Give one capture."""
    return (CAPTURES / name).read_text()


def test_interfaces_of_a_capture() -> None:
    """Two networks of one radio, iw 5.19."""
    assert parse_interfaces(capture("iw-dev.txt")) == [
        Wlan("wlan0-guest", 0, "AP", "02:00:00:00:00:01", "guest", 2437, 6, 20, 20.0),
        Wlan("wlan0", 0, "AP", "02:00:00:00:00:00", "private", 2437, 6, 20, 20.0),
    ]


def test_interface_names_and_ssids_are_data() -> None:
    """Quotes, UTF-8, control bytes and words of iw's own in names and SSIDs change nothing else."""
    name = os.fsdecode(b"a\"'\x1c\x85\xff$")
    text = f"phy#7\n\tInterface {name}\n\t\tssid type AP \\xe2\\x98\\x95\\x0a\n\t\ttype AP\n\tInterface Interface\n\t\ttype managed\n"
    assert [(w.ifname, w.phy, w.kind, w.ssid) for w in parse_interfaces(text)] == [(name, 7, "AP", r"type AP ☕\x0a"), ("Interface", 7, "managed", None)]


def test_interface_off_air_has_no_channel() -> None:
    """A network that is not on air has neither SSID nor channel, and a radio without interface is none."""
    text = "phy#1\nphy#0\n\tUnnamed/non-netdev interface\n\t\twdev 0x2\n\t\ttype P2P-device\n\tInterface w\n\t\taddr 02:00:00:00:00:00\n\t\ttype AP\n"
    assert parse_interfaces(text) == [Wlan("w", 0, "AP", "02:00:00:00:00:00", None, None, None, None, None)]


def test_wide_channels_are_read() -> None:
    """Width and power of a 5 GHz channel; "no HT" is 20 MHz."""
    text = "phy#0\n\tInterface w\n\t\tchannel 36 (5180 MHz), width: 80 MHz, center1: 5210 MHz\n\t\ttxpower 23.50 dBm\n"
    text += "\tInterface v\n\t\tchannel 1 (2412 MHz), width: 20 MHz (no HT), center1: 2412 MHz\n\t\ttxpower -100.00 dBm\n"
    wide, narrow = parse_interfaces(text)
    assert (wide.frequency_mhz, wide.channel, wide.width_mhz, wide.tx_power_dbm) == (5180, 36, 80, 23.5)
    assert (narrow.width_mhz, narrow.tx_power_dbm) == (20, None)


@pytest.mark.parametrize(
    ("frequency", "band"), [(2412, "2g"), (2484, "2g"), (5180, "5g"), (5895, "5g"), (5955, "6g"), (4920, None), (60480, None), (None, None)]
)
def test_band_by_frequency(frequency: int | None, band: str | None) -> None:
    """The frequency alone names the band."""
    assert band_of(frequency) == band


def test_stations_of_a_capture() -> None:
    """Two stations of WPA2, authorised, at the simulated radio's -30 dBm."""
    assert parse_stations(capture("iw-wlan0-station-dump.txt"), "wlan0") == [
        Station("02:00:00:00:01:00", "wlan0", True, -30, 17, 0),
        Station("02:00:00:00:03:00", "wlan0", True, -30, 17, 0),
    ]


def test_unauthorised_station_is_kept_as_such() -> None:
    """A station in the middle of its handshake, or lingering after it, is returned and not authorised."""
    text = capture("iw-wlan0-guest-station-dump.txt").replace("authorized:\tyes", "authorized:\tno")
    assert [station.authorized for station in parse_stations(text, "g")] == [False]


def dump(count: int) -> str:
    """Print a dump of many stations as iw does."""
    entry = capture("iw-wlan0-guest-station-dump.txt")
    return "".join(
        entry.replace("02:00:00:00:02:00", f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}").replace("signal:  \t-30", f"signal:  \t-{30 + n % 60}")
        .replace("tx retries:\t0", f"tx retries:\t{n}")
        for n in range(count)
    )  # fmt: skip


def test_four_hundred_stations() -> None:
    """Each of 400 stations keeps its own signal and retries."""
    found = parse_stations(dump(400), "w")
    assert [(s.mac, s.signal_dbm, s.tx_retries_total) for s in found] == [
        (f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", -(30 + n % 60), n) for n in range(400)
    ]


def test_station_twice_in_a_dump_counts_once() -> None:
    """A dump taken while the list changed may hold an entry twice."""
    assert len(parse_stations(dump(3) + dump(2).upper().replace("STATION", "Station").replace("(ON", "(on"), "w")) == 3


def test_absurd_station_figures_are_unknown() -> None:
    """A positive signal or a counter that is no number is None; the station stays."""
    text = "Station 02:00:00:00:00:01 (on w)\n\tsignal:\t9000 dBm\n\ttx packets:\t-1\n\ttx retries:\t1e9\n\tauthorized:\tyes\n"
    assert parse_stations(text, "w") == [Station("02:00:00:00:00:01", "w", True, None, None, None)]


def test_chains_of_a_signal_are_left_out() -> None:
    """A driver that names each antenna's signal gives the total first."""
    text = "Station 02:00:00:00:00:01 (on w)\n\tsignal:  \t-61 [-63, -66] dBm\n\tauthorized:\tyes\n"
    assert parse_stations(text, "w")[0].signal_dbm == -61


@given(st.integers(0, 1300))
def test_cut_dump_gives_no_station_it_did_not_hold(end: int) -> None:
    """A dump cut anywhere gives a part of the stations, none invented."""
    text = capture("iw-wlan0-station-dump.txt")
    assert {s.mac for s in parse_stations(text[:end], "w")} <= {s.mac for s in parse_stations(text, "w")}


WORDS = ["Station ", "02:00:00:00:00:01", " (on w)\n", "\t", "\t\t", "signal:", "-30", "authorized:\tno\n", "phy#", "0", "\n", "\tInterface ", "ssid "]
WORDS += ["\\x", "ff", "channel 6 (2437 MHz), width: 20 MHz", "Survey data from w\n", "\tfrequency:\t2437 MHz [in use]\n", "\tnoise:\t-9", "9" * 30]
NOISE = st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=40).map("".join)


@given(NOISE)
def test_no_text_breaks_a_parser(text: str) -> None:
    """Whatever iw prints, the parsers return plain records."""
    for station in parse_stations(text, "w"):
        assert len(station.mac) == 17
    for wlan in parse_interfaces(text):
        assert wlan.ifname
    assert isinstance(parse_survey(text, 2437), Survey)


def test_survey_of_a_capture_is_the_operating_channels() -> None:
    """A driver that marks no channel: the entry of the operating frequency (here one of 80 ms, its neighbour has 120)."""
    assert parse_survey(capture("iw-wlan0-survey-dump.txt"), 2437) == Survey(-92, 80, 10, None)
    assert parse_survey(capture("iw-wlan0-survey-dump.txt"), 2467) == Survey(-92, 120, 15, None)


IN_USE = """Survey data from w
	frequency:			2437 MHz
	noise:				-70 dBm
	channel active time:		1 ms
Survey data from w
	frequency:			5180 MHz [in use]
	noise:				170 dBm
	channel active time:		1000 ms
	channel busy time:		400 ms
	channel receive time:		300 ms
	channel transmit time:		50 ms
Survey data from w
	frequency:			5200 MHz
	noise:				-71 dBm
"""


def test_survey_marked_in_use_wins() -> None:
    """The marked channel is taken, whatever frequency we thought; its unsigned noise is turned back."""
    assert parse_survey(IN_USE, 2437) == Survey(-86, 1000, 400, 50)


def test_no_survey_is_all_unknown() -> None:
    """A driver without survey, or one of other channels only, gives nothing."""
    assert parse_survey("", 2437) == NO_SURVEY
    assert parse_survey(capture("iw-wlan0-survey-dump.txt"), 6000) == NO_SURVEY


def test_noise_of_zero_is_unknown() -> None:
    """A driver that does not measure says 0."""
    assert parse_survey(IN_USE.replace("170", "0"), None).noise_dbm is None


def test_iw_is_asked_by_argument_list(tmp_path: Path) -> None:
    """A hostile interface name reaches iw as one argument."""
    fake = FakeIw(tmp_path / "bin")
    name = "$(id)\"'"
    fake.says(f"{name}.station", capture("iw-wlan0-station-dump.txt"))
    iw = Iw(Program("iw", f"{tmp_path}/bin:/usr/bin:/bin"))
    assert len(iw.stations(name)) == 2
    assert fake.calls() == [f"dev {name} station dump"]


@pytest.mark.needs("iw")
def test_real_iw_without_wifi_is_unavailable_or_empty() -> None:
    """The machine's own iw, with or without nl80211: a list or a clear refusal, no crash."""
    try:
        assert isinstance(Iw(Program("iw")).interfaces(), list)
    except Unavailable as error:
        assert "iw dev: exit status" in str(error)


def test_of_several_channels_in_use_the_radios_own_counts() -> None:
    """A wiphy of several radios lists them all."""
    text = "".join(f"Survey data from phy0.0-ap0\n\tfrequency:\t{mhz} MHz [in use]\n\tnoise:\t{noise} dBm\n" for mhz, noise in ((2437, -80), (5180, -95)))
    assert [parse_survey(text, mhz).noise_dbm for mhz in (2437, 5180, None)] == [-80, -95, -80]
