"""The certificates: ours names this access point, and neither it nor the city's CA runs out soon."""

from __future__ import annotations

import time

from agent import identity
from agent.finding import Case, Finding

NAME = "certificate"
WARN_DAYS = 30
DAY_S = 86400


def check(case: Case) -> list[Finding]:
    """Read both files' first certificates."""
    broker = case.settings.broker
    findings = []
    if broker.cert_file:
        own = identity.certificate(broker.cert_file)
        if own.cn != case.settings.id:
            what = f"its CN is {own.cn[:60]!a}, but agent.id is {case.settings.id!a}: the broker will refuse this access point's topics"
            findings.append(Finding(NAME, "bad", what, f"enrol this access point, or set agent.id = {own.cn[:60]!a}"))
        findings.append(_expiry(NAME, own, "enrol this access point anew", case))
    if broker.tls and broker.ca_file:
        findings.append(_expiry("ca", identity.certificate(broker.ca_file), "ask the city for the new CA file", case))
    return findings or [Finding(NAME, "skipped", "no certificate is used")]


def _expiry(name: str, found: identity.Certificate, remedy: str, case: Case) -> Finding:
    ends = time.strftime("%Y-%m-%d", time.gmtime(found.expires_at))
    what = f"{found.cn!a} is valid until {ends}"
    if case.router.clock.state() != "ntp":
        return Finding(name, "skipped", f"{what}; the clock is not trusted, so neither is any comparison")
    days = (found.expires_at - case.router.clock.wall()) / DAY_S
    if days <= 0:
        return Finding(name, "bad", f"{found.cn!a} expired on {ends}", remedy)
    return Finding(name, "warn" if days < WARN_DAYS else "ok", f"{what}, {days:.0f} days", remedy if days < WARN_DAYS else "")
