"""The stand-in userland against what the real one did: each recorded command line is run again, and must print and end as recorded."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fakes.openwrt.userland.box import HERE, Box, package_of
from tests.replayed import counted

CASES: dict[str, dict[str, Any]] = {
    case["name"]: case for case in json.loads((Path(__file__).parent / "captures" / "openwrt-userland" / "cases.json").read_text(encoding="utf-8"))
}
COUNT = f"uci and service recordings replayed, of {len(CASES)}"
# Why a recording is not replayed: what it shows is of a program that the stand-in does not stand for.
NOT_REPLAYED = {
    "svc-syntax-error-script": "the sentence is BusyBox ash's, about a script that the stand-in does not run",
    "svc-missing-binary": "the start script stands in the command line; test_a_missing_program has the claim",
    "apply-network-rollback-reverts-live": "addresses of netifd are not stood in for, and the command line is not the one that printed this",
    "ubus-uci-commit-session": "prints the kernel's host name",
    "ubus-uci-state": "reads what netifd keeps in /var/state",
}
GRANTED, UNGRANTED = ("7ae257be87609a9f70119b3578ee97f2", "08a259733779110b75af30bdc51c4b74"), "df84c67cfd61f63515cca8e778603a31"
# What the rig had from the recordings before this one.
BEFORE: dict[str, tuple[str, ...]] = {
    "apply-cli-pending-not-included": ("hostname=RigA",),
    "uci-newline-value": ("hostname=RigA", "description=fromB"),
    "apply-rollback-explicit": ("description=D2",),
    "uci-commit-commits-others-staged": ("description=D9",),
}
STAGED_IN_SESSION = ("ubus-uci-changes-config", "ubus-uci-get-sees-session-delta", "ubus-uci-commit-session")
LEVEL_ERR = ("svc-kill9-respawn", "svc-crash-loop")
NOT_STARTED = ("svc-enabled-before", "svc-enable", "svc-start", "svc-stop-when-stopped")
LISTS = ("loopback.ipaddr", "@device[0].ports", "@device[1].ports")
NEEDS_ROOT = ("uci-commit-disk-full", "uci-commit-readonly")  # they mount
_ABSOLUTE = re.compile(r"(?<![\w./])/(?=(?:etc|var|tmp|opt|mnt)\b|usr/bin/python3)")
FEWER = {40: 3, 200: 8, 400: 16}  # times that the races were run; each run here is a Python
KILL_RPCD = f"""{sys.executable} -IS -c 'import sys; sys.path.insert(0, "{HERE}"); import programs; programs.ask(sys.argv[1], "kill rpcd")'"""
AGENT = """import os, signal, sys, time
FOLDER = {folder!r}
def log(text):
    with open(FOLDER + "/log", "a") as log:
        log.write(f"Sat Nov 21 22:05:20 2026 daemon.info python3[{{os.getpid()}}]: agent {{text}}\\n")
def heard(s, _):
    log(f"got signal {{s}}")
    if s==signal.SIGTERM: sys.exit(0)
signal.signal(signal.SIGTERM, heard)
signal.signal(signal.SIGHUP, heard)
log(f"start pid {{os.getpid()}}")
while True:
    time.sleep(60)
