"""The loop: what it makes of a router and a clock that a test rules, with and without a broker."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.daemon import Daemon
from agent.errors import Rejected, Unavailable
from agent.records import Board, Bss, Caps, Dhcp, Host, Interface, Radio, Reach, Station
from agent.router import backends
from agent.run_dir import STATE_FILE, hold
from agent.settings import Settings
from agent.settings_rules import resolve
from agent.wire import schemas, shapes
from tests.fakes.router import FakeClock, FakeRouter
from tests.mosquitto import Mosquitto, Observer

ROOT = "wifi/v1/malang/rw-0501"
WITHIN_S = 60.0
NOW = 1_790_000_000.0
MBIT = 125_000
WAN = Interface("wan", 2, "uplink", True, 1000, "full", 0, 0, 0, 0, 0, 0)


class WorldClock(FakeClock):
    """Ten thousand times as fast as the world, so that a broker has time to answer."""

    def real_seconds(self, seconds: float) -> float:
        self.move(seconds)
        return seconds / 10_000


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The loop takes the process's signals and its watchdog; give them back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.set_wakeup_fd(-1)
    faulthandler.cancel_dump_traceback_later()
    for number, former in before.items():
        signal.signal(number, former)


def settings_of(folder: Path, port: int = 1, **tables: dict[str, Any]) -> Settings:
    document: dict[str, dict[str, Any]] = {
        "agent": {"id": "rw-0501", "city": "malang"},
        "broker": {"host": "127.0.0.1", "port": port, "tls": False},
        "router": {"backend": "simulated"},
        "paths": {"run_dir": str(folder / "run"), "state_dir": str(folder / "state")},
    }
    for name, more in tables.items():
        document[name] = document.get(name, {}) | more
    (folder / "run").mkdir(exist_ok=True)
    settings, faults = resolve(document)
    assert settings is not None, faults
    return settings


def turn_until(daemon: Daemon, claim: Callable[[], object]) -> None:
    """Turn the loop until something is true."""
    until = time.monotonic() + WITHIN_S
    while not claim():
        assert time.monotonic() < until, daemon.outbox.figures()
        daemon.turn()


def run_until(daemon: Daemon, claim: Callable[[], object], number: int = signal.SIGTERM) -> bool:
    """Run the daemon as its process would, and end it by a signal once something is true."""
    found: list[object] = []
    is_over = threading.Event()

    def watch() -> None:
        until = time.monotonic() + WITHIN_S
        try:
            while not found and time.monotonic() < until:
                found.extend([True] if claim() else [])
                is_over.wait(0.002)
        finally:
            # Again and again: the first one may come before the daemon listens.
            while not is_over.wait(0.01):
                os.kill(os.getpid(), number)

    # Nobody else may have listened before: the signal would end the tests.
    signal.signal(number, signal.SIG_IGN)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        is_reloading = daemon.run()
    finally:
        is_over.set()
        watcher.join()
    assert found, "ended before it was true"
    return is_reloading


def said(daemon: Daemon) -> list[dict[str, Any]]:
    """Give every message the outbox holds, as it would go out."""
    entries = daemon.outbox.held()
    return [json.loads(daemon.outbox.render(entry, uptime=entry.uptime_s, wall=None, interval_s=1e9)) for entry in entries]


def reports(daemon: Daemon) -> list[dict[str, Any]]:
    return [message for message in said(daemon) if "kind" not in message]


def traffic(clock: FakeClock) -> Callable[[], list[Interface]]:
    """A wan that carries exactly 1 Mbit/s down and 2 up, by the monotonic clock."""
    return lambda: [WAN._replace(rx_bytes_total=int(clock.at * MBIT), tx_bytes_total=int(clock.at * 2 * MBIT))]


def test_every_message_is_valid(tmp_path: Path) -> None:
    """What the daemon makes of a busy simulated box is exactly what the strict schemas allow, and lacks no part."""
    settings = settings_of(tmp_path, simulated={"speed": 0, "start": "2026-08-17T19:00:00+07:00"})
    daemon = Daemon(settings, backends.open_router(settings))
    turn_until(daemon, lambda: daemon.outbox.figures().count >= 10)
    for message in said(daemon):
        name = "event" if "kind" in message else "report"
        jsonschema.Draft202012Validator(shapes.strict(schemas.published(name))).validate(message)
    last = reports(daemon)[-1]
    assert {"stations", "bss", "radios", "interfaces", "uplink", "dhcp", "host", "agent"} <= set(last)
    assert not [row for row in last["agent"]["collectors"].values() if "error" in row]


def test_sampling_needs_no_broker(tmp_path: Path) -> None:
    """An hour without a broker is sixty reports, one a minute, each with its readings, all held."""
    clock = FakeClock()
    daemon = Daemon(settings_of(tmp_path), FakeRouter(clock, interfaces=traffic(clock)))
    turn_until(daemon, lambda: clock.at >= 1000 + 3600)
    made = reports(daemon)
    assert [report["seq"] for report in made] == list(range(1, len(made) + 1))
    assert len(made) == 60
    assert all(report["interfaces"] and report["host"] is not None for report in made)


def test_rates_do_not_know_the_wall_clock(tmp_path: Path) -> None:
    """The wall clock steps an hour back and forth within a span: the rates are those of the monotonic clock."""
    clock = FakeClock()
    daemon = Daemon(settings_of(tmp_path), FakeRouter(clock, interfaces=traffic(clock)))
    for seconds, step in ((100, -3600), (125, 7200), (400, -3600)):
        turn_until(daemon, lambda seconds=seconds: clock.at >= 1000 + seconds)
        clock.wall_at_zero += step
    turn_until(daemon, lambda: clock.at >= 1600)
    rates = [(wan["rx_bps"], wan["tx_bps"], wan["reset"]) for report in reports(daemon)[1:] for wan in report["interfaces"]]
    assert len(rates) >= 8
    assert set(rates) == {(1_000_000, 2_000_000, False)}


def test_a_clock_from_1970_to_now_to_an_hour_back(tmp_path: Path) -> None:
    """Every report is on time and spans its minute; `at` is absent while the clock is unset; each change is an event."""
    clock = FakeClock(wall=0.0, trust="none")
    daemon = Daemon(settings_of(tmp_path), FakeRouter(clock, interfaces=traffic(clock)))
    turn_until(daemon, lambda: clock.at >= 1000 + 300)
    clock.wall_at_zero, clock.trust = NOW, "ntp"
    turn_until(daemon, lambda: clock.at >= 1000 + 600)
    clock.wall_at_zero -= 3600
    turn_until(daemon, lambda: clock.at >= 1000 + 900)
    made = reports(daemon)
    assert [round(report["uptime_s"] - 1000) for report in made] == list(range(10, 900, 60))
    assert [report["span_s"] for report in made] == [10] + [60] * 14
    assert ["at" in report for report in made] == [False] * 5 + [True] * 10
    changes = [(event["data"]["from"], event["data"]["to"]) for event in said(daemon) if event.get("kind") == "clock"]
    assert changes == [("none", "ntp"), ("ntp", "ntp")]


def test_a_box_that_slept_makes_up_for_nothing(tmp_path: Path) -> None:
    """After an hour in which nothing ran there is one sample, not 360."""
    clock = FakeClock()
    moments: list[float] = []
    read = traffic(clock)
    daemon = Daemon(settings_of(tmp_path), FakeRouter(clock, interfaces=lambda: moments.append(clock.at) or read()))
    turn_until(daemon, lambda: len(moments) >= 5)
    clock.move(3600)
    turn_until(daemon, lambda: len(moments) >= 12)
    assert all(after - before >= 1 for before, after in pairwise(moments)), moments


def test_seconds_are_read_only_while_it_is_busy(tmp_path: Path) -> None:
    """On a calm uplink the counters are read at each sample; with `peaks` each second as well."""
    counts = []
    for number, peaks in enumerate((False, True)):
        clock = FakeClock()
        readings: list[float] = []
        read = traffic(clock)
        folder = tmp_path / str(number)
        folder.mkdir()
        router = FakeRouter(clock, interfaces=lambda readings=readings, read=read: readings.append(0) or read())
        daemon = Daemon(settings_of(folder, report={"peaks": peaks}), router)
        turn_until(daemon, lambda clock=clock: clock.at >= 1000 + 100)
        counts.append(len(readings))
    assert counts[0] <= 11
    assert counts[1] >= 90


def test_the_uplink_is_probed_again_and_again(tmp_path: Path) -> None:
    """Once a minute, each probe put away before the next."""
    clock = FakeClock()
    router = FakeRouter(clock)
    daemon = Daemon(settings_of(tmp_path), router)
    turn_until(daemon, lambda: clock.at >= 1000 + 600)
    assert 9 <= len(router.probes) <= 11
    assert reports(daemon)[-1]["uplink"]["state"] == "ok"


def test_no_report_is_without_a_sample(tmp_path: Path) -> None:
    """With as many reports as samples, a loop held up now and then makes reports late, never empty."""
    clock = FakeClock()
    daemon = Daemon(settings_of(tmp_path, report={"interval_s": 1, "sample_s": 1}), FakeRouter(clock, interfaces=traffic(clock)))
    for turn in range(400):
        clock.move((0.0, 0.45, 0.3, 0.97, 0.02)[turn % 5])
        daemon.turn()
    made = reports(daemon)
    assert len(made) > 50
    assert all(report.get("interfaces") for report in made)


def test_caps_are_read_once_a_report_and_at_its_end(tmp_path: Path) -> None:
    """Six samples, one reading, and what it says is of the very moment of the report; reports that come late have one too."""
    clock, read_at = FakeClock(), []

    def caps() -> Caps:
        read_at.append(clock.at)
        return Caps(True)

    daemon = Daemon(settings_of(tmp_path), FakeRouter(clock, interfaces=traffic(clock), caps=caps))
    turn_until(daemon, lambda: clock.at >= 1000 + 3600)
    assert read_at == [report["uptime_s"] for report in reports(daemon)]
    for turn in range(400):
        clock.move((0.0, 45, 30, 97, 2)[turn % 5])
        daemon.turn()
    assert all(report["caps"] == {"standing": True, "missing": []} for report in reports(daemon))


def test_caps_that_do_not_stand_are_an_alert_in_the_report(tmp_path: Path) -> None:
    """In the second report and as long as it is so; a kernel that cannot be asked changes nothing."""
    clock = FakeClock()
    router = FakeRouter(clock, caps=Caps(True, ("rwd-public is missing",)))
    daemon = Daemon(settings_of(tmp_path), router)
    for reading in (Caps(True, ("rwd-public is missing",)), Unavailable("timed out"), Caps(True), Caps(True, (), (), True), Caps()):
        router.caps = reading
        until = clock.at + 120
        turn_until(daemon, lambda until=until: clock.at >= until)
    told = [(report.get("caps", {}).get("standing"), report["alerts"]) for report in reports(daemon)]
    no, by = ["caps-not-standing"], ["offload-bypasses-caps"]
    assert told == [(False, []), (False, no), (None, no), (None, no), (True, []), (True, []), (True, by), (True, by), (None, []), (None, [])]


def test_caps_that_do_not_stand_are_told_to_root(tmp_path: Path) -> None:
    """When the second report finds them so, and once in five minutes; who could not be told is told with the next report."""
    clock = FakeClock()
    router = FakeRouter(clock, caps=Caps(True, ("rwd-public is missing",)))
    daemon = Daemon(settings_of(tmp_path), router)
    turn_until(daemon, lambda: clock.at >= 1000 + 600)
    assert router.told == ["caps", "caps"]
    router.caps = Caps(True)
    turn_until(daemon, lambda: clock.at >= 1000 + 1200)
    assert router.told == ["caps", "caps"]


def test_a_report_out_of_turn_has_what_is_read_once_a_report(tmp_path: Path) -> None:
    """Without it the city would read that no cap is wanted; the samples keep their own times."""
    clock, read_at = FakeClock(), []

    def caps() -> Caps:
        read_at.append(clock.at)
        return Caps(True)

    router = FakeRouter(clock, interfaces=traffic(clock), caps=caps)
    daemon = Daemon(settings_of(tmp_path), router)
    turn_until(daemon, lambda: clock.at >= 1000 + 85)
    clock.move(3)
    daemon.report_now()
    turn_until(daemon, lambda: clock.at >= 1000 + 300)
    assert all(report["caps"] == {"standing": True, "missing": []} for report in reports(daemon))
    assert sum(at % 10 == 3 for at in read_at) == 1 and sum(at % 10 == 0 for at in read_at) == len(read_at) - 1


def test_stations_that_come_where_each_is_capped_ring_root(tmp_path: Path) -> None:
    """Once for all that came between two samples; again when root could not be told; never where no station is capped."""
    clock, macs = FakeClock(), ["02:00:00:00:00:01"]
    bss = Bss("wlan0", "phy0", "2g", "RW", None, True, None, None)
    router = FakeRouter(clock, bss=[bss], stations=lambda _: [Station(mac, "wlan0", True, None, None, None) for mac in macs])
    daemon = Daemon(settings_of(tmp_path), router)

    def later(seconds: float = 70.0) -> list[str]:
        router.told.clear()
        until = clock.at + seconds
        turn_until(daemon, lambda: clock.at >= until)
        return list(router.told)

    assert later() == []
    router.caps = Caps(True, (), ("wlan0",))
    assert later() == ["stations"]
    assert later() == []
    macs.extend(("02:00:00:00:00:02", "02:00:00:00:00:03"))
    assert later() == ["stations"]
    router.is_deaf = True
    macs.append("02:00:00:00:00:04")
    assert len(later()) > 3
    router.is_deaf = False
    assert later() == ["stations"]
    router.bss = [7]
    assert later() == []


def test_a_radio_that_is_nonsense_does_not_end_the_daemon(tmp_path: Path) -> None:
    """Rows without name and state make no events and no crash; the part is missing and its collector named."""
    clock = FakeClock()
    router = FakeRouter(clock, radios=[Radio(*[None] * len(Radio._fields))])
    daemon = Daemon(settings_of(tmp_path), router)
    turn_until(daemon, lambda: clock.at >= 1000 + 200)
    last = reports(daemon)[-1]
    assert "radios" not in last
    assert "radios" in last["agent"]["collectors"]["radios"]["error"]


def test_a_radio_and_the_uplink_going_and_coming_are_events(tmp_path: Path) -> None:
    """Each change is told once, with what it was and for how long."""
    clock = FakeClock()
    living = Radio("radio0", "phy0", "2g", 6, 20, 20.0, -95, 0, 0, 0, True)
    router = FakeRouter(clock, radios=[living])
    daemon = Daemon(settings_of(tmp_path), router)
    turn_until(daemon, lambda: clock.at >= 1000 + 150)
    router.radios, router.reach = [living._replace(up=False)], Reach("dns", 1.0, None, None, 1, 3)  # type: ignore[method-assign, assignment, attr-defined]  # fakes
    turn_until(daemon, lambda: clock.at >= 1000 + 350)
    told = [(event["kind"], event["data"]) for event in said(daemon) if event.get("kind") in ("radio", "uplink")]
    assert ("radio", {"radio": "radio0", "up": False}) in told
    assert [(data["from"], data["to"]) for kind, data in told if kind == "uplink"] == [("ok", "dns")]
    assert len(told) == 2


def test_no_probe_where_it_is_off(tmp_path: Path) -> None:
    """probe.interval_s = 0 asks nothing of the network."""
    clock = FakeClock()
    router = FakeRouter(clock)
    daemon = Daemon(settings_of(tmp_path, probe={"interval_s": 0}), router)
    turn_until(daemon, lambda: clock.at >= 1000 + 300)
    assert router.probes == []


def test_a_restart_goes_on_in_the_same_boot(tmp_path: Path) -> None:
    """The first start of a boot is a boot, the next one a restart; nothing is lost and the numbers go on."""
    for _ in range(2):
        clock = FakeClock()
        daemon = Daemon(settings_of(tmp_path), FakeRouter(clock))
        count = daemon.outbox.figures().count
        run_until(daemon, lambda daemon=daemon, count=count: daemon.outbox.figures().count >= count + 3)
        held = said(daemon)
        daemon.outbox.close()
    assert [event["kind"] for event in held if event.get("kind") in ("boot", "agent")] == ["boot", "agent"]
    assert [message["seq"] for message in held] == list(range(1, len(held) + 1))


def test_a_reload_is_told_from_a_stop(tmp_path: Path) -> None:
    """SIGHUP ends the run in order to begin anew, SIGTERM for good."""
    for number, is_reload in ((signal.SIGTERM, False), (signal.SIGHUP, True)):
        daemon = Daemon(settings_of(tmp_path), FakeRouter())
        assert run_until(daemon, lambda daemon=daemon: daemon.outbox.figures().count >= 2, number) is is_reload
        daemon.outbox.close()


def test_who_ends_it_does_not_find_it_begun_anew_by_a_command(tmp_path: Path) -> None:
    """SIGTERM stands, also where `restart-agent` comes to its end in the same turn."""
    router = FakeRouter()
    daemon = Daemon(settings_of(tmp_path), router)

    def host() -> Host:
        os.kill(os.getpid(), signal.SIGTERM)
        daemon.commands._begin_anew()
        raise Unavailable("the agent is being ended")

    router.host = host  # type: ignore[method-assign]  # a fake
    assert daemon.run() is False
    daemon.outbox.close()


def test_a_reader_of_the_state_file_sees_it_whole(tmp_path: Path) -> None:
    """The file is replaced, never written over: who opened the former one reads that to its end."""
    daemon = Daemon(settings_of(tmp_path), FakeRouter())
    path = tmp_path / "run" / STATE_FILE
    opened: list[Any] = []

    def open_first() -> bool:
        if not opened and path.exists():
            opened.append(path.open("rb"))
            opened.append(os.stat(path).st_ino)
        return bool(opened) and daemon.outbox.figures().count >= 5

    run_until(daemon, open_first)
    with opened[0] as first:
        assert json.loads(first.read())["v"] == 1
        assert os.fstat(first.fileno()).st_ino != os.stat(path).st_ino
    state = json.loads(path.read_bytes())
    assert (state["pid"], state["broker"]["state"]) == (os.getpid(), "stopped")
    assert state["report"]["ap"] == "rw-0501"


def test_a_second_agent_is_refused(tmp_path: Path) -> None:
    """Two on one run_dir would write over each other; the second one is told what to do."""
    lock = hold(str(tmp_path))
    with pytest.raises(Rejected, match="another rwagent runs with it; stop that one"):
        hold(str(tmp_path))
    os.close(lock)
    os.close(hold(str(tmp_path)))


@pytest.mark.needs("mosquitto")
def test_the_start_says_who_and_clears_what_a_former_run_raised(tmp_path: Path) -> None:
    """`info` is retained and valid; an alert that a former run left retained is cleared once a report says that there is no such problem."""
    with Mosquitto(tmp_path) as mosquitto:
        mosquitto.publish(f"{ROOT}/alert/flash-full", b'{"v":1}', retain=True)
        board = Board("Fake AP", "fake,ap", "OpenWrt 25.12.1", "6.12.0", "rw-0501", "simulated")
        host = Host(*[None] * len(Host._fields))._replace(flash_free_bytes=9_000_000, flash_total_bytes=16_000_000)
        daemon = Daemon(settings_of(tmp_path, mosquitto.port), FakeRouter(WorldClock(), board=board, host=host))
        with Observer(mosquitto) as observer:
            run_until(daemon, lambda: observer.seen(f"{ROOT}/info") and [m for m in observer.seen(f"{ROOT}/alert/flash-full") if not m["payload"]])
        with Observer(mosquitto) as later:
            info = later.wait(lambda message: message["topic"] == f"{ROOT}/info")
    assert info["retain"] == 1
    jsonschema.Draft202012Validator(shapes.strict(schemas.published("info"))).validate(json.loads(info["payload"]))


@pytest.mark.needs("mosquitto")
def test_an_alert_is_retained_and_cleared_by_an_empty_payload(tmp_path: Path) -> None:
    """A full pool: the alert comes, retained, with its figures and in the report's list; empty again: it is cleared."""
    topic = f"{ROOT}/alert/dhcp-pool-full"
    leases = [150]
    router = FakeRouter(WorldClock(), dhcp=lambda: Dhcp(leases[0], 150))
    with Mosquitto(tmp_path) as mosquitto, Observer(mosquitto) as observer:
        daemon = Daemon(settings_of(tmp_path, mosquitto.port), router)

        def is_over() -> bool:
            raised = [message for message in observer.seen(topic) if message["payload"]]
            leases[0] = 10 if raised else 150
            return bool(raised) and not observer.seen(topic)[-1]["payload"]

        run_until(daemon, is_over)
        raised = json.loads(next(message["payload"] for message in observer.seen(topic) if message["payload"]))
        lists = [json.loads(message["payload"])["alerts"] for message in observer.seen(f"{ROOT}/report")]
    assert raised["data"] == {"leases": 150, "pool": 150}
    assert ["dhcp-pool-full"] in lists
    jsonschema.Draft202012Validator(shapes.strict(schemas.published("alert"))).validate(raised)


