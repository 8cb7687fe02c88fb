"""What the applier needs of an OpenWrt box: UCI's files, who is told of a change, and what hostapd sends. Used by root only.

Puts no file in place itself. `uci` always works here on copies in RAM under names of our own: it goes by a package's name to what others have
staged in /tmp/.uci and to a trial in /var/run/uci, with -c and -t too (openwrt/uci delta.c, file.c), and would commit both with ours.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from agent.change import Edit, Facts, OnAir, RadioFact, Section, Tree, edited
from agent.derived import DERIVED
from agent.errors import Unavailable
from agent.router import carried, child, firewall, netifd, public_device, secret_files, way_out
from agent.router.carried import Carried
from agent.router.child import SCRIPTS, Program
from agent.router.text import printable
from agent.router.ubus import Call, Refused, Ubus
from agent.router.ubus_message import NO_DATA, NOT_FOUND
from agent.router.uci import parse_whole
from agent.router.wanted import HWMODES

if TYPE_CHECKING:
    from agent.settings import RouterSettings, Settings

LOG = logging.getLogger(__name__)

SECTIONS = ("ssids", "radios", "uplink", "dns", "agent", "system")
# What a push may change, and what its checks read besides.
CHANGED = ("wireless", "system", "rwagent")
READ = ("network", "firewall")
UNDO = "rwundo"  # the package's name in an undo script: the rollback runs it over a copy so called
TIMEOUT_S = 10.0
SETTLE_S = 10.0  # after a restart of ubusd its clients come back within seconds (rig/ubusd-killed.txt)
MOST_BYTES = 1 << 20
MOST_NETWORKS = 64
_COPY = "rwcopy_"
_NAME = re.compile(r"[A-Za-z0-9_]+")
_TYPE = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PLACE = re.compile(r"cfg([0-9a-f]{2,})([0-9a-f]{4})")  # how uci calls a section without a name: its place in the file, and a hash of its type
_STATES: Mapping[str, Literal["enabled", "starting"]] = {  # hostapd_state_text; every other word is down
    "ENABLED": "enabled",
    "DFS": "starting",
    "ACS": "starting",
    "HT_SCAN": "starting",
    "COUNTRY_UPDATE": "starting",
}
# The key of every network stands there: what is not wanted is not even decoded.
_STATUS = Call("network.wireless", "status", None, frozenset(("config", "interfaces")))
# A session of this name confirms nothing of anybody's: rpcd refuses it while an apply waits, and says "no data" when none does.
_PENDING = Call("uci", "confirm", {"ubus_rpc_session": "rwagent"})
_UNREAD = frozenset(("rrm", "wnm", "airtime", "dfs"))


class Places(NamedTuple):
    """Where the box keeps things: UCI's files on flash, a trial's in RAM, and rpcd's; where programs are looked for.

    `derived`: where the files of agent/derived.py lie; whoever is told of them (procd) has the path of its own.
    """

    config: str = "/etc/config"
    override: str = "/var/run/uci"
    rpcd: str = "/var/run/rpcd"
    search: str = child.SEARCH
    derived: str = "/etc/rwagent"
    interfaces: str = "/sys/class/net"
    scripts: str = SCRIPTS


PLACES = Places()


def open_store(settings: Settings) -> OpenwrtStore:
    """Open this box."""
    return OpenwrtStore(settings.router, settings.push.secrets_dir, settings.paths.apply_dir)


class OpenwrtStore:
    """One OpenWrt box; every method as the contract says.

    `ram`: a directory of root's alone, where copies lie while they are read. `timeout_s`: how long any daemon may take to answer.
    """

    def __init__(self, settings: RouterSettings, secrets_dir: str, ram: str, places: Places = PLACES, timeout_s: float = TIMEOUT_S) -> None:
        self.backend = "openwrt"
        self.sections = SECTIONS
        self._settings = settings
        self._secrets_dir = secrets_dir
        self._ram = ram
        self._places = places
        self._uci = Program("uci", places.search, TIMEOUT_S)
        self._timeout_s = timeout_s
        files = {name: os.path.join(places.derived, name) for name in DERIVED}
        self._carried = Carried(carried.Places(files, ram, "", places.scripts, places.interfaces, places.search))
        self._ubus = Ubus(settings.ubus_socket, timeout_s)
        self._life: int | None = None
        self._settled_at = 0.0

    def tree(self) -> Tree:
        """Read the packages that a push changes or looks at, as they lie on flash; one that is not there is empty."""
        with self._directory() as directory:
            return {package: self._show(directory, package) for package in (*CHANGED, *READ) if self._copy(package, directory)}

    def facts(self, tree: Tree) -> Facts:
        """Give what the check must know; channels are not known: what `iw` lists is for the country that was set last, which a push may change."""
        devices = [one for one in tree.get("wireless", {}).values() if one.type == "wifi-device"]
        uplink, places = self._uplink(), self._places
        return Facts(
            backend=self.backend,
            sections=SECTIONS,
            radios=tuple(RadioFact(one.name, _band(one), frozenset(), not one.is_on("disabled")) for one in devices),
            public_network=self._settings.public_network,
            public_problem=firewall.problem(tree, self._settings.public_network),
            adopt=self._settings.adopt,
            contract_mbps=self._settings.contract_mbps,
            secrets=secret_files.read(self._secrets_dir),
            uplink=uplink,
            caps_problem=self._carried.caps_problem(),
            dns_problem=public_device.problem_of_network(tree, self._settings.public_network, uplink, places.search, places.interfaces),
            public_device=public_device.of_network(tree, self._settings.public_network),
        )

    def busy(self) -> str | None:
        """Look for staged edits, a trial in RAM, an apply of LuCI's that waits for its confirmation, and a radio that netifd is still setting up."""
        for package in CHANGED:
            if os.path.lexists(os.path.join(self._places.override, package)):
                return f"{self._places.override}/{package} lies over the flash: what runs is not what a push would change"
        try:
            for package in CHANGED:
                if os.path.exists(os.path.join(self._places.config, package)) and self._uci.run("changes", package).strip():
                    return f"somebody has staged edits in {package}: uci changes {package}"
            return self._busy_daemon()
        except Unavailable as error:
            return str(error)

    def paths(self) -> dict[str, str]:
        """Give each package's file; where that is a link, what it leads to, for it is replaced by name."""
        packages = {package: os.path.realpath(os.path.join(self._places.config, package)) for package in CHANGED}
        return packages | {name: os.path.join(self._places.derived, name) for name in DERIVED}

    def stage(self, edits: Sequence[Edit], directory: str) -> dict[str, bytes]:
        """Make the new files by one `uci batch` over copies, and read every option back: batch goes on after errors and commit lies, both with exit 0."""
        for edit in edits:
            _require_sound(edit)
        packages = tuple(dict.fromkeys(edit.package for edit in edits))
        for package in packages:
            if not self._copy(package, directory):
                _write(os.path.join(directory, _COPY + package), b"")
        before = {package: self._show(directory, package) for package in packages}
        lines = [_line(edit) for edit in edits] + [f"commit {_COPY}{package}\n" for package in packages]
        script = os.path.join(directory, "batch")
        _write(script, os.fsencode("".join(lines)))
        self._uci.run("-c", directory, "-t", os.path.join(directory, "delta"), "-f", script, "batch")
        os.unlink(script)
        try:
            expected = edited(before, edits)
        except KeyError as error:
            raise Unavailable(f"uci: section {error.args[0]} is not there any more") from None
        for package in packages:
            _compare(package, _renumbered(before[package], expected[package]), self._show(directory, package))
        return {package: _read(os.path.join(directory, _COPY + package)) or b"" for package in packages}

    def undo(self, package: str, before: Tree, after: Tree) -> bytes:
        """Give the batch for a copy called `rwundo`, each line of which may be run again; b"" where a section cannot be found by a name."""
        lines = _undo_lines(before.get(package, {}), after.get(package, {}))
        return b"" if lines is None else os.fsencode("".join(f"{line}\n" for line in (*lines, f"commit {UNDO}")))

    def reload(self, packages: Sequence[str]) -> None:
        """Send `config.change` for each; procd starts what waits for it (network, system, ...) and answers at once."""
        until = time.monotonic() + self._timeout_s
        with self._connected() as ubus:
            for package in packages:
                LOG.info('ubus call service event \'{"type":"config.change","data":{"package":"%s"}}\'', package)
                ubus.call("service", "event", {"type": "config.change", "data": {"package": package}}, max(0.1, until - time.monotonic()))

    def tend(self, asked: bytes | None = None) -> None:
        """Do nothing: procd and the kernel's hotplug tell of everything."""

    def standing(self, name: str) -> str | None:
        """Read back what a derived file asks for."""
        return self._carried.standing(name)

    def on_air(self) -> list[OnAir]:
        """Ask every BSS of hostapd's; netifd says `up` also of a radio that hostapd could not start."""
        with self._connected() as ubus:
            names = [name for name in sorted(ubus.lookup("hostapd.*")) if name.removeprefix("hostapd.")][:MOST_NETWORKS]
            self._require_settled()
            answers = ubus.call_all([Call(name, "get_status", None, _UNREAD) for name in names])
        found = []
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, Refused):
                if answer.status == NOT_FOUND:
                    continue  # it went away between the two questions
                raise answer
            if answer.get("driver") != "wired":  # 802.1X on a port is no BSS
                found.append(_on_air(name.removeprefix("hostapd."), answer))
        return found

    def _uplink(self) -> str:
        """Name the device of the way out as the daemon does: by netifd, else by the default route."""
        wanted = self._settings.uplink
        try:
            with self._connected() as ubus:
                known = netifd.parse_dump(ubus.call("network.interface", "dump"))
        except Unavailable:
            known = []
        chosen = netifd.uplink_of(known, wanted)
        device = chosen.device or chosen.lower if chosen else None
        return way_out.device(device or (None if wanted == "auto" else wanted), self._places.interfaces)

    @contextmanager
    def _connected(self) -> Iterator[Ubus]:
        """Lend the connection; it ends with its use, for a push lasts minutes and nothing closes a store."""
        try:
            yield self._ubus
        finally:
            self._ubus.close()

    def _require_settled(self) -> None:
        """Raise Unavailable while a network that is not there may only not have come back to a new ubusd yet."""
        lives, now = self._ubus.lives, time.monotonic()
        if self._life is not None and lives != self._life:
            self._settled_at = now + SETTLE_S
        self._life = lives
        if now < self._settled_at:
            raise Unavailable("ubus: ubusd was restarted, and its clients are coming back to it")

    def _busy_daemon(self) -> str | None:
        calls = [_STATUS, _PENDING] if self._has_snapshot() else [_STATUS]
        with self._connected() as ubus:
            status, *pending = ubus.call_all(calls)
        # Without its object at ubus (rpcd does not come back to a new ubusd) its timer may run all the same.
        if any(not isinstance(answer, Refused) or answer.status != NO_DATA for answer in pending):
            return "an apply of LuCI's waits for its confirmation (rpcd)"
        if isinstance(status, Refused):
            return None if status.status == NOT_FOUND else str(status)
        radios = [name for name, radio in status.items() if isinstance(radio, Mapping) and radio.get("pending") in (True, 1)]
        return f"netifd is still setting up {printable(radios[0])}" if radios else None

    def _has_snapshot(self) -> bool:
        """Say whether rpcd keeps copies, as it does while an apply waits; it leaves them behind after other things too."""
        with suppress(OSError):
            return bool(os.listdir(os.path.join(self._places.rpcd, "snapshot-files")))
        return False

    @contextmanager
    def _directory(self) -> Iterator[str]:
        """Make a directory for copies, under the applier's lock; what one that was killed left there goes first."""
        directory = os.path.join(self._ram, "tree")
        try:
            shutil.rmtree(directory, ignore_errors=True)
            os.mkdir(directory, 0o700)
            yield directory
        except OSError as error:
            raise Unavailable(f"{directory}: {error.strerror}") from None
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _copy(self, package: str, directory: str) -> bool:
        """Copy a package's file; False when there is none."""
        content = _read(os.path.join(self._places.config, package))
        if content is None:
            return False
        _write(os.path.join(directory, _COPY + package), content)
        return True

    def _show(self, directory: str, package: str) -> dict[str, Section]:
        # Without the batch's -t: uci would show what is only staged there, as if it had been committed.
        return parse_whole(self._uci.run("-c", directory, "-X", "show", _COPY + package))


