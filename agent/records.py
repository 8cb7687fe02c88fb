"""The nouns that travel between the router, the collectors and the report.

Everything here is a plain, immutable value as read at one moment. A value the router cannot give is
None, never 0. Units stand in the names; ratios are 0 to 1; rx and tx are seen from the access point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

_Record = TypeVar("_Record", bound=NamedTuple)

ClockState = Literal["ntp", "floor", "none"]
Layer = Literal["ok", "link", "address", "gateway", "dns", "internet"]
Band = Literal["2g", "5g", "6g"]
Role = Literal["uplink", "lan", "bss", "other"]


def changed(record: _Record, **fields: object) -> _Record:
    """Give a record with these fields changed; for what is done at every sample.

    `_replace` does the same by an iterator, of which CPython (3.10 to 3.13) cannot tell the length: each call leaves one free tuple behind, up to 2,000
    of each length, for ever.
    """
    kind: Callable[..., _Record] = type(record)
    return kind(**(record._asdict() | fields))


class Board(NamedTuple):
    """What box this is; constant while the agent runs."""

    model: str
    board: str
    os: str
    kernel: str
    hostname: str
    backend: str


class Radio(NamedTuple):
    """One wiphy. `name` is the operator's name (UCI's radio0, else the phy); the three `_ms_total` are the survey's counters.

    `wanted`: whether the router means it to be on air now. A radio nobody set up is not, nor one that must listen for radar first.
    """

    name: str
    phy: str
    band: Band | None
    channel: int | None
    width_mhz: int | None
    tx_power_dbm: float | None
    noise_dbm: int | None
    active_ms_total: int | None
    busy_ms_total: int | None
    tx_ms_total: int | None
    up: bool
    wanted: bool = True


class Bss(NamedTuple):
    """One network on one radio; its byte counters are its network device's, a changed `ifindex` means that one was created anew.

    `ssid` is text for people: bytes that are not UTF-8, and characters that do not print, stand as backslash escapes.
    """

    ifname: str
    radio: str
    band: Band | None
    ssid: str | None
    bssid: str | None
    up: bool
    rx_bytes_total: int | None
    tx_bytes_total: int | None
    pair: str | None = None
    ifindex: int | None = None


class Station(NamedTuple):
    """One associated station of one BSS; `mac` (lower case) never leaves the process."""

    mac: str
    ifname: str
    authorized: bool
    signal_dbm: int | None
    tx_packets_total: int | None
    tx_retries_total: int | None


class Association(NamedTuple):
    """How one station is connected, as asked for by a person: the rates of the last frames each way, and for how long."""

    rx_rate_mbps: float | None
    tx_rate_mbps: float | None
    connected_s: int | None


class Interface(NamedTuple):
    """One network device and its counters; a changed `ifindex` means it was created anew."""

    name: str
    ifindex: int
    role: Role
    up: bool
    link_mbps: int | None
    duplex: Literal["full", "half"] | None
    rx_bytes_total: int
    tx_bytes_total: int
    rx_errors_total: int
    tx_errors_total: int
    rx_dropped_total: int
    tx_dropped_total: int


class Host(NamedTuple):
    """The box's own health. The three `_s_total` are CPU seconds over all cores since boot."""

    cpu_busy_s_total: float | None
    cpu_softirq_s_total: float | None
    cpu_s_total: float | None
    load1: float | None
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    flash_free_bytes: int | None
    flash_total_bytes: int | None
    tmp_free_bytes: int | None
    temperature_c: float | None
    conntrack: int | None
    conntrack_max: int | None
    processes: int | None


class Path(NamedTuple):
    """The way out: the uplink's device, its address, the gateway and the resolvers; None where there is none.

    `has_neighbour` is what the kernel knows of the gateway: True reachable, False failed, None unknown.
    """

    device: str | None
    up: bool
    address: str | None
    gateway: str | None
    nameservers: tuple[str, ...]
    has_neighbour: bool | None


class Reach(NamedTuple):
    """How far one probe came: the first layer that failed, or "ok", and each layer's latency in milliseconds."""

    state: Layer
    gateway_ms: float | None
    dns_ms: float | None
    internet_ms: float | None
    lost: int
    sent: int


class Dhcp(NamedTuple):
    """Leases in use now and how many the pool has (None: not known), over all networks served.

    `fullest_ratio`: the leases of the fullest pool over its size; None where no pool's size or network is known.
    """

    leases: int
    pool: int | None
    fullest_ratio: float | None = None


class Caps(NamedTuple):
    """The bandwidth caps this box is to have, and whether the kernel has them, read back from it.

    `is_wanted` says whether there is to be any, `missing` in a short text each what is not so, `per_station` names the network devices whose
    stations are capped one by one, `is_bypassed` says whether the hardware forwards past every queue; None: not known. `made_at` is another
    number when root has been at work on them since: it may not know the stations any more.
    """

    is_wanted: bool = False
    missing: tuple[str, ...] = ()
    per_station: tuple[str, ...] = ()
    is_bypassed: bool | None = None
    made_at: int = 0


class Knobs(NamedTuple):
    """What the settings say to the collectors: the contract in Mbit/s, whether 1-second peaks are always wanted, seconds between uplink probes."""

    contract_mbps: float
    peaks: bool
    probe_s: float = 60.0
