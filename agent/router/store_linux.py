"""A plain Linux box's configuration: the directory of hostapd's files, one file for each radio, and one file of our own beside the state directory.

The tree speaks UCI's words: package `wireless` holds all of hostapd's files, a wifi-device `radio_<stem>` for each and a wifi-iface for
each network; `rwagent` is `pushed.json`. A file's package is `wireless` where there is only one, else `wireless_<stem>`; what is staged
goes by file. Everything a push does not name stays as it is, byte for byte.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from agent.change import Edit, Facts, OnAir, RadioFact, Section, Tree, edited
from agent.derived import DERIVED
from agent.errors import Unavailable
from agent.router import carried, hostapd_conf, public_device, secret_files, way_out
from agent.router.carried import Carried
from agent.router.child import SCRIPTS, SEARCH, Program
from agent.router.hostapd import Hostapd, Status
from agent.router.text import printable

if TYPE_CHECKING:
    from agent.settings import Settings

BACKEND = "linux"
SECTIONS = ("ssids", "radios", "uplink", "dns", "agent")
WIRELESS, OWN = "wireless", "rwagent"
OWN_FILE = "pushed.json"
MOST_FILES = 16
MOST_BYTES = 256 * 1024
# A hostapd that is started anew needs seconds; whoever waits for it has a deadline of his own.
RELOAD_S = 30.0
ANSWER_S = 3.0
SCRIPT = os.path.join(SCRIPTS, "reload_linux")
STARTING = ("COUNTRY_UPDATE", "ACS", "HT_SCAN", "DFS")


class Places(NamedTuple):
    """Where the box keeps things: hostapd's files and its sockets, our own file, the applier's directory in RAM, the kernel's interfaces."""

    hostapd_config: str
    hostapd_dir: str
    own_file: str
    apply_dir: str
    secrets_dir: str
    interfaces: str = "/sys/class/net"
    script: str = SCRIPT
    run_dir: str = ""
    scripts: str = SCRIPTS


class _File(NamedTuple):
    """One of hostapd's files as it is: its package, the radio's section, where it lies and what stands in it."""

    package: str
    radio: str
    path: str
    content: bytes
    conf: hostapd_conf.Conf


