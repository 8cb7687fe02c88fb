"""hostapd's control socket: captures, a fake that follows them, and the real program without a radio."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Unavailable
from agent.records import Station
from agent.router import hostapd
from agent.router.hostapd import LEFT_ALONE_S, Hostapd, Network, Status, parse_station, parse_status
from tests.fakes.hostapd import FakeHostapd

CAPTURES = Path(__file__).parents[1] / "captures"
STATUS = (CAPTURES / "hostapd_cli-wlan0-status.txt").read_text()


def captured_stations(name: str) -> dict[str, str]:
    """Cut a capture of all_sta into one answer for each station."""
    found: dict[str, str] = {}
    for line in (CAPTURES / name).read_text().splitlines(keepends=True):
        if "=" not in line:
            address = line.strip()
            found[address] = ""
        found[address] += line
    return found


WLAN0 = captured_stations("hostapd_cli-wlan0-all_sta.txt")


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeHostapd]:
    """A running fake of wlan0."""
    with FakeHostapd(tmp_path / "wlan0", STATUS, dict(WLAN0)) as running:
        yield running


def test_status_of_a_capture() -> None:
    """One radio with two networks, hostapd 2.10."""
    networks = (Network("wlan0", "02:00:00:00:00:00", "private"), Network("wlan0-guest", "02:00:00:00:00:01", "guest"))
    assert parse_status(STATUS) == Status(True, "phy0", 2437, 6, networks, state="ENABLED")


@pytest.mark.parametrize("state", ["DISABLED", "DFS", "ACS", "UNINITIALIZED", "UNKNOWN"])
def test_any_state_but_enabled_is_down(state: str) -> None:
    """Only ENABLED is on air."""
    assert not parse_status(STATUS.replace("ENABLED", state)).is_enabled


@pytest.mark.parametrize(("left", "is_checking"), [("57", True), ("600", True), ("0", False), ("N/A", False), ("-3", False), ("", False)])
def test_a_radar_check_has_seconds_left(left: str, is_checking: bool) -> None:
    """In the state DFS a radio listens for radar while seconds are left, else it found no channel; neither is on air."""
    waiting = STATUS.replace("ENABLED", "DFS").replace("left_seconds=N/A", f"left_seconds={left}")
    assert (parse_status(waiting).is_enabled, parse_status(waiting).is_radar_check) == (False, is_checking)
    assert not parse_status(waiting.replace("DFS", "ENABLED")).is_radar_check


def test_ssid_of_status_is_unescaped() -> None:
    """hostapd's escapes give back the SSID."""
    assert parse_status(STATUS.replace("=private", r"=a \"b\\\xe2\x98\x95\n")).networks[0].ssid == 'a "b\\☕\\x0a'


def test_station_of_a_capture() -> None:
    """Authorised, with signal and packets; retries are not in it."""
    assert parse_station(WLAN0["02:00:00:00:03:00"], "wlan0") == Station("02:00:00:00:03:00", "wlan0", True, -30, 17, None)


def test_lingering_station_is_returned_unauthorised(tmp_path: Path) -> None:
    """A deauthenticated station that hostapd still keeps is not dropped, and not authorised."""
    lingering = {"02:00:00:00:03:00": "02:00:00:00:03:00\nflags=[SHORT_PREAMBLE][WMM][HT]\naid=0\nsignal=0\n"}
    with FakeHostapd(tmp_path / "wlan0", STATUS, lingering):
        assert Hostapd(str(tmp_path)).stations("wlan0") == [Station("02:00:00:00:03:00", "wlan0", False, None, None, None)]


@given(st.text() | st.text(alphabet="bss[]0123456789=\n\\xstae:ENABLED"))
def test_no_answer_breaks_a_parser(text: str) -> None:
    """Whatever comes back, the parsers return records or None."""
    assert isinstance(parse_status(text), Status)
    parse_station(text, "w")


def test_cut_answer_gives_no_half_value() -> None:
    """A reply cut off by hostapd's buffer loses its last line only."""
    assert parse_status(STATUS[: STATUS.index("private") + 3]).networks == (Network("wlan0", "02:00:00:00:00:00", None),)


