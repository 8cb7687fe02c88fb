"""What commands do on a plain Linux access point: beside stand-ins for hostapd, iw and the journal, with answers recorded from real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router.errands import Errands
from agent.router.hands_linux import MOST_FILE_BYTES, LinuxHands, Places
from agent.router.iw_scan import Scanner
from tests.fakes.hostapd import FakeHostapd
from tests.fakes.iw import FakeIw
from tests.settings_of import settings
from tests.stories.planted import find

CAPTURES = Path(__file__).parents[1] / "captures"
STATUS = (CAPTURES / "hostapd_cli-wlan0-status.txt").read_text()
KEY = "hunter2-korek-api-Zz9"


def stations(name: str) -> dict[str, str]:
    """Take a recorded walk apart: one answer for each station."""
    found: dict[str, list[str]] = {}
    for line in (CAPTURES / f"hostapd_cli-{name}-all_sta.txt").read_text().splitlines():
        if len(line) == 17 and line.count(":") == 5:
            found[line] = []
        found[next(reversed(found))].append(line)
    return {mac: "\n".join(lines) + "\n" for mac, lines in found.items()}


PRIVATE, GUEST = stations("wlan0"), stations("wlan0-guest")
MACS = {*PRIVATE, *GUEST}


class Handed:
    """hostapd with the two recorded networks, its files, and a directory of programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("bin", "hostapd", "run", "conf", "state", "apply"):
            (folder / name).mkdir(mode=0o700)
        self.conf = folder / "conf" / "wlan0.conf"
        self.conf.write_text(f"interface=wlan0\nssid=private\nwpa_passphrase={KEY}\nbss=wlan0-guest\nsae_password=gast 4711|mac=02:00:00:00:99:99|id=x\n")
        self.iw = FakeIw(folder / "iw")
        self.places = Places(f"{folder / 'bin'}", (str(folder / "messages"),))
        self.private = FakeHostapd(folder / "hostapd" / "wlan0", STATUS, dict(PRIVATE))
        self.guest = FakeHostapd(folder / "hostapd" / "wlan0-guest", STATUS, dict(GUEST))

    @property
    def hands(self) -> LinuxHands:
        router = {"backend": "linux", "hostapd_dir": str(self.folder / "hostapd"), "hostapd_config": str(self.folder / "conf")}
        chosen = settings(router=router, paths={"run_dir": str(self.folder / "run")}, push={"secrets_dir": str(self.folder / "none")})
        scripts = Errands(str(self.folder / "state"), str(self.folder / "apply"), str(self.folder / "leds"))
        return LinuxHands(chosen, lambda mac: mac.replace(":", ""), scripts, Scanner(f"{self.iw.directory}:/usr/bin:/bin"), self.places)

    def journal(self, text: str, code: int = 0) -> None:
        program = self.folder / "bin" / "journalctl"
        (self.folder / "journal").write_text(text)
        program.write_text(f'#!/bin/sh\necho "$*" >>"{self.folder}/asked"\n/bin/cat "{self.folder}/journal"\nexit {code}\n')
        program.chmod(0o755)


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Handed]:
    made = Handed(tmp_path)
    with made.private, made.guest:
        yield made


def test_a_station_is_sent_away_from_where_it_is(on: Handed) -> None:
    """By hostapd's own word, over the socket of its network; the others hear nothing."""
    mac = next(iter(GUEST))
    assert on.hands.kick(mac.replace(":", ""), 0) == ["guest"]
    assert [word for word in on.guest.asked if word.startswith("DEAUTH")] == [f"DEAUTHENTICATE {mac} reason=5"]
    assert not [word for word in on.private.asked if word.startswith("DEAUTH")]


def test_who_is_not_there_is_not_sent_away(on: Handed) -> None:
    """With what to do; nobody is told anything."""
    with pytest.raises(Unavailable, match="no station 0123456789ab is associated now"):
        on.hands.kick("0123456789ab", 0)
    assert not [word for word in on.guest.asked + on.private.asked if word.startswith("DEAUTH")]


def test_a_ban_is_refused_and_not_half_done(on: Handed) -> None:
    """hostapd has none here that ends by itself."""
    with pytest.raises(Unavailable, match="ban_s is 60, expected 0"):
        on.hands.kick(next(iter(GUEST)).replace(":", ""), 60)
    assert on.guest.asked == []


