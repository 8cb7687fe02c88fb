"""The shelf of what can be pushed: one file for each part of a document, and the table that names them in the order of their changes."""

from __future__ import annotations

from types import ModuleType

from agent.sections import agent, dns, radios, ssids, system, uplink

SECTIONS: dict[str, ModuleType] = {module.NAME: module for module in (ssids, radios, uplink, dns, agent, system)}