def _require_sound(edit: Edit) -> None:
    """Raise Unavailable for what may not become a line of a batch, whoever let it come this far."""
    where = _where(edit.package, edit.section, edit.option)
    if edit.package not in CHANGED:
        raise Unavailable(f"{where}: package {printable(edit.package)} is not for pushes to change, only {', '.join(CHANGED)}")
    if not all(_NAME.fullmatch(name) for name in (edit.section, edit.option or "_")) or not _TYPE.fullmatch(edit.type or "_"):
        raise Unavailable(f"{where} has a name that UCI does not take")
    if edit.value is not None and (not edit.value or _CONTROL.search(edit.value)):
        raise Unavailable(f"{where} would have a value that is empty or has control characters")


def _line(edit: Edit) -> str:
    """Give the line of the batch. Between single quotes every character stands for itself (openwrt/uci file.c parse_single_quote)."""
    section = f"{_COPY}{edit.package}.{edit.section}"
    if edit.type is not None:
        return f"set {section}={edit.type}\n"
    if edit.option is None:
        return f"delete {section}\n"
    return f"delete {section}.{edit.option}\n" if edit.value is None else f"set {section}.{edit.option}={_quoted(edit.value)}\n"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


def _where(package: str, section: str, option: str | None) -> str:
    return printable(".".join(part for part in (package, section, option) if part is not None))


