"""The world around a board: as a folder, and as a namespace in which real programs see it under the real paths."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.router import iw, netdev
from tests.fakes.openwrt.board import BOARDS, Board
from tests.fakes.openwrt.world import Inside, World, netns_world

CALL = "import sys; from agent.router.ubus import Ubus; u = Ubus(); print(u.call(sys.argv[1], sys.argv[2])); u.close()"


def run(world: World, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run one of a world's programs."""
    return subprocess.run([str(world.bin / argv[0]), *argv[1:]], check=False, capture_output=True, text=True, timeout=10)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The world of a board of 24.10."""
    return World(tmp_path / "w", Board("wndr3800-24.10"))


@pytest.mark.parametrize("name", BOARDS)
def test_iw_prints_what_the_board_has(name: str, tmp_path: Path) -> None:
    """What `iw` prints in a world reads as the board's interfaces, on its phys."""
    world = World(tmp_path / "w", Board(name))
    indexes = {phy: about["index"] for phy, about in world.board.phys.items()}
    if not indexes:
        with pytest.raises(PermissionError):
            run(world, "iw", "dev")
        return
    read = {wlan.ifname: wlan.phy for wlan in iw.parse_interfaces(run(world, "iw", "dev").stdout)}
    assert read == {ifname: indexes[phy] for ifname, phy in world.board.wlans.items()}


def test_iw_fails_for_an_unknown_interface(world: World) -> None:
    """As the real one does (237, and a sentence)."""
    done = run(world, "iw", "dev", "nosuch", "survey", "dump")
    assert (done.returncode, done.stdout, done.stderr) == (237, "", "command failed: No such device (-19)\n")


def test_uci_shows_a_configuration(world: World) -> None:
    """`uci show` prints the board's; one that is not there fails as the real one does."""
    assert run(world, "uci", "show", "system").stdout == world.board.text("uci/system.txt")
    assert run(world, "uci", "show", "nosuch").returncode == 1


def test_uci_makes_up_names(world: World) -> None:
    """`uci -X` names the sections that have no name, each by its own."""
    names = re.findall(r"^network\.(\S+)=(?:device|switch\w*)$", run(world, "uci", "-q", "-X", "show", "network").stdout, re.MULTILINE)
    assert len(set(names)) == 3
    assert all(re.fullmatch("cfg[0-9a-f]{6}", name) for name in names)


def test_programs_are_counted(world: World) -> None:
    """Each start of a program is noted."""
    run(world, "iw", "dev")
    run(world, "uci", "-q", "show", "dhcp")
    assert world.calls() == ["iw dev", "uci -q show dhcp"]


def test_the_counters_are_the_boards(world: World) -> None:
    """/proc/net/dev of a world has counters beyond 32 bits."""
    read = netdev.parse_netdev((world.folder / "proc_net_dev").read_bytes())
    assert read["phy0-ap0"].tx_bytes_total == world.board.devices["phy0-ap0"]["counters"][8] > 1 << 32
    assert read.keys() == world.board.devices.keys()


def test_a_phys_device_ends_in_its_path(world: World) -> None:
    """A radio can be found by UCI's `path`."""
    device = (world.sys_class / "ieee80211" / "phy1" / "device").resolve(strict=True)
    assert str(device).endswith("/sys/devices/pci0000:00/0000:00:12.0")


@pytest.fixture(scope="module")
def inside() -> Iterator[Inside]:
    """The three radios' board, real."""
    with netns_world(Board("ipq50xx-25.12.2")) as made:
        yield made


