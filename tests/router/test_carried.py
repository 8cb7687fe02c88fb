"""agent/router/carried.py: who carries out what the derived files ask for, when nobody tells of a change; the scripts are played."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router.carried import CHECK_S, MOST_AGAIN_S, SEAT_S, Carried, Places

CAPS = "v 1\nssid public 30000 - - - rw-public-2g rw-public-5g\nuplink 45000 20000 wan\n"
PLAYED = """echo "$*" >>{folder}/ran
[ ! -e {folder}/broken ] || {{ echo "caps: the kernel makes no IFB" >&2; exit 1; }}
case $1 in able | stations) ;; *) echo '{{"v":1}}' >"$STATUS/caps.json" ;; esac
"""


class Played:
    """A box in a folder: its files, its scripts, which only note how they were run, and its network devices."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("apply", "run/status", "ash", "net"):
            (folder / name).mkdir(parents=True)
        (folder / "ash/caps").write_text(PLAYED.format(folder=folder))
        self.caps = folder / "caps"
        self.now = 1000.0
        places = Places({"caps": str(self.caps)}, f"{folder}/apply", f"{folder}/run", f"{folder}/ash", f"{folder}/net")
        self.carried = Carried(places, lambda: self.now)

    def put(self, text: str) -> None:
        """Put the file there as a push or a rollback does."""
        (self.folder / "new").write_text(text)
        os.replace(self.folder / "new", self.caps)

    def appear(self, ifname: str, number: int) -> None:
        (self.folder / "net" / ifname).mkdir(exist_ok=True)
        (self.folder / "net" / ifname / "ifindex").write_text(f"{number}\n")

    def ran(self) -> list[str]:
        """Give what ran since the last time, without the paths."""
        log = self.folder / "ran"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [" ".join(word for word in line.split() if not word.startswith("/")) for line in lines]


@pytest.fixture
def box(tmp_path: Path) -> Played:
    return Played(tmp_path)


def test_at_the_first_look_what_is_wanted_is_made_so(box: Played) -> None:
    """After a boot, with nobody to tell; then nothing is started while nothing changes."""
    box.put(CAPS)
    box.carried.tend()
    assert box.ran() == ["apply"]
    box.carried.tend()
    assert box.ran() == []


def test_without_room_for_the_script_the_watcher_goes_on(box: Played) -> None:
    """It says so, and tries again: whoever waits each second is not ended by it."""
    (box.folder / "apply").rmdir()
    (box.folder / "apply").write_text("")
    box.put(CAPS)
    box.carried.tend()
    with pytest.raises(Unavailable, match=r"apply/caps cannot be made: Not a directory"):
        box.carried.apply("caps")
    assert box.ran() == []


def test_where_nothing_is_wanted_nothing_is_started(box: Played) -> None:
    """A box that never had a cap need not be able to have one."""
    box.carried.tend()
    box.put("")
    box.carried.tend()
    assert box.ran() == [] and os.listdir(box.folder / "apply") == []


def test_what_is_wanted_no_more_is_taken_away(box: Played) -> None:
    """An empty file and none are both carried out, where something of ours may stand."""
    box.put(CAPS)
    box.carried.tend()
    box.put("")
    box.carried.tend()
    assert box.ran() == ["apply", "apply"]
    box.caps.unlink()
    box.carried.tend()
    assert box.ran() == ["apply"]


def test_a_file_that_a_rollback_put_back_is_carried_out(box: Played) -> None:
    """Whoever replaced it."""
    box.put(CAPS)
    box.carried.tend()
    box.put(CAPS.replace("30000", "20000"))
    box.carried.tend()
    assert box.ran() == ["apply", "apply"]


def test_only_a_network_made_anew_is_looked_after(box: Played) -> None:
    """It has another number; one that is gone is not missed, and several at once are one look at all."""
    box.put(CAPS)
    box.appear("rw-public-2g", 7)
    box.appear("wan", 2)
    box.carried.tend()
    box.appear("rw-public-2g", 9)
    box.carried.tend()
    assert box.ran() == ["apply", "hotplug rw-public-2g"]
    (box.folder / "net/rw-public-2g/ifindex").unlink()
    box.carried.tend()
    assert box.ran() == []
    box.appear("rw-public-2g", 10)
    box.appear("rw-public-5g", 11)
    box.appear("wan", 12)
    box.carried.tend()
    assert box.ran() == ["apply"]


def test_stations_that_came_are_looked_after_once_for_each_word_of_the_daemon(box: Played) -> None:
    """The same word again is no news, and without caps there is none."""
    box.carried.tend(b"1")
    box.put(CAPS)
    box.carried.tend(b"1")
    box.ran()
    for word in (b"1", b"1", None, b"2"):
        box.now += SEAT_S
        box.carried.tend(word)
    assert box.ran() == ["stations", "stations"]


def test_a_word_too_soon_after_the_last_waits(box: Played) -> None:
    """The script looks at most once in five seconds; the last word is not lost."""
    box.put(CAPS)
    box.carried.tend()
    box.ran()
    for word in (b"1", b"2", b"3", b"3"):
        box.carried.tend(word)
        box.now += 1
    assert box.ran() == ["stations"]
    box.now += SEAT_S
    box.carried.tend(b"3")
    assert box.ran() == ["stations"]


