"""The shelf of the doctor's checks: one file each, and the table that names them in the order of the examination."""

from __future__ import annotations

from agent.checks import broker, certificate, clock, daemon, files, run_dir, storage, uplink, wifi
from agent.finding import Check

CHECKS: dict[str, Check] = {
    module.NAME: module.check for module in (files, run_dir, storage, clock, uplink, wifi, certificate, broker, daemon)
}
