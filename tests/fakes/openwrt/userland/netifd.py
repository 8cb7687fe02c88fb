"""netifd with hostapd: reads `wireless`, and lets networks come, go and change on air and on ubus as the recordings (wifi-*) and the sources have it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fakes.openwrt.userland import hostapd_conf, uci
from tests.fakes.openwrt.userland.hostapd_conf import Wanted, is_on, text

if TYPE_CHECKING:
    from tests.fakes.openwrt.userland.box import Box

_LIVE = ("txpower",)  # what `iw` sets while everybody stays
_DFS = frozenset(range(52, 145, 4))
_CHANNELS = {"2g": frozenset(range(1, 15)), "5g": frozenset([*range(36, 65, 4), *range(100, 145, 4), *range(149, 178, 4)]), "6g": frozenset(range(1, 234, 4))}
_BASE_MHZ = {"2g": 2407, "5g": 5000, "6g": 5950}
_YES_OR_NO = ("disabled", "hidden", "isolate", "wmm", "noscan", "ieee80211k", "ieee80211r", "ieee80211v", "bss_transition", "legacy_rates")
_NUMBERS = ("cell_density", "maxassoc", "txpower", "beacon_int", "dtim_period", "ieee80211w", "log_level")
_LISTS = ("network", "device")
_LOG = "daemon.notice hostapd: "


class OnAir(NamedTuple):
    """One network as it is sent now, the truth that nobody on the box is told."""

    ifname: str
    section: str
    radio: str
    ssid: str
    channel: int
    status: str
    is_open: bool
    key: str | None
    hidden: bool
    sae: bool
    owe: bool
    ifindex: int
    object_id: int | None


class _Radio:
    """One radio: what it was set up with, and the networks it has."""

    def __init__(self, name: str, phy: str) -> None:
        self.name, self.phy = name, phy
        self.options: dict[str, str | list[str]] = {}
        self.ifaces: dict[str, tuple[str, dict[str, str | list[str]]]] = {}  # ifname: section, options
        self.has_failed = self.is_down = False
        self.status = "ENABLED"
        self.generation = 0


class Netifd:
    """The wireless half of netifd, hostapd behind it, of one box."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self.reloads = 0
        self.is_wifi_down = False
        self._under_way = 0
        self.bss: dict[str, OnAir] = {}
        self._indexes = itertools.count(max((about["ifindex"] for about in box.board.devices.values()), default=0) + 1)
        self._radios = {name: _Radio(name, phy) for name, phy in self._phys().items()}
        self._templates = {name: copy.deepcopy(box.board.get(name, "get_status")) for name in box.board.bss_objects() if self._has_status(name)}
        known = [about for name, about in box.board.devices.items() if name in box.board.wlans]
        self._device = copy.deepcopy(known[0]) if known else {"type": "wlan", "speed": None, "duplex": None, "counters": [0] * 16}
        self._adopt()

    @property
    def _is_ucode(self) -> bool:
        return self._box.board.release not in ("23.05", "24.10") and not self._box.board.release.startswith(("23.", "24."))

    def _has_status(self, name: str) -> bool:
        try:
            return "status" in self._box.board.get(name, "get_status")
        except (KeyError, TypeError):
            return False

    def _phys(self) -> dict[str, str]:
        """Find each radio's phy: by what runs on it, else by its path."""
        board, found = self._box.board, {}
        status = board.get("network.wireless", "status") if ("network.wireless", "status", None) in board.replies() else {}
        for section in self._sections("wifi-device"):
            of = status.get(section.name, {})
            names = [one.get("ifname") for one in of.get("interfaces", [])]
            known = [board.wlans[name] for name in names if name in board.wlans]
            path = text(section.options, "path")
            known += [phy for phy, about in board.phys.items() if path and about["path"].endswith(path)]
            found[section.name] = known[0] if known else f"phy{len(found)}"
        return found

    def _sections(self, kind: str) -> list[uci.Section]:
        package = self._box.load("wireless")
        return [one for one in package.sections if one.type == kind] if package else []

    def _adopt(self) -> None:
        """Take over what the board has on air."""
        wireless = self._box.board
        for name, radio in self._radios.items():
            radio.options, radio.ifaces = self._wanted_of(name, radio.phy)
            for ifname, (section, options) in list(radio.ifaces.items()):
                told = f"hostapd.{ifname}"
                if told not in self._templates:
                    del radio.ifaces[ifname]
                    continue
                status = self._templates[told]
                wanted = self._render(options) or Wanted(status["ssid"], True, None, False, False, False)
                channel = int(status.get("channel", 0))
                ifindex = wireless.devices.get(ifname, {}).get("ifindex", 0)
                security = (wanted.is_open, wanted.key, wanted.is_hidden, wanted.sae, wanted.owe)
                ssid = str(status["ssid"])
                self.bss[ifname] = OnAir(ifname, section, name, ssid, channel, str(status["status"]), *security, ifindex, None)

    def _render(self, options: dict[str, str | list[str]]) -> Wanted | None:
        try:
            wanted = hostapd_conf.render(options, self._is_ucode)
            return _decoded(wanted) if wanted else None
        except hostapd_conf.Refused:
            return None

    def _wanted_of(
        self, radio: str, phy: str, *, whatever: bool = False
    ) -> tuple[dict[str, str | list[str]], dict[str, tuple[str, dict[str, str | list[str]]]]]:
        """Read what is configured for a radio: its options, and its networks that are switched on, by interface."""
        device = next((one for one in self._sections("wifi-device") if one.name == radio), None)
        if device is None or is_on(device.options, "disabled") or (self.is_wifi_down and not whatever):
            return dict(device.options) if device else {}, {}
        found: dict[str, tuple[str, dict[str, str | list[str]]]] = {}
        count = 0
        for one in self._sections("wifi-iface"):
            if radio not in text(one.options, "device").split() or is_on(one.options, "disabled") or text(one.options, "mode", "ap") != "ap":
                continue
            ifname = text(one.options, "ifname")
            if not ifname:
                ifname, count = f"{phy}-ap{count}", count + 1
            found[ifname] = (one.name, dict(one.options))
        return dict(device.options), found

    # A reload.

    def reload(self, *, restarts: bool = False) -> None:
        """Be told to look at the configuration again; what changes on air does so later."""
        if self._box.faults.netifd_deaf:
            return
        self._later(self._box.faults.delay_s, lambda: self._set_up(restarts))

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        self._under_way += 1

        def run() -> None:
            try:
                function()
            finally:
                self._under_way -= 1

        self._box.timers.after(seconds, run)

    @property
    def is_quiet(self) -> bool:
        """Say whether nothing is under way, but listening for radar."""
        return self._under_way == 0

    def down(self) -> None:
        """Do `wifi down`."""
        self.is_wifi_down = True
        for radio in self._radios.values():
            self._clear(radio, list(radio.ifaces))
            radio.is_down, radio.ifaces = True, {}
        self._tell()

    def up(self) -> None:
        """Do `wifi up`: every radio anew."""
        self.is_wifi_down = False
        self.reload(restarts=True)

    def _set_up(self, restarts: bool) -> None:
        self.reloads += 1
        for section in self._sections("wifi-device"):
            if section.name not in self._radios:
                phys = self._phys()
                self._radios[section.name] = _Radio(section.name, phys[section.name])
        for radio in self._radios.values():
            self._set_up_radio(radio, restarts)
        self._tell()
        self._box.moment("rendered")

    def _set_up_radio(self, radio: _Radio, restarts: bool) -> None:
        options, ifaces = self._wanted_of(radio.name, radio.phy)
        before_options, before = radio.options, radio.ifaces
        shown = {name: value for name, value in options.items() if name not in _LIVE}
        has_new_radio = shown != {name: value for name, value in before_options.items() if name not in _LIVE}
        is_same = ifaces == before and not has_new_radio and not restarts and not radio.has_failed
        radio.options, radio.ifaces, radio.is_down = options, ifaces, False
        if is_same:
            return
        radio.generation += 1
        radio.has_failed = self._violates(options, ifaces)
        wanted = {} if radio.has_failed else self._file(radio, options, ifaces)
        if wanted is None or radio.has_failed:
            # hostapd takes none of the file: what ran of the radio is gone, and netifd says "up" all the same (wifi-bad-channel).
            self._clear(radio, list(before))
            radio.ifaces = ifaces if wanted is None else {}
            radio.has_failed |= wanted is None
            return
        whole = has_new_radio or restarts or radio.status != "ENABLED" or not self._runs(radio)
        stay = {name for name in before if name in ifaces and ifaces[name] == before[name] and name in self.bss} if not whole else set()
        only = not whole and len(before) == len(ifaces) == 1 and before.keys() == ifaces.keys()
        if only:
            self._appear(radio, wanted, stay, keeps_object=True)
            return
        self._clear(radio, [name for name in before if name not in stay])
        generation = radio.generation
        self._later(self._box.faults.absent_s, lambda: self._appear_later(radio, generation, wanted, stay))

    def _runs(self, radio: _Radio) -> bool:
        return any(one.radio == radio.name for one in self.bss.values())

    def _violates(self, options: dict[str, Any], ifaces: dict[str, tuple[str, dict[str, Any]]]) -> bool:
        if not self._is_ucode:
            return False
        broken = hostapd_conf.violation(options, is_device=True)
        for _, one in ifaces.values():
            broken = broken or hostapd_conf.violation(one, is_device=False)
        if broken:
            self._box.note(f"daemon.notice netifd: wireless: validation failed: {broken}")
        return broken is not None

    def _file(self, radio: _Radio, options: dict[str, Any], ifaces: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Wanted] | None:
        """Give the networks of a radio's file; None when hostapd does not take it."""
        found: dict[str, Wanted] = {}
        try:
            if radio.name in self._box.faults.hostapd_refuses:
                raise hostapd_conf.Refused("a fault of the test's")
            self._channel(radio, options)
            for ifname, (_, one) in ifaces.items():
                if len(ifname) > 15:
                    raise hostapd_conf.Refused(f"Invalid interface name {ifname}")
                wanted = hostapd_conf.render(one, self._is_ucode)
                if wanted is not None:
                    found[ifname] = _decoded(wanted)
        except hostapd_conf.Refused as error:
            first = next(iter(ifaces), f"{radio.phy}-ap0")
            failed = f"hostapd.add_iface failed for phy {radio.phy} ifname={first}"
            for line in (f"{error}", f"{first}: interface state COUNTRY_UPDATE->DISABLED", failed):
                self._box.note(_LOG + line)
            return None
        return found

    def _channel(self, radio: _Radio, options: dict[str, Any]) -> int:
        band, told = text(options, "band", "2g"), text(options, "channel", "auto")
        if radio.name in self._box.faults.channel_is:
            return self._box.faults.channel_is[radio.name]
        allowed = _CHANNELS.get(band, _CHANNELS["2g"])
        if told in ("auto", "0", ""):
            now = next((one.channel for one in self.bss.values() if one.radio == radio.name), None)
            return now or min(allowed)
        if not told.isdigit() or int(told) not in allowed:
            raise hostapd_conf.Refused("Could not determine operating frequency")
        return int(told)

    def _appear_later(self, radio: _Radio, generation: int, wanted: dict[str, Wanted], stay: set[str]) -> None:
        if radio.generation == generation:
            self._appear(radio, wanted, stay, keeps_object=False)
            self._tell()
            self._box.moment("on_air")

    def _appear(self, radio: _Radio, wanted: dict[str, Wanted], stay: set[str], *, keeps_object: bool) -> None:
        faults = self._box.faults
        channel = self._channel(radio, radio.options)
        wait_s = faults.dfs_s.get(radio.name, 0.0) if not stay and not keeps_object else 0.0
        radio.status = "DFS" if wait_s else "ENABLED"
        for ifname, (section, _) in radio.ifaces.items():
            one = wanted.get(ifname)
            if one is None or ifname in stay or one.ssid in faults.never_on_air:
                if one is not None and one.ssid in faults.never_on_air:
                    self._clear(radio, [ifname])
                continue
            there = self.bss.get(ifname) if keeps_object else None
            ifindex = there.ifindex if there else next(self._indexes)
            security = (one.is_open, one.key, one.is_hidden, one.sae, one.owe)
            self.bss[ifname] = OnAir(ifname, section, radio.name, one.ssid, channel, radio.status, *security, ifindex, None)
            self._box.note(f"{_LOG}{ifname}: interface state COUNTRY_UPDATE->{radio.status}")
            if there is None:
                self._add_device(ifname, radio.phy, ifindex)
            self._publish(ifname, radio, wait_s)
            self._box.show_object(f"hostapd.{ifname}")
        if wait_s:
            generation = radio.generation
            self._count_down(radio, generation, wait_s)

    def _count_down(self, radio: _Radio, generation: int, left_s: float) -> None:
        if radio.generation != generation:
            return
        radio.status = "DFS" if left_s > 0 else "ENABLED"
        for ifname, one in list(self.bss.items()):
            if one.radio == radio.name:
                self.bss[ifname] = one._replace(status=radio.status)
                self._publish(ifname, radio, left_s)
        if left_s > 0:
            step = min(left_s, 1.0)
            self._box.timers.after(step, lambda: self._count_down(radio, generation, left_s - step))
        else:
            self._box.moment("on_air")

    # What is seen of it.

    def _publish(self, ifname: str, radio: _Radio, dfs_left_s: float) -> None:
        board, one = self._box.board, self.bss[ifname]
        near = [name for name in self._templates if board.wlans.get(name.partition(".")[2]) == radio.phy]
        name = f"hostapd.{ifname}"
        template = self._templates.get(name) or (self._templates[near[0]] if near else next(iter(self._templates.values()), {}))
        status = copy.deepcopy(template)
        band = text(radio.options, "band", "2g")
        status |= {"status": one.status, "ssid": one.ssid, "channel": one.channel}
        status |= {"freq": 2484 if (band, one.channel) == ("2g", 14) else _BASE_MHZ.get(band, 2407) + 5 * one.channel, "bssid": self._bssid(ifname, radio)}
        if "phy" in status:
            status["phy"] = radio.phy
        waits = dfs_left_s > 0
        status["dfs"] = {"cac_seconds": 60 if waits else 0, "cac_active": waits, "cac_seconds_left": int(dfs_left_s)}
        board.set(name, "get_status", status)
        board.set(name, "get_clients", {"freq": status["freq"], "clients": {}})

    def _bssid(self, ifname: str, radio: _Radio) -> str:
        known = self._templates.get(f"hostapd.{ifname}")
        base = self._box.board.phys.get(radio.phy, {}).get("macaddress", "02:00:00:00:00:00")
        return str(known["bssid"]) if known else base[:-2] + f"{(int(base[-2:], 16) + 16 + len(self.bss)) & 0xFF:02x}"

    def _clear(self, radio: _Radio, ifnames: list[str]) -> None:
        for ifname in ifnames:
            if self.bss.pop(ifname, None) is not None:
                self._box.hide_object(f"hostapd.{ifname}")
                self._remove_device(ifname)

    def _add_device(self, ifname: str, phy: str, ifindex: int) -> None:
        about = {**self._device, "ifindex": ifindex, "up": True, "counters": [0] * 16}
        self._box.board.devices[ifname], self._box.board.wlans[ifname] = about, phy
        self._box.add_device(ifname)

    def _remove_device(self, ifname: str) -> None:
        self._box.remove_device(ifname)

    def _tell(self) -> None:
        """Say what netifd says, whatever hostapd made of it."""
        self._box.board.set("network.wireless", "status", {name: self._told(radio) for name, radio in self._radios.items()})

    def _told(self, radio: _Radio) -> dict[str, Any]:
        # A schema's violation is noticed by netifd itself; that hostapd took nothing is not.
        device = next((one for one in self._sections("wifi-device") if one.name == radio.name), None)
        gives_up = radio.has_failed and not radio.ifaces
        is_disabled = device is None or is_on(device.options, "disabled")
        is_up = not (is_disabled or gives_up or self.is_wifi_down)
        told: dict[str, Any] = {"up": is_up, "pending": False, "autostart": not self.is_wifi_down, "disabled": is_disabled, "retry_setup_failed": gives_up}
        if self.is_wifi_down:
            del told["autostart"]
        told["config"] = {name: _shown(name, radio.options[name]) for name in sorted(radio.options, key=lambda name: (name != "type", name))}
        named = {section: ifname for ifname, (section, _) in radio.ifaces.items()}
        configured = radio.ifaces.values() if not self.is_wifi_down else self._wanted_of(radio.name, radio.phy, whatever=True)[1].values()
        told["interfaces"] = [self._iface(section, options, named.get(section)) for section, options in configured]
        return told

    def _iface(self, section: str, options: dict[str, str | list[str]], ifname: str | None) -> dict[str, Any]:
        order = {name: place for place, name in enumerate(("network", "isolate", "device", "mode", "disabled"))}
        shown = {name: _shown(name, options[name]) for name in sorted(options, key=lambda name: (order.get(name, len(order)), name))}
        known = {} if ifname is None else {"ifname": ifname}
        return {"section": section, "config": shown | ({"radios": []} if self._is_ucode else {}), **known, "vlans": [], "stations": []}

    def on_air(self, object_id: Callable[[str], int | None]) -> dict[str, OnAir]:
        """Give what is sent now."""
        return {ifname: one._replace(object_id=object_id(f"hostapd.{ifname}")) for ifname, one in sorted(self.bss.items())}


def _decoded(wanted: Wanted) -> Wanted:
    return wanted._replace(ssid=_utf8(wanted.ssid), key=None if wanted.key is None else _utf8(wanted.key))


def _utf8(value: str) -> str:
    return value.encode("latin-1").decode("utf-8", "surrogateescape")


def _shown(name: str, value: str | list[str]) -> Any:
    """Give an option as netifd's status has it."""
    if name in _LISTS:
        return value if isinstance(value, list) else value.split()
    if isinstance(value, list):
        return [_utf8(one) for one in value]
    if name in _YES_OR_NO:
        return value in hostapd_conf.TRUE
    return int(value) if name in _NUMBERS and value.isdigit() else _utf8(value)
