"""Room on flash, in RAM and in /tmp; the marks are those of the alerts flash-full and memory-low."""

from __future__ import annotations

from agent.finding import Case, Finding

NAME = "storage"
FLASH_BAD, FLASH_WARN = 0.05, 0.10
MEMORY_BAD, MEMORY_WARN = 0.08, 0.15
TMP_WARN_BYTES = 1 << 20
MB = 1_000_000
FREE_FLASH = "remove what is not needed: see df -h, and the packages installed"
FREE_MEMORY = "see what takes it with top; run fewer services, or use a bigger box"


def check(case: Case) -> list[Finding]:
    """Compare what is free with what there is."""
    host = case.router.host()
    findings = [
        _room("flash", host.flash_free_bytes, host.flash_total_bytes, FLASH_BAD, FLASH_WARN, FREE_FLASH),
        _room("memory", host.memory_available_bytes, host.memory_total_bytes, MEMORY_BAD, MEMORY_WARN, FREE_MEMORY),
    ]
    if host.tmp_free_bytes is not None and host.tmp_free_bytes < TMP_WARN_BYTES:
        findings.append(Finding("tmp", "warn", f"{host.tmp_free_bytes} bytes free in /tmp", "see what fills it with du -sh /tmp/*"))
    return findings


def _room(name: str, free: int | None, total: int | None, bad: float, warn: float, remedy: str) -> Finding:
    if free is None or not total:
        return Finding(name, "skipped", "the router does not tell")
    what = f"{free / MB:.0f} of {total / MB:.0f} MB free"
    ratio = free / total
    if ratio < warn:
        return Finding(name, "bad" if ratio < bad else "warn", what, remedy)
    return Finding(name, "ok", what)
