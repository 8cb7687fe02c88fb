"""What is wanted of this router, as root last wrote it down for us (agent/redact.py): radios, networks, address pools, without any key.

Only reads one file; whatever in it is hostile, of the wrong type or too much is left out, never an exception.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from typing import NamedTuple

FILE = "/var/run/rwagent/status/wireless.json"  # in the run_dir of the settings, by default
VERSION = 1
FILE_BYTES = 65536
MOST_RADIOS = 16
MOST_NETWORKS = 64  # of all radios together; so many names of UCI networks and pools, too
MOST_CHARACTERS = 256
_DEVICE = re.compile(r"[^\s/.-][^\s/]{0,63}")
_LARGEST_POOL = 1 << 24


class Network(NamedTuple):
    """One wireless network as configured; `ifname` is None while it has no interface, `pair` is the open half's SSID of an OWE transition pair.

    `networks` are the UCI networks it is bridged to. An SSID is text for people, as `agent.router.text.printable` makes it.
    """

    section: str | None = None
    ifname: str | None = None
    ssid: str | None = None
    mode: str | None = None
    encryption: str | None = None
    is_disabled: bool | None = None
    is_hidden: bool | None = None
    networks: tuple[str, ...] = ()
    pair: str | None = None


class RadioFacts(NamedTuple):
    """One radio as configured (`name` is UCI's: radio0 may be phy1); `is_up` is netifd's word, which it gives also when hostapd failed."""

    name: str
    phy: str | None = None
    band: str | None = None
    channel: str | None = None
    htmode: str | None = None
    country: str | None = None
    is_up: bool | None = None
    is_pending: bool | None = None
    is_disabled: bool | None = None
    is_setup_failed: bool | None = None
    networks: tuple[Network, ...] = ()


class Facts(NamedTuple):
    """All of it; None is "not known". A pool (by its name) without a limit has None; `networks` are the names UCI knows."""

    radios: tuple[RadioFacts, ...] = ()
    pools: Mapping[str, int | None] | None = None
    lease_file: str | None = None
    is_software_offload: bool | None = None
    is_hardware_offload: bool | None = None
    networks: tuple[str, ...] | None = None


EMPTY = Facts()


def is_wanted(radio: RadioFacts, network: Network) -> bool:
    """Say whether a network should be on air here, for clients: netifd makes an access point of one without `mode`, too."""
    return not radio.is_disabled and not network.is_disabled and network.mode in (None, "ap")


def read(path: str) -> Facts | None:
    """Read the file; None when there is none that can be read, EMPTY when it says nothing understood."""
    try:
        # Whoever owns a directory above may put a pipe in its place at any time, which must hold nobody up, least of all root's doctor.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode):
            return None
        raw = os.read(fd, min(seen.st_size, FILE_BYTES) + 1)
    except OSError:
        return None
    finally:
        os.close(fd)
    return parse(raw.decode("utf-8", "replace")) if len(raw) <= FILE_BYTES else EMPTY


def parse(text: str) -> Facts:
    """Read the file's text; EMPTY when it is no JSON, too long or of another version."""
    try:
        raw = json.loads(text) if len(text) <= FILE_BYTES else None
    except (ValueError, RecursionError):
        return EMPTY
    table = _table(raw)
    if type(table.get("v")) is not int or table["v"] != VERSION:
        return EMPTY
    offload = _table(table.get("offload"))
    return Facts(
        radios=_radios(_table(table.get("radios"))),
        pools=_pools(table["dhcp"]) if isinstance(table.get("dhcp"), dict) else None,
        lease_file=_path(table.get("lease_file")),
        is_software_offload=_claim(offload.get("software")),
        is_hardware_offload=_claim(offload.get("hardware")),
        networks=_names(table["networks"]) if isinstance(table.get("networks"), list) else None,
    )


def _radios(table: dict[str, object]) -> tuple[RadioFacts, ...]:
    radios: list[RadioFacts] = []
    room = MOST_NETWORKS
    for key, value in table.items():
        name = _text(key)
        if name is None or not isinstance(value, dict) or len(radios) >= MOST_RADIOS:
            continue
        radio = _radio(name, value, room)
        room -= len(radio.networks)
        radios.append(radio)
    return tuple(radios)


def _radio(name: str, table: dict[str, object], room: int) -> RadioFacts:
    networks = table.get("networks")
    return RadioFacts(
        name=name,
        phy=device(table.get("phy")),
        band=_text(table.get("band")),
        channel=_text(table.get("channel")),
        htmode=_text(table.get("htmode")),
        country=_text(table.get("country")),
        is_up=_claim(table.get("up")),
        is_pending=_claim(table.get("pending")),
        is_disabled=_claim(table.get("disabled")),
        is_setup_failed=_claim(table.get("retry_setup_failed")),
        networks=tuple(_network(one) for one in networks if isinstance(one, dict))[:room] if isinstance(networks, list) else (),
    )


def _network(table: dict[str, object]) -> Network:
    return Network(
        section=_text(table.get("section")),
        ifname=device(table.get("ifname")),
        ssid=_text(table.get("ssid")),
        mode=_text(table.get("mode")),
        encryption=_text(table.get("encryption")),
        is_disabled=_claim(table.get("disabled")),
        is_hidden=_claim(table.get("hidden")),
        networks=_names(table.get("network")),
        pair=_text(table.get("pair")),
    )


def _pools(value: object) -> dict[str, int | None]:
    pools: dict[str, int | None] = {}
    for key, pool in _table(value).items():
        name = _text(key)
        if name is not None and isinstance(pool, dict) and len(pools) < MOST_NETWORKS:
            limit = pool.get("limit")
            pools[name] = limit if type(limit) is int and 0 < limit <= _LARGEST_POOL else None
    return pools


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _claim(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MOST_CHARACTERS and value.isprintable() else None


def _names(value: object) -> tuple[str, ...]:
    return tuple(name for one in value if (name := _text(one)))[:MOST_NETWORKS] if isinstance(value, list) else ()


def device(value: object) -> str | None:
    """Give a name that is safe as one part of a path and as an argument of a program; None when `value` is none."""
    text = _text(value)
    return text if text and _DEVICE.fullmatch(text) else None


def _path(value: object) -> str | None:
    text = _text(value)
    return text if text and text.startswith("/") else None
