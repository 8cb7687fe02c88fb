"""What commands do on a plain Linux access point, as root: hostapd's control sockets, `iw` to listen, the journal or the log's file."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from agent.errors import Unavailable
from agent.router import errands, iw_scan, log_lines, secret_files
from agent.router.child import SEARCH, Program
from agent.router.errands import Errands
from agent.router.hands import Log, Name, Scan
from agent.router.hostapd import Hostapd
from agent.router.iw_scan import Scanner
from agent.router.text import listed, printable

if TYPE_CHECKING:
    from agent.settings import Settings

LOG = logging.getLogger(__name__)

MOST_ENTRIES = 2000
MOST_FILE_BYTES = 1 << 18
MOST_CONF_BYTES = 1 << 20
COMMAND_S = 10.0
JOURNAL_S = 8.0
REASON = 5  # the access point cannot serve more stations (IEEE 802.11-2020, table 9-49)
LOG_FILES = ("/var/log/messages", "/var/log/syslog")
_SECRETS = ("wpa_passphrase", "wpa_psk", "sae_password", "wep_key", "auth_server_shared_secret", "acct_server_shared_secret", "private_key_passwd", "passwd")


class Places(NamedTuple):
    """Where programs are looked for, and where a log lies where there is no journal."""

    search: str = SEARCH
    log_files: tuple[str, ...] = LOG_FILES


class _On(NamedTuple):
    """One station on one network, by the socket that knows it."""

    ifname: str
    ssid: str
    mac: str


def open_hands(settings: Settings, name: Name) -> LinuxHands:
    """Open this box's."""
    return LinuxHands(settings, name, Errands(settings.paths.state_dir, settings.paths.apply_dir), Scanner())


class LinuxHands:
    """One Linux box; every method as the contract says."""

    def __init__(self, settings: Settings, name: Name, scripts: Errands, scanner: Scanner, places: Places = Places()) -> None:  # noqa: B008  # immutable
        self._settings = settings
        self._name = name
        self._scripts = scripts
        self._scanner = scanner
        self._places = places
        self._directory = settings.router.hostapd_dir

    def lacks(self, command: str) -> str:
        """Look for LEDs, and for iw."""
        return errands.lacks(self._scripts, self._scanner, command)

    def kick(self, station: str, ban_s: int) -> list[str]:
        """Send it away wherever it is; hostapd has no ban here that ends by itself."""
        if ban_s:
            raise Unavailable(f"ban_s is {ban_s}, expected 0: on plain Linux hostapd has no ban that ends by itself; kick without it")
        found = [one for one in self._stations() if self._name(one.mac) == station]
        if not found:
            raise Unavailable(f"no station {station} is associated now; `stations` gives today's names, which change daily")
        for one in found:
            LOG.info("hostapd_cli -i %s deauthenticate: reason=%d", printable(one.ifname), REASON)
            self._command(one.ifname, f"DEAUTHENTICATE {one.mac} reason={REASON}", "deauthenticate")
        return sorted({one.ssid for one in found})

    def scan(self, band: str | None) -> Scan:
        """Listen with one radio of each band."""
        return iw_scan.scan(self._scanner, self._name, band)

    def blink(self, seconds: int) -> list[str]:
        """Blink with every LED of the box."""
        return errands.locate(self._scripts, seconds)

    def log(self, lines: int, match: str) -> Log:
        """Read the journal, else the newest end of the log's file."""
        keys = self._keys()
        return log_lines.chosen(self._entries(MOST_ENTRIES if match else lines), keys, lines, match)

    def reload_wifi(self) -> list[str]:
        """Have each radio's hostapd set it up anew."""
        hostapd = Hostapd(self._directory)
        radios = [ifname for ifname, status in hostapd.statuses().items() if status is not None]
        if not radios:
            raise Unavailable(f"no hostapd answers in {self._directory}; start it, or name its directory in router.hostapd_dir")
        for ifname in radios:
            LOG.info("hostapd_cli -i %s reload", printable(ifname))
            self._command(ifname, "RELOAD", "reload")
        told = [status for status in hostapd.statuses().values() if status is not None and status.is_enabled]
        return sorted({network.ssid for status in told for network in status.networks if network.ssid})

    def reboot(self, delay_s: int) -> None:
        """Begin a reboot."""
        errands.reboot(self._scripts, delay_s)

    def _stations(self) -> Iterator[_On]:
        hostapd = Hostapd(self._directory)
        for status in hostapd.statuses().values():
            for network in status.networks if status else ():
                for station in hostapd.stations(network.ifname):
                    if station.authorized:
                        yield _On(network.ifname, network.ssid or "", station.mac)

    def _command(self, ifname: str, text: str, shown: str) -> None:
        """Tell one hostapd; Unavailable when it does not say OK."""
        place = f"hostapd of {printable(ifname)}: {shown}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
                # An abstract address chosen by the kernel: hostapd can answer it, and no file is left behind.
                link.bind("")
                link.settimeout(COMMAND_S)
                link.connect(os.path.join(self._directory, ifname))
                link.send(text.encode())
                answer = link.recv(4096)
        except OSError as error:
            raise Unavailable(f"{place}: {error.strerror or 'no answer'}") from None
        if not answer.startswith(b"OK"):
            raise Unavailable(f"{place}: refused; the log of hostapd says why")

    def _entries(self, most: int) -> list[str]:
        journal = Program("journalctl", self._places.search, JOURNAL_S)
        why = "journalctl: no such program"
        if journal.is_there():
            try:
                told = journal.run("--no-pager", "--quiet", "--output=short-iso", f"--lines={most}")
                # Only "\n" ends a line: behind any other mark would stand the rest of one, without what it is recognised by.
                return [line for line in told.split("\n") if line]
            except Unavailable as error:
                why = str(error)
        for path in self._places.log_files:
            try:
                with open(path, "rb") as file:
                    size = file.seek(0, os.SEEK_END)
                    file.seek(max(0, size - MOST_FILE_BYTES))
                    whole = file.read(MOST_FILE_BYTES).decode("utf-8", "backslashreplace").split("\n")
            except OSError:
                continue
            return [line for line in whole[size > MOST_FILE_BYTES :] if line][-most:]
        raise Unavailable(f"this box keeps no log that can be read: {why}; no {' or '.join(self._places.log_files)}")

    def _keys(self) -> set[str]:
        """Give every key that root knows of; Unavailable when a file of hostapd's cannot be read, for then nobody could star it."""
        router, push = self._settings.router, self._settings.push
        keys = set(secret_files.read(push.secrets_dir).values())
        for file in listed(router.hostapd_config):
            path = os.path.join(router.hostapd_config, file)
            if not os.path.isfile(path):
                continue
            try:
                with open(path, encoding="utf-8", errors="surrogateescape") as conf:
                    lines = conf.read(MOST_CONF_BYTES).split("\n")
            except OSError as error:
                raise Unavailable(f"the log is not given, for the keys to be starred in it cannot be read: {path}: {error.strerror}") from None
            pairs = (line.strip().partition("=") for line in lines)
            # sae_password=KEY|mac=…|id=…
            keys |= {value.partition("|")[0].strip('"') for word, _, value in pairs if word.startswith(_SECRETS)}
        return {key for key in keys if len(key) >= 5}
