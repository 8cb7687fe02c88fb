"""What iw heard in the air is read as data; a scan ends in time, by one radio of each band, and says who could not listen."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Unavailable
from agent.router.hands import MOST_NETWORKS
from agent.router.iw_scan import Neighbour, Scanner, channel_of, parse, scan
from tests.fakes.iw import FakeIw

DEV = (Path(__file__).parents[1] / "devices/rig-x86/iw/dev.txt").read_text()
CAPTURES = Path(__file__).parents[1] / "captures"
# Made after the recorded ones, with what they lack; between the lines that are read, some of those that are not. A bar is a tab.
HEARD = """BSS 02:00:00:00:10:01(on phy0-ap0)
|last seen: 2583.123s [boottime]
|TSF: 1269828266773 usec (14d, 16:43:48)
|freq: 2437.0
|beacon interval: 100 TUs
|capability: ESS Privacy ShortSlotTime (0x0411)
|signal: -60.00 dBm
|last seen: 120 ms ago
|Information elements from Probe Response frame:
|SSID: Warung \\xe2\\x98\\x95 Bu Tini
|Supported rates: 1.0* 2.0* 5.5* 11.0* 18.0 24.0 36.0 54.0
|DS Parameter set: channel 6
|BSS Load:
|| * station count: 3
|RSN:| * Version: 1
|| * Group cipher: CCMP
BSS 02:00:00:00:10:02(on phy0-ap0) -- associated
|freq: 5180
|signal: -41.00 dBm
|SSID: \\x00\\x00\\x00
|HT operation:
|| * primary channel: 36
BSS 02:00:00:00:10:03(on phy0-ap0)
|freq: 2412
|signal: 55/100
|SSID: {}
|Information elements from Beacon frame:
|SSID: hidden no more
""".replace("|", "\t").replace("{}", "")


def test_each_network_is_read() -> None:
    """Address, name, frequency, channel (by the frequency where none is said) and level; what is no level in dBm is none."""
    assert parse(HEARD) == [
        Neighbour("02:00:00:00:10:01", "Warung ☕ Bu Tini", 2437, 6, -60),
        Neighbour("02:00:00:00:10:02", None, 5180, 36, -41),
        Neighbour("02:00:00:00:10:03", "hidden no more", 2412, 1, None),
    ]


def test_a_recorded_scan_is_read() -> None:
    """By an access point's own radio, in the other band as well: names that are hidden in either way, and one that was made to hurt."""
    assert parse((CAPTURES / "iw-wlan0-scan-ap-force.txt").read_text()) == [
        Neighbour("02:00:00:00:04:00", None, 2412, 1, -30),
        Neighbour("02:00:00:00:05:00", None, 2412, 1, -30),
        Neighbour("02:00:00:00:03:00", 'Bu "Sri" \\ \\x09 é \\xff\\x0a02:00:00:00:aa', 2462, 11, -30),
        Neighbour("02:00:00:00:01:00", "private5", 5180, 36, -20),
    ]


def test_what_a_station_recorded_is_read() -> None:
    """The network that it is on is one like the others."""
    assert parse((CAPTURES / "iw-sta1-scan.txt").read_text()) == [
        Neighbour("02:00:00:00:00:00", "private", 2437, 6, -30),
        Neighbour("02:00:00:00:00:01", "guest", 2437, 6, -30),
    ]


def test_hostile_names_are_text() -> None:
    """A name cannot begin another entry, and what does not print is spelt out."""
    (one,) = parse("BSS 02:00:00:00:10:01(on x)\n\tSSID: $(reboot)\\x0aBSS 02:00:00:00:10:09\\x1b[2J\\xff\n")
    assert one.ssid == "$(reboot)\\x0aBSS 02:00:00:00:10:09\\x1b[2J\\xff"


@settings(max_examples=50)
@given(st.text(alphabet="BS 0:12fre(on)\tSsignal.dm-\\x\n", max_size=200))
def test_whatever_is_printed_is_read(text: str) -> None:
    """Never an exception."""
    parse(text)


