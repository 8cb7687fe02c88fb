"""Room on flash, in RAM and in /tmp; the marks are those of the alerts flash-full and memory-low."""

from __future__ import annotations

import os

from agent.checks import openwrt
from agent.finding import Case, Finding

NAME = "storage"
FLASH_BAD, FLASH_WARN = 0.05, 0.10
MEMORY_BAD, MEMORY_WARN = 0.08, 0.15
TMP_WARN_BYTES = 1 << 20
MB = 1_000_000
FREE_FLASH = "remove what is not needed: see df -h, and the packages installed"
FREE_OVERLAY = "{}; du -sk {} shows what fills it. While it is full, uci commit keeps the old file and exits 0 all the same"
FREE_MEMORY = "see what takes it with top; run fewer services, or use a bigger box"


def check(case: Case, root: str = openwrt.ROOT) -> list[Finding]:
    """Compare what is free with what there is."""
    host = case.router.host()
    flash = _room("flash", host.flash_free_bytes, host.flash_total_bytes, FLASH_BAD, FLASH_WARN, FREE_FLASH)
    findings = [
        _of_openwrt(flash, root) if openwrt.is_openwrt(case) else flash,
        _room("memory", host.memory_available_bytes, host.memory_total_bytes, MEMORY_BAD, MEMORY_WARN, FREE_MEMORY),
    ]
    if host.tmp_free_bytes is not None and host.tmp_free_bytes < TMP_WARN_BYTES:
        findings.append(Finding("tmp", "warn", f"{host.tmp_free_bytes} bytes free in /tmp", "see what fills it with du -sh /tmp/*"))
    return findings


def _of_openwrt(flash: Finding, root: str) -> Finding:
    """Name what OpenWrt writes to, which is the overlay of a squashfs image or the root of an ext4 one, and how to make room there."""
    if flash.verdict == "skipped":
        return flash
    place, inside = ("/overlay", "/overlay/upper/*") if os.path.isdir(openwrt.below(root, "/overlay/upper")) else ("/", "/etc /root /usr")
    remedy = FREE_OVERLAY.format(openwrt.remove("PACKAGE", root), inside) if flash.remedy else ""
    return flash._replace(what=f"{flash.what} on {place}", remedy=remedy)


def _room(name: str, free: int | None, total: int | None, bad: float, warn: float, remedy: str) -> Finding:
    if free is None or not total:
        return Finding(name, "skipped", "the router does not tell")
    what = f"{free / MB:.0f} of {total / MB:.0f} MB free"
    ratio = free / total
    if ratio < warn:
        return Finding(name, "bad" if ratio < bad else "warn", what, remedy)
    return Finding(name, "ok", what)
