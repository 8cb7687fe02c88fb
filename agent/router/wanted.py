"""What is wanted of this router, put together from netifd's answer, UCI and /sys, in the shape that facts.py reads. Used by root only.

A white list: nothing but the fields named here is copied, and each only where its value is one of the kind. Keys, passwords, secrets and
stations' addresses stand in the same tables and are never copied.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from agent.router.facts import MOST_NETWORKS, MOST_RADIOS, VERSION, device
from agent.router.text import printable, read_line
from agent.router.uci import TRUE, Section

# More than any SSID of 32 bytes becomes when all of it is spelled out.
MOST_SSID = 128
MOST_NAME = 32
MOST_BRIDGES = 4
# What dnsmasq's script and odhcpd take where `limit` is not set.
DEFAULT_POOL = 150

_PATH = re.compile(r"/[\w./+-]{1,200}", re.ASCII)
_NAME = re.compile(r"[\w@.\[\]+-]+", re.ASCII)
# An operator who typed his key into one of these options must not find it in the file.
_ALLOWED = {
    "band": re.compile(r"(2|5|6|60)g"),
    "channel": re.compile(r"auto|[0-9]{1,3}"),
    "htmode": re.compile(r"NOHT|NONE|(HT|VHT|HE|EHT)[0-9]{2,3}[+-]?"),
    "country": re.compile(r"[A-Za-z0-9]{2}"),
    "mode": re.compile(r"ap|sta|adhoc|mesh|monitor"),
    "encryption": re.compile(
        r"(none|open|owe|dpp|wep([+-](open|shared|mixed))?|(psk[23]?|sae)(-mixed|-compat)?|psk2-radius|wpa[23]?(-mixed|-192)?)"
        r"([+](ccmp|ccmp256|gcmp|gcmp256|aes|tkip)){0,2}"
    ),
}
HWMODES = {"11a": "5g", "a": "5g", "11ad": "60g", "ad": "60g", "11b": "2g", "b": "2g", "11g": "2g", "g": "2g"}

Config = Mapping[str, object]
Sections = dict[str, Section]


class Told(NamedTuple):
    """All that the box told: netifd's `network.wireless status`, and UCI's configurations by name.

    None for a `status` that netifd did not give and for a configuration that is not there; one that uci could not show is not among `configs`.
    """

    status: Mapping[str, object] | None
    configs: Mapping[str, Sections | None]


class _Wanted(NamedTuple):
    """One network as netifd or UCI has it, with all its options: never copied as it is."""

    section: str
    config: Config
    ifname: str | None


def compose(told: Told, sys_class: str = "/sys/class") -> dict[str, object]:
    """Give the facts; what nobody told is not in them."""
    found: dict[str, object] = {"v": VERSION}
    wireless, network = told.configs.get("wireless"), told.configs.get("network")
    if told.status is not None or wireless is not None:
        found["radios"] = _radios(told.status or {}, wireless or {}, sys_class)
    if (dhcp := told.configs.get("dhcp")) is not None:
        found["dhcp"] = _pools(dhcp, network)
        if lease_file := next((path for one in _of_type(dhcp, "dnsmasq") if (path := one.value("leasefile")) and _PATH.fullmatch(path)), None):
            found["lease_file"] = lease_file
    if (firewall := told.configs.get("firewall")) is not None:
        is_software = any(one.is_on("flow_offloading") for one in _of_type(firewall, "defaults"))
        is_hardware = any(one.is_on("flow_offloading_hw") for one in _of_type(firewall, "defaults"))
        found["offload"] = {"software": is_software, "hardware": is_software and is_hardware}
    if network is not None:
        found["networks"] = [one.name for one in _of_type(network, "interface") if one.name != "loopback" and _name(one.name)][:MOST_NETWORKS]
    return found


def _radios(status: Mapping[str, object], wireless: Sections, sys_class: str) -> dict[str, dict[str, object]]:
    radios: dict[str, dict[str, object]] = {}
    all_wanted: list[tuple[_Wanted, dict[str, object]]] = []
    names = dict.fromkeys([*status, *(one.name for one in _of_type(wireless, "wifi-device"))])
    for name in [name for name in names if _name(name)][:MOST_RADIOS]:
        state = _table(status.get(name))
        config = _options(wireless.get(name)) | dict(_table(state.get("config")))
        wanted = [*_of_netifd(state), *_of_uci(name, state, wireless)][: MOST_NETWORKS - len(all_wanted)]
        phy = _phy(config, [one.ifname for one in wanted if one.ifname], sys_class)
        wanted = _halves(wanted, _prefix(config, phy), sys_class)[: MOST_NETWORKS - len(all_wanted)]
        entries = [_network(one) for one in wanted]
        radios[name] = _radio(state, config, phy) | {"networks": entries}
        all_wanted += zip(wanted, entries, strict=True)
    for one, entry in all_wanted:
        if pair := _ssid(_pair(one, [other for other, _ in all_wanted])):
            entry["pair"] = pair
    return radios


def _radio(state: Mapping[str, object], config: Config, phy: str | None) -> dict[str, object]:
    found: dict[str, object] = {"phy": phy} if phy else {}
    found["band"] = _allowed("band", config.get("band")) or HWMODES.get(_plain(config.get("hwmode")) or "")
    for field in ("channel", "htmode", "country"):
        found[field] = _allowed(field, config.get(field))
    # netifd's own words; that a radio is up is its word also when hostapd failed, and whoever reads it knows.
    for field in ("up", "pending", "retry_setup_failed"):
        found[field] = state.get(field) if isinstance(state.get(field), bool) else None
    found["disabled"] = _is_on(state.get("disabled", config.get("disabled")))
    return {field: value for field, value in found.items() if value is not None}


def _network(one: _Wanted) -> dict[str, object]:
    config = one.config
    found: dict[str, object] = {
        "section": one.section,
        "ifname": one.ifname,
        "ssid": _ssid(config.get("ssid")),
        "mode": _allowed("mode", config.get("mode")),
        "encryption": _allowed("encryption", config.get("encryption")),
        "disabled": _is_on(config.get("disabled")),
        "hidden": _is_on(config.get("hidden", config.get("ignore_broadcast_ssid"))),
        "network": [name for name in _words(config.get("network")) if _name(name)][:MOST_BRIDGES],
    }
    return {field: value for field, value in found.items() if value is not None}


def _of_netifd(state: Mapping[str, object]) -> list[_Wanted]:
    """Give netifd's networks of a radio; a disabled one is not among them, nor is any of a disabled radio."""
    interfaces = state.get("interfaces")
    return [
        _Wanted(section, _table(one.get("config")), device(one.get("ifname")))
        for one in (interfaces if isinstance(interfaces, (list, tuple)) else ())
        if isinstance(one, Mapping) and (section := _name(one.get("section")))
    ]


