"""A /sys/class with Wi-Fi in it."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path


class FakeSys:
    """The tree at `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "net").mkdir(parents=True)

    def add_phy(self, index: int, name: str | None = None, address: str = "00:00:00:00:00:00") -> None:
        """Add a wiphy."""
        phy = self.root / "ieee80211" / (name or f"phy{index}")
        phy.mkdir(parents=True)
        (phy / "index").write_text(f"{index}\n")
        (phy / "macaddress").write_text(f"{address}\n")

    def add_wlan(self, ifname: str, phy: int, operstate: str = "up") -> None:
        """Add a wireless device."""
        device = self.root / "net" / ifname
        (device / "phy80211").mkdir(parents=True)
        (device / "phy80211" / "index").write_text(f"{phy}\n")
        (device / "operstate").write_text(operstate + "\n")
        (device / "ifindex").write_text("5\n")

    def set_operstate(self, ifname: str, operstate: str) -> None:
        """Change a device's state."""
        (self.root / "net" / ifname / "operstate").write_text(operstate + "\n")

    def remove_wlan(self, ifname: str) -> None:
        """Take a device away."""
        shutil.rmtree(self.root / "net" / ifname)

    def remove_phy(self, name: str) -> None:
        """Take a wiphy away."""
        shutil.rmtree(self.root / "ieee80211" / name)

    def add_bridge(self, name: str, ports: dict[str, int]) -> None:
        """Add a bridge; `ports` are its ports' numbers by name."""
        (self.root / "net" / name / "bridge").mkdir(parents=True)
        for port, number in ports.items():
            (self.root / "net" / port).mkdir(exist_ok=True)
            (self.root / "net" / name / "brif" / port).mkdir(parents=True)
            (self.root / "net" / name / "brif" / port / "port_no").write_text(f"{number:#x}\n")

    def set_forwarding(self, bridge: str, *entries: tuple[bytes, int, bool]) -> None:
        """Let a bridge have seen addresses behind the ports of these numbers; the last of each says that it is the port's own."""
        raw = b"".join(struct.pack("=6sBBIBBH", address, number & 0xFF, is_own, 1234, number >> 8, 0, 0) for address, number, is_own in entries)
        (self.root / "net" / bridge / "brforward").write_bytes(raw)
