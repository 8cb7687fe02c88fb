"""agent/ash/caps against this machine's kernel: what a file asks for stands, whatever was there before; how much passes is measured in stories."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.capped_box import CappedBox, ip

pytestmark = pytest.mark.needs("netns", "busybox", "tc", "flock", "unshare", "ping")

PUBLIC = "ssid public 30000 10000 5000 2000 bss2g bss5g"
STAFF = "ssid staff 20000 8000 4000 1000 bss-staff"
UPLINK = "uplink 45000 20000 wan"
STATIONS = {"st1": "bss2g", "st2": "bss5g", "st3": "bss-staff"}
# What a router has of these, where Debian has GNU's and mawk.
BUSYBOX = ("awk", "sed", "tr", "wc", "cut", "ip", "sleep")
BOTH = ["rwd-public", "rwu-public"]
# A tc that refuses filters of stations.
REFUSING = """#!/bin/sh
case $* in *-batch*) ;; *) exec {real} "$@" ;; esac
cat >{asked}
number=$(grep -n "match u16" {asked} | cut -d : -f 1 | head -n 1)
[ "$number" ] || exec {real} "$@" <{asked}
echo "Error: Exclusivity flag on, cannot modify." >&2
echo "Command failed -:$number" >&2
exit 1
"""


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CappedBox]:
    with CappedBox(tmp_path_factory.mktemp("box"), STATIONS, ("busybox", "sh"), BUSYBOX) as box:
        yield box


@pytest.fixture
def box(one: CappedBox) -> Iterator[CappedBox]:
    """A router without caps, and without stations for iw."""
    for bss in one.bsss:
        one.air_has(bss, [])
    yield one
    if one.ifbs():
        one.caps(verb="remove")
    one.file.unlink(missing_ok=True)
    for file in one.ram.glob("*"):
        file.unlink()


def look(box: CappedBox) -> None:
    """Look at the stations as if the last look were long ago."""
    (box.ram / "looked").unlink(missing_ok=True)
    box.stands(verb="stations")


def knows(box: CappedBox) -> dict[str, str]:
    """Give which slot each known station of `public` has."""
    file = box.ram / "known.public"
    return dict(line.split()[1:] for line in file.read_text().splitlines()) if file.exists() else {}


def test_a_life_with_the_shell_and_awk_of_debian(tmp_path: Path) -> None:
    """Made, looked at, made again, a BSS anew, taken away: all with dash, mawk and iproute2's ip."""
    with CappedBox(tmp_path, {"st1": "bss2g"}) as plain:
        plain.stands("ssid public 30000 10000 5000 2000 bss2g", UPLINK)
        assert plain.path("st1") == ["rwd-public", "rwd-uplink", "rwu-public", "rwu-uplink"]
        plain.air_has("bss2g", [plain.mac("st1")])
        look(plain)
        before = plain.kernel()
        plain.stands()
        assert plain.kernel() == before
        plain.lose_bss("bss2g")
        plain.make_bss("bss2g")
        plain.stands(verb="hotplug", more=["bss2g"])
        assert plain.path("st1") == ["rwd-public", "rwd-uplink", "rwu-public", "rwu-uplink"]
        plain.stands(verb="remove")
        assert plain.path("st1") == []


# --- the file


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, ""),
        (2, "v 1\nssid uplink 30000 10000 5000 2000 bss2g\n"),
        (2, "v 1\nssid public 30000 10000 5000 2000 $(reboot)\n"),
        (3, "v 1\nssid public 30000 10000 5000 2000 bss2g\nuplink 45000 20000 bss2g\n"),
        (65, "v 1\n" + "".join(f"ssid s{number} 1 1 1 1 x{number}\n" for number in range(64))),
        (0, "v 1\nssid public 30000 10000 5000 2000 bss2g\0\n"),
    ],
)
def test_a_file_with_any_other_line_is_refused_as_a_whole(box: CappedBox, line: int, text: str) -> None:
    """Exit status 2 and the line's number; the kernel is not asked, and keeps what it has. More such lines: test_caps_hostile.py."""
    (box.file).write_text(text or "\n")
    done = box.caps(bound=["/bin/false=tc"])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"caps: line {line} of the caps: expected" if line else f"caps: {box.file} has bytes") or "is named twice" in done.stderr
    assert done.stderr.count("\n") == 1
    assert box.ifbs() == []
    assert "error" in json.loads((box.status / "caps.json").read_text())