@pytest.mark.parametrize(("mhz", "channel"), [(2412, 1), (2472, 13), (2484, 14), (5180, 36), (5825, 165), (5955, 1), (6115, 33), (900, None), (None, None)])
def test_a_frequency_has_a_channel(mhz: int | None, channel: int | None) -> None:
    """IEEE 802.11-2020, annex E."""
    assert channel_of(mhz) == channel


@pytest.fixture
def iw(tmp_path: Path) -> FakeIw:
    """The rig's iw."""
    fake = FakeIw(tmp_path / "bin")
    fake.says("dev", DEV)
    return fake


def scanner(iw: FakeIw, scan_s: float = 5.0) -> Scanner:
    return Scanner(f"{iw.directory}:/usr/bin:/bin", scan_s)


def named(mac: str) -> str:
    return f"name{mac[-2:]}"


def test_one_radio_of_each_band_listens(iw: FakeIw) -> None:
    """By one of its networks; an access point's radio only does when it is told that it may."""
    iw.says("phy1-ap0.scan", HEARD)
    iw.says("phy0-ap1.scan", HEARD.replace("10:01", "10:0a"))
    found = scan(scanner(iw), named, None)
    assert sorted(iw.calls()) == ["dev", "dev phy0-ap1 scan ap-force", "dev phy1-ap0 scan ap-force"]
    assert [(one.bssid, one.ssid, one.signal_dbm) for one in found.networks] == [
        ("name02", None, -41),
        ("name01", "Warung ☕ Bu Tini", -60),
        ("name0a", "Warung ☕ Bu Tini", -60),
        ("name03", "hidden no more", None),
    ]
    assert (found.left_out, found.silent) == (0, {})


def test_one_band_is_listened_to_alone(iw: FakeIw) -> None:
    """The other radio's stations are not left waiting."""
    iw.says("phy1-ap0.scan", HEARD)
    scan(scanner(iw), named, "5g")
    assert iw.calls() == ["dev", "dev phy1-ap0 scan ap-force"]


def test_a_radio_that_cannot_listen_is_named(iw: FakeIw) -> None:
    """What the other heard is told all the same; only when none could it fails."""
    iw.says("phy1-ap0.scan", HEARD)
    assert list(scan(scanner(iw), named, None).silent) == ["2g"]
    (iw.directory / "phy1-ap0.scan").unlink()
    with pytest.raises(Unavailable, match="2g: iw scan: refused"):
        scan(scanner(iw), named, None)


def test_a_band_that_is_not_on_air_is_said(iw: FakeIw) -> None:
    """With what to look at."""
    with pytest.raises(Unavailable, match=r"no radio is on air on 6g, so none can listen"):
        scan(scanner(iw), named, "6g")


def test_a_scan_that_does_not_end_is_ended(iw: FakeIw) -> None:
    """With its process."""
    program = iw.directory / "iw"
    program.write_text(program.read_text().replace("exec cat", 'case "$*" in *scan*) exec sleep 60 ;; esac; exec cat'))
    iw.says("phy1-ap0.scan", "")
    with pytest.raises(Unavailable, match=r"5g: .*no answer within"):
        scan(scanner(iw, 0.2), named, "5g")


def test_the_strongest_are_told_and_the_others_counted(iw: FakeIw) -> None:
    """A busy street has more than a message has room for."""
    rows = [f"BSS 02:00:00:00:{number:02x}:01(on x)\n\tfreq: 5180\n\tsignal: -{30 + number % 60}.00 dBm\n\tSSID: n{number}\n" for number in range(100)]
    iw.says("phy1-ap0.scan", "".join(rows))
    found = scan(scanner(iw), named, "5g")
    assert (len(found.networks), found.left_out) == (MOST_NETWORKS, 100 - MOST_NETWORKS)
    assert found.networks[0].signal_dbm == -30


def test_an_address_for_a_name_is_starred(iw: FakeIw) -> None:
    """Some boxes call their network by their own address."""
    iw.says("phy1-ap0.scan", "BSS 02:00:00:00:10:01(on x)\n\tSSID: AP-02:00:00:00:10:01\n")
    assert scan(scanner(iw), named, "5g").networks[0].ssid == "AP-***"
