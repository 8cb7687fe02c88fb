"""An OpenWrt box of which something breaks: the next report is right and names what is missing, and nothing that is not so is told."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openwrt.board import Board
from tests.fakes.openwrt.ubusd import Allow
from tests.replayed import counted
from tests.stories.openwrt_world import ALLOWED, Box, error_of, make_box, rows
from tests.stories.test_secrets import find
from tests.stories.world import World, assert_steady, assert_valid, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto", "netns", "setpriv")]
BOARD = "wndr3800-24.10"  # two radios, three networks, six stations
STATIONS, ON_5G = 6, 3
WIFI_PARTS = {"stations", "bss", "radios"}
LONG_S = 150  # beyond the 90 s for which a dead radio is let be


def started(box: Box, **how: Any) -> dict[str, Any]:
    """Start the agent on facts, and give its first report in which all is well."""
    box.write_facts()
    box.agent(**how).start()
    return box.wait_for(lambda report: report.get("stations", {}).get("now", 0) > 0 and not report["alerts"], "a report with stations")


def hostapd(box: Box) -> list[str]:
    """Name all of hostapd's objects."""
    return box.board.bss_objects()


def ended(box: Box) -> None:
    """Claim of a story's end that all that was heard keeps to the contract."""
    assert_valid(box.city)


# ubusd.


def test_ubusd_is_killed_and_comes_back(world: World) -> None:
    """What only ubus knows is missing and named, the rest is there; hostapd returns later than ubusd, and nobody has left or joined."""
    with make_box(world, BOARD) as box:
        before = started(box, sample_s=1, interval_s=1)
        heard = len(box.city.reports())
        box.ubusd.kill()
        away = box.next_report(2)
        assert not WIFI_PARTS & away.keys()
        assert all("ubus" in error_of(away, collector) for collector in ("stations", "radios")), away["agent"]["collectors"]
        assert rows(away, "interfaces").keys() == rows(before, "interfaces").keys()
        assert {name: row["role"] for name, row in rows(away, "interfaces").items()} == {name: row["role"] for name, row in rows(before, "interfaces").items()}
        assert {"host", "dhcp", "uplink"} <= away.keys()
        assert away["uplink"]["address"] == before["uplink"]["address"]
        assert away["dhcp"] == before["dhcp"]
        box.ubusd.start(without=hostapd(box))
        late = box.wait_for(lambda report: "restarted" in error_of(report, "stations"), "hostapd is waited for")
        assert not WIFI_PARTS & late.keys()
        box.ubusd.add(*hostapd(box))
        after = box.wait_for(lambda report: "stations" in report, "stations again")
        assert after["stations"]["now"] == STATIONS
        assert [row["up"] for row in after["radios"] + after["bss"]] == [True] * 5
        for report in box.city.reports()[heard:]:
            assert report.get("stations", {}).get("joins", 0) == report.get("stations", {}).get("leaves", 0) == 0
            assert report["alerts"] == []
        assert not [event for event in box.city.events() if event["kind"] == "radio"]
        assert_steady(box.city.reports())
        ended(box)


@pytest.mark.parametrize("who", ["ubusd", "hostapd"])
def test_who_hangs_holds_nothing_up(who: str, world: World) -> None:
    """ubusd, or hostapd behind it, is there and never answers: reports stay on time and name what is missing, and all is back with it."""
    with make_box(world, BOARD) as box:
        before = started(box, sample_s=2, interval_s=2)
        if who == "ubusd":
            box.ubusd.freeze()
        else:
            box.ubusd.hold("hostapd.*")

        def is_named(report: dict[str, Any]) -> bool:
            return not WIFI_PARTS & report.keys() and all(error_of(report, collector).startswith("ubus ") for collector in ("stations", "radios"))

        away = box.wait_for(is_named, "what is missing is named")
        assert rows(away, "interfaces").keys() == rows(before, "interfaces").keys()
        assert {"host", "dhcp", "uplink"} <= away.keys()
        if who == "ubusd":
            box.ubusd.thaw()
        else:
            box.ubusd.release("hostapd.*")
        after = box.wait_for(lambda report: report.keys() >= WIFI_PARTS, "stations and radios again")
        assert (after["stations"]["now"], after["stations"]["joins"], after["stations"]["leaves"]) == (STATIONS, 0, 0)
        assert_steady(box.city.reports(), 2.0)
        ended(box)


