"""One report without a broker, for `rwagent once`; writes nothing."""

from __future__ import annotations

import select
import time

from agent.collectors import COLLECTORS
from agent.records import Knobs, Path, Reach
from agent.report import Part, Reporter, moment_of, own_figures
from agent.router import backends
from agent.router.contract import Probe, Router
from agent.sensing import Sensing
from agent.settings import Settings

BETWEEN_SAMPLES_S = 1.0
COLLECTOR_BUDGET_S = 5.0


def one_report(settings: Settings) -> Part:
    """Take two samples a second apart and a probe between them, and give the report they make."""
    router = backends.open_router(settings)
    clock = router.clock
    sensing = Sensing(COLLECTORS, COLLECTOR_BUDGET_S)
    reporter = Reporter(COLLECTORS, Knobs(settings.router.contract_mbps, settings.report.peaks, settings.probe.interval_s), clock.monotonic())
    first = sensing.sample(router)
    reporter.add(first)
    ends = clock.monotonic() + BETWEEN_SAMPLES_S
    path = first.readings.get("uplink")
    if settings.probe.interval_s and isinstance(path, Path) and path.address:
        probe = router.probe(path, settings.probe.dns_name, settings.probe.internet, clock.monotonic())
        reporter.reach(clock.monotonic(), finish(probe, router))
    time.sleep(clock.real_seconds(max(0.0, ends - clock.monotonic())))
    reporter.add(sensing.sample(router))
    report = reporter.build(settings.id, router.boot(), 1, moment_of(clock), own_figures() | {"oldest_seq": 1})
    reporter.encode(report)
    return report


def finish(probe: Probe, router: Router) -> Reach:
    """Wait for a probe's outcome; the probe's own deadlines bound the wait."""
    clock = router.clock
    try:
        while True:
            reach = probe.advance(clock.monotonic())
            if reach is not None:
                return reach
            poller = select.poll()
            for fd, mask in probe.fds().items():
                poller.register(fd, mask)
            poller.poll(clock.real_seconds(max(0.0, probe.deadline() - clock.monotonic())) * 1000 + 1)
    finally:
        probe.close()
