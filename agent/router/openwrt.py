"""An OpenWrt box as a router: ubus over one connection, root's facts, /proc, /sys, and iw within a budget; without root.

Starts no process but iw's turns (`iw_turns.py`), and iw for `associations`; changes nothing. What ubus cannot tell while ubusd is away is read
from the kernel where that knows it, else it is missing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, NamedTuple

from agent import reach
from agent.errors import Unavailable
from agent.records import Association, Board, Bss, Caps, Dhcp, Host, Interface, Path, Radio, Station, changed
from agent.router import addresses, caps, hostapd_ubus, leases, netifd
from agent.router.child import Program
from agent.router.clock import SystemClock, boot
from agent.router.contract import Errand, Probe
from agent.router.host import Health
from agent.router.iw import Iw
from agent.router.iw_turns import IwTurns
from agent.router.netdev import Netdev
from agent.router.netifd import Logical
from agent.router.networks import rows
from agent.router.openwrt_wireless import FactsFile, OpenwrtWireless
from agent.router.text import printable, whole
from agent.router.ubus import CALLS, SOCKET, TIMEOUT_S, Call, Refused, Ubus

LEASE_FILE = "/tmp/dhcp.leases"
PERIOD_S = 60.0  # between two turns of iw for a radio, at least
PATH_S = 15.0
LINK_S = 60.0
ANSWER_RATIO = 0.3  # of the time between two samples
ERRANDS: tuple[Errand, ...] = ("push", "stations", "caps")
EVENTS: dict[Errand, Mapping[str, object]] = {errand: {"type": f"rwagent.{errand}", "data": {}} for errand in ERRANDS}
SAMPLE_S = 0.9  # what was fetched for one collector serves the others of that sample
_INFO = Call("system", "info")
_DUMP = Call("network.interface", "dump", None, frozenset(("inactive", "neighbors", "data", "updated", "dns-search", "ipv6-prefix", "ipv6-prefix-assignment")))
_KIB = 1024
_LOAD = 65536
_DUPLEX: dict[str, Literal["full", "half"]] = {"F": "full", "H": "half"}


class _Link(NamedTuple):
    until: float
    device: str
    mbps: int | None
    duplex: Literal["full", "half"] | None


def open_router(
    uplink: str = "auto", lease_file: str = "", interval_s: float = PERIOD_S, run_dir: str = "/var/run/rwagent", socket: str = SOCKET, sample_s: float = 10.0
) -> OpenwrtRouter:
    """Open this box. `uplink`: netifd's name of an interface, a device, or "auto"; `interval_s`, `sample_s`: between two reports, two samples."""
    status = os.path.join(run_dir, "status")
    clock = SystemClock(os.path.join(status, "clock"))
    router = OpenwrtRouter(uplink, lease_file, clock, Ubus(socket, allowed=CALLS), Iw(Program("iw")), os.path.join(status, "wireless.json"))
    router.pace(interval_s, sample_s)
    return router