class LinuxStore:
    """One box with hostapd's files; every method as the contract says."""

    backend = BACKEND
    sections = SECTIONS

    def __init__(self, places: Places, public_network: str = "", adopt: tuple[str, ...] = (), contract_mbps: float = 0.0, uplink: str = "auto") -> None:
        self._places = places
        self._uplink = uplink
        self._carried = Carried(carried.Places(self._derived(), places.apply_dir, places.run_dir, places.scripts, places.interfaces))
        self._public_network = public_network
        self._adopt = adopt
        self._contract_mbps = contract_mbps
        self._shell = Program("sh", timeout_s=RELOAD_S)
        # What hostapd runs until it is told: it can then take over alone what is different.
        self._runs: dict[str, bytes] = {}

    def tree(self) -> Tree:
        """Read the configuration; Unavailable when a file is none that hostapd would take, or two name the same."""
        return _tree(self._files(), self._own())

    def facts(self, tree: Tree) -> Facts:
        """Give what the check must know; which channels a radio may use is for the driver to say, when it is set up."""
        devices = [one for one in tree.get(WIRELESS, {}).values() if one.type == "wifi-device"]
        uplink = way_out.device(None if self._uplink == "auto" else self._uplink, self._places.interfaces)
        return Facts(
            backend=BACKEND,
            sections=SECTIONS,
            radios=tuple(RadioFact(one.name, one.value("band"), frozenset(), True) for one in devices),
            public_network=self._public_network,
            public_problem=self._public_problem(),
            adopt=self._adopt,
            contract_mbps=self._contract_mbps,
            secrets=secret_files.read(self._places.secrets_dir),
            uplink=uplink,
            caps_problem=self._carried.caps_problem(),
            dns_problem=self._dns_problem(uplink),
            public_device=self._public_network,
        )

    def busy(self) -> str | None:
        """Look for a file whose hostapd gives no answer: there is nobody who could be told. Who edits a file here leaves no mark."""
        try:
            wanted = {file.conf.blocks[0].ifname for file in self._files()}
        except Unavailable as error:
            return str(error)
        running = {network.ifname for status in self._statuses() for network in status.networks}
        missing = sorted(wanted - running)
        return f"no hostapd answers for {missing[0]}" if missing else None

    def paths(self) -> dict[str, str]:
        """Give each file; where that is a link, what it leads to, for it is replaced by name."""
        return {package: path for package, _, path in self._names()} | {OWN: self._places.own_file} | self._derived()

    def stage(self, edits: Sequence[Edit], directory: str) -> dict[str, bytes]:
        """Make the new files and read them back."""
        files, own = self._files(), self._own()
        before = _tree(files, own)
        after = edited(before, edits)
        if unknown := sorted(set(after) - {WIRELESS, OWN}):
            raise Unavailable(f"this box has no {unknown[0]}")
        made = {file.package: made_file for file in files if (made_file := _made(file, before[WIRELESS], after[WIRELESS])) != file.content}
        if after[OWN] != before[OWN]:
            made[OWN] = _encoded(after[OWN])
        for package, content in made.items():
            _write(os.path.join(directory, package), content)
        self._require_meant(files, made, after)
        self._runs = {file.path: file.content for file in files}
        return made

    def undo(self, package: str, before: Tree, after: Tree) -> bytes:
        """Give nothing: a file that somebody else edited is put back whole, and his is kept beside it."""
        return b""

    def reload(self, packages: Sequence[str]) -> None:
        """Make hostapd take the files over: only the networks that changed where it has a global control socket, else by a restart."""
        for package, _, path in self._names():
            if package in packages or WIRELESS in packages:
                was = os.path.join(self._places.apply_dir, f"was.{package}")
                _write(was, self._runs.get(path, b""))
                try:
                    self._shell.run(self._places.script, self._places.apply_dir, was, path)
                except Unavailable:
                    raise Unavailable(f"hostapd did not take over {printable(path)}") from None
                finally:
                    os.unlink(was)
        for name in DERIVED:
            if name in packages:
                self._carried.apply(name)

    def tend(self, asked: bytes | None = None) -> None:
        """Carry out what nobody tells of here: a network that hostapd made anew, a derived file that a rollback put back, stations that came."""
        self._carried.tend(asked)

    def standing(self, name: str) -> str | None:
        """Read back what a derived file asks for."""
        return self._carried.standing(name)

    def on_air(self) -> list[OnAir]:
        """Ask every hostapd; a network that its file switches off is left out, like one that is not there."""
        off = {one.value("ifname") for one in self.tree()[WIRELESS].values() if one.type == "wifi-iface" and one.is_on("disabled")}
        return [one for status in self._statuses() for one in _heard(status) if one.ifname not in off]

    def _statuses(self) -> list[Status]:
        # Anew each time: one that was silent before is asked again.
        return [status for status in Hostapd(self._places.hostapd_dir, ANSWER_S).statuses().values() if status is not None]

    def _derived(self) -> dict[str, str]:
        """Give the derived files, which lie beside our own."""
        return {name: os.path.join(os.path.dirname(self._places.own_file), name) for name in DERIVED}

    def _public_problem(self) -> str:
        network = self._public_network
        if not network:
            return "router.public_network is not set"
        if "/" in network or not os.path.isdir(os.path.join(self._places.interfaces, network, "bridge")):
            return f"this box has no bridge {printable(network)}"
        return ""

    def _dns_problem(self, uplink: str) -> str:
        network = self._public_network
        problem = self._public_problem() or public_device.problem(network, uplink, SEARCH, self._places.interfaces)
        is_routed = bool(problem) or public_device.has_address(network)
        return problem if is_routed else f"{network} has no address of this box, which so does not route for it"

    def _names(self) -> list[tuple[str, str, str]]:
        """Give package, radio's section and path of each of hostapd's files."""
        directory = self._places.hostapd_config
        try:
            names = sorted(name for name in os.listdir(directory) if name.endswith(".conf"))
        except FileNotFoundError:
            return []  # a box without a radio of its own
        except OSError as error:
            raise Unavailable(f"{directory}: {error.strerror}") from None
        if len(names) > MOST_FILES:
            raise Unavailable(f"{directory}: {len(names)} files, expected at most {MOST_FILES}")
        stems = [re.sub("[^a-z0-9]", "_", name.removesuffix(".conf").lower()) for name in names]
        if len(set(stems)) < len(stems):
            raise Unavailable(f"{directory}: two files of nearly one name")
        packages = [WIRELESS] if len(stems) == 1 else [f"{WIRELESS}_{stem}" for stem in stems]
        paths = [os.path.realpath(os.path.join(directory, name)) for name in names]
        return [(package, f"radio_{stem}", path) for package, stem, path in zip(packages, stems, paths, strict=True)]

    def _files(self) -> list[_File]:
        return [_File(package, radio, path, content := _read(path), hostapd_conf.parse(content)) for package, radio, path in self._names()]

    def _own(self) -> dict[str, Section]:
        path = self._places.own_file
        return _decoded(_read(path), path) if os.path.lexists(path) else {}

    def _require_meant(self, files: Iterable[_File], made: Mapping[str, bytes], after: Tree) -> None:
        staged = [file._replace(conf=hostapd_conf.parse(made[file.package])) if file.package in made else file for file in files]
        own = _decoded(made[OWN], OWN) if OWN in made else self._own()
        found = _tree(staged, own)
        for package in (WIRELESS, OWN):
            for name in {**after[package], **found[package]}:
                if after[package].get(name) != found[package].get(name):
                    raise Unavailable(f"{package}: what was written of {printable(name)} is not what was meant")