def test_a_refused_file_leaves_what_stands(box: CappedBox) -> None:
    """A bad line behind good ones that would change something."""
    box.stands("ssid public 30000 10000 5000 2000 bss2g")
    before = box.kernel()
    for verb, more in (("apply", []), ("hotplug", ["bss5g"]), ("stations", [])):
        assert box.caps(PUBLIC, STAFF, "x", verb=verb, more=more).returncode == 2
    assert box.kernel() == before


@pytest.mark.parametrize("text", [None, "", "v 1\n"])
def test_no_file_and_an_empty_one_mean_no_caps(box: CappedBox, text: str | None) -> None:
    """What stood is gone to the last piece."""
    bare = box.kernel()
    box.stands(PUBLIC, UPLINK)
    if text is None:
        box.file.unlink()
    else:
        box.file.write_text(text)
    box.stands()
    assert box.kernel() == bare


def test_the_daemon_is_told_what_is_wanted(box: CappedBox) -> None:
    """status/caps.json: readable for everybody, members absent where nothing is set, an error where there was one."""
    box.stands("ssid public 30000 - - 2000 bss2g gone", "uplink 45000 - wan")
    file = box.status / "caps.json"
    wanted = [{"ssid": "public", "down_kbit": 30000, "station_up_kbit": 2000, "ifnames": ["bss2g", "gone"]}, {"uplink": "wan", "down_kbit": 45000}]
    assert json.loads(file.read_text()) == {"v": 1, "wanted": wanted}
    assert file.stat().st_mode & 0o777 == 0o644
    assert box.caps(bound=["/bin/false=tc"]).returncode == 1
    told = json.loads(file.read_text())
    assert (told["wanted"], "tc" in told["error"]) == (wanted, True)


def spoil_by_link(box: CappedBox, elsewhere: Path) -> None:
    box.status.symlink_to(elsewhere)


def spoil_by_owner(box: CappedBox, _: Path) -> None:
    box.status.mkdir()
    os.chown(box.status, 65534, 65534)


def spoil_by_mode(box: CappedBox, _: Path) -> None:
    box.status.mkdir()
    box.status.chmod(0o777)


def spoil_by_file(box: CappedBox, _: Path) -> None:
    box.status.touch()


@pytest.mark.parametrize("spoil", [spoil_by_link, spoil_by_owner, spoil_by_mode, spoil_by_file])
def test_root_writes_into_no_directory_that_the_daemon_chose(box: CappedBox, tmp_path: Path, spoil: Callable[[CappedBox, Path], None]) -> None:
    """All above status/ is the daemon's: one that leads elsewhere, or that others can write to, is left alone, and the caps stand all the same."""
    shutil.rmtree(box.status)
    spoil(box, tmp_path)
    try:
        done = box.caps(PUBLIC)
        assert (done.returncode, "only root can write to" in done.stderr, done.stderr.count("\n")) == (0, True, 1)
        assert os.listdir(tmp_path) == [] and (not box.status.is_dir() or os.listdir(box.status) == [])
        assert box.path("st1") == BOTH
    finally:
        if box.status.is_dir() and not box.status.is_symlink():
            shutil.rmtree(box.status)
        else:
            box.status.unlink()
        box.status.mkdir()


def test_the_daemon_is_told_also_when_nobody_made_the_directory_yet(box: CappedBox) -> None:
    """At a boot the caps come first: everybody may read it, root alone may write to it."""
    shutil.rmtree(box.status)
    box.stands(PUBLIC)
    assert (box.status.stat().st_uid, box.status.stat().st_mode & 0o777) == (0, 0o755)
    assert (box.status / "caps.json").stat().st_mode & 0o777 == 0o644


# --- the kernel


def test_each_way_has_its_ifb_and_only_where_it_is_capped(box: CappedBox) -> None:
    """All BSSs of an SSID share one; a way without a cap is left alone, and so is an SSID."""
    box.stands("ssid public 30000 - - - bss2g bss5g", "uplink - 20000 wan")
    assert box.path("st1") == box.path("st2") == ["rwd-public", "rwu-uplink"]
    assert box.path("st3") == ["rwu-uplink"]
    box.stands("ssid public - - - 2000 bss2g bss5g", "uplink 45000 - wan")
    assert box.path("st1") == box.path("st2") == ["rwd-uplink", "rwu-public"]
    assert box.ifbs() == ["rwd-uplink", "rwu-public"]