def test_a_look_at_the_stations_is_no_news_for_the_daemon(box: Played) -> None:
    """What is written anew makes it tell of everybody again, and so for ever."""
    box.put(CAPS)
    box.carried.tend()
    told = box.folder / "run/status/caps.json"
    told.write_text("kept")
    box.carried.tend(b"1")
    assert box.ran() == ["apply", "stations"] and told.read_text() == "kept"
    box.appear("wan", 3)
    box.carried.tend(b"1")
    assert box.ran() == ["hotplug wan"] and told.read_text() == '{"v":1}\n'


@pytest.mark.needs("root")
def test_what_the_kernel_lost_is_set_anew_now_and_then(box: Played, caplog: pytest.LogCaptureFixture) -> None:
    """By what it says itself, whoever took it away; while all of it stands nothing is started."""
    box.put(CAPS)
    box.carried.tend()
    assert box.ran() == ["apply"]
    for number in range(3):
        for _ in range(2):
            box.now += CHECK_S / 2
            box.carried.tend()
        assert box.ran() == ["apply"], number
    assert "set anew: rwd-public is missing; " in caplog.text
    box.put("v 1\n")
    box.carried.tend()
    box.ran()
    box.now += CHECK_S
    box.carried.tend()
    assert box.ran() == []


def test_a_script_that_could_not_is_run_again_only_after_a_while(box: Played, caplog: pytest.LogCaptureFixture) -> None:
    """The watcher lives on, tries again ever more seldom, and gives the reason once, until there is another."""
    box.put(CAPS)
    (box.folder / "broken").touch()
    tries = []
    began = box.now
    for _ in range(400):
        box.carried.tend()
        tries += [box.now - began for _ in box.ran()]
        box.now += 1
    assert tries == [0, 10, 30, 70, 150, 230, 310, 390]
    assert caplog.text.count("it is tried again: caps: the kernel makes no IFB") == 1
    with pytest.raises(Unavailable, match="the kernel makes no IFB"):
        box.carried.apply("caps")
    (box.folder / "broken").unlink()
    box.now += MOST_AGAIN_S
    box.carried.tend()
    (box.folder / "broken").touch()
    box.put(CAPS)
    box.carried.tend()
    assert caplog.text.count("it is tried again: caps: the kernel makes no IFB") == 2


def test_another_file_is_tried_at_once(box: Played) -> None:
    """What was wrong with the last one need not be wrong with it; the same holds for a network made anew, and for what changes while it is tried."""
    box.put(CAPS)
    (box.folder / "broken").touch()
    box.carried.tend()
    (box.folder / "broken").unlink()
    box.put(CAPS)
    box.ran()
    box.carried.tend()
    assert box.ran() == ["apply"]
    (box.folder / "broken").touch()
    box.put(CAPS)
    box.carried.tend()
    (box.folder / "broken").unlink()
    box.appear("rw-public-2g", 7)
    box.carried.tend()
    box.carried.tend()
    assert box.ran() == ["apply", "apply"]
    script = box.folder / "ash/caps"
    text = script.read_text()
    script.write_text(f"cp {box.caps} {box.caps}.new; mv {box.caps}.new {box.caps}; echo torn >&2; exit 1")
    box.put(CAPS)
    box.carried.tend()
    script.write_text(text)
    box.carried.tend()
    assert box.ran() == ["apply"]


def test_what_is_wanted_is_handed_to_the_daemon_through_no_link_of_its_own(box: Played) -> None:
    """The script writes where root alone is; into the daemon's directory goes a whole file."""
    box.put(CAPS)
    box.carried.tend()
    assert (box.folder / "run/status/caps.json").read_text() == '{"v":1}\n'
    elsewhere = box.folder / "elsewhere"
    elsewhere.mkdir()
    os.rename(box.folder / "run/status", box.folder / "run/old")
    os.symlink(elsewhere, box.folder / "run/status")
    box.put(CAPS)
    box.carried.tend()
    assert box.ran() == ["apply", "apply"] and os.listdir(elsewhere) == []


def test_whether_the_box_can_is_tried_once_a_boot(box: Played) -> None:
    """A box that cannot is asked again: its packages may come."""
    (box.folder / "broken").touch()
    assert box.carried.caps_problem() == "caps: the kernel makes no IFB" == box.carried.caps_problem()
    (box.folder / "broken").unlink()
    assert box.carried.caps_problem() == "" == box.carried.caps_problem()
    assert box.ran() == ["able", "able", "able"]


@pytest.mark.needs("root")
def test_what_the_kernel_does_not_have_is_named(box: Played) -> None:
    """Read back from it, not from what was asked for; a device that is not there is not missed."""
    box.put("v 1\nuplink 45000 20000 lo\n")
    assert "rwd-uplink" in (box.carried.standing("caps") or "")
    box.put("v 1\nnote\n")
    assert box.carried.standing("caps") == "line 2 of the caps is none that was made here"
    box.put("")
    assert box.carried.standing("caps") is None
