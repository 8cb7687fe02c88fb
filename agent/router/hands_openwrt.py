"""What commands do on an OpenWrt box, as root: ubus for hostapd and the log, `iw` to listen, `wifi` as a person would type it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from agent.errors import Unavailable
from agent.router import errands, iw_scan, log_lines, secret_files
from agent.router.child import Program
from agent.router.errands import Errands
from agent.router.hands import Log, Name, Scan
from agent.router.iw_scan import Scanner
from agent.router.text import mac, printable
from agent.router.ubus import Call, Refused, Ubus
from agent.router.ubus_message import NOT_FOUND
from agent.router.uci import Absent, Uci

if TYPE_CHECKING:
    from agent.settings import Settings

LOG = logging.getLogger(__name__)

PREFIX = "hostapd."
MOST_NETWORKS = 64
MOST_ENTRIES = 2000  # logd's ring of 128 KiB holds about as many
CALL_S = 5.0
WIFI_S = 20.0
ON_AIR_S = 30.0
LOOK_S = 1.0
PAIR_SUFFIX = "OWE"  # of a pair's hidden half, as OpenWrt and agent/bss.py name it
REASON = 5  # the access point cannot serve more stations (IEEE 802.11-2020, table 9-49): none of those after which a station asks for its key anew
# Where keys may stand, and the options that hold one.
CONFIGS = ("wireless", "network")
_SECRETS = ("key", "pass", "secret", "psk", "pin", "username")
_LEAST_KEY = 5  # WEP's; `key` may also be the number of one
_UNREAD = frozenset(("rrm", "wnm", "airtime", "dfs", "extended_capabilities", "signature", "capabilities", "bytes", "packets", "rate"))


class Bss(NamedTuple):
    """One BSS: its object, what it sends, whether it is on air, and the addresses of those who are on it."""

    name: str
    ssid: str
    is_on_air: bool
    stations: frozenset[str]


def open_hands(settings: Settings, name: Name) -> OpenwrtHands:
    """Open this box's."""
    return OpenwrtHands(settings, name, Errands(settings.paths.state_dir, settings.paths.apply_dir), Scanner(), Uci(), Program("wifi", timeout_s=WIFI_S))