def _nameless(sections: Mapping[str, Section]) -> set[str]:
    """Name the sections that have no name of their own: those called by their place in the file."""
    return {name for place, name in enumerate(sections, 1) if (found := _PLACE.fullmatch(name)) and int(found[1], 16) == place}


def _renumbered(before: Mapping[str, Section], expected: Mapping[str, Section]) -> dict[str, Section]:
    """Call the sections without a name as uci will: by the place they have when others before them are gone."""
    nameless = _nameless(before)
    names = [f"cfg{place:02x}{name[-4:]}" if name in nameless else name for place, name in enumerate(expected, 1)]
    return {name: section._replace(name=name) for name, section in zip(names, expected.values(), strict=True)}


def _compare(package: str, expected: Mapping[str, Section], found: Mapping[str, Section]) -> None:
    """Raise Unavailable with the first option that is not as it must be; never with a value, which may be a key."""
    for name in (*expected, *found):
        wanted, there = expected.get(name), found.get(name)
        if wanted is None or there is None or wanted.type != there.type:
            raise Unavailable(f"uci did not write what it was told: section {_where(package, name, None)}")
        for option in (*wanted.options, *there.options):
            if wanted.options.get(option) != there.options.get(option):
                raise Unavailable(f"uci did not write what it was told: {_where(package, name, option)}")