def test_on_the_way_out_stations_have_queues_of_their_own(box: CappedBox) -> None:
    """It has one MAC for all of them: their addresses tell them apart, both ways."""
    box.stands(UPLINK)
    for ifb in ("rwd-uplink", "rwu-uplink"):
        assert len({box.leaf(name, ifb) for name in STATIONS}) == len(STATIONS)


def test_a_second_run_changes_nothing(box: CappedBox) -> None:
    """Also with rates that tc does not print in full."""
    lines = ("ssid public 12345678 1234567 999 250 bss2g bss5g gone", STAFF, UPLINK)
    box.stands(*lines)
    box.air_has("bss2g", [box.mac("st1")])
    look(box)
    before = box.kernel()
    box.stands()
    assert box.kernel() == before


def test_a_change_of_one_ssid_does_not_touch_another(box: CappedBox) -> None:
    """Its rate changes, it goes, it comes: of the other all stays as it was made."""
    staff = ("bss-staff", "rwd-staff", "rwu-staff", "wan", "rwd-uplink", "rwu-uplink")
    box.stands(PUBLIC, STAFF, UPLINK)
    before, other = box.kernel(*staff), box.kernel("rwd-public")
    for line in ("ssid public 20000 10000 4000 2000 bss2g bss5g", "", "ssid public 20000 10000 - - bss5g"):
        box.stands(line, STAFF, UPLINK)
        assert box.kernel(*staff) == before
        assert box.kernel("rwd-public") != other


def test_a_bss_may_move_from_one_ssid_to_another_or_out_of_all(box: CappedBox) -> None:
    """Its packets follow at once."""
    box.stands(PUBLIC, STAFF)
    box.stands("ssid public 30000 10000 5000 2000 bss5g", "ssid staff 20000 8000 4000 1000 bss2g")
    assert [box.path(name) for name in STATIONS] == [["rwd-staff", "rwu-staff"], BOTH, []]


def test_what_others_hung_there_stays(box: CappedBox) -> None:
    """Somebody's clsact and filter; and ours, when somebody hung a filter on it meanwhile."""
    box.tc("qdisc", "add", "dev", "bss2g", "clsact")
    box.stands(PUBLIC)
    for hook in ("egress", "ingress"):
        box.tc("filter", "add", "dev", "bss5g", hook, "pref", "5", "protocol", "0x1234", "u32", "match", "u32", "0", "0", "flowid", "1:1")
    box.stands("")
    kept = [row["dev"] for row in json.loads(box.tc("-j", "qdisc", "show")) if row["kind"] == "clsact"]
    assert kept == ["bss2g", "bss5g"]
    assert all("pref 5 " in box.tc("filter", "show", "dev", "bss5g", hook) for hook in ("egress", "ingress"))
    assert box.path("st1") == box.path("st2") == []
    for bss in kept:
        box.tc("qdisc", "del", "dev", bss, "clsact")