def test_a_hostapd_that_refuses_is_told_without_an_address(on: Handed, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the sentence nor in the log."""
    on.guest.obeys = "FAIL\n"
    with caplog.at_level("INFO"), pytest.raises(Unavailable, match="hostapd of wlan0-guest: deauthenticate: refused") as caught:
        on.hands.kick(next(iter(GUEST)).replace(":", ""), 0)
    assert not find((caplog.text + str(caught.value)).encode(), MACS)


def test_wifi_is_set_up_anew(on: Handed) -> None:
    """Once for each radio, by hostapd; what it says is on air then is told."""
    assert on.hands.reload_wifi() == ["guest", "private"]
    assert (on.private.asked + on.guest.asked).count("RELOAD") == 1


def test_without_hostapd_there_is_nothing_to_set_up(tmp_path: Path) -> None:
    """With the directory that was looked into."""
    made = Handed(tmp_path)
    made.private.stop()
    made.guest.stop()
    with pytest.raises(Unavailable, match=r"no hostapd answers in .*hostapd; start it"):
        made.hands.reload_wifi()


def test_the_journal_without_stations_and_keys(on: Handed) -> None:
    """Keys of hostapd's files too, wherever they stand."""
    mac = next(iter(GUEST))
    on.journal(f"2026-11-22T12:58:13+0000 ap hostapd[1]: STA {mac} x\nodd {KEY} line\nodd gast 4711 line\n")
    found = on.hands.log(10, "")
    assert found.lines == ("2026-11-22T12:58:13+0000 ap hostapd[1]: STA *** x", "odd *** line", "odd *** line")
    assert "--lines=10" in (on.folder / "asked").read_text()
    on.hands.log(10, "x")
    assert "--lines=2000" in (on.folder / "asked").read_text()


def test_a_line_of_the_journal_ends_where_it_does(on: Handed) -> None:
    """What a station puts into its name must not make a line of its own, that nobody would recognise."""
    on.journal("x dnsmasq-dhcp[1]: DHCPACK(wlan0) 10.0.0.5 a\u2028Budi-iPhone\u0085again\n\ny\n")
    assert on.hands.log(10, "").lines == ("x dnsmasq-dhcp[1]: DHCPACK(wlan0) ***", "y")


def test_where_there_is_no_journal_the_logs_file_is_read(on: Handed) -> None:
    """Its newest end, from a whole line on; also when the journal fails."""
    messages = on.folder / "messages"
    messages.write_text("".join(f"line {number:07d}\n" for number in range(60_000)))
    assert messages.stat().st_size > MOST_FILE_BYTES
    assert on.hands.log(2, "").lines == ("line 0059998", "line 0059999")
    on.journal("x\n", 1)
    assert on.hands.log(1, "").lines == ("line 0059999",)
    everything = on.hands.log(500, "line")
    assert (len(everything.lines), everything.left_out) == (500, 1500)


def test_a_box_without_a_log_says_so(on: Handed) -> None:
    """With what was looked for."""
    with pytest.raises(Unavailable, match=r"keeps no log that can be read: journalctl: no such program; no .*messages"):
        on.hands.log(10, "")


@pytest.mark.needs("root")
def test_without_the_keys_there_is_no_log(on: Handed) -> None:
    """What is not known cannot be starred."""
    on.journal("x\n")
    on.conf.unlink()
    on.conf.mkdir()
    assert on.hands.log(10, "").lines == ("x",)
    on.conf.rmdir()
    on.conf.symlink_to("/proc/self/mem")
    with pytest.raises(Unavailable, match="the log is not given, for the keys"):
        on.hands.log(10, "")


def test_a_scan_speaks_in_pseudonyms(on: Handed) -> None:
    """And goes by iw."""
    on.iw.says("dev", (CAPTURES / "iw-dev.txt").read_text())
    on.iw.says("wlan0-guest.scan", "BSS 02:00:00:00:10:01(on x)\n\tfreq: 2437\n\tSSID: Warung\n")
    assert [(one.bssid, one.channel) for one in on.hands.scan(None).networks] == [("020000001001", 6)]
