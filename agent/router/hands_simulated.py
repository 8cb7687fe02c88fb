"""What commands do with a simulated access point: a believable answer by its model, starred by the same rules, and nothing touched.

Only `reboot` leaves something behind: a file `reboot` in state_dir/simulated that says when (the world's Unix seconds), for whoever drives the simulation.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.errors import Unavailable
from agent.router import log_lines, secret_files, simulated_time
from agent.router import simulated_day as day
from agent.router.hands import Heard, Log, Name, Scan
from agent.router.simulated_air import CHANNELS, read_package

if TYPE_CHECKING:
    from agent.router.simulated import SimulatedRouter
    from agent.settings import Settings

LED = "green:status"
REBOOT = "reboot"
_NEIGHBOURS = (
    "Warung Bu Tini",
    "IndiHome-4F2A",
    "TP-Link_3C1E",
    "Kos Mawar Lt 2",
    "balai rw",
    None,
    "MASJID AL-IKHLAS",
    "vivo 1904",
    "ZTE_2.4G_xx",
    "Kelurahan",
)
_BANDS = ("2g", "5g")


def open_hands(settings: Settings, name: Name) -> SimulatedHands:
    """Open those of the access point that `settings` name: its model once more, for the one that the daemon runs over is in its process."""
    from agent.router import simulated

    chosen, router = settings.simulated, settings.router
    directory = os.path.join(settings.paths.state_dir, "simulated")
    start = float(chosen.start) if chosen.start else None
    options = (settings.id, chosen.seed, chosen.speed, chosen.stations_peak, router.contract_mbps)
    file = os.path.join(directory, "wireless")
    told = simulated_time.found(directory)
    if told is not None:
        # Its world has a time of its own, which may go faster, too: those who are there by this one's are others.
        start = told.booted + told.uptime()
    box = simulated.open_router(*options, start, wireless_file=file)
    return SimulatedHands(box, f"{chosen.seed}/{settings.id}".encode(), name, directory, settings.push.secrets_dir)


class SimulatedHands:
    """One simulated access point; every method as the contract says."""

    def __init__(self, box: SimulatedRouter, key: bytes, name: Name, directory: str, secrets_dir: str) -> None:
        self._box = box
        self._key = key
        self._name = name
        self._directory = directory
        self._secrets_dir = secrets_dir
        self._lock = threading.Lock()  # the model remembers what it worked out last

    def lacks(self, command: str) -> str:
        """Lack nothing."""
        return ""

    def kick(self, station: str, ban_s: int) -> list[str]:
        """Find it; its model comes and goes by the hour and does not mind."""
        with self._lock:
            there = [(one, bss.ssid or "") for bss in self._box.bss() for one in self._box.stations(bss.ifname)]
        ssids = {ssid for one, ssid in there if one.authorized and self._name(one.mac) == station}
        if not ssids:
            raise Unavailable(f"no station {station} is associated now; `stations` gives today's names, which change daily")
        return sorted(ssids)

    def scan(self, band: str | None) -> Scan:
        """Hear the neighbours that this place has, some of them today."""
        with self._lock:
            radios = self._box.radios()
        if not (up := [radio.band for radio in radios if radio.up and radio.band and band in (None, radio.band)]):
            raise Unavailable(f"no radio is on air{f' on {band}' if band else ''}, so none can listen; `rwctl status` shows why")
        hour = int(self._box.clock.wall() // day.HOUR)
        found = [heard for on in _BANDS if on in up for heard in self._heard(on, hour)]
        return Scan(tuple(sorted(found, key=lambda one: -(one.signal_dbm or 0))), 0, {})

    def blink(self, seconds: int) -> list[str]:
        """Have one LED that nobody sees."""
        return [LED]

    def log(self, lines: int, match: str) -> Log:
        """Tell of the last hours, addresses and all, and star it as any log."""
        return log_lines.chosen(self.entries(), self._keys(), lines, match)

    def reload_wifi(self) -> list[str]:
        """Give what is on air by the configuration."""
        with self._lock:
            return sorted({bss.ssid for bss in self._box.bss() if bss.up and bss.ssid})

    def reboot(self, delay_s: int) -> None:
        """Write down when; whoever drives the simulation takes it from there."""
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            with open(os.path.join(self._directory, REBOOT), "w", encoding="ascii") as file:
                file.write(f"{time.time() + delay_s:.0f}\n")
        except OSError as error:
            raise Unavailable(f"{self._directory}: {error.strerror}") from None

    def entries(self) -> list[str]:
        """Give the log as such a box would have it: who came, by address and name, and what the agent did."""
        with self._lock:
            happened = sorted(self._happened())
        return [f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(at))} {text}" for at, text in happened]

    def _happened(self) -> Iterator[tuple[float, str]]:
        now = self._box.clock.wall()
        yield now - self._box.clock.uptime(), "kern.notice kernel: Linux version 6.12.71"
        for bss in self._box.bss():
            joined = self._box.associations(bss.ifname) if bss.up else {}
            for number, (address, one) in enumerate(joined.items()):
                at = now - (one.connected_s or 0)
                yield at, f"daemon.notice hostapd: {bss.ifname}: AP-STA-CONNECTED {address} auth_alg=open"
                yield at + 1, f"daemon.info dnsmasq-dhcp[1]: DHCPACK(br-lan) 10.20.{number >> 8}.{number & 255} {address} phone-{number}"
        for minutes in range(0, 120, 30):
            yield now - minutes * 60, "user.info rwagent: report sent"

    def _heard(self, band: str, hour: int) -> Iterator[Heard]:
        channels = sorted(CHANNELS[band])
        for number, ssid in enumerate(_NEIGHBOURS):
            dice = day.draw(self._key, f"neighbour {band}", number, 8)
            # Half of them are always there, the others come and go.
            if dice[0] < 128 or day.draw(self._key, f"neighbour {band} {number}", hour, 1)[0] < 128:
                yield Heard(self._name(f"02:{dice[1:6].hex(':')}"), ssid, channels[dice[6] % len(channels)], -48 - dice[7] % 44)

    def _keys(self) -> set[str]:
        rows = read_package(os.path.join(self._directory, "wireless")) or []
        return {row.value("key") for row in rows if row.value("key")} | set(secret_files.read(self._secrets_dir).values())
