"""Flow offloading: the hardware's forwards packets past every queue, and with them past the caps; the kernel's own does not."""

from __future__ import annotations

from agent.checks import openwrt
from agent.finding import Case, Finding

NAME = "offload"
SWITCH_OFF = "uci set firewall.@defaults[0].flow_offloading_hw=0 && uci commit firewall && /etc/init.d/firewall restart"
SEE_HOOK = "no fact about the firewall: is /etc/config/firewall there?"


def check(case: Case) -> list[Finding]:
    """Judge by root's facts, for nobody else may read the firewall's configuration."""
    facts = openwrt.facts(case)
    if facts is None:
        return [Finding(NAME, "skipped", openwrt.SEE_FACTS)]
    software, hardware = facts.is_software_offload, facts.is_hardware_offload
    if hardware and software is False:
        # firewall4 looks at flow_offloading_hw only where flow_offloading is on.
        return [Finding(NAME, "ok", "flow_offloading_hw is 1, but without effect, for flow_offloading is 0")]
    if hardware:
        return [Finding(NAME, "warn", "hardware flow offloading is on (flow_offloading_hw is 1): caps are bypassed, no queue sees the packets", SWITCH_OFF)]
    if software:
        return [Finding(NAME, "ok", "software flow offloading is on: caps hold, but rules of the firewall's forward chain do not see established flows")]
    if software is None and hardware is None:
        return [Finding(NAME, "skipped", SEE_HOOK)]
    return [Finding(NAME, "ok", "flow offloading is off")]