def _undo_lines(before: Mapping[str, Section], after: Mapping[str, Section]) -> list[str] | None:
    """Give the lines that take back what differs; None where a section that has no name cannot be told from another of its type."""
    nameless = _nameless(before) | _nameless(after)
    if nameless & (before.keys() ^ after.keys()):
        return None
    lines = [f"delete {UNDO}.{name}" for name in after if name not in before]
    for name, was in before.items():
        now = after.get(name, Section(was.type, name, {}))
        if name in after and now == was:
            continue
        where = f"{UNDO}.{name}"
        if name in nameless:
            if sum(one.type == was.type for one in before.values()) > 1:
                return None
            where = f"{UNDO}.@{was.type}[0]"
        elif name not in after:
            lines.append(f"set {where}={was.type}")
        for option in dict.fromkeys((*was.options, *now.options)):
            values = was.options.get(option, ())
            if now.options.get(option, ()) == values:
                continue
            if any(_CONTROL.search(re.sub(r"[\t\n\r]", "", value)) for value in values):
                return None
            if len(values) != 1:
                lines.append(f"delete {where}.{option}")
            lines += [f"{'set' if len(values) == 1 else 'add_list'} {where}.{option}={_quoted(value)}" for value in values]
    return lines


def _band(device: Section) -> str | None:
    return device.value("band") or HWMODES.get(device.value("hwmode") or "")


def _on_air(ifname: str, status: Mapping[str, object]) -> OnAir:
    ssid, channel, word = status.get("ssid"), status.get("channel"), status.get("status")
    number = channel if isinstance(channel, int) and not isinstance(channel, bool) and channel > 0 else None
    return OnAir(ifname, ssid if isinstance(ssid, str) else "", number, _STATES.get(word, "down") if isinstance(word, str) else "down")


def _read(path: str) -> bytes | None:
    """Read a regular file whole; None when there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            content = file.read(MOST_BYTES + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from None
    if content is None or len(content) > MOST_BYTES:
        raise Unavailable(f"{path} is no file, or has more than {MOST_BYTES} bytes")
    return content


def _write(path: str, content: bytes) -> None:
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from None