def test_without_the_access_list_nothing_is_said_to_be_down(world: World) -> None:
    """To a user whom ubusd shows no object the radios are unknown, not dead; the sentence names the file, and no alert is raised."""
    with make_box(world, BOARD, Allow({})) as box:
        box.write_facts()
        agent = box.agent(times=60).start()
        first = box.city.wait_for(1)[0]
        blind = box.wait_for(lambda report: report["uptime_s"] > first["uptime_s"] + LONG_S, "long enough")
        for report in box.city.reports():
            assert not WIFI_PARTS & report.keys()
            assert "/usr/share/acl.d/rwagent.json" in error_of(report, "stations")
            assert "/usr/share/acl.d/rwagent.json" in error_of(report, "radios")
            assert not {"radio-down", "ssid-not-on-air"} & set(report["alerts"])
        assert {"interfaces", "host", "dhcp", "uplink"} <= blind.keys()
        assert rows(blind, "interfaces")["eth1"]["role"] == "uplink"
        box.ubusd.allow = ALLOWED
        assert box.wait_for(lambda report: "stations" in report, "stations")["stations"]["now"] == STATIONS
        assert agent.stop() == 0
        ended(box)


# hostapd and the radios.


def test_hostapd_is_killed_and_comes_back(world: World) -> None:
    """All networks vanish from ubus and come back with other ids: down and missed meanwhile, then as before."""
    with make_box(world, BOARD) as box:
        started(box, times=10)
        numbers = {box.ubusd.number(name) for name in hostapd(box)}
        heard = len(box.city.reports())
        box.ubusd.remove(*hostapd(box))
        down = box.next_report()
        assert [(row["up"], row["wanted"]) for row in down["radios"]] == [(False, True)] * 2
        assert [(row["ifname"], row["up"], row["stations"]) for row in down["bss"]] == [(name, False, 0) for name in ("phy0-ap0", "phy0-ap1", "phy1-ap0")]
        assert [row["ssid"] for row in down["bss"]] == ["Malang RW 05", 'Warung "Bu Sri" d\'Malang ☕', "Malang RW 05"]
        assert down["stations"]["now"] == 0
        box.ubusd.add(*hostapd(box))
        assert not numbers & {box.ubusd.number(name) for name in hostapd(box)}
        up = box.next_report()
        assert [row["up"] for row in up["radios"] + up["bss"]] == [True] * 5
        assert up["stations"]["now"] == STATIONS
        since = box.city.reports()[heard:]
        assert (sum(report["stations"]["leaves"] for report in since), sum(report["stations"]["joins"] for report in since)) == (STATIONS, STATIONS)
        told = [(event["data"]["radio"], event["data"]["up"]) for event in box.city.events() if event["kind"] == "radio"]
        assert sorted(told) == [("radio0", False), ("radio0", True), ("radio1", False), ("radio1", True)]
        ended(box)