"""


class Done(NamedTuple):
    """How a command line ended."""

    out: str
    err: str
    code: int


def replay(box: Box, command: str) -> Done:
    """Run a recorded command line on a box, and give what it printed as if the box were the whole machine."""
    here = str(box.folder)
    for many, few in FEWER.items():
        command = command.replace(f"$(seq 1 {many})", f"$(seq 1 {few})")
    command = _ABSOLUTE.sub(f"{here}/", command).replace("kill -9 $(pidof rpcd)", f"{KILL_RPCD} {here}")
    done = box.run("bash", "-c", command, seconds=120)
    assert not box.timers.broken, box.timers.broken[0]
    return Done(done.stdout.replace(here, ""), done.stderr.replace(here, ""), done.returncode)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """The rig, with a second that is short."""
    with Box(tmp_path / "box", "rig-x86") as made:
        made.use_slow_clock()
        yield made


def normal(name: str, text: str) -> str:
    """Take out what is another each time: process ids, times of day, sizes and days of files, counts of a race."""
    text = re.sub(r"^\w{3} \w{3} [ \d]\d [\d:]{8} \d{4} ", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=python3\[)\d+|(?<=pid )\d+|(?<=\"pid\": )\d+|(?<=old )\d+|(?<=new )\d+", "N", text)
    text = re.sub(r"^([-dl][-rwxtT]{9}) .*? \d\d:\d\d (.*)$", r"\1 \2", text, flags=re.MULTILINE)
    text = re.sub(r"^total \d+\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=crash loop )(\d+) crashes, \d+ seconds", r"\1 crashes, N seconds", text)
    text = re.sub(r"\n(?:t\+\d+ same\n)*t\+\d+ restarted", "\nt+N restarted", text)
    if name == "svc-sigterm-ignored-kill-after-term_timeout":
        text = re.sub(r"(t\+\d alive\n)+(t\+\d gone\n)+", "alive, then gone\n", text)
    if name == "wifi-bad-channel":  # of all that hostapd logs: the cause, and that it gave up
        text = "".join(line for line in text.splitlines(True) if " daemon." not in f" {line}" or re.search("determine|->DISABLED|add_iface failed", line))
    if name == "wifi-reload-ssid-change":
        text = re.sub(r"(t\+\d no object\n)*(OpenWrt-Guest2\n)+", "gone for a moment, then the new name\n", text)
    if name == "uci-concurrent-6x40-flocked":
        text = re.sub(r"^(240|18) of 240", "all", text)
    elif name.startswith("uci-concurrent"):
        text = re.sub(r"\b\d+ of 240|^\d+$", "N", text, flags=re.MULTILINE)
        text = re.sub(r"k\d_\d", "k", text)
    return text


def prepare(box: Box, name: str) -> None:
    """Let the box be as the rig was before this recording."""
    (box.folder / "tmp").chmod(0o1777)
    (box.folder / "mnt").mkdir()
    if name in BEFORE:
        box.technician(*(f"set system.@system[0].{what}" for what in BEFORE[name]), reload=False)
    for session in GRANTED:
        box.rpcd_daemon.sessions[session] = {"uci"}
    box.rpcd_daemon.sessions[UNGRANTED] = set()
    delta = box.rpcd_daemon.delta_of(GRANTED[0])
    if name in STAGED_IN_SESSION or name == "apply-then-timeout-rollback":
        delta.mkdir(parents=True)
    if name in STAGED_IN_SESSION:
        box.uci("-t", str(delta), "set", "system.@system[0].hostname=RigA")
    elif delta.exists():
        for package in ("network", "wireless"):
            (delta / package).touch()  # what a session's revert leaves
    if name.startswith(("uci-show-", "uci-export-", "ubus-uci-get-")) or name == "ubus-uci-configs":
        as_recorded(box, CASES["uci-show-all"]["stdout"])
    if name.startswith("svc-"):
        install_agent(box, name)


def as_recorded(box: Box, shown: str) -> None:
    """Let the configurations be those of the rig's recording of all of them."""
    packages: dict[str, str] = {}
    for line in shown.splitlines(keepends=True):
        packages[line.partition(".")[0]] = packages.get(line.partition(".")[0], "") + line
    for path in box.config.iterdir():
        path.unlink()
    for package, text in packages.items():
        (box.config / package).write_bytes(package_of(package, text, LISTS).exported(False).encode("latin-1"))


def install_agent(box: Box, name: str) -> None:
    """Install the rig's service, and start it where it was started."""
    script = box.folder / "opt" / "agent" / "agent.py"
    script.parent.mkdir(parents=True)
    script.write_text(AGENT.format(folder=str(box.folder)))
    (box.config / "rigagent").write_text(f"config agent 'main'\n\toption level '{'err' if name in LEVEL_ERR else 'info'}'\n")
    python = str(box.folder / "usr" / "bin" / "python3")
    box.service(
        "rigagent", lambda: [python, str(script), "--level", box.value("rigagent.main.level") or ""], reload_on=("rigagent",), respawn=(3600, 1, 3),
        env={"PYTHONUNBUFFERED": "1"}, pidfile="/var/run/rigagent.pid", instance="main",
    )  # fmt: skip
    box.quiet_when.append(lambda: box.procd.pid("rigagent") is None or f"start pid {box.procd.pid('rigagent')}" in "".join(box.log()))
    if name == "svc-reload-trigger-second-change":
        box.run("reload_config")
    if name not in NOT_STARTED:
        box.run(str(box.init_d / "rigagent"), "start")
        box.wait_for(lambda: any("agent start" in line for line in box.log()))
    if name == "svc-sigterm-ignored-kill-after-term_timeout":
        box.run(str(box.init_d / "rigagent"), "stop")
        box.wait_for(lambda: any("signal 15" in line for line in box.log()))
    if name in ("svc-signal-hup", "svc-sigterm-ignored-kill-after-term_timeout"):
        (box.folder / "log").write_text("".join(f"{line}\n" for line in box.log()[-1:] if "signal 15" in line))
    if name == "svc-signal-hup":
        box.quiet_when[:] = [lambda: any("got signal" in line for line in box.log())]


def sentences(text: str) -> list[str]:
    """Give what programs of the box said on standard error: the reason alone, where the recording is shortened."""
    said = [line for line in text.split("\n") if line.startswith(("uci: ", "Command failed"))]
    return [re.sub(r"^Command failed: .* (\([^()]*\))( \+ usage text)?$", r"\1", line).strip() for line in said]


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_REPLAYED])
def test_it_does_what_the_real_one_did(box: Box, name: str, record_property: Callable[[str, object], None]) -> None:
    """The same output, the same exit code, and the same sentence on standard error."""
    case = CASES[name]
    if name in NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("needs root: it mounts")
    prepare(box, name)
    done = replay(box, case["command"])
    assert normal(name, done.out) == normal(name, case["stdout"])
    assert done.code == case["exit"]
    assert sentences(done.err) == sentences(case["stderr"])
    record_property(counted(COUNT), 1)
