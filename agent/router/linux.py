"""Any Linux box as a router: iw, hostapd's control socket, /proc, /sys and psutil, behind the one contract.

Starts a process (`iw`) only where there is Wi-Fi; changes nothing.
"""

from __future__ import annotations

import os

from agent import reach
from agent.errors import Unavailable
from agent.records import Association, Board, Bss, Caps, Dhcp, Host, Interface, Path, Radio, Station
from agent.router import addresses, caps, leases
from agent.router.child import Program
from agent.router.clock import SystemClock, boot
from agent.router.contract import Errand, Probe
from agent.router.host import Health
from agent.router.hostapd import Hostapd
from agent.router.iw import Iw
from agent.router.netdev import Netdev
from agent.router.networks import rows
from agent.router.text import printable, read_bytes, read_line
from agent.router.wireless import Wireless

HOSTAPD_DIR = "/var/run/hostapd"
LEASE_FILES = ("/tmp/dhcp.leases", "/var/lib/misc/dnsmasq.leases")
_DEVICETREE = "/sys/firmware/devicetree/base/"
_DMI = "/sys/class/dmi/id/"
NO_PATH = Path(None, False, None, None, (), None)
PATH_S = 15.0
NO_LEASES_S = 10.0  # how long a box without lease files is believed to have none


def parse_os_release(text: str) -> str | None:
    """Read the name for people out of /etc/os-release."""
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        if key.strip() == "PRETTY_NAME":
            return value.strip().strip("\"'") or None
    return None


def open_router(
    uplink: str = "auto",
    hostapd_dir: str = HOSTAPD_DIR,
    lease_files: tuple[str, ...] = LEASE_FILES,
    marker: str | None = None,
    run_dir: str = "",
    state_dir: str = "",
) -> LinuxRouter:
    """Open this machine. `uplink`: a device, or "auto" for the default route's; `marker`: see SystemClock; the directories are the settings'."""
    file = caps.place("linux", state_dir)
    return LinuxRouter(uplink, lease_files, SystemClock(marker), Iw(Program("iw")), Hostapd(hostapd_dir), run_dir=run_dir, caps_file=file)


class LinuxRouter:
    """One Linux box; every method as the contract says."""

    def __init__(
        self,
        uplink: str,
        lease_files: tuple[str, ...],
        clock: SystemClock,
        iw: Iw,
        hostapd: Hostapd,
        sys_class: str = "/sys/class",
        run_dir: str = "",
        caps_file: str = "",
    ) -> None:
        self.clock = clock
        self._run_dir, self._caps_file = run_dir, caps_file
        self._uplink = uplink
        self._last_uplink: str | None = None
        self._lease_files = lease_files
        self._sys = sys_class
        self._iw = iw
        self._wireless = Wireless(iw, hostapd, clock.monotonic, sys_class)
        self._netdev = Netdev(clock.monotonic)
        self._health = Health(clock.monotonic, sys_class)
        self._ifnames: dict[str, str] = {}
        self._path = NO_PATH
        self._path_state: tuple[str | None, bool, bytes] | None = None
        self._path_until = 0.0
        self._no_leases = ""
        self._leases_again_at = float("-inf")

    def boot(self) -> str:
        """The first 16 hex digits of the kernel's boot_id."""
        return boot()

    def board(self) -> Board:
        """What box this is, by its device tree or its firmware's tables."""
        system = os.uname()
        release = parse_os_release(_text("/etc/os-release"))
        model = read_line(_DEVICETREE + "model") or read_line(_DMI + "product_name")
        compatible = read_line(_DEVICETREE + "compatible")
        board = compatible.split()[0] if compatible else read_line(_DMI + "board_name")
        return Board(model or system.machine, board or system.machine, release or system.sysname, system.release, system.nodename, "linux")

    def radios(self) -> list[Radio]:
        """Every radio, by iw."""
        return self._wireless.radios()

    def bss(self) -> list[Bss]:
        """Every BSS, by iw and hostapd; an owe-transition pair is not told by either."""
        networks = self._wireless.networks()
        self._ifnames = {printable(network.ifname): network.ifname for network in networks}
        return rows(networks, self._netdev, self._sys)

    def stations(self, ifname: str) -> list[Station]:
        """Every station entry of one BSS that `bss` named."""
        return self._wireless.stations(self._ifnames.get(ifname, ifname))

    def associations(self, ifname: str) -> dict[str, Association]:
        """How each station of one BSS is connected, by iw."""
        return self._iw.associations(self._ifnames.get(ifname, ifname))

    def interfaces(self) -> list[Interface]:
        """Every network device worth reporting; see Netdev.interfaces for the rule."""
        return self._netdev.interfaces(self._device(), self._wireless.names())

    def host(self) -> Host:
        """The box's own health, by psutil."""
        return self._health.read()

    def path(self) -> Path:
        """The way out as configured now; read again when the device or the routes changed, and every 15 s for all else."""
        device = self._device()
        up = device is not None and self._netdev.is_up(device)
        state = (device, up, addresses.routes_as_they_are())
        if state != self._path_state or self.clock.monotonic() >= self._path_until:
            self._path = addresses.read_path(device, up)
            self._path_state, self._path_until = state, self.clock.monotonic() + PATH_S
        return self._path

    def probe(self, path: Path, dns_name: str, internet: tuple[tuple[str, int], ...], now: float) -> Probe:
        """Start a layered probe of `path`."""
        return reach.start(path, dns_name, internet, now)

    def dhcp(self) -> Dhcp:
        """Leases by dnsmasq's file; how many the pool has is not known here."""
        now = self.clock.monotonic()
        if now < self._leases_again_at:
            raise Unavailable(self._no_leases)
        try:
            return leases.read_leases(self._lease_files, self.clock.wall(), self.clock.state() == "ntp")
        except Unavailable as error:
            self._no_leases, self._leases_again_at = str(error), now + NO_LEASES_S
            raise

    def caps(self) -> Caps:
        """The caps root wants, and what the kernel has of them; whether hardware forwards past it nobody tells here."""
        return caps.look(os.path.join(self._run_dir, "status"), self._caps_file)

    def ring(self, errand: Errand = "push") -> None:
        """Leave a note of stations that came; else do nothing: `rwagent-apply --watch` looks for pushes, and whether the caps stand, by itself."""
        if errand == "stations":
            from agent.router import note  # carried only once root is to be told of something

            note.leave(os.path.join(self._run_dir, "inbox"), errand)

    def pace(self, report_s: float, sample_s: float) -> None:
        """Do nothing: what is read here costs the same at every pace."""

    def _device(self) -> str | None:
        """Name the uplink's device. A pulled cable takes the default route with it, so the last one stays while it exists."""
        if self._uplink != "auto":
            return self._uplink
        route = addresses.default_route()
        if route:
            self._last_uplink = route.device
        elif self._last_uplink and not os.path.exists(f"/proc/sys/net/ipv4/conf/{self._last_uplink}"):
            self._last_uplink = None
        return self._last_uplink


def _text(path: str) -> str:
    try:
        return read_bytes(path, 65536).decode("utf-8", "replace")
    except OSError:
        return ""