def test_a_radio_that_fails_to_start_is_missed(world: World) -> None:
    """netifd says `up`, hostapd has no object: down and wanted at once, an alert after its time, and none once it is on air."""
    board = Board("mt7986-kwrt-25.12")
    with make_box(world, board) as box:
        facts = box.write_facts()
        assert facts["radios"]["radio1"]["up"] is True
        box.agent(times=60).start()
        first = box.city.wait_for(1)[0]
        assert (rows(first, "radios")["radio1"]["up"], rows(first, "radios")["radio1"]["wanted"]) == (False, True)
        assert rows(first, "radios")["radio0"]["up"] is True
        raised = box.wait_for(lambda report: {"radio-down", "ssid-not-on-air"} <= set(report["alerts"]), "both alerts")
        assert raised["uptime_s"] - first["uptime_s"] >= 80
        alert = until(lambda: box.city.on("alert/radio-down"), "the alert")[-1].message
        assert [row["radio"] for row in alert["data"]["radios"]] == ["radio1"]
        assert [row["ssid"] for row in box.city.on("alert/ssid-not-on-air")[-1].message["data"]["bss"]] == ["HomeNet-5"]
        # It is tried again, and this time there is a channel.
        board.wlans["phy1-ap0"] = "phy1"
        board.devices["phy1-ap0"] = board.devices["phy0-ap0"] | {"ifindex": 60}
        status = board.get("hostapd.phy0-ap0", "get_status")
        status |= {"phy": "phy1", "ssid": "HomeNet-5", "bssid": "02:11:22:00:03:30", "freq": 5180, "channel": 36}
        board.set("hostapd.phy1-ap0", "get_status", status)
        board.set("hostapd.phy1-ap0", "get_clients", {"freq": 5180, "clients": {}})
        box.inside.bring_wifi_up(["phy1-ap0"])
        up = box.next_report()
        assert rows(up, "radios")["radio1"]["up"] is True
        assert (rows(up, "bss")["phy1-ap0"]["up"], rows(up, "bss")["phy1-ap0"]["radio"]) == (True, "radio1")
        box.wait_for(lambda report: not {"radio-down", "ssid-not-on-air"} & set(report["alerts"]), "no alert any more")
        until(lambda: box.city.on("alert/radio-down")[-1].payload == b"", "the alert is cleared")
        ended(box)


def test_one_network_of_a_radio_that_vanishes_is_missed(world: World) -> None:
    """The radio is up by its other network, the one that is gone is down under the name it should have, and an alert names it after its time."""
    with make_box(world, BOARD) as box:
        started(box, times=60)
        box.ubusd.remove("hostapd.phy0-ap1")
        down = box.next_report()
        assert rows(down, "radios")["radio0"]["up"] is True
        row = rows(down, "bss")["phy0-ap1"]
        assert (row["up"], row["radio"], row["ssid"], row["stations"]) == (False, "radio0", 'Warung "Bu Sri" d\'Malang ☕', 0)
        raised = box.wait_for(lambda report: "ssid-not-on-air" in report["alerts"], "the alert")
        assert "radio-down" not in raised["alerts"]
        alert = until(lambda: [each for each in box.city.on("alert/ssid-not-on-air") if each.payload], "the alert")[-1].message
        assert [row["ssid"] for row in alert["data"]["bss"]] == ['Warung "Bu Sri" d\'Malang ☕']
        ended(box)


def test_wifi_down_and_up_of_one_of_three_radios(world: World) -> None:
    """radio0 is phy1: it and its network are down and missed, its device gone; all come back with another number, a reset and no spike."""
    with make_box(world, "ipq50xx-25.12.2") as box:
        before = started(box, times=10)
        ifindex = box.inside.ifindex("phy1-ap0")
        gone = box.inside.take_wifi_down("phy1")
        assert gone == ["phy1-ap0"]
        down = box.next_report()
        radios, bss = rows(down, "radios"), rows(down, "bss")
        assert {name: (row["phy"], row["up"], row.get("wanted")) for name, row in radios.items()} == {
            "radio0": ("phy1", False, True),
            "radio1": ("phy2", True, None),
            "radio2": ("phy0", False, False),
        }
        assert (bss["phy1-ap0"]["up"], bss["phy1-ap0"]["radio"], bss["phy2-ap0"]["up"]) == (False, "radio0", True)
        assert down["stations"]["now"] == bss["phy2-ap0"]["stations"] == rows(before, "bss")["phy2-ap0"]["stations"]
        assert rows(before, "interfaces").keys() - rows(down, "interfaces").keys() == {"phy1-ap0"}
        heard = len(box.city.reports())
        box.inside.bring_wifi_up(gone)
        assert box.inside.ifindex("phy1-ap0") != ifindex
        up = box.next_report()
        assert [row["up"] for row in up["bss"]] == [True, True]
        assert rows(up, "radios")["radio0"]["up"] is True
        assert up["stations"]["now"] == before["stations"]["now"]
        settled = box.next_report()
        since = [rows(report, "interfaces")["phy1-ap0"] for report in box.city.reports()[heard:] if "phy1-ap0" in rows(report, "interfaces")]
        assert [row["reset"] for row in since[:2]] == [True, False], since
        assert "rx_bps" not in since[0] and "rx_peak_bps" not in since[0]
        assert rows(settled, "interfaces")["phy1-ap0"]["role"] == "bss"
        for report in box.city.reports():
            others = [row for row in report["interfaces"] if row["name"] != "phy1-ap0"]
            assert not any(row["reset"] for row in others)
        assert not any(report["alerts"] for report in box.city.reports()[heard:])
        ended(box)