@pytest.mark.parametrize(
    "damages",
    [
        ["link del rwd-public", "link set rwu-public down"],
        ["link del rwu-public", "tc filter del dev bss2g egress pref 47000"],
        ["tc filter del dev bss2g ingress", "tc qdisc del dev bss5g clsact"],
        ["tc qdisc del dev rwd-public root", "tc qdisc replace dev rwu-public root pfifo"],
        ["tc filter del dev rwd-public parent 1: pref 20", "tc filter del dev rwu-public parent 1: pref 10"],
        ["tc filter del dev rwd-public parent 1: pref 5", "tc filter del dev rwu-public parent 1: pref 20"],
        [
            "tc class change dev rwd-public parent 1: classid 1:1 htb rate 1mbit ceil 1mbit quantum 1514",
            "tc class change dev rwd-public parent 1:1 classid 1:3 htb rate 1kbit ceil 90mbit quantum 1514",
            "tc class change dev rwu-public parent 1:1 classid 1:103 htb rate 1kbit ceil 90mbit quantum 1514",
            "tc class change dev rwu-public parent 1:1 classid 1:2 htb rate 1kbit ceil 90mbit quantum 1514",
        ],
        ["tc filter replace dev bss2g egress pref 47000 protocol all u32 match u32 0 0 action mirred egress redirect dev rwu-staff"],
    ],
)
def test_what_somebody_broke_is_put_right(box: CappedBox, damages: list[str]) -> None:
    """It is read from the kernel, not remembered; stations keep passing, through the same queues as before, at the same rates."""

    def seen() -> list[object]:
        rates = [sorted(line.split(" prio ")[-1].split(" ", 1)[-1] for line in box.tc("class", "show", "dev", ifb).splitlines()) for ifb in BOTH]
        return [box.path("st1"), box.path("st2"), box.leaf("st1", "rwd-public"), box.leaf("st1", "rwu-public"), rates, len(box.kernel(*BOTH).splitlines())]

    box.stands(PUBLIC, STAFF)
    before = seen()
    for damage in damages:
        program, *words = damage.split()
        if program == "tc":
            box.tc(*words)
        else:
            ip("-n", box.router, program, *words)
    box.stands()
    assert seen() == before


def test_somebody_elses_ingress_qdisc_is_told(box: CappedBox) -> None:
    """SQM's way of shaping leaves no room for clsact: the reason names the device and what to do; the SSIDs are not half done."""
    box.tc("qdisc", "add", "dev", "wan", "ingress")
    try:
        done = box.caps(PUBLIC, UPLINK)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "wan has a qdisc" in done.stderr and "remove it" in done.stderr
        assert box.path("st1") == []
    finally:
        box.tc("qdisc", "del", "dev", "wan", "ingress")


def test_whether_a_box_can_do_it_is_tried(box: CappedBox) -> None:
    """Nothing is left of the trial; where it fails, the reason says what to install."""
    before = box.kernel()
    box.stands(verb="able")
    done = box.caps(verb="able", bound=["/bin/false=tc"])
    assert (done.returncode, "kmod-sched-core" in done.stderr) == (1, True)
    assert box.kernel() == before


@pytest.mark.parametrize("after_s", [0.05, 0.12, 0.2])
def test_a_run_that_is_cut_is_completed_by_the_next(box: CappedBox, after_s: float) -> None:
    """The shell is killed at some moment, what it started may still end; the next run has all of it stand, and nothing is left over."""
    run = box.start("apply") if box.file.write_text(f"v 1\n{PUBLIC}\n{UPLINK}\n") else None
    assert run is not None
    time.sleep(after_s)
    run.child.send_signal(signal.SIGKILL)
    run.ended()
    box.stands()
    assert box.path("st1") == ["rwd-public", "rwd-uplink", "rwu-public", "rwu-uplink"]
    before = box.kernel()
    box.stands()
    assert box.kernel() == before
    box.stands("")
    assert box.ifbs() == []


def test_several_at_once_take_turns(box: CappedBox) -> None:
    """A push and the hotplug of three devices in the same moment."""
    box.file.write_text(f"v 1\n{PUBLIC}\n{STAFF}\n{UPLINK}\n")
    runs = [box.start("apply"), *(box.start("hotplug", name) for name in (*box.bsss, "wan"))]
    assert [(done.returncode, done.stderr) for done in (run.ended() for run in runs)] == [(0, "")] * 5
    assert box.path("st3") == ["rwd-staff", "rwd-uplink", "rwu-staff", "rwu-uplink"]


# --- hotplug


def test_a_bss_that_comes_later_or_anew_gets_its_filters_and_nobody_else_is_touched(box: CappedBox) -> None:
    """Not there at first, which is no fault; then there; then taken away and made anew."""
    box.lose_bss("bss5g")
    box.stands(PUBLIC, STAFF)
    before = box.kernel("bss2g", "bss-staff", *BOTH, "rwd-staff")
    for _ in range(2):
        box.make_bss("bss5g")
        assert box.path("st2") == []
        box.stands(verb="hotplug", more=["bss5g"])
        assert box.path("st2") == BOTH
        box.lose_bss("bss5g")
    box.make_bss("bss5g")
    box.stands(verb="hotplug", more=["bss5g"])
    assert box.kernel("bss2g", "bss-staff", *BOTH, "rwd-staff") == before