# The second that a walk may take is the machine's, not Python's: behind everybody else, as the other Pythons run, it says nothing.
@pytest.mark.once
def test_every_station_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 stations over one socket, in hostapd's order; how long that takes beside all the other tests is not asked."""
    monkeypatch.setattr(hostapd, "WALK_S", 60.0)
    many = {f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}": "" for n in range(400)}
    entry = WLAN0["02:00:00:00:03:00"]
    with FakeHostapd(tmp_path / "wlan0", STATUS, {m: entry.replace("02:00:00:00:03:00", m) for m in many}):
        assert [s.mac for s in Hostapd(str(tmp_path), timeout_s=30.0).stations("wlan0")] == list(many)


def test_no_station_is_an_empty_list(fake: FakeHostapd) -> None:
    """hostapd answers an empty datagram when there is none."""
    fake.stations.clear()
    assert Hostapd(str(fake.path.parent)).stations("wlan0") == []


def test_station_leaving_while_we_stand_on_it(fake: FakeHostapd) -> None:
    """A walk that lost its place begins again."""
    fake.vanish_once = "02:00:00:00:03:00"
    assert [s.mac for s in Hostapd(str(fake.path.parent)).stations("wlan0")] == ["02:00:00:00:01:00"]


def test_statuses_asks_each_radio_once(fake: FakeHostapd) -> None:
    """The second socket of a radio says nothing new, and is not asked again while the first one answers."""
    door = Hostapd(str(fake.path.parent))
    with FakeHostapd(fake.path.parent / "wlan0-guest", STATUS, {}) as guest:
        for _ in range(3):
            assert list(door.statuses()) == ["wlan0"]
        assert guest.asked == ["STATUS"]


def test_second_socket_answers_when_the_first_is_gone(fake: FakeHostapd) -> None:
    """A radio whose first socket went away is heard by its other one."""
    door = Hostapd(str(fake.path.parent))
    with FakeHostapd(fake.path.parent / "wlan0-guest", STATUS, {}):
        with FakeHostapd(fake.path.parent / "a", STATUS, {}):
            assert list(door.statuses()) == ["a"]
        door.statuses()
        assert list(door.statuses()) == ["wlan0"]


def test_sockets_that_hang_are_asked_together(fake: FakeHostapd) -> None:
    """Every one of them has its question before anybody is waited for, and one that answers is heard although the others hang."""
    with ExitStack() as hanging:
        mute = [hanging.enter_context(FakeHostapd(fake.path.parent / f"a{number}", STATUS, {}, is_mute=True)) for number in range(5)]
        started = time.monotonic()
        assert list(Hostapd(str(fake.path.parent), timeout_s=2).statuses()) == ["wlan0"]
        assert time.monotonic() - started < 4  # one after another they would take 10 s
    assert [one.asked for one in mute] == [["STATUS"]] * 5


def test_silent_socket_is_left_alone_for_a_while(fake: FakeHostapd) -> None:
    """Who gave no answer is not asked again for half a minute, neither for its status nor for its stations; then it is."""
    now = [100.0]
    fake.is_mute = True
    door = Hostapd(str(fake.path.parent), timeout_s=0.05, monotonic=lambda: now[0])
    assert door.statuses() == {}
    fake.is_mute = False
    now[0] += LEFT_ALONE_S - 1
    assert door.statuses() == {}
    with pytest.raises(Unavailable, match="no answer"):
        door.stations("wlan0")
    assert fake.asked == ["STATUS"]
    now[0] += 2
    assert list(door.statuses()) == ["wlan0"]
    assert len(door.stations("wlan0")) == 2


def test_hostapd_started_after_a_hang_is_asked_at_once(tmp_path: Path) -> None:
    """The socket file is another one: whoever is behind it now has not been silent."""
    door = Hostapd(str(tmp_path), timeout_s=0.05)
    with FakeHostapd(tmp_path / "wlan0", STATUS, {}, is_mute=True):
        assert door.statuses() == {}
    with FakeHostapd(tmp_path / "wlan0", STATUS, {}):
        assert list(door.statuses()) == ["wlan0"]