class OpenwrtRouter:
    """One OpenWrt box; every method as the contract says."""

    def __init__(
        self, uplink: str, lease_file: str, clock: SystemClock, ubus: Ubus, iw: Iw, facts: str, period_s: float = PERIOD_S, sys_class: str = "/sys/class"
    ) -> None:
        self.clock = clock
        self._wanted_uplink = uplink
        self._lease_file = lease_file
        self._ubus = ubus
        self._sys = sys_class
        self._facts, self._status = FactsFile(facts), os.path.dirname(facts)
        self._hostapd = hostapd_ubus.HostapdObjects(ubus, clock.monotonic, _INFO)
        self._iw = iw
        self._turns = IwTurns(iw, clock.monotonic, period_s)
        self._wireless = OpenwrtWireless(self._hostapd, self._turns, self._facts, clock.monotonic, sys_class)
        self._netdev = Netdev(clock.monotonic, os.path.join(sys_class, "net"))
        self._health = Health(clock.monotonic, sys_class)
        self._ifnames: dict[str, str] = {}
        self._known: list[Logical] = []
        self._is_netifd_silent = False
        self._logical: Logical | None = None
        self._nameservers: tuple[str, ...] = ()
        self._asked_with: bytes | None = None
        self._ask_again_at = float("-inf")
        self._path = Path(None, False, None, None, (), None)
        self._path_state: tuple[str | None, bool, float] | None = None
        self._link = _Link(float("-inf"), "", None, None)

    def boot(self) -> str:
        """The first 16 hex digits of the kernel's boot_id."""
        return boot()

    def board(self) -> Board:
        """What box this is, by `system board`; by the kernel while ubus is away."""
        system = os.uname()
        try:
            told = self._ubus.call("system", "board")
        except Unavailable:
            told = {}
        release = told.get("release")
        words = [release.get(key) for key in ("distribution", "version")] if isinstance(release, Mapping) else []
        name = " ".join(word for word in words if isinstance(word, str))
        return Board(
            model=_text(told, "model", system.machine),
            board=_text(told, "board_name", system.machine),
            os=printable(name) or "OpenWrt",
            kernel=_text(told, "kernel", system.release),
            hostname=_text(told, "hostname", system.nodename),
            backend="openwrt",
        )

    def radios(self) -> list[Radio]:
        """Every radio, by hostapd's objects, root's facts and iw's turns."""
        return self._wireless.radios()

    def bss(self) -> list[Bss]:
        """Every BSS, by hostapd's objects; what root's facts want and hostapd does not run is down."""
        networks = self._wireless.networks()
        self._ifnames = {printable(network.ifname): network.ifname for network in networks}
        return rows(networks, self._netdev, self._sys)

    def stations(self, ifname: str) -> list[Station]:
        """Every station entry of one BSS that `bss` named."""
        return self._wireless.stations(self._ifnames.get(ifname, ifname))

    def associations(self, ifname: str) -> dict[str, Association]:
        """How each station of one BSS is connected, by one run of iw beside its turns: only a person asks for this. hostapd's rates are not to be trusted."""
        return self._iw.associations(self._ifnames.get(ifname, ifname))

    def interfaces(self) -> list[Interface]:
        """Every network device worth reporting; an uplink without a speed of its own (PPP, a switch's port) has that of the device below it."""
        uplink = self._uplink()
        found = self._netdev.interfaces(uplink, self._wireless.names())
        lower = self._logical.lower if self._logical else None
        for number, interface in enumerate(found):
            # Not where a bridge's port stands for it: the bridge's speed is that of its fastest port.
            is_without = interface.role == "uplink" and interface.up and interface.link_mbps is None
            if is_without and uplink and lower and interface.name == printable(uplink):
                link = self._link_of(lower)
                found[number] = changed(interface, link_mbps=link.mbps, duplex=link.duplex)
        return found

    def host(self) -> Host:
        """The box's own health, by psutil; room on flash and in /tmp by `system info`, for the daemon's jail has mounts of its own."""
        host = self._health.read()
        info = self._hostapd.told_beside(SAMPLE_S)
        try:
            info = self._ubus.call(*_INFO[:2]) if info is None else info
        except Unavailable:
            return host
        root, tmp, load = info.get("root"), info.get("tmp"), info.get("load")
        told: dict[str, object] = {}
        flash_free, flash_total = _kib(root, "avail", "free"), _kib(root, "total")
        if flash_free is not None and flash_total:
            told |= {"flash_free_bytes": flash_free, "flash_total_bytes": flash_total}
        tmp_free = _kib(tmp, "avail", "free")
        if tmp_free is not None:
            told["tmp_free_bytes"] = tmp_free
        if isinstance(load, list) and load and isinstance(load[0], int):
            told["load1"] = load[0] / _LOAD
        return changed(host, **told)

    def path(self) -> Path:
        """The way out, read again when netifd was asked again, or the device or its carrier changed."""
        device = self._uplink()
        state = device, device is not None and self._netdev.is_up(device), self._ask_again_at
        if state != self._path_state:
            self._path = self._read_path(*state[:2])
            self._path_state = state
        return self._path

    def _read_path(self, device: str | None, up: bool) -> Path:
        """Take the device of netifd, the rest of the kernel, and of netifd again where the kernel's table does not say."""
        if device is None:
            return Path(None, False, None, None, self._nameservers or addresses.nameservers(), None)
        seen, logical = addresses.read_path(device, up), self._logical
        if logical is None:
            return seen
        # Policy routing (mwan3) keeps the default route out of the main table, and a jail has no resolv.conf.
        gateway = seen.gateway or next((gateway for gateway in logical.gateways if gateway), None)
        if gateway and gateway.startswith("fe80:") and "%" not in gateway:
            gateway = f"{gateway}%{printable(device)}"
        address = seen.address or next(iter(logical.addresses), None)
        return seen._replace(address=address, gateway=gateway, nameservers=self._nameservers or seen.nameservers)

    def probe(self, path: Path, dns_name: str, internet: tuple[tuple[str, int], ...], now: float) -> Probe:
        """Start a layered probe of `path`."""
        return reach.start(path, dns_name, internet, now)

    def caps(self) -> Caps:
        """The caps root wants, and what the kernel has of them; by root's facts whether hardware forwards past it."""
        facts = self._facts.get()
        # firewall4 looks at flow_offloading_hw only where flow_offloading is on.
        is_bypassed = None if facts is None or facts.is_hardware_offload is None else facts.is_hardware_offload and facts.is_software_offload is not False
        return caps.look(self._status, caps.place("openwrt", ""), is_bypassed)

    def ring(self, errand: Errand = "push") -> None:
        """Tell procd that something lies in the inbox, or of the caps: its trigger starts the applier's service, or their script, as root."""
        self._ubus.call("service", "event", EVENTS[errand])

    def pace(self, report_s: float, sample_s: float) -> None:
        """Keep iw within its budget, and ubus within the time of a sample, at this pace."""
        self._turns.pace(max(PERIOD_S, report_s))
        # Who hangs behind ubus must cost a collector less than the time after which it is interrupted and set aside.
        self._ubus.timeout_s = min(TIMEOUT_S, ANSWER_RATIO * sample_s)

    def dhcp(self) -> Dhcp:
        """Leases by dnsmasq's file, else by odhcpd; the pools by root's facts."""
        facts = self._facts.get()
        pools = facts.pools if facts else None
        if pools is not None and not pools:
            raise Unavailable("no network has a DHCP pool: this box serves no DHCP")
        # One pool of unknown size makes the sum unknown.
        sizes = None if pools is None or None in pools.values() else sum(size or 0 for size in pools.values())
        file = self._lease_file or (facts.lease_file if facts else None) or LEASE_FILE
        try:
            used = leases.read_addresses((file,), self.clock.wall(), self.clock.state() == "ntp")
        except Unavailable as error:
            used = self._leases_by_odhcpd(error)
        return Dhcp(len(used), sizes, self._fullest_ratio(used, pools or {}))

    def _fullest_ratio(self, used: set[str], pools: Mapping[str, int | None]) -> float | None:
        """Count each pool by itself: an empty `lan` must not hide that the public pool is full."""
        if pools and self.clock.monotonic() >= self._ask_again_at:
            self._uplink()  # nobody else asked netifd of late
        return leases.fullest_ratio(used, pools, {one.name: one.subnets for one in self._known})

    def _leases_by_odhcpd(self, error: Unavailable) -> set[str]:
        try:
            devices = self._ubus.call("dhcp", "ipv4leases").get("device")
        except Unavailable as other:
            raise Unavailable(f"{error}; {other}") from None
        rows = [device.get("leases") for device in devices.values() if isinstance(device, Mapping)] if isinstance(devices, Mapping) else []
        found = [row.get("address") for of_one in rows if isinstance(of_one, list) for row in of_one if isinstance(row, Mapping)]
        return {address for address in found if isinstance(address, str)}

    def _uplink(self) -> str | None:
        """Name the uplink's device; netifd is asked when the routes changed, and every 15 s."""
        routes, now = addresses.routes_as_they_are(), self.clock.monotonic()
        if routes != self._asked_with or now >= self._ask_again_at:
            try:
                (answer,) = self._ubus.call_all([_DUMP])
                known = [] if isinstance(answer, Refused) else netifd.parse_dump(answer)
            except Unavailable:
                known = []  # what netifd last said stands, as long as it cannot be asked
            self._is_netifd_silent = not known
            self._known = known or self._known
            chosen = netifd.uplink_of(known, self._wanted_uplink)
            if chosen is not None:
                self._nameservers = netifd.nameservers_by(known, chosen)
                self._logical = chosen
            elif known:
                self._logical, self._nameservers = None, ()
            self._asked_with, self._ask_again_at = routes, now + PATH_S
        if self._logical is not None:
            return self._logical.device or self._logical.lower
        if self._wanted_uplink != "auto":
            return self._wanted_uplink
        route = addresses.default_route()
        return route.device if route else None

    def _link_of(self, device: str) -> _Link:
        """Ask netifd for a device's speed, once a minute."""
        now = self.clock.monotonic()
        if now >= self._link.until or self._link.device != device:
            last = self._link if self._link.device == device else _Link(0.0, device, None, None)
            if self._is_netifd_silent:
                return last  # it has cost this collector its time already
            try:
                speed = self._ubus.call("network.device", "status", {"name": device}).get("speed")
            except Unavailable:
                self._link = last._replace(until=now + LINK_S)
                return self._link
            # "1000F" is full duplex, "100H" half; "-1F" and "0F" where the driver does not know.
            mbps = (whole(speed[:-1]) if isinstance(speed, str) else None) or None
            self._link = _Link(now + LINK_S, device, mbps, _DUPLEX.get(str(speed)[-1:]) if mbps else None)
        return self._link


def _text(table: Mapping[str, object], key: str, fallback: str) -> str:
    value = table.get(key)
    return printable(value) if isinstance(value, str) and value else fallback


def _kib(table: object, *keys: str) -> int | None:
    """Give the first of these figures there is, in bytes."""
    values = [table.get(key) for key in keys] if isinstance(table, Mapping) else []
    return next((value * _KIB for value in values if isinstance(value, int) and not isinstance(value, bool) and value >= 0), None)
