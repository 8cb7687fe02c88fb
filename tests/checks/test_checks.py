"""Each of the doctor's small checks: well, not well, and what to do."""

from __future__ import annotations

import datetime
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from agent.checks import certificate, clock, daemon, files, run_dir, storage, uplink, wifi
from agent.finding import Case
from agent.records import Host, Reach
from agent.records import Path as WayOut
from agent.status import Status
from tests.fakes import certificates
from tests.fakes.router import FakeClock, FakeRouter
from tests.settings_of import settings

NOT_RUNNING = Status(False, "there is no daemon.json", None, {})
CA = certificates.authority()


def make(router: FakeRouter | None = None, status: Status = NOT_RUNNING, config: str = "/nowhere", **tables: dict[str, Any]) -> Case:
    return Case(config, settings(**tables), router or FakeRouter(), status)


def host(**values: int) -> Host:
    return Host(*[None] * len(Host._fields))._replace(**values)


def test_files_nobody_else_may_change_are_well(tmp_path: Path) -> None:
    """A file that only its owner may write."""
    file = tmp_path / "agent.toml"
    file.touch(0o644)
    assert [finding.verdict for finding in files.check(make(config=str(file)))] == ["ok"]


def test_a_file_everybody_may_change_is_bad(tmp_path: Path) -> None:
    """Whoever may write agent.toml rules the agent: bad, with the command."""
    file = tmp_path / "agent.toml"
    file.touch()
    file.chmod(0o666)
    (finding,) = files.check(make(config=str(file)))
    assert (finding.verdict, finding.remedy) == ("bad", f"run chmod o-w {file}")


def test_a_directory_everybody_may_change_is_bad(tmp_path: Path) -> None:
    """Whoever may write the directory may replace the file."""
    file = tmp_path / "agent.toml"
    file.touch(0o644)
    tmp_path.chmod(0o777)
    (finding,) = files.check(make(config=str(file)))
    assert finding.remedy == f"run chmod o-w {tmp_path}"


def test_the_kind_of_file_system_is_that_of_the_nearest_mount() -> None:
    """The longest mount point counts, spaces in it and later mounts over it too."""
    mounts = "/dev/root / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n/dev/x /run/a\\040b vfat rw 0 0\ntmpfs / overlay rw 0 0\n"
    assert [run_dir.filesystem(mounts, path) for path in ("/run/rwagent", "/run/a b/c", "/runner", "/")] == ["tmpfs", "vfat", "overlay", "overlay"]


def test_a_run_dir_in_ram_is_well() -> None:
    """/dev/shm is tmpfs wherever there is one."""
    assert run_dir.check(make(paths={"run_dir": "/dev/shm/not/made/yet"}))[0].verdict == "ok"


def test_a_run_dir_that_is_a_file_is_bad(tmp_path: Path) -> None:
    """Where a file stands in the way nothing can be written."""
    (tmp_path / "run").touch()
    assert run_dir.check(make(paths={"run_dir": str(tmp_path / "run")}))[0].verdict == "bad"


@pytest.mark.parametrize(("free", "verdict"), [(50, "ok"), (10, "ok"), (9, "warn"), (5, "warn"), (4, "bad"), (0, "bad")])
def test_room_on_flash(free: int, verdict: str) -> None:
    """Less than a tenth free is a warning, less than a twentieth bad."""
    assert storage.check(make(FakeRouter(host=host(flash_free_bytes=free, flash_total_bytes=100))))[0].verdict == verdict


def test_room_that_is_not_known_is_skipped() -> None:
    """A router that does not tell is not called full."""
    assert [finding.verdict for finding in storage.check(make())] == ["skipped", "skipped"]


def test_a_full_tmp_is_a_warning() -> None:
    """Under a megabyte in /tmp."""
    assert storage.check(make(FakeRouter(host=host(tmp_free_bytes=1000))))[-1].name == "tmp"


@pytest.mark.parametrize(("state", "verdict"), [("ntp", "ok"), ("floor", "warn"), ("none", "warn")])
def test_the_clock(state: Any, verdict: str) -> None:
    """Only a clock that somebody vouches for is well; a wrong one is no failure."""
    assert clock.check(make(FakeRouter(FakeClock(trust=state))))[0].verdict == verdict


@pytest.mark.parametrize("state", ["gateway", "dns", "internet"])
def test_the_first_layer_that_fails_is_named_with_its_remedy(state: Any) -> None:
    """A probe that ends at a layer: bad, the layer, and that layer's remedy."""
    (finding,) = uplink.check(make(FakeRouter(reach=Reach(state, 1.2, None, None, 1, 3))))
    assert finding.verdict == "bad"
    assert finding.what.startswith(state)
    assert finding.remedy == uplink.REMEDIES[state]


def test_an_uplink_that_works_is_told_with_its_latencies() -> None:
    """Every layer's milliseconds."""
    (finding,) = uplink.check(make())
    assert finding.what == "wan, 192.0.2.10 by 192.0.2.1, gateway 1.2 ms, dns 8.0 ms, internet 14.9 ms"


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (WayOut(None, False, None, None, (), None), "no default route, so no uplink"),
        (WayOut("wan", False, None, None, (), None), "wan has no link"),
        (WayOut("wan", True, None, None, (), None), "wan has no address"),
    ],
)
def test_no_way_out_is_told_without_probing(path: WayOut, what: str) -> None:
    """Without device, link or address nothing is sent."""
    router = FakeRouter(path=path)
    assert uplink.check(make(router))[0].what == what
    assert router.probes == []