def test_socket_whose_queue_is_full_is_silent(tmp_path: Path) -> None:
    """A hostapd that has not read its questions for long cannot even be asked; that costs no time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stuck, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asker:
        stuck.bind(str(tmp_path / "wlan0"))
        asker.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                asker.sendto(b"STATUS", str(tmp_path / "wlan0"))
        assert Hostapd(str(tmp_path), timeout_s=30).statuses() == {}


def test_restarted_hostapd_is_found_again(tmp_path: Path) -> None:
    """A replaced socket file is simply the one asked next."""
    door = Hostapd(str(tmp_path))
    first = FakeHostapd(tmp_path / "wlan0", STATUS, dict(WLAN0))
    assert len(door.stations("wlan0")) == 2
    first.stop()
    with pytest.raises(Unavailable, match="hostapd of wlan0: No such file"):
        door.stations("wlan0")
    with FakeHostapd(tmp_path / "wlan0", STATUS, {}):
        assert door.stations("wlan0") == []


def test_killed_hostapd_leaves_a_socket_nobody_answers(tmp_path: Path) -> None:
    """A stale socket is told apart from no socket."""
    FakeHostapd(tmp_path / "wlan0", STATUS, {}).stop(leave_file=True)
    assert Hostapd(str(tmp_path)).statuses() == {"wlan0": None}


def test_mute_hostapd_is_unavailable_in_time(fake: FakeHostapd) -> None:
    """A hostapd that hangs costs the timeout, no more."""
    fake.is_mute = True
    door = Hostapd(str(fake.path.parent), timeout_s=0.1)
    assert door.statuses() == {}
    with pytest.raises(Unavailable, match="no answer"):
        door.stations("wlan0")


def test_circular_answers_end(fake: FakeHostapd) -> None:
    """A hostapd that names the same station for ever is left after the first repetition."""
    fake.stations = dict.fromkeys(("02:00:00:00:03:00", "02:00:00:00:09:00"), WLAN0["02:00:00:00:03:00"])
    assert len(Hostapd(str(fake.path.parent)).stations("wlan0")) == 1


def test_directory_without_sockets_is_no_hostapd(tmp_path: Path) -> None:
    """No directory, or files in it that are no sockets: nobody to ask."""
    (tmp_path / "wlan0").write_text("")
    assert Hostapd(str(tmp_path)).statuses() == {}
    assert Hostapd(str(tmp_path / "absent")).statuses() == {}


def test_interrupted_call_leaves_no_file_and_no_socket(fake: FakeHostapd) -> None:
    """A handler that raises in the middle leaves the directory and our descriptors as they were."""

    class Alarm(BaseException):
        pass

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise Alarm

    fake.is_mute = True
    door = Hostapd(str(fake.path.parent), timeout_s=30)
    descriptors = len(os.listdir("/proc/self/fd"))
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Alarm):
            door.stations("wlan0")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert os.listdir(fake.path.parent) == ["wlan0"]
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.needs("hostapd", "root")
def test_real_hostapd_answers_an_abstract_address(tmp_path: Path) -> None:
    """The real program (driver "none") answers us without a file of ours, and its escapes give back the SSID."""
    config = tmp_path / "hostapd.conf"
    config.write_text(f'interface=lo\ndriver=none\nctrl_interface={tmp_path}/sockets\nssid2=P"a b\\"\\x1b\\xff\\xe2\\x98\\x95\\n"\n')
    with subprocess.Popen(["hostapd", str(config)], stdout=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}) as running:
        try:
            door = Hostapd(f"{tmp_path}/sockets")
            until = time.monotonic() + 20
            while not (statuses := door.statuses()) and time.monotonic() < until:
                os.sched_yield()
            status = statuses["lo"]
            assert status is not None
            assert status.is_enabled
            assert status.networks[0].ssid == r'a b"\x1b\xff☕\x0a'
            assert door.stations("lo") == []
        finally:
            running.terminate()
