"""Bandwidth caps: which are wanted, and whether the kernel has them, asked of it anew."""

from __future__ import annotations

import os

from agent.checks import offload, openwrt
from agent.finding import Case, Finding
from agent.router import caps
from agent.router.caps import UPLINK, Cap
from agent.router.child import SCRIPTS

NAME = "caps"
PROGRAMS = (("tc", "tc-tiny"), ("ip", "ip-tiny"))


def check(case: Case, root: str = openwrt.ROOT) -> list[Finding]:
    """Compare what root wants with what stands; where no cap is wanted nothing is looked at."""
    found = case.router.caps()
    if not found.is_wanted:
        return [Finding(NAME, "skipped", "no bandwidth cap is wanted")]
    findings = []
    if found.is_bypassed:
        findings.append(Finding(NAME, "bad", "hardware flow offloading is on: packets pass by the caps", offload.SWITCH_OFF))
    if not found.missing:
        described = ", ".join(map(_described, caps.read(os.path.join(case.settings.paths.run_dir, "status"), _file(case)).caps))
        return [*findings, Finding(NAME, "ok", f"the kernel has what is wanted{described and f': {described}'}")]
    for program, package in PROGRAMS if case.settings.router.backend != "simulated" else ():
        if not openwrt.has_program(program, root):
            findings.append(Finding(NAME, "bad", f"there is no {program} on this box: no cap can be set", openwrt.install(package, root)))
    return [*findings, Finding(NAME, "bad", f"not as wanted: {'; '.join(found.missing)}", _apply(case))]


def _apply(case: Case) -> str:
    """Give the command by which root sets them again."""
    paths = case.settings.paths
    words = (f"STATUS={paths.run_dir}/status", "sh", os.path.join(SCRIPTS, "caps"), "apply", _file(case), os.path.join(paths.apply_dir, "caps"))
    return f"{' '.join(words)} as root sets them again, or says why it cannot"


def _file(case: Case) -> str:
    return caps.place(case.settings.router.backend, case.settings.paths.state_dir)


def _described(cap: Cap) -> str:
    each = (cap.station_down_kbit, cap.station_up_kbit)
    whose = "the way out" if cap.name == UPLINK else cap.name
    return f"{whose} {_mbps(cap.down_kbit)}/{_mbps(cap.up_kbit)} Mbit/s" + (f", each station {'/'.join(map(_mbps, each))}" if any(each) else "")


def _mbps(kbit: int | None) -> str:
    return "any" if kbit is None else f"{kbit / 1000:g}"
