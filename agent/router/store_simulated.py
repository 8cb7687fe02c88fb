"""The simulated access point's configuration: a JSON file for each package below state_dir/simulated/, and a believable hostapd over them.

Until a push has come there is no file, and the configuration is the one that the simulated router shows by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from agent import caps
from agent.change import Edit, Facts, OnAir, RadioFact, Section, Tree, edited
from agent.derived import DERIVED
from agent.errors import Unavailable
from agent.router import secret_files
from agent.router.simulated_air import TUNABLE, Row, air, encode, read_package

if TYPE_CHECKING:
    from agent.settings import Settings

BACKEND = "simulated"
SECTIONS = ("ssids", "radios", "uplink", "dns", "agent", "system")
PACKAGES = ("wireless", "system", "rwagent")
STARTING_S = 1.0
UPLINK = "wan"
PUBLIC_DEVICE = "br-public"
# TEST-NET-1 (RFC 5737): a resolver there answers nobody, here as anywhere.
SILENT = b"server 192.0.2."
# What the box came with: section, radio, interface, in the order in which the simulated router lists its BSSs.
NETWORKS = (("public_radio0", "radio0", "phy0-ap0"), ("office_radio0", "radio0", "phy0-ap1"), ("public_radio1", "radio1", "phy1-ap0"))


class SimulatedStore:
    """The files of one simulated access point."""

    backend = BACKEND
    sections = SECTIONS

    def __init__(self, directory: str, initial: Tree, public_network: str, adopt: tuple[str, ...], contract_mbps: float, secrets_dir: str) -> None:
        self._directory = directory
        self._initial = initial
        self._public_network = public_network
        self._adopt = adopt
        self._contract_mbps = contract_mbps
        self._secrets_dir = secrets_dir
        self.starting_s = STARTING_S

    def tree(self) -> Tree:
        """Read the configuration; Unavailable when a file is none of ours."""
        return {package: _sections(os.path.join(self._directory, package), self._initial.get(package, {})) for package in PACKAGES}

    def facts(self, tree: Tree) -> Facts:
        """Give what the check must know: both radios with the channels they can be tuned to."""
        radios = tuple(
            RadioFact(name, section.value("band"), TUNABLE.get(section.value("band") or "", frozenset()), not section.is_on("disabled"))
            for name, section in tree.get("wireless", {}).items()
            if section.type == "wifi-device"
        )
        secrets = secret_files.read(self._secrets_dir)
        return Facts(BACKEND, SECTIONS, radios, self._public_network, "", self._adopt, self._contract_mbps, secrets, UPLINK, public_device=PUBLIC_DEVICE)

    def busy(self) -> str | None:
        """Say that an operator works on it, which a file named `busy` plays."""
        return "somebody's edits are staged" if os.path.exists(os.path.join(self._directory, "busy")) else None

    def paths(self) -> dict[str, str]:
        """Give each package's file."""
        return {name: os.path.join(self._directory, name) for name in (*PACKAGES, *DERIVED)}

    def stage(self, edits: Sequence[Edit], directory: str) -> dict[str, bytes]:
        """Make the new files and read them back."""
        after = edited(self.tree(), edits)
        made: dict[str, bytes] = {}
        for package in dict.fromkeys(edit.package for edit in edits):
            path = os.path.join(directory, package)
            with open(path, "wb") as file:
                file.write(encode([Row(*section) for section in after[package].values()]))
            if _sections(path, {}) != after[package]:
                raise Unavailable(f"{package}: what was written is not what was meant")
            with open(path, "rb") as file:
                made[package] = file.read()
        return made

    def undo(self, package: str, before: Tree, after: Tree) -> bytes:
        """Give nothing: here a file has one author."""
        return b""

    def reload(self, packages: Sequence[str]) -> None:
        """Do nothing: the files are read again at the next question."""

    def tend(self, asked: bytes | None = None) -> None:
        """Do nothing: what is wanted is so."""

    def standing(self, name: str) -> str | None:
        """Say what is wrong with a derived file; the believable kernel has what a good one asks for."""
        content = _content(self.paths()[name])
        try:
            caps.read(content if name == "caps" else b"")
        except ValueError as error:
            return str(error)
        return "a resolver gives no answer" if name == "dns" and SILENT in content else None

    def on_air(self) -> list[OnAir]:
        """Say what a hostapd would send by these files; it needs a moment to start."""
        try:
            age_s = time.time() - os.stat(self.paths()["wireless"]).st_mtime
        except OSError:
            age_s = self.starting_s
        going: Literal["starting", "enabled"] = "starting" if 0 <= age_s < self.starting_s else "enabled"
        seen = air([Row(*section) for section in self.tree().get("wireless", {}).values()])
        return [OnAir(one.ifname, one.ssid, one.channel, "down" if one.channel is None else going) for one in seen.networks]


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 16)
    except FileNotFoundError:
        return b""


def _sections(path: str, absent: Mapping[str, Section]) -> dict[str, Section]:
    rows = read_package(path)
    if rows is None:
        return dict(absent)
    return {row.name: Section(row.type, row.name, {name: tuple(values) for name, values in row.options.items()}) for row in rows}


def initial_tree(ssids: Sequence[str], channels: Mapping[str, int], hostname: str) -> dict[str, dict[str, Section]]:
    """Give the configuration that the box came with: two radios, the public network on both, the office's on 2.4 GHz."""
    wireless: dict[str, Section] = {
        f"radio{i}": Section(
            "wifi-device",
            f"radio{i}",
            {"type": ("mac80211",), "band": (band,), "channel": (str(channels[band]),), "htmode": (htmode,), "country": ("ID",)},
        )
        for i, (band, htmode) in enumerate((("2g", "HT20"), ("5g", "VHT80")))
    }
    for (name, radio, ifname), ssid in zip(NETWORKS, ssids, strict=True):
        options = {"device": radio, "mode": "ap", "network": "public", "ifname": ifname, "ssid": ssid, "encryption": "none"}
        wireless[name] = Section("wifi-iface", name, {option: (value,) for option, value in options.items()})
    system = {"system": Section("system", "system", {"hostname": (hostname,), "timezone": ("WIB-7",), "zonename": ("Asia/Jakarta",)})}
    return {"wireless": wireless, "system": system, "rwagent": {}}


def open_store(settings: Settings) -> SimulatedStore:
    """Open the configuration of the simulated access point that `settings` name."""
    from agent.router import simulated

    chosen, router = settings.simulated, settings.router
    box = simulated.open_router(settings.id, chosen.seed, 0, chosen.stations_peak, router.contract_mbps, None)
    ssids = [bss.ssid or "" for bss in box.bss()]
    channels = {radio.band: radio.channel for radio in box.radios() if radio.band and radio.channel}
    initial = initial_tree(ssids, {str(band): channel for band, channel in channels.items()}, settings.id)
    directory = os.path.join(settings.paths.state_dir, "simulated")
    network = router.public_network or "public"
    return SimulatedStore(directory, initial, network, router.adopt, router.contract_mbps, settings.push.secrets_dir)