def root_says(folder: Path, **members: Any) -> None:
    """Let root write its word, whole, as the applier does."""
    status = folder / "run/status"
    status.mkdir(exist_ok=True)
    (status / ".new").write_text(json.dumps({"v": 1} | members))
    (status / ".new").replace(status / "config.json")


def test_pushed_knobs_hold_at_once_and_go_with_the_push(tmp_path: Path) -> None:
    """Each sample reads root's word: report and sample twice as often from then on, a late report says so by the new interval; then as agent.toml again."""
    clock = FakeClock()
    moments: list[float] = []
    read = traffic(clock)
    router = FakeRouter(clock, interfaces=lambda: moments.append(clock.at) or read())
    daemon = Daemon(settings_of(tmp_path), router)
    turn_until(daemon, lambda: clock.at >= 1000 + 100)
    root_says(tmp_path, agent={"report_interval_s": 20, "sample_interval_s": 4})
    turn_until(daemon, lambda: clock.at >= 1000 + 300)
    root_says(tmp_path, agent={})
    turn_until(daemon, lambda: clock.at >= 1000 + 600)
    spans = [report["span_s"] for report in reports(daemon)]
    assert spans[:2] == [10, 60]
    assert spans.count(20) >= 8
    assert spans[-3:] == [60, 60, 60]
    assert {round(after - before) for before, after in pairwise(moments)} <= {1, 2, 3, 4, 6, 10}
    assert daemon.post.interval_s == 60
    assert router.paces == [(20, 4), (60, 10)]