class OpenwrtHands:
    """One OpenWrt box; every method as the contract says."""

    def __init__(
        self, settings: Settings, name: Name, scripts: Errands, scanner: Scanner, uci: Uci, wifi: Program, on_air_s: float = ON_AIR_S, look_s: float = LOOK_S
    ) -> None:
        self._settings = settings
        self._name = name
        self._scripts = scripts
        self._scanner = scanner
        self._uci = uci
        self._wifi = wifi
        self._on_air_s = on_air_s
        self._look_s = look_s

    def lacks(self, command: str) -> str:
        """Look for LEDs, and for iw."""
        return errands.lacks(self._scripts, self._scanner, command)

    def kick(self, station: str, ban_s: int) -> list[str]:
        """Send it away wherever it is; a ban goes to every BSS of these networks, or it would only change the band."""
        with self._connected() as ubus:
            there = networks(ubus)
            found = {(bss.name, address) for bss in there for address in bss.stations if self._name(address) == station}
            if not found:
                raise Unavailable(f"no station {station} is associated now; `stations` gives today's names, which change daily")
            on = {name for name, _ in found}
            ssids = sorted({bss.ssid for bss in there if bss.name in on})
            if ban_s:
                kept_from = {_both(ssid) for ssid in ssids}
                addresses = {address for _, address in found}
                found |= {(bss.name, address) for bss in there if _both(bss.ssid) in kept_from for address in addresses}
            for name, address in sorted(found):
                LOG.info("ubus call %s del_client: reason=%d ban_time=%d", printable(name), REASON, ban_s * 1000)
                # hostapd counts the ban in microseconds of 32 bits: 4294 s is the longest.
                arguments = {"addr": address, "reason": REASON, "deauth": True, "ban_time": ban_s * 1000}
                ubus.call(name, "del_client", arguments)
        return [printable(ssid) for ssid in ssids]

    def scan(self, band: str | None) -> Scan:
        """Listen with one radio of each band, by iw: iwinfo would block all of rpcd for it."""
        return iw_scan.scan(self._scanner, self._name, band)

    def blink(self, seconds: int) -> list[str]:
        """Blink with every LED of the box."""
        return errands.locate(self._scripts, seconds)

    def log(self, lines: int, match: str) -> Log:
        """Read logd's ring."""
        keys = self._keys()
        with self._connected() as ubus:
            # Without `stream` logd hands back a file descriptor.
            answer = ubus.call("log", "read", {"lines": MOST_ENTRIES if match else lines, "stream": False, "oneshot": True})
        return log_lines.chosen(log_lines.of_logd(answer), keys, lines, match)

    def reload_wifi(self) -> list[str]:
        """Run `wifi reload`, and wait until what was on air is there again."""
        with self._connected() as ubus:
            before = on_air(ubus)
        LOG.info("wifi reload")
        until = time.monotonic() + self._on_air_s
        self._wifi.run("reload")
        seen: list[str] = []
        while time.monotonic() < until:
            time.sleep(self._look_s)
            last, seen = seen, self._on_air()
            # netifd works on after `wifi` has ended: one look could be the moment before.
            if seen == last and set(seen) >= set(before):
                return seen
        if not seen and before:
            raise Unavailable(f"no network is on air {self._on_air_s:g} s after `wifi reload`, before it: {', '.join(before)}; `logs` may tell why")
        return seen

    def reboot(self, delay_s: int) -> None:
        """Begin a reboot."""
        errands.reboot(self._scripts, delay_s)

    def _on_air(self) -> list[str]:
        try:
            with self._connected() as ubus:
                return on_air(ubus)
        except Unavailable:
            return []

    def _keys(self) -> set[str]:
        """Give every key that root knows of; Unavailable when they cannot be read, for then nobody could star them."""
        keys = set(secret_files.read(self._settings.push.secrets_dir).values())
        for config in CONFIGS:
            try:
                sections = self._uci.show(config)
            except Absent:
                continue
            except Unavailable as error:
                raise Unavailable(f"the log is not given, for the keys to be starred in it cannot be read: {error}") from None
            options = [(option, value) for section in sections.values() for option, values in section.options.items() for value in values]
            keys |= {value for option, value in options if len(value) >= _LEAST_KEY and any(word in option for word in _SECRETS)}
        return keys

    @contextmanager
    def _connected(self) -> Iterator[Ubus]:
        """Lend a connection of its own: two commands may be at work."""
        ubus = Ubus(self._settings.router.ubus_socket, CALL_S)
        try:
            yield ubus
        finally:
            ubus.close()


def _both(ssid: str) -> str:
    """Name the two halves of an owe-transition pair alike: a station that is kept from one of them would go to the other."""
    return ssid.removesuffix(PAIR_SUFFIX)


def networks(ubus: Ubus) -> list[Bss]:
    """Ask every BSS what it sends and who is on it."""
    names = [name for name in sorted(ubus.lookup(PREFIX + "*")) if name != PREFIX][:MOST_NETWORKS]
    calls = [Call(name, method, None, _UNREAD) for name in names for method in ("get_status", "get_clients")]
    answers = ubus.call_all(calls)
    found = []
    for name, status, clients in zip(names, answers[::2], answers[1::2], strict=True):
        if isinstance(status, Refused) or isinstance(clients, Refused):
            refused = status if isinstance(status, Refused) else clients
            if isinstance(refused, Refused) and refused.status != NOT_FOUND:
                raise refused
            continue  # it went away between the two questions
        ssid = status.get("ssid")
        found.append(Bss(name, ssid if isinstance(ssid, str) else "", status.get("status") == "ENABLED", _present(clients.get("clients"))))
    return found


def _present(clients: object) -> frozenset[str]:
    """Give the addresses of those who are there; who was sent away stays listed with all claims false (rig/hostapd-del_client-real.txt)."""
    rows = clients.items() if isinstance(clients, Mapping) else ()
    there = (address for address, row in rows if isinstance(row, Mapping) and any(row.get(claim) in (True, 1) for claim in ("auth", "assoc", "authorized")))
    return frozenset(address for one in there if isinstance(one, str) and (address := mac(one)))


def on_air(ubus: Ubus) -> list[str]:
    """Give the SSIDs that hostapd sends now, each once."""
    return sorted({printable(bss.ssid) for bss in networks(ubus) if bss.is_on_air and bss.ssid})