def _of_uci(radio: str, state: Mapping[str, object], wireless: Sections) -> list[_Wanted]:
    """Give the networks of a radio that only UCI has."""
    known = {one.section for one in _of_netifd(state)}
    return [
        _Wanted(one.name, _options(one), None)
        for one in _of_type(wireless, "wifi-iface")
        if radio in _words(_options(one).get("device")) and one.name not in known and _name(one.name)
    ]


def _prefix(config: Config, phy: str | None) -> str | None:
    """Give what the names of a radio's interfaces begin with, as OpenWrt's scripts make them."""
    if prefix := _plain(config.get("ifname_prefix")):
        return prefix
    number = _plain(config.get("radio")) or ""
    return f"{phy}.{number}-" if phy and number.isdecimal() else f"{phy}-" if phy else None


def _halves(wanted: list[_Wanted], prefix: str | None, sys_class: str) -> list[_Wanted]:
    """Make two of each network with `owe_transition`, as OpenWrt's ucode scripts (25.12) do: the section's own interface becomes the OWE half,
    hidden and called <ssid>OWE; the open half takes the next number, and netifd tells nobody. Shell scripts (24.10) do not know the option, and
    netifd leaves it out of its answer then."""
    found: list[_Wanted] = []
    numbers: dict[str, int] = {}
    for one in wanted:
        mode = _allowed("mode", one.config.get("mode")) or ""
        numbers[mode] = numbers.get(mode, -1) + 1
        ssid = _plain(one.config.get("ssid"))
        if not ssid or not _is_on(one.config.get("owe_transition")) or not _is_owe(one.config):
            found.append(one)
            continue
        numbers[mode] += 1
        ifname = device(f"{prefix}{mode}{numbers[mode]}") if prefix and one.ifname else None
        if ifname and not os.path.exists(os.path.join(sys_class, "net", ifname)):
            ifname = None
        common = dict(one.config) | {"owe_transition_ifname": None}
        found.append(one._replace(config=common | {"ssid": f"{ssid}OWE", "hidden": True, "owe_transition_ssid": ssid}))
        found.append(_Wanted(f"{one.section}+open", common | {"encryption": "none", "hidden": False, "owe_transition_ssid": f"{ssid}OWE"}, ifname))
    return found


def _pair(one: _Wanted, others: Iterable[_Wanted]) -> str | None:
    """Give the SSID of the open half when this network is half of an OWE transition pair; either half may name the other."""
    is_open = _is_open(one.config)
    if not is_open and not _is_owe(one.config):
        return None
    is_other_kind = _is_owe if is_open else _is_open
    partner = next((other for other in others if is_other_kind(other.config) and (_names(one, other) or _names(other, one))), None)
    if partner is None:
        return None
    return _plain((one if is_open else partner).config.get("ssid"))


