"""The way out, layer by layer, by the same probe as the daemon's."""

from __future__ import annotations

from agent.finding import Case, Finding
from agent.once import finish
from agent.records import Path, Reach

NAME = "uplink"

REMEDIES = {
    "link": "look at the cable and the provider's box; if another device leads out, set router.uplink",
    "address": "no DHCP answer from the provider's box: restart that, or set the address by hand",
    "gateway": "the provider's box does not answer: restart it, and look at the cable",
    "dns": "the resolvers do not answer: set working ones in the network's settings",
    "internet": "nothing beyond the provider's box answers: call the provider, and look whether the broker's address and port are open",
}


def check(case: Case) -> list[Finding]:
    """Probe the uplink once and name the first layer that fails."""
    path = case.router.path()
    if path.device is None:
        return [Finding(NAME, "bad", "no default route, so no uplink", "bring the network up, or name the device in router.uplink")]
    if not path.up or path.address is None:
        layer = "address" if path.up else "link"
        return [Finding(NAME, "bad", f"{path.device} has no {layer}", REMEDIES[layer])]
    probe = case.settings.probe
    if not probe.interval_s:
        return [Finding(NAME, "skipped", f"{path.device}, {path.address} by {path.gateway or 'no gateway'}; not probed: probe.interval_s is 0")]
    reach = finish(case.router.probe(path, probe.dns_name, probe.internet, case.router.clock.monotonic()), case.router)
    what = f"{path.device}, {path.address} by {path.gateway or 'no gateway'}{_latencies(reach)}"
    if reach.state == "ok":
        return [Finding(NAME, "ok", what)]
    return [Finding(NAME, "bad", f"{_layer(reach, path)} does not answer: {what}", REMEDIES[reach.state])]


def _layer(reach: Reach, path: Path) -> str:
    if reach.state == "dns":
        return f"dns ({', '.join(path.nameservers) or 'no resolver is set'})"
    return reach.state


def _latencies(reach: Reach) -> str:
    named = (("gateway", reach.gateway_ms), ("dns", reach.dns_ms), ("internet", reach.internet_ms))
    return "".join(f", {name} {milliseconds:.1f} ms" for name, milliseconds in named if milliseconds is not None)