def open_store(settings: Settings) -> LinuxStore:
    """Open this box."""
    router, paths = settings.router, settings.paths
    own_file = os.path.join(os.path.dirname(paths.state_dir.rstrip("/")), OWN_FILE)
    places = Places(router.hostapd_config, router.hostapd_dir, own_file, paths.apply_dir, settings.push.secrets_dir, run_dir=paths.run_dir)
    return LinuxStore(places, router.public_network, router.adopt, router.contract_mbps, router.uplink)


def _tree(files: Iterable[_File], own: Mapping[str, Section]) -> dict[str, dict[str, Section]]:
    wireless: dict[str, Section] = {}
    for file in files:
        for name, section in hostapd_conf.sections(file.conf, file.radio).items():
            if name in wireless:
                raise Unavailable(f"hostapd's files name {name} twice")
            wireless[name] = section
    return {WIRELESS: wireless, OWN: dict(own)}


def _made(file: _File, before: Mapping[str, Section], after: Mapping[str, Section]) -> bytes:
    known = {section.value("device") for section in after.values() if section.type == "wifi-iface"}
    if lost := sorted(str(device) for device in known if device not in before or device not in after):
        raise Unavailable(f"this box has no radio {printable(lost[0])}")
    was, will = _of_radio(file.radio, before), _of_radio(file.radio, after)
    return file.content if was == will else hostapd_conf.text(hostapd_conf.changed(file.conf, file.radio, was, will))


def _of_radio(radio: str, wireless: Mapping[str, Section]) -> dict[str, Section]:
    return {name: section for name, section in wireless.items() if radio in (name, section.value("device"))}


def _heard(status: Status) -> list[OnAir]:
    found = []
    for network in status.networks:
        # A network that hostapd could not set up has no address.
        is_up = status.is_enabled and network.bssid not in (None, "00:00:00:00:00:00")
        state = "enabled" if is_up else "starting" if status.state in STARTING else "down"
        found.append(OnAir(network.ifname, network.ssid or "", status.channel, state))  # type: ignore[arg-type]  # one of three words
    return found


def _encoded(sections: Mapping[str, Section]) -> bytes:
    rows = {name: {"type": section.type, "options": {option: list(values) for option, values in section.options.items()}} for name, section in sections.items()}
    return json.dumps({"v": 1, "sections": rows}, ensure_ascii=True, indent=1).encode() + b"\n"


def _decoded(content: bytes, path: str) -> dict[str, Section]:
    try:
        rows = json.loads(content)["sections"]
        return {name: Section(row["type"], name, {option: tuple(values) for option, values in row["options"].items()}) for name, row in rows.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unavailable(f"{path} is not what a push left there") from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise Unavailable(f"{path} is larger than {MOST_BYTES} bytes")
    return content


def _write(path: str, content: bytes) -> None:
    # Keys stand in it: nobody else's to read, also in RAM.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(content)