def test_a_probe_that_is_off_stays_off() -> None:
    """probe.interval_s = 0 is obeyed by the doctor too."""
    router = FakeRouter()
    assert uplink.check(make(router, probe={"interval_s": 0}))[0].verdict == "skipped"
    assert router.probes == []


def test_no_certificate_is_skipped() -> None:
    """Plain text on loopback uses none."""
    assert certificate.check(make())[0].verdict == "skipped"


@pytest.mark.parametrize(("days", "verdict"), [(400, "ok"), (31, "ok"), (29, "warn"), (-1, "bad")])
def test_the_certificates_end(tmp_path: Path, days: int, verdict: str) -> None:
    """A month before its end is a warning, after it bad."""
    router = FakeRouter()
    ends = datetime.datetime.fromtimestamp(router.clock.wall(), datetime.timezone.utc) + datetime.timedelta(days=days, hours=1)
    assert certificate.check(make(router, broker=with_certificate(tmp_path, "rw-1", ends)))[0].verdict == verdict


def test_an_untrusted_clock_judges_no_certificate(tmp_path: Path) -> None:
    """Compared with a wrong clock every certificate is expired: not compared."""
    router = FakeRouter(FakeClock(trust="floor"))
    assert {finding.verdict for finding in certificate.check(make(router, broker=with_certificate(tmp_path, "rw-1")))} == {"skipped"}


def test_a_certificate_for_somebody_else_is_bad(tmp_path: Path) -> None:
    """A CN that is not the id: the broker would refuse every topic."""
    finding = certificate.check(make(broker=with_certificate(tmp_path, "rw-2")))[0]
    assert (finding.verdict, finding.remedy) == ("bad", "enrol this access point, or set agent.id = 'rw-2'")


def with_certificate(folder: Path, cn: str, ends: datetime.datetime = certificates.NOT_AFTER) -> dict[str, Any]:
    issued = certificates.issue(CA, cn, not_after=ends)
    for name, content in (("ca", CA.pem()), ("cert", issued.pem()), ("key", issued.key_pem())):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return {"host": "localhost", "ca_file": f"{folder}/ca", "cert_file": f"{folder}/cert", "key_file": f"{folder}/key"}


def test_a_simulated_router_has_no_wifi_to_look_at() -> None:
    """Nothing of this machine is looked at for a simulated one."""
    assert wifi.check(make(router={"backend": "simulated"}))[0].verdict == "skipped"


def test_no_control_socket_is_a_warning(tmp_path: Path) -> None:
    """Without hostapd the kernel's word is all there is."""
    assert wifi.hostapd(str(tmp_path)).verdict == "warn"


def test_control_sockets_are_named(tmp_path: Path) -> None:
    """Each BSS's socket that may be asked; other files are none."""
    before = os.getcwd()
    (tmp_path / "other").touch()
    os.chdir(tmp_path)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.bind("phy0-ap0")
            assert wifi.hostapd(str(tmp_path)) == ("hostapd", "ok", "control sockets: phy0-ap0", "")
    finally:
        os.chdir(before)


def test_socket_names_reach_no_terminal_as_they_are(tmp_path: Path) -> None:
    """Whatever a socket is called, the finding is a printable line."""
    name = os.fsdecode(b"a\x1b[2J\n\xff")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(tmp_path / name))
        assert wifi.hostapd(str(tmp_path)).what == r"control sockets: a\x1b[2J\x0a\xff"


def test_no_daemon_is_bad() -> None:
    """Not running, why, and how to start it."""
    (finding,) = daemon.check(make())
    assert (finding.verdict, finding.what) == ("bad", "not running: there is no daemon.json")


@pytest.mark.parametrize(("age", "verdict"), [(5.0, "ok"), (239.0, "ok"), (241.0, "bad")])
def test_a_daemon_that_writes_nothing_is_bad(age: float, verdict: str) -> None:
    """Three reports missed: it lives and does nothing."""
    assert daemon.check(make(status=Status(True, "", age, {"pid": 7})))[0].verdict == verdict


@pytest.mark.parametrize(("age", "verdict"), [(10_859.0, "ok"), (10_861.0, "bad")])
def test_a_daemon_that_was_told_to_report_hourly_may_be_silent_for_hours(tmp_path: Path, age: float, verdict: str) -> None:
    """The pace of the push in force counts, not agent.toml's."""
    (tmp_path / "status").mkdir()
    (tmp_path / "status/config.json").write_text('{"v": 1, "agent": {"report_interval_s": 3600, "sample_interval_s": 600}}')
    case = make(status=Status(True, "", age, {"pid": 7}), paths={"run_dir": str(tmp_path)})
    assert daemon.check(case)[0].verdict == verdict


def test_safe_mode_is_bad() -> None:
    """Since when, why, and how to have the agent tried normally."""
    told = {"since_s": 720.0, "crashes": 5, "last_crash": "", "tries_again_in_s": 1080.0}
    (finding,) = daemon.check(make(status=Status(True, "", 5.0, {"pid": 7, "safe_mode": told})))
    assert finding.verdict == "bad" and finding.what.startswith("in safe mode: only presence, pushes and the command logs, after 5 crashes; for 12 min 0 s")
    assert "/etc/init.d/rwagent restart" in finding.remedy
