"""The shelf of things sensed: one file each, and the table that names them in the order of the report."""

from __future__ import annotations

from types import ModuleType

from agent.collectors import caps, dhcp, host, radios, stations, traffic, uplink

COLLECTORS: dict[str, ModuleType] = {module.NAME: module for module in (stations, radios, traffic, uplink, dhcp, caps, host)}