def test_a_pushed_report_interval_below_the_own_sample_takes_the_sample_along(tmp_path: Path) -> None:
    """Reports each 5 s with samples each 10 s would be empty every other time."""
    clock = FakeClock()
    settings = settings_of(tmp_path)
    root_says(tmp_path, agent={"report_interval_s": 5})
    daemon = Daemon(settings, FakeRouter(clock, interfaces=traffic(clock)))
    turn_until(daemon, lambda: clock.at >= 1000 + 60)
    assert (daemon.settings.report.interval_s, daemon.settings.report.sample_s) == (5, 5)
    assert all(report["interfaces"] for report in reports(daemon))


def test_roots_word_is_in_info_events_alerts_and_the_state_file(tmp_path: Path) -> None:
    """Keys and sections are told, each step is an event, a config held back is an alert, and `rwagent status` can show it."""
    clock = FakeClock()
    daemon = Daemon(settings_of(tmp_path), FakeRouter(clock))
    turn_until(daemon, lambda: clock.at >= 1000 + 30)
    reported = {"v": 1, "state": "rolled_back", "revision": 8, "current": 7}
    root_says(tmp_path, reported=reported, held=True, keys=["00112233aabbccdd"], sections=["ssids"])
    turn_until(daemon, lambda: clock.at >= 1000 + 200)
    assert [event["data"] for event in said(daemon) if event.get("kind") == "config"] == [{"revision": 8, "step": "rolled_back"}]
    assert reports(daemon)[-1]["alerts"] == ["config-held"]
    info = json.loads(daemon.post._said["info"])
    assert (info["keys"], info["sections"]) == (["00112233aabbccdd"], ["ssids"])
    push = json.loads((tmp_path / "run/daemon.json").read_bytes())["push"]
    assert (push["revision"], push["state"], push["current"], push["held"]) == (8, "rolled_back", 7, True)