def _names(one: _Wanted, other: _Wanted) -> bool:
    """Say whether the first calls the second its other half: by interface, by SSID or by address."""
    own = other.config
    values = {"ifname": other.ifname or _plain(own.get("ifname")), "ssid": _plain(own.get("ssid")), "bssid": (_plain(own.get("macaddr")) or "").lower()}
    for what, value in values.items():
        name = _plain(one.config.get(f"owe_transition_{what}"))
        if name and (name.lower() if what == "bssid" else name) == value:
            return True
    return False


def _is_owe(config: Config) -> bool:
    return (_allowed("encryption", config.get("encryption")) or "").startswith("owe")


def _is_open(config: Config) -> bool:
    return _plain(config.get("encryption")) in (None, "none", "open")


def _phy(config: Config, ifnames: list[str], sys_class: str) -> str | None:
    """Find the phy of a radio: by an interface of its, else by the options by which OpenWrt finds it (wifi/utils.uc, mac80211.sh)."""
    for ifname in ifnames:
        if phy := device(read_line(os.path.join(sys_class, "net", ifname, "phy80211", "name"))):
            return phy
    top = os.path.join(sys_class, "ieee80211")
    phys: list[str] = []
    with suppress(OSError):
        phys = sorted(filter(device, os.listdir(top)), key=lambda phy: int(index) if (index := _line(top, phy, "index")).isdecimal() else 0)
    for path in _words(config.get("path")):
        # Where one device has several phys, the second is <path>+1.
        ending, _, number = path.partition("+")
        there = [phy for phy in phys if ending and os.path.realpath(os.path.join(top, phy, "device")).endswith(ending)]
        place = int(number) if number.isdecimal() and len(number) < 3 else 0
        if place < len(there):
            return there[place]
    if (phy := _plain(config.get("phy"))) in phys:
        return phy
    address = (_plain(config.get("macaddr")) or "").lower()
    return next((phy for phy in phys if address and _line(top, phy, "macaddress").lower() == address), None)


def _line(top: str, phy: str, file: str) -> str:
    return read_line(os.path.join(top, phy, file)) or ""


def _pools(dhcp: Sections, network: Sections | None) -> dict[str, dict[str, int]]:
    """Give the pools by their network: those that serve IPv4."""
    pools: dict[str, dict[str, int]] = {}
    for one in _of_type(dhcp, "dhcp"):
        name = _name(one.value("interface"))
        if not name or one.is_on("ignore") or one.value("dhcpv4") in ("disabled", "relay"):
            continue
        where = network.get(name) if network is not None else None
        # dnsmasq's script serves networks with an address of ours only, and none that is gone.
        if network is not None and (where is None or where.value("proto") not in (None, "static")):
            continue
        limit = one.value("limit") or str(DEFAULT_POOL)
        is_static_only = one.value("dynamicdhcp") is not None and not one.is_on("dynamicdhcp")
        known = limit.isascii() and limit.isdecimal() and 0 < len(limit) < 8 and not is_static_only
        if name in pools or len(pools) < MOST_NETWORKS:
            earlier = pools.get(name, {"limit": 0}).get("limit")
            pools[name] = {"limit": earlier + int(limit)} if known and earlier is not None else {}
    return pools


def _of_type(sections: Sections, kind: str) -> list[Section]:
    return [one for one in sections.values() if one.type == kind]


def _options(section: Section | None) -> dict[str, object]:
    return {} if section is None else {option: values[0] if len(values) == 1 else values for option, values in section.options.items()}


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _plain(value: object) -> str | None:
    """Give a value that stands alone as text: netifd types what UCI has as text."""
    if isinstance(value, (list, tuple)):
        value = value[0] if len(value) == 1 else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 1 << 63 else None
    return value if isinstance(value, str) and value else None


def _words(value: object) -> list[str]:
    """Give a list's values; UCI takes one text with spaces for a list too."""
    many = value if isinstance(value, (list, tuple)) else (value,)
    return [word for one in many if isinstance(one, str) for word in one.split()]


def _is_on(value: object) -> bool:
    return value is True or _plain(value) in TRUE


def _allowed(field: str, value: object) -> str | None:
    text = _plain(value)
    return text if text is not None and _ALLOWED[field].fullmatch(text) else None


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= MOST_NAME and _NAME.fullmatch(value) else None


def _ssid(value: object) -> str | None:
    """Give an SSID as text for people; None for one that can be none."""
    text = None
    # Half a surrogate pair, which JSON can carry, is no byte of anything.
    with suppress(UnicodeEncodeError):
        text = printable(_plain(value) or "")
    return text if text and len(text) <= MOST_SSID else None