def test_other_devices_coming_change_nothing(box: CappedBox) -> None:
    """Hotplug runs for every device of the box, whatever it is called."""
    box.stands(PUBLIC)
    before = box.kernel()
    for name in ("br0", "nobody", "rwd-public", "..", "a;b", "*", ""):
        box.stands(verb="hotplug", more=[name])
    assert box.kernel() == before


def test_the_first_bss_of_a_boot_finds_its_tree_made(box: CappedBox) -> None:
    """Hotplug before apply: what the device needs is made with it."""
    box.file.write_text(f"v 1\n{PUBLIC}\n{STAFF}\n")
    box.stands(verb="hotplug", more=["bss2g"])
    assert (box.path("st1"), box.ifbs()) == (BOTH, BOTH)


# --- stations


def test_a_station_that_is_there_gets_a_queue_of_its_own_and_frees_it_when_it_leaves(box: CappedBox) -> None:
    """Both ways, on whichever BSS; who is not known has that of its MAC's last bits."""
    box.stands(PUBLIC)
    strange = {ifb: (box.leaf("st1", ifb), box.leaf("st2", ifb)) for ifb in BOTH}
    assert all(one != other for one, other in strange.values())
    box.air_has("bss2g", [box.mac("st1")])
    box.air_has("bss5g", [box.mac("st2"), box.mac("st1")])
    look(box)
    for ifb in BOTH:
        assert box.leaf("st1", ifb) not in strange[ifb]
        assert box.leaf("st2", ifb) not in (*strange[ifb], box.leaf("st1", ifb))
    box.air_has("bss2g", [])
    box.air_has("bss5g", [box.mac("st2")])
    look(box)
    assert {ifb: box.leaf("st1", ifb) for ifb in BOTH} == {ifb: both[0] for ifb, both in strange.items()}
    assert list(knows(box)) == [box.mac("st2")]


def uptime() -> int:
    """Give the uptime as the script's stamps have it, in 1/100 s."""
    return int(float(Path("/proc/uptime").read_text().split()[0]) * 100)


def test_stations_are_looked_at_once_in_five_seconds_and_no_ring_is_lost(box: CappedBox) -> None:
    """However often it is asked, not even iw is started; when it is time, one look sees all who came meanwhile."""
    box.stands(PUBLIC)
    box.air_has("bss2g", [box.mac("st1")])
    box.stands(verb="stations")
    first = uptime() - 300
    # As if that look were 3 s old.
    (box.ram / "looked").write_text(f"{first}\n")
    for number in range(3):
        box.air_has("bss2g", [box.mac("st1"), *(f"02:00:5e:00:53:7{other}" for other in range(number + 1))])
        box.stands(verb="stations")
        assert list(knows(box)) == [box.mac("st1")]
    ends = time.monotonic() + 60
    while len(knows(box)) < 4:
        assert time.monotonic() < ends, knows(box)
        time.sleep(0.1)
    assert int((box.ram / "looked").read_text()) >= first + 500


@pytest.mark.parametrize("stamp", [lambda: uptime() - 500, lambda: 10**12], ids=["5 s ago", "another boot's"])
def test_a_look_that_is_due_is_made_at_once(box: CappedBox, stamp: Callable[[], int]) -> None:
    """Also when the last one seems to lie ahead."""
    box.stands(PUBLIC)
    box.air_has("bss2g", [box.mac("st1")])
    (box.ram / "looked").write_text(f"{stamp()}\n")
    box.stands(verb="stations")
    assert list(knows(box)) == [box.mac("st1")]


def test_a_ring_makes_nothing_that_was_taken_away(box: CappedBox) -> None:
    """Its file may still be there."""
    box.stands(PUBLIC)
    box.stands(verb="remove")
    box.air_has("bss2g", [box.mac("st1")])
    look(box)
    assert box.ifbs() == []