def test_a_network_made_anew_is_followed(world: World) -> None:
    """Its object has another id and its device another number: the next report is right, and its counters begin anew."""
    with make_box(world, BOARD) as box:
        started(box, times=10)
        number, ifindex, heard = box.ubusd.number("hostapd.phy1-ap0"), box.inside.ifindex("phy1-ap0"), len(box.city.reports())
        box.inside.bring_wifi_up(box.inside.take_wifi_down("phy1"))
        assert number != box.ubusd.number("hostapd.phy1-ap0")
        assert ifindex != box.inside.ifindex("phy1-ap0")
        after = box.next_report()
        assert rows(after, "bss")["phy1-ap0"]["up"] is True
        assert rows(after, "bss")["phy1-ap0"]["stations"] == ON_5G
        assert rows(after, "radios")["radio1"]["up"] is True
        since = [rows(report, "interfaces").get("phy1-ap0", {}) for report in box.city.reports()[heard:]]
        assert sum(row.get("reset", False) for row in since) == 1
        ended(box)


def test_a_radio_that_listens_for_radar_is_not_missed(world: World) -> None:
    """Ten minutes of radar check are no alert; when it ends the radio is up."""
    with make_box(world, BOARD) as box:
        started(box, times=60)
        box.board.start_cac("phy1-ap0", 600)
        waiting = box.next_report()
        assert (rows(waiting, "radios")["radio1"]["up"], rows(waiting, "radios")["radio1"]["wanted"]) == (False, False)
        assert rows(waiting, "radios")["radio0"]["up"] is True
        assert (rows(waiting, "bss")["phy1-ap0"]["up"], rows(waiting, "bss")["phy1-ap0"]["stations"]) == (False, 0)
        assert waiting["stations"]["now"] == STATIONS - ON_5G
        still = box.wait_for(lambda report: report["uptime_s"] > waiting["uptime_s"] + LONG_S, "long enough")
        assert not {"radio-down", "ssid-not-on-air"} & set(still["alerts"])
        box.board.end_cac("phy1-ap0")
        up = box.next_report()
        assert rows(up, "radios")["radio1"]["up"] is True
        assert not any(alert.payload for alert in box.city.on("alert/radio-down")), "an empty one only clears what an earlier run may have left"
        ended(box)


def test_hostile_names_are_text(world: World) -> None:
    """An SSID with quotes, line breaks, shell words and a terminal's commands is one line of text in the report, and does nothing."""
    hostile = "a\"b'c\\ $(reboot)\n\x1b[2Jssid=x"
    with make_box(world, BOARD) as box:
        started(box, times=40)
        status = box.board.get("hostapd.phy0-ap0", "get_status")
        box.board.set("hostapd.phy0-ap0", "get_status", status | {"ssid": hostile})
        report = box.next_report()
        ssid = rows(report, "bss")["phy0-ap0"]["ssid"]
        assert ssid.isprintable()
        assert ssid.startswith("a\"b'c") and "$(reboot)" in ssid and ssid.endswith("ssid=x")
        assert report["stations"]["now"] == STATIONS
        ended(box)


