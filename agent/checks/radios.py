"""Wanted against running: each network that UCI asks for must have its hostapd object, whatever netifd says of the radio."""

from __future__ import annotations

import os
from collections.abc import Mapping

from agent.checks import openwrt
from agent.errors import Unavailable
from agent.finding import Case, Finding
from agent.router import hostapd_ubus
from agent.router.facts import Facts, Network, RadioFacts, is_wanted
from agent.router.hostapd_ubus import MOST_NETWORKS, PREFIX
from agent.router.text import printable
from agent.router.ubus import Call, Refused, Ubus
from agent.router.ubus_message import NOT_FOUND, PERMISSION_DENIED

NAME = "radios"
NO_PROGRAM = "hostapd is not installed: no network can be on air"
NO_NETWORK = "no network is wanted on air"


def check(case: Case, root: str = openwrt.ROOT) -> list[Finding]:
    """Go through the radios as configured, and ask hostapd for each of their networks."""
    facts = openwrt.facts(case) or Facts()
    if not facts.radios and not os.path.isdir(openwrt.below(root, "/sys/class/ieee80211")):
        return []
    bus = openwrt.connect(case)
    try:
        running, silent = _running(bus)
    except Unavailable as error:
        return [Finding(NAME, "skipped", f"hostapd cannot be asked: {error}")]
    finally:
        bus.close()
    if silent:
        return [Finding(NAME, "bad", f"hostapd does not answer: {silent}", openwrt.HOSTAPD_REMEDY)]
    if not running and not openwrt.has_program("hostapd", root):
        return [Finding(NAME, "bad", NO_PROGRAM, openwrt.install("wpad-basic-mbedtls", root))]
    return [finding for radio in facts.radios for finding in _radio(radio, running)] + _on_air(running, facts)


def _running(bus: Ubus) -> tuple[dict[str, hostapd_ubus.Network], Refused | None]:
    """Give what hostapd runs, and its failure to say so; Unavailable when that cannot be asked."""
    names = sorted(name for name in bus.lookup(PREFIX + "*") if name != PREFIX)[:MOST_NETWORKS]
    if not names:
        bus.call("system", "board")  # Refused where ubusd hides everything from this user, then also hostapd
    running, silent = {}, None
    for name, answer in zip(names, bus.call_all([Call(name, "get_status") for name in names]), strict=True):
        if not isinstance(answer, Refused):
            running[name[len(PREFIX) :]] = hostapd_ubus.parse_status(name[len(PREFIX) :], answer)
        elif answer.status == PERMISSION_DENIED:
            raise answer
        elif answer.status != NOT_FOUND:
            silent = answer
    return running, silent


def _on_air(running: Mapping[str, hostapd_ubus.Network], facts: Facts) -> list[Finding]:
    enabled = [network for network in running.values() if network.is_enabled]
    if enabled:
        named = [f"{printable(one.ifname)} {_quoted(one.ssid)}" + (f" on channel {one.channel}" if one.channel else "") for one in enabled]
        return [Finding(NAME, "ok", f"on air: {', '.join(named)}")]
    return [] if any(is_wanted(radio, network) for radio in facts.radios for network in radio.networks) else [Finding(NAME, "skipped", NO_NETWORK)]


def _radio(radio: RadioFacts, running: Mapping[str, hostapd_ubus.Network]) -> list[Finding]:
    if radio.is_disabled:
        switch_on = f"if it should send: uci set wireless.{radio.name}.disabled=0; uci commit wireless; wifi up {radio.name}"
        return [Finding(NAME, "skipped", f"{radio.name} is switched off in UCI", switch_on)]
    found = {network: _object(radio, network, running) for network in radio.networks if is_wanted(radio, network)}
    missing = [network for network, run in found.items() if run is None]
    findings = [_lost(radio, missing)] if missing else []
    return findings + [finding for run in found.values() if run and not run.is_enabled for finding in _state(radio, run)]


def _lost(radio: RadioFacts, missing: list[Network]) -> Finding:
    what = f"not on air: {_names(missing)}; {_described(radio)}"
    if radio.is_setup_failed:
        return Finding(NAME, "bad", f"{what}: netifd gave up after 3 attempts to start it", _retune(radio))
    if radio.is_pending:
        return Finding(NAME, "warn", f"{what}: netifd is still starting it", "ask again in a minute")
    if radio.is_up is False:
        return Finding(NAME, "bad", f"{what}: netifd has it down", f"wifi up {radio.name}; if it stays down, logread -e netifd says why")
    return Finding(NAME, "bad", f"{what}: hostapd does not run it, though netifd may say up", _retune(radio))


def _object(radio: RadioFacts, network: Network, running: Mapping[str, hostapd_ubus.Network]) -> hostapd_ubus.Network | None:
    """Find what runs for a network. Facts written while it was being started lack its interface: then radio and SSID tell."""
    if network.ifname:
        return running.get(network.ifname)
    return next((one for one in running.values() if one.ssid == network.ssid and radio.phy in (None, one.phy)), None)


def _state(radio: RadioFacts, network: hostapd_ubus.Network) -> list[Finding]:
    name = f"{printable(network.ifname)} {_quoted(network.ssid)}"
    if network.is_radar_check:
        return [Finding(NAME, "warn", f"{name} listens for radar before it may send; {_described(radio)}", "wait: 1 minute, for weather radar 10")]
    return [Finding(NAME, "bad", f"hostapd has {name}, but not on air; {_described(radio)}", _retune(radio))]


def _described(radio: RadioFacts) -> str:
    parts = [radio.band, radio.channel and f"channel {radio.channel}", radio.htmode, f"country {radio.country or 'not set'}"]
    return f"{radio.name} ({', '.join(part for part in parts if part)})"


def _names(networks: list[Network]) -> str:
    return ", ".join(f"{network.ifname or network.section or 'a network'} {_quoted(network.ssid)}" for network in networks)


def _quoted(ssid: str | None) -> str:
    return f'"{ssid}"' if ssid else "without a name"


def _retune(radio: RadioFacts) -> str:
    country = "" if radio.country else f"uci set wireless.{radio.name}.country=XX; "
    why = "logread -e hostapd says why; if it is the channel, the htmode or the country" + (country and ", with your country's two letters for XX")
    return f"{why}: {country}uci set wireless.{radio.name}.channel=auto; uci commit wireless; wifi up {radio.name}"