def test_what_goes_wrong_with_a_station_is_told_without_its_address(box: CappedBox) -> None:
    """Neither to root's log nor to the daemon."""
    box.stands(PUBLIC)
    box.air_has("bss2g", ["02:ab:cd:ef:98:76"])
    real, refusing = box.folder / "real-tc", box.folder / "refusing-tc"
    shutil.copy("/usr/sbin/tc", real)
    refusing.write_text(REFUSING.format(real=real, asked=box.folder / "asked"))
    refusing.chmod(0o755)
    (box.ram / "looked").unlink(missing_ok=True)
    done = box.caps(verb="stations", bound=[f"{refusing}=tc"])
    refused = "caps: tc filter add dev rwd-public parent 1: protocol all pref 10: Error: Exclusivity flag on, cannot modify.\n"
    assert (done.returncode, done.stderr) == (1, refused)
    assert not re.search("98|76|cd", (box.status / "caps.json").read_text())


def test_more_stations_than_there_are_slots(box: CappedBox) -> None:
    """256 have a queue of their own; those keep it, the others wait for one that is freed."""
    box.stands(PUBLIC)
    crowd = [f"06:00:00:00:{number // 250:02x}:{number % 250:02x}" for number in range(300)]
    box.air_has("bss2g", crowd)
    look(box)
    first = knows(box)
    assert len(first) == len(set(first.values())) == 256
    box.air_has("bss2g", [mac for mac in crowd if mac not in list(first)[:30]])
    look(box)
    second = knows(box)
    assert len(second) == 256
    assert all(second[mac] == slot for mac, slot in first.items() if mac in second)
    assert len(set(second) - set(first)) == 30


def test_what_iw_says_is_checked(box: CappedBox) -> None:
    """Whatever is no MAC is nobody; the rest counts."""
    box.stands(PUBLIC)
    (box.folder / "iw" / "bss2g").write_text(
        f"Station $(reboot) (on x)\nStation 02:00:5e:00:53 (on x)\nStation ../../x\nStation 02:00:5E:00:53:0g\nStation\nStation {box.mac('st1')} (on bss2g)\n"
    )
    look(box)
    assert list(knows(box)) == [box.mac("st1")]


def test_an_iw_that_fails_sends_nobody_away(box: CappedBox) -> None:
    """One BSS cannot be asked: who was known there keeps the queue."""
    box.stands(PUBLIC)
    box.air_has("bss2g", [box.mac("st1")])
    box.air_has("bss5g", [box.mac("st2")])
    look(box)
    (box.folder / "iw" / "bss2g").unlink()
    box.air_has("bss5g", [])
    look(box)
    assert set(knows(box)) == {box.mac("st1"), box.mac("st2")}


def test_a_changed_cap_counts_for_the_known_too(box: CappedBox) -> None:
    """Nobody loses the queue by it."""
    box.stands(PUBLIC)
    box.air_has("bss2g", [box.mac("st1")])
    look(box)
    own = box.leaf("st1", "rwd-public")
    box.stands("ssid public 30000 10000 3000 1000 bss2g bss5g")
    assert box.leaf("st1", "rwd-public") == own
    assert {line.split(" ceil ")[1].split()[0] for line in box.tc("class", "show", "dev", "rwd-public").splitlines() if f" {own} " in line} == {"3Mbit"}


@pytest.mark.parametrize("loss", ["memory", "tree", "slot"])
def test_what_was_known_and_is_lost_begins_anew(box: CappedBox, loss: str) -> None:
    """The RAM's list, one of the trees, or a slot that somebody took: after the next look each has one queue of its own."""
    box.stands(PUBLIC)
    box.air_has("bss2g", [box.mac("st1")])
    box.air_has("bss5g", [box.mac("st2")])
    look(box)
    if loss == "memory":
        (box.ram / "known.public").unlink()
    elif loss == "tree":
        box.tc("qdisc", "del", "dev", "rwd-public", "root")
        box.stands()
    else:
        box.air_has("bss2g", [])
        look(box)
        (free,) = {0, 1} - {int(slot) for slot in knows(box).values()}
        box.tc("class", "add", "dev", "rwd-public", "parent", "1:1", "classid", f"1:{4096 + free:x}", "htb", "rate", "1mbit")
        box.air_has("bss2g", [box.mac("st1")])
    look(box)
    assert set(knows(box)) == {box.mac("st1"), box.mac("st2")}
    for ifb in BOTH:
        assert len({box.leaf("st1", ifb), box.leaf("st2", ifb), "1:101", "1:102"}) == 4
        # The root, the rest, 64 for strangers, two known.
        assert len(json.loads(box.tc("-j", "qdisc", "show", "dev", ifb))) == 68