def test_airtime_comes_from_two_surveys(world: World) -> None:
    """The share of the time that a radio was busy and sent is what its counters moved between two of iw's turns."""
    with make_box(world, BOARD) as box:
        started(box, times=60, interval_s=60)
        survey = box.inside.world.iw / "phy1-ap0-survey.txt"
        text = survey.read_text()

        def move(name: str, by_ms: int) -> None:
            nonlocal text
            # Only of the channel in use: the others stand still.
            head, mark, rest = text.partition("[in use]")
            text = head + mark + re.sub(rf"(channel {name} time:\s*)(\d+)", lambda found: f"{found[1]}{int(found[2]) + by_ms}", rest, count=1)

        for name, by_ms in (("active", 60000), ("busy", 24000), ("transmit", 6000)):
            move(name, by_ms)
        until(lambda: box.inside.world.calls()[-1:] and len(box.inside.world.calls()) >= 2, "iw's first turns")
        survey.write_text(text)
        report = box.wait_for(lambda report: "airtime_busy_ratio" in rows(report, "radios")["radio1"], "a ratio")
        row = rows(report, "radios")["radio1"]
        assert (row["airtime_busy_ratio"], row["airtime_tx_ratio"]) == (0.4, 0.1)
        assert "airtime_busy_ratio" not in rows(report, "radios")["radio0"], "its survey stood still"
        ended(box)


# Stations.


