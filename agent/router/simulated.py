"""A believable RW access point that needs no box: seeded, deterministic, in real time or faster.

The same daemon runs over it as over a real router. It opens no socket, starts no process but the applier, when rung for,
and reads what a push configured, once there are such files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from math import cos, pi, sin
from typing import Literal

from agent.errors import Rejected, Unavailable
from agent.records import Association, Band, Board, Bss, Caps, Dhcp, Host, Interface, Layer, Path, Radio, Reach, Station
from agent.router import simulated_day as day
from agent.router import simulated_time
from agent.router.bell import Bell
from agent.router.contract import Errand, Probe
from agent.router.simulated_air import Air, Network, Watched, association
from agent.router.simulated_clock import SimulatedClock
from agent.router.text import printable

# What may go wrong on purpose; without a mood an access point has only ordinary troubles.
MOODS = frozenset({"bad-line", "dead-radio", "flapping-uplink", "full-dhcp", "hostile-ssid", "no-survey"})
HOSTILE_SSIDS = ("$(reboot)';\"\\xff\\xfe\x1b[2J", "</script>\u202e\n{}%s\x00", "Malang RW \N{HOT BEVERAGE}\t`id`")

IFNAMES = ("phy0-ap0", "phy1-ap0", "phy0-ap1")
FIRST_IFINDEX = 8
BANDS: tuple[Band, Band] = ("2g", "5g")
FULL: Literal["full"] = "full"
CPU_CORES = 2
RAM_BYTES = 121_856 * 1024
FLASH_BYTES = 16 * 1024 * 1024
TURN_OF_DAY = 2 * pi / (24 * day.HOUR)
EVENING_PEAK = 20 * day.HOUR - day.WIB


class SimulatedProbe:
    """A probe whose outcome is known as soon as it is asked for."""

    def __init__(self, reach: Reach, now: float) -> None:
        self._reach = reach
        self._deadline = now

    def fds(self) -> dict[int, int]:
        """Give no file descriptors: nothing is sent."""
        return {}

    def advance(self, now: float) -> Reach | None:
        """Give the outcome."""
        return self._reach

    def deadline(self) -> float:
        """Give the moment the probe was started: it need not wait."""
        return self._deadline

    def close(self) -> None:
        """Do nothing: there is nothing open."""


class SimulatedRouter:
    """One simulated box. Two with the same name, seed, size and moods read the same at the same moment, however often they are read."""

    clock: SimulatedClock

    def __init__(
        self, key: bytes, ap: str, clock: SimulatedClock, stations_peak: int, contract_mbps: float, moods: frozenset[str], bell: Bell, file: str
    ) -> None:
        self.clock = clock
        self._configured = Watched(file) if file else None
        self.rings_total = 0
        self._folder = os.path.dirname(file)
        self._caps_file = os.path.join(self._folder, "caps") if file else ""
        self._bell = bell
        self._key = key
        self._ap = ap
        self._moods = moods
        self._dice = day.draw(key, "box", 0, 32)
        self._dead = self._dice[0] % 2 if "dead-radio" in moods else None
        character = _make_character(self._dice, contract_mbps, moods)
        living = tuple([bss for bss in range(day.BSS_COUNT) if day.RADIO_OF[bss] != self._dead])
        self._has_bad_line = character.has_bad_line
        self._calendar = day.Calendar(key, character)
        self._crowd = day.Crowd(key, self._calendar, stations_peak, living)
        self._pool = _pool_size(self._dice, stations_peak, moods)
        self._flow = day.Flow(key, self._calendar, self._crowd, character, clock.booted())
        self._zero_at = 0.0
        self._zero: day.Totals = day.NOTHING
        self._ssids = tuple(map(printable, HOSTILE_SSIDS)) if "hostile-ssid" in moods else _ssids(ap, self._dice)
        self._bssids = tuple(f"02:{day.draw(key, 'bssid', bss, 5).hex(':')}" for bss in range(day.BSS_COUNT))

    def caps(self) -> Caps:
        """Say whether a push configured any; the believable kernel has all that they ask for, and knows each station."""
        try:
            return Caps(bool(self._caps_file) and os.stat(self._caps_file).st_size > 0)
        except OSError:
            return Caps()

    def ring(self, errand: Errand = "push") -> None:
        """Start the applier, where there is one, and let it know what time it is here."""
        if errand != "push":
            return
        self.rings_total += 1
        if self._folder:
            try:
                simulated_time.leave(self._folder, self.boot(), self.clock.uptime(), self.clock.speed, self.clock.booted())
            except OSError as error:
                raise Unavailable(f"{self._folder} cannot be written: {error.strerror}") from None
        self._bell.ring()

    def pace(self, report_s: float, sample_s: float) -> None:
        """Do nothing: what is read here costs the same at every pace."""

    def reboot_at(self, at: float) -> None:
        """Let the box boot anew at `at` (true Unix seconds): another boot, uptime and counters from zero."""
        self.clock.reboot_at(at)

    def boot(self) -> str:
        """Give the boot's 16 hex digits; they follow from the moment of the boot, so a restart of the agent finds the same."""
        return day.draw(self._key, "boot", int(self.clock.booted()), 8).hex()

    def board(self) -> Board:
        """Say what box this plays."""
        return Board("Simulated RW access point", "simulated,rw-ap", "OpenWrt 25.12.1 (simulated)", "6.12.71", self._ap, "simulated")

    def radios(self) -> list[Radio]:
        """Give both radios; a dead one is down and says nothing about the air."""
        at, totals = self._read()
        channels: list[int | None] = [(1, 6, 11)[self._dice[1] % 3], (36, 44, 149)[self._dice[2] % 3]]
        if air := self._air():
            channels = [air.channels.get(f"radio{i}") for i in range(2)]
        return [
            Radio(f"radio{i}", f"phy{i}", BANDS[i], *(None,) * 7, False)
            if i == self._dead or (channel := channels[i]) is None
            else self._radio(i, at, channel, totals)
            for i in range(2)
        ]

    def _air(self) -> Air | None:
        return self._configured.now() if self._configured else None

    def _radio(self, i: int, at: float, channel: int, totals: day.Totals) -> Radio:
        noise = round((-93.5, -97.0)[i] + 1.8 * sin(at / 700 + self._dice[3]) + 0.8 * cos(at / 61))
        has_survey = "no-survey" not in self._moods
        return Radio(
            name=f"radio{i}",
            phy=f"phy{i}",
            band=BANDS[i],
            channel=channel,
            width_mhz=(20, 80)[i],
            tx_power_dbm=(20.0, 23.0)[i],
            noise_dbm=noise if has_survey else None,
            active_ms_total=int(self.clock.uptime() * 1000) if has_survey else None,
            busy_ms_total=totals[day.BUSY_MS][i] if has_survey else None,
            tx_ms_total=totals[day.TX_MS][i] if has_survey else None,
            up=True,
        )

    def bss(self) -> list[Bss]:
        """Give the public network on both radios and the office's on 2.4 GHz."""
        _, totals = self._read()
        own = [
            Bss(
                ifname=IFNAMES[i],
                radio=f"radio{day.RADIO_OF[i]}",
                band=BANDS[day.RADIO_OF[i]],
                ssid=self._ssids[i],
                bssid=self._bssids[i],
                up=day.RADIO_OF[i] != self._dead,
                rx_bytes_total=totals[day.UP][i],
                tx_bytes_total=totals[day.DOWN][i],
                ifindex=FIRST_IFINDEX + i,
            )
            for i in (day.PUBLIC_2G, day.OFFICE, day.PUBLIC_5G)
        ]
        air = self._air()
        return own if air is None else self._as_configured(own, air.networks)

    def _as_configured(self, own: list[Bss], networks: tuple[Network, ...]) -> list[Bss]:
        """Give the networks that a push left or made; a new one has no stations yet."""
        known = {bss.ifname: bss for bss in own}
        found: list[Bss] = []
        for i, one in enumerate(networks):
            radio = 1 if one.radio == "radio1" else 0
            is_up = one.channel is not None and radio != self._dead
            address = f"02:{day.draw(self._key, one.ifname, radio, 5).hex(':')}"
            new = Bss(one.ifname, f"radio{radio}", BANDS[radio], printable(one.ssid), address, is_up, 0, 0, None, FIRST_IFINDEX + len(IFNAMES) + i)
            found.append(known[one.ifname]._replace(ssid=new.ssid, up=is_up) if one.ifname in known else new)
        return found

    def stations(self, ifname: str) -> list[Station]:
        """Give every station entry of one BSS, now and then one that left and was not cleaned up."""
        if ifname not in IFNAMES:
            if any(bss.ifname == ifname for bss in self.bss()):
                return []
            raise Unavailable(f"there is no BSS {ifname!r}, expected one of {', '.join(IFNAMES)}")
        at, stations = self.clock.now(), []
        for stay in self._crowd.present(at, IFNAMES.index(ifname)):
            slot = self._crowd.slots[stay.slot]
            sent, retries = _packets(slot, stay.since, at)
            signal = max(-92, min(-28, round(slot.signal_dbm + _fading(slot, at))))
            stations.append(Station(self._crowd.mac(stay), ifname, not stay.is_lingering, signal, sent, retries))
        return stations

    def associations(self, ifname: str) -> dict[str, Association]:
        """Give how each station of one BSS is connected: the better its signal, the higher its rates."""
        at, crowd = self.clock.now(), self._crowd
        i = IFNAMES.index(ifname) if ifname in IFNAMES else None
        stays = [] if i is None else [(stay, crowd.slots[stay.slot].signal_dbm) for stay in crowd.present(at, i)]
        return {crowd.mac(stay): association(BANDS[day.RADIO_OF[i or 0]], signal, int(at - stay.since)) for stay, signal in stays}

    def interfaces(self) -> list[Interface]:
        """Give the uplink, the bridge of the stations and the three BSSs."""
        at, totals = self._read()
        down, up = sum(totals[day.DOWN]), sum(totals[day.UP])
        wan_down, wan_up = down + down // 400 + totals[day.OWN_DOWN], up + up // 400 + totals[day.OWN_UP]
        # A bad line corrupts a frame now and then; a good one practically never.
        errors = wan_down // (60_000_000 if self._has_bad_line else 90_000_000_000)
        is_linked, speed = self._outage(at) != "link", 100 if self._dice[4] < 40 else 1000
        link_mbps, duplex = (speed, FULL) if is_linked else (None, None)
        interfaces = [
            Interface("wan", 3, "uplink", is_linked, link_mbps, duplex, wan_down, wan_up, errors, 0, down // 3_000_000_000, 0),
            Interface("br-lan", 6, "lan", True, None, None, up, down, 0, 0, 0, 0),
        ]
        for i, name in enumerate(IFNAMES):
            sent, received = totals[day.DOWN][i], totals[day.UP][i]
            is_up = day.RADIO_OF[i] != self._dead
            interfaces.append(Interface(name, FIRST_IFINDEX + i, "bss", is_up, None, None, received, sent, 0, 0, 0, sent // 50_000_000))
        return interfaces

    def host(self) -> Host:
        """Give the box's health: 128 MB of RAM, two small cores that work when stations pull."""
        at, totals = self._read()
        load = min(1.0, self._flow.load(at))
        stations = sum([len(self._crowd.present(at, bss)) for bss in range(day.BSS_COUNT)])
        # A day's slow swing and a few minutes' quick one, so that no two reports look alike.
        slow, quick = cos(TURN_OF_DAY * (at - EVENING_PEAK)), sin(at / 41 + self._dice[5])
        conntrack_max = (4096, 16384, 8192, 16384)[self._dice[6] % 4]
        return Host(
            cpu_busy_s_total=totals[day.CPU_MS] / 1000,
            cpu_softirq_s_total=totals[day.SOFTIRQ_MS] / 1000,
            cpu_s_total=round(self.clock.uptime() * CPU_CORES, 2),
            load1=round(0.09 + 0.04 * quick + 1.1 * load**1.5, 2),
            memory_total_bytes=RAM_BYTES,
            memory_available_bytes=RAM_BYTES - 4096 * (14_600 + int(400 * slow + 90 * quick) + 11 * min(stations, 200)),
            flash_free_bytes=4096 * (2400 - self._dice[7]),
            flash_total_bytes=FLASH_BYTES,
            tmp_free_bytes=RAM_BYTES // 2 - 4096 * (310 + int(20 * quick) + self._dice[8]),
            temperature_c=round(46 + self._dice[9] / 32 + 3 * slow + 8 * load + 0.6 * quick, 1),
            conntrack=min(conntrack_max, 40 + int(stations * (18 + 14 * load) + 9 * quick)),
            conntrack_max=conntrack_max,
            processes=62 + self._dice[10] % 12 + int(1.5 + 1.5 * quick),
        )

    def path(self) -> Path:
        """Give the way out: a carrier-grade NAT address by DHCP from the provider, or what an outage leaves of it."""
        layer = self._outage(self.clock.now())
        if layer in ("link", "address"):
            return Path("wan", layer != "link", None, None, (), None)
        network = f"100.{64 + self._dice[11] % 64}.{self._dice[12]}"
        host = 2 + self._dice[13] % 250
        return Path("wan", True, f"{network}.{host}", f"{network}.1", (f"{network}.1",), layer != "gateway")

    def probe(self, path: Path, dns_name: str, internet: tuple[tuple[str, int], ...], now: float) -> Probe:
        """Start a probe whose outcome fits the uplink's load and outages; no packet is sent."""
        at = self.clock.now()
        dice, load = day.draw(self._key, "probe", int(at), 8), self._flow.load(at)
        layer = self._outage(at)
        if not path.up or path.device is None:
            layer = "link"
        elif path.address is None:
            layer = "address"
        elif path.gateway is None:
            layer = "gateway"
        # Like a real probe: without a name the resolver is asked for the root's servers, without a target the internet is left out.
        wanted: list[Layer] = ["gateway", "dns", "internet"] if internet else ["gateway", "dns"]
        return SimulatedProbe(_reach(layer, wanted, self._latencies(load, dice), self._lost(load, dice)), now)

    def dhcp(self) -> Dhcp:
        """Give the leases in use and the pool; a small pool is full in the evening."""
        return Dhcp(min(self._pool, self._crowd.leases(self.clock.now())), self._pool)

    def _read(self) -> tuple[float, day.Totals]:
        """Give the moment and all counters since the latest boot."""
        at, booted = self.clock.now(), self.clock.booted()
        if booted != self._zero_at:
            self._zero_at, self._zero = booted, self._flow.totals(booted)
        return at, day.plus(self._flow.totals(at), self._zero, -1)

    def _outage(self, at: float) -> Layer:
        return self._calendar.outage(int((at + day.WIB) // 60))

    def _latencies(self, load: float, dice: bytes) -> dict[Layer, float]:
        """Give milliseconds per layer: the provider's distance, chance, and the queue of a full line."""
        queue = max(0.0, min(1.0, load) - 0.6) ** 2 * (900 if self._has_bad_line else 300) + min(2.0, max(0.0, load - 1)) * 40
        base = 1.0 + self._dice[14] / 60 + (6 if self._has_bad_line else 0)
        chance = [(256 / (256 - byte)) ** 0.5 for byte in dice[:3]]
        return {
            "gateway": round((base + queue) * chance[0], 1),
            "dns": round((base + queue + 1.5) * chance[1], 1),
            "internet": round((base + queue + 9 + self._dice[15] / 12) * chance[2], 1),
        }

    def _lost(self, load: float, dice: bytes) -> int:
        """Say whether one of the probe's packets was lost and had to be sent again."""
        return int(dice[3] < (10 if self._has_bad_line else 0) + (8 if load > 1 else 0) + (dice[4] < 128))


def open_router(
    ap: str,
    seed: int,
    speed: float,
    stations_peak: int,
    contract_mbps: float,
    start: float | None,
    moods: frozenset[str] = frozenset(),
    applier: Sequence[str] = (),
    wireless_file: str = "",
) -> SimulatedRouter:
    """Open a simulated access point: `speed` times real time (0: as fast as it is asked), at most `stations_peak` stations.

    `start` is where its time begins, in Unix seconds; None means now, in real time the world's own. Rejected for a mood not in `MOODS`.
    `applier` is the program that `ring` starts, `wireless_file` what pushes configure (store_simulated.py), "" for none.
    """
    if unknown := moods - MOODS:
        raise Rejected(f"moods has {', '.join(sorted(unknown))}, expected some of {', '.join(sorted(MOODS))}")
    key = f"{seed}/{ap}".encode()
    is_live = start is None and speed == 1
    if start is None:
        start = time.time() if is_live else float(time.time() // 60 * 60)
    clock = SimulatedClock(speed, start, _latest_boot(key, start), is_live)
    return SimulatedRouter(key, ap, clock, stations_peak, contract_mbps, moods, Bell(applier), wireless_file)


def _latest_boot(key: bytes, start: float) -> float:
    """Give the latest boot at or before `start`: the box boots every 2 to 12 days, at a time of its own."""
    dice = day.draw(key, "boots", 0, 5)
    period = 2 * 86400 + dice[0] * 3391
    phase = int.from_bytes(dice[1:], "big") % period
    return float(phase + (start - phase) // period * period)


def _make_character(dice: bytes, contract_mbps: float, moods: frozenset[str]) -> day.Character:
    has_bad_line = "bad-line" in moods or dice[16] < 26
    ratio = 0.55 + dice[17] / 1020 if has_bad_line else 0.96 + dice[17] / 1820
    return day.Character(contract_mbps * 1_000_000 * ratio, has_bad_line, "flapping-uplink" in moods, 0.6 + dice[18] / 320)


def _pool_size(dice: bytes, stations_peak: int, moods: frozenset[str]) -> int:
    """Give the addresses DHCP has; a few boxes were set up for fewer stations than come."""
    if "full-dhcp" in moods:
        return max(1, stations_peak * 6 // 10)
    if dice[19] < 20:
        return max(4, stations_peak * 11 // 10)
    return max(150, stations_peak * 2)


def _ssids(ap: str, dice: bytes) -> tuple[str, str, str]:
    """Give the networks' names: the RW's number is the first two of four digits at the name's end (rw-0501 is RW 05), else the last two."""
    digits = ap[len(ap.rstrip("0123456789")) :]
    number = digits[:2] if len(digits) == 4 else digits[-2:].zfill(2) if digits else f"{1 + dice[20] % 20:02d}"
    return f"Malang RW {number}", f"Malang RW {number}", f"Kantor RW {number}"


def _reach(failing: Layer, wanted: list[Layer], latencies: dict[Layer, float], lost: int) -> Reach:
    """Give the outcome of asking the `wanted` layers in turn until one fails."""
    if failing in ("link", "address"):
        return Reach(failing, None, None, None, 1, 1)
    reached: dict[Layer, float] = {}
    for layer in wanted:
        if layer == failing:
            return Reach(layer, reached.get("gateway"), reached.get("dns"), None, 1, len(reached) + 1)
        reached[layer] = latencies[layer]
    # A layer that was not asked cannot be seen failing.
    return Reach("ok", reached.get("gateway"), reached.get("dns"), reached.get("internet"), lost, len(reached) + lost)


def _packets(slot: day.Slot, since: float, until: float) -> tuple[int, int]:
    """Give the packets sent to a station during its stay and how many had to be sent again; both only rise.

    The pace swings with the day, so its integral is known without walking through the stay; retries swing more,
    because the evening's air is full.
    """

    def integral(swing: float) -> float:
        # The rate is 1 + swing * cos, highest at 20:00 WIB.
        turn = TURN_OF_DAY
        return (until - since) + swing * (sin(turn * (until - EVENING_PEAK)) - sin(turn * (since - EVENING_PEAK))) / turn

    return int(slot.packets_a_second * integral(0.3)), int(slot.packets_a_second * slot.retry_ratio * integral(0.6))


def _fading(slot: day.Slot, at: float) -> float:
    """Give how many dB the station's signal is off its usual at `at`: people walk, doors close, hands move."""
    jitter = (int(at // 3) * 2654435761 + int(slot.phase * 1000) * 40503) >> 7 & 7
    return 3.0 * sin(at / 97 + slot.phase) + 1.6 * cos(at / 13 + 2 * slot.phase) + jitter - 3.5