@pytest.mark.needs("netns")
class TestInside:
    """A namespace, in which a program sees the board and nothing of this machine."""

    def test_sys_class_is_the_boards(self, inside: Inside) -> None:
        """/sys/class is the fake tree, and has no other device."""
        assert inside.run("cat", "/sys/class/net/phy1-ap0/phy80211/name", "/sys/class/net/wan/speed").split() == ["phy1", "1000"]
        assert set(inside.run("ls", "/sys/class/net").split()) == set(inside.board.devices)

    def test_the_devices_are_real(self, inside: Inside) -> None:
        """The kernel knows the devices by the board's names and numbers, with and without a carrier."""
        told = {each["ifname"]: each for each in json.loads(inside.run("ip", "-j", "link"))}
        assert {name: each["ifindex"] for name, each in told.items()} == {name: about["ifindex"] for name, about in inside.board.devices.items()}
        assert {name for name, each in told.items() if "LOWER_UP" in each["flags"]} == {name for name, about in inside.board.devices.items() if about["up"]}

    def test_the_default_route_is_the_dumps(self, inside: Inside) -> None:
        """/proc/net/route has netifd's default route."""
        routes = [line.split() for line in inside.run("cat", "/proc/net/route").splitlines()[1:]]
        assert [(row[0], row[2]) for row in routes if row[1] == row[7] == "00000000"] == [("wan", "016433C6")]

    @pytest.mark.parametrize("program", ["/usr/sbin/iw", "iw"])
    def test_iw_is_the_boards(self, inside: Inside, program: str) -> None:
        """`iw` is the fake one, by name and where a system keeps it."""
        assert inside.run(program, "dev") == inside.board.text("iw/dev.txt")

    def test_ubus_stands_at_its_path(self, inside: Inside) -> None:
        """Our client reaches the stand-in at the default path."""
        assert "Linksys MX2000" in inside.run("/usr/bin/env", "PYTHONPATH=.", sys.executable, "-c", CALL, "system", "board")

    def test_the_leases_are_at_their_path(self, inside: Inside) -> None:
        """/tmp/dhcp.leases is the board's, and this machine's /tmp is not there."""
        assert inside.run("cat", "/tmp/dhcp.leases") == inside.board.text("dhcp.leases")
        assert not Path("/tmp/dhcp.leases").exists()

    def test_the_run_directory_is_seen_from_outside(self, inside: Inside) -> None:
        """What a program writes below /var/run lies in the world's folder."""
        inside.run("sh", "-c", "echo 1 >/var/run/rwagent/there")
        assert (inside.world.run_dir / "there").read_text() == "1\n"

    def test_a_program_inside_reaches_a_server_outside(self, inside: Inside) -> None:
        """A socket made by `listen` takes connections from inside."""
        with inside.listen() as listener:
            port = listener.getsockname()[1]
            source = f"import socket; s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'hello'); s.close()"
            inside.run(sys.executable, "-c", source)
            link, _ = listener.accept()
            with link:
                link.settimeout(10)
                assert link.recv(5, socket.MSG_WAITALL) == b"hello"

    def test_wifi_goes_and_comes_back(self, inside: Inside) -> None:
        """`wifi down` takes objects and devices away; `wifi up` brings them with new numbers."""
        before = inside.ifindex("phy1-ap0"), inside.ubusd.number("hostapd.phy1-ap0")
        gone = inside.take_wifi_down("phy1")
        assert gone == ["phy1-ap0"]
        assert "phy1-ap0" not in inside.run("iw", "dev") + inside.run("cat", "/proc/net/dev") + " ".join(inside.ubusd.names())
        inside.bring_wifi_up(gone)
        assert inside.run("cat", "/sys/class/net/phy1-ap0/ifindex").strip() == str(inside.ifindex("phy1-ap0"))
        assert not {inside.ifindex("phy1-ap0"), inside.ubusd.number("hostapd.phy1-ap0")} & set(before)


@pytest.mark.needs("netns")
def test_a_board_without_wifi_has_no_iw() -> None:
    """Inside such a board `iw` cannot be executed, wherever it lies on this machine."""
    with netns_world(Board("x86-24.10.8")) as made:
        assert made.run("sh", "-c", "for d in /usr/sbin /usr/bin /sbin /bin; do [ ! -x $d/iw ] || echo $d; done") == ""