def clients(box: Box, ifname: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change who is associated to a network."""
    answer = box.board.get(f"hostapd.{ifname}", "get_clients")
    box.board.set(f"hostapd.{ifname}", "get_clients", answer | {"clients": change(answer["clients"])})


def test_comings_and_goings_are_counted(world: World) -> None:
    """Two join, one leaves, one roams to the other band, one is only half there, and one is spelt in capitals: two joins and one leave."""
    with make_box(world, BOARD) as box:
        started(box, times=40)
        heard = len(box.city.reports())
        present = box.board.get("hostapd.phy1-ap0", "get_clients")["clients"]
        roaming, leaving, *others = [mac for mac, one in present.items() if one["authorized"]]
        one = present[others[0]]
        clients(box, "phy0-ap0", lambda those: those | {roaming: one, "02:00:5e:77:00:01": one, "02:00:5e:77:00:02": one | {"authorized": False}})
        clients(box, "phy1-ap0", lambda those: {mac: each for mac, each in those.items() if mac not in (roaming, leaving)})
        clients(box, "phy1-ap0", lambda those: {mac.upper(): each for mac, each in those.items()} | {"02:00:5E:77:00:03": one})
        after = box.next_report(2)
        since = [report["stations"] for report in box.city.reports()[heard:]]
        assert after["stations"]["now"] == STATIONS + 1
        # A sample may fall between the three changes, and sees the one who roams twice or not at all: never a second join of him.
        assert (sum(each["joins"] for each in since), sum(each["leaves"] for each in since)) == (2, 1)
        ended(box)


# Root's part: the clock's marker and the facts.


def test_the_clocks_marker_is_believed(world: World) -> None:
    """What root's NTP hook says is the clock's trust: `floor` has a time that is not trusted, `none` has none; each change is an event."""
    with make_box(world, BOARD) as box:
        assert started(box, times=40)["clock"] == "ntp"
        box.inside.world.set_clock("floor")
        floor = box.next_report()
        assert (floor["clock"], "at" in floor) == ("floor", True)
        box.inside.world.set_clock("none")
        none = box.next_report()
        assert (none["clock"], "at" in none) == ("none", False)
        box.inside.world.set_clock("ntp")
        assert box.next_report()["clock"] == "ntp"
        changes = [(event["data"]["from"], event["data"]["to"]) for event in box.city.events() if event["kind"] == "clock"]
        assert changes == [("ntp", "floor"), ("floor", "none"), ("none", "ntp")]
        ended(box)


HOSTILE_FACTS = [
    b"",
    b"\xff\xfe\x00",
    b"{" * 5000,
    b"[" * 60000,
    b'{"v":2,"radios":{}}',
    b'{"v":1,"radios":[1],"dhcp":7,"lease_file":["x"],"networks":{}}',
    b'{"v":1,"radios":{"radio0":{"phy":"../../etc","networks":[{"ifname":"-rf","ssid":7},null,{"section":9}]}}}',
    b" " * 200_000,
]


def test_facts_absent_hostile_and_right(world: World) -> None:
    """Without root's facts the kernel's names stand and the pool is unknown; whatever lies in their place costs no more than that."""
    with make_box(world, BOARD) as box:
        agent = box.agent(times=60).start()
        without = box.wait_for(lambda report: "stations" in report, "stations")
        assert [(row["radio"], row["up"]) for row in without["radios"]] == [("phy0", True), ("phy1", True)]
        assert without["stations"]["now"] == STATIONS
        assert without["dhcp"] == {"leases": 4}
        box.ubusd.remove(*hostapd(box))
        gone = box.next_report()
        assert [(row["up"], row["wanted"]) for row in gone["radios"]] == [(False, True)] * 2, "what was on air is missed"
        box.ubusd.add(*hostapd(box))
        box.wait_for(lambda report: report["stations"]["now"] == STATIONS, "all is back")
        for hostile in HOSTILE_FACTS:
            box.inside.world.facts.write_bytes(hostile)
            report = box.next_report()
            assert (report["stations"]["now"], len(report["bss"]), sum(row["up"] for row in report["bss"])) == (STATIONS, 3, 3), hostile[:60]
            assert [row["up"] for row in report["radios"] if row["phy"] in ("phy0", "phy1")] == [True, True], hostile[:60]
        box.inside.world.facts.unlink()
        os.mkfifo(box.inside.world.facts)
        assert [row["radio"] for row in box.next_report()["radios"]] == ["phy0", "phy1"]
        box.inside.world.facts.unlink()
        box.write_facts()
        right = box.next_report()
        assert [row["radio"] for row in right["radios"]] == ["radio0", "radio1"]
        assert right["dhcp"] == {"leases": 4, "pool": 150, "fullest_ratio": 0.027}
        assert not any(report["alerts"] for report in box.city.reports()), "nothing was ever down"
        assert agent.stop() == 0
        ended(box)


# What never happens.


def planted(board: Board) -> set[str]:
    """Give what must not get out of a board: every key, every station's address, every host name of a lease."""
    text = "\n".join(path.read_text(errors="replace") for path in sorted(board.directory.rglob("*")) if path.is_file() and not path.name.startswith("expected"))
    keys = set(re.findall(r"planted-[\w.-]+", text))
    macs = {mac.lower() for name in board.bss_objects() for mac in board.get(name, "get_clients")["clients"]}
    macs |= set(re.findall(r"^Station ((?:[0-9a-f]{2}:){5}[0-9a-f]{2})", text, re.MULTILINE))
    macs |= {line.split()[1].lower() for line in (board.text("dhcp.leases") or "").splitlines() if re.match(r"\d+ (?:[0-9a-fA-F]{2}:){5}", line)}
    names = {line.split()[3] for line in (board.text("dhcp.leases") or "").splitlines() if re.match(r"\d+ (?:[0-9a-fA-F]{2}:){5}", line)}
    return keys | macs | {name for name in names if len(name) > 5}


@pytest.mark.parametrize("name", ["wndr3800-24.10", "mt7621-dsa-24.10"])
def test_no_key_and_no_station_gets_out_of_a_board(name: str, world: World) -> None:
    """Minutes with every turn of iw, with a connection and without, and a dying ubusd: nothing planted is in messages, log, files or process."""
    board = Board(name)
    secrets = planted(board)
    assert any(each.startswith("planted-") for each in secrets) and sum(":" in each for each in secrets) > 5
    with make_box(world, board) as box:
        box.write_facts()
        agent = box.agent(times=60, interval_s=60).start()
        until(lambda: any("station dump" in call for call in box.inside.world.calls()), "iw's station dump")
        box.ubusd.kill()
        box.next_report()
        box.ubusd.start()
        box.wire.is_open = False
        box.wire.cut()
        uptime = box.city.reports()[-1]["uptime_s"]
        until(lambda: any(report["uptime_s"] > uptime + 200 for report in agent.kept_reports()), "reports in the outbox")
        files = box.own_files()
        assert {"daemon.json", "status/wireless.json"} < files.keys() and any(name.startswith("outbox/") for name in files), files.keys()
        shown = [*files.values(), agent.log().encode(), *(Path(f"/proc/{agent.pid}/{file}").read_bytes() for file in ("cmdline", "environ"))]
        shown += [json.dumps(message, ensure_ascii=False).encode() for message in agent.kept()]
        shown += [heard.payload + heard.topic.encode() for heard in box.city.heard]
        assert agent.stop() == 0
        for data in shown:
            assert not find(data, secrets), data[:200]
        ended(box)


WRITES = "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,truncate,mknod,mknodat"


@pytest.mark.needs("strace")
def test_ten_minutes_start_only_iw_and_write_only_to_ram(world: World, record_property: Callable[[str, object], None]) -> None:
    """At a sample each 10 s: at most one `iw` per radio and report interval, by its own count and by the kernel's, and no file but below run_dir."""
    with make_box(world, BOARD) as box:
        box.write_facts()
        box.inside.world.forget_calls()
        (box.inside.world.folder / "calls").touch()
        (box.inside.world.folder / "calls").chmod(0o666)
        trace = world.folder / "trace"
        words = ("strace", "-D", "-f", "-y", "-o", str(trace), "-e", f"trace=execve,fork,vfork,clone,?clone3,{WRITES}")
        agent = box.agent(times=60, sample_s=10, interval_s=60, before=words).start()
        reports = box.city.wait_for(10, 90)
        began = reports[0]["uptime_s"] - reports[0]["span_s"]
        assert agent.stop(30) == 0
        until(lambda: re.search(rf"^{agent.pid} +\+\+\+ exited", trace.read_text(), re.MULTILINE), lambda: f"the trace's end: {trace.read_text()[-500:]}")
        reports = box.city.reports()
        intervals = -(-(reports[-1]["uptime_s"] - began) // 60) + 1
        assert intervals >= 10
        calls, (started_programs, written) = box.inside.world.calls(), traced(trace.read_text(), agent.pid)
        assert started_programs and {path.rpartition("/")[2] for path in started_programs} == {"iw"}, started_programs
        assert len(started_programs) == len(calls), (started_programs, calls)
        assert len(calls) <= 2 * intervals, calls
        for ifnames in ({"phy0-ap0", "phy0-ap1"}, {"phy1-ap0"}):
            assert sum(bool(ifnames & set(call.split())) for call in calls) <= intervals, calls
        assert not [path for path in written if not path.startswith(("/run/rwagent/", "/var/run/rwagent/", "/dev/null"))], written
        assert reports[-1]["agent"]["flash_writes"] == 0
        ended(box)
    record_property(counted("processes started in 10 minutes on OpenWrt, all of them iw"), len(calls))
    record_property(counted("of which at most, by the rule of one per radio and report interval"), int(2 * intervals))


def traced(text: str, pid: int) -> tuple[list[str], set[str]]:
    """Read strace's output: the first program of each process that `pid` started, and the paths it wrote to."""
    ours, programs, written = {str(pid)}, {}, set()
    for line in text.splitlines():
        who, _, what = line.partition(" ")
        call = re.match(r"\s*(?:<\.\.\. )?(\w+)", what)
        if call is None:
            continue
        if call[1] in ("fork", "vfork", "clone", "clone3") and who in ours:
            made = re.search(r"= (\d+)$", what)
            if made and "CLONE_THREAD" in what:
                ours.add(made[1])
        elif call[1] == "execve" and who not in ours:
            path = re.search(r'execve\("([^"]*)"', what)
            programs.setdefault(who, path[1] if path else what)
        elif who in ours and call[1] in WRITES.split(",") and re.search(r"= \d", what):
            opened = re.search(r"(O_WRONLY|O_RDWR|O_CREAT|O_TRUNC)", what)
            target = re.search(r"= \d+<([^>]*)>", what)
            if target and opened:
                written.add(target[1])
            elif not target:
                written |= set(re.findall(r'"([^"]*)"', what))
    return list(programs.values()), written
