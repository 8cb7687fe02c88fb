"""The world around a board: its /sys/class, programs `iw` and `uci`, leases and status directory; as a folder, or real in a namespace.

`World(folder, board)` needs no root. `with netns_world(board) as inside:` has real devices with the board's names, and runs programs that see
the board's files under the real paths.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.fakes.openwrt.board import Board
from tests.fakes.openwrt.ubusd import Allow, Ubusd
from tests.fakes.sysfs import FakeSys

ROOT = Path(__file__).parents[3]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_NUMBERS = itertools.count()

_IW = """#!/bin/sh
echo "iw $*" >>{calls}
file=none
case "$*" in
dev) file=dev.txt ;;
"dev "*" survey dump") file="$2-survey.txt" ;;
"dev "*" station dump") file="$2-station.txt" ;;
esac
[ -e {texts}/"$file" ] && exec cat {texts}/"$file"
echo "command failed: No such device (-19)" >&2
exit 237
"""

_UCI = """#!/bin/sh
echo "uci $*" >>{calls}
folder={texts}
while :; do
    case "$1" in
    -X) folder={texts}/named ;;
    -q) ;;
    *) break ;;
    esac
    shift
done
[ "$1" = show ] && [ -e "$folder/$2.txt" ] && exec cat "$folder/$2.txt"
echo "uci: Entry not found" >&2
exit 1
"""

# Every process inside has mounts of its own (ip netns exec sees to that): nothing of this is ever seen outside.
_ENTER = """#!/bin/sh
set -e
mount --bind {folder}/sys/class /sys/class
for program in iw uci; do
    for directory in /usr/sbin /usr/bin /sbin /bin; do
        [ ! -e "$directory/$program" ] || mount --bind "{folder}/bin/$program" "$directory/$program"
    done
done
[ ! -d /usr/local/sbin ] || mount --bind {folder}/bin /usr/local/sbin
[ ! -e /etc/os-release ] || mount --bind {folder}/etc/os-release "$(readlink -f /etc/os-release)"
{kept}
mount --rbind {folder}/tmp /tmp
mount --bind {folder}/run /run
[ /var/run -ef /run ] || mount --bind {folder}/run /var/run
export PATH={folder}/bin:"$PATH"
exec "$@"
"""


def name_sections(text: str) -> str:
    """Turn what `uci show` prints into what `uci -X show` does: sections without a name have the one that uci made up, cfg and six digits."""
    headers = [line for line in text.split("\n") if re.fullmatch(r"[\w-]+\.[^.=]+=[\w-]+", line)]
    for number, header in enumerate(headers, 1):
        config, section = header.partition("=")[0].split(".")
        if section.startswith("@"):
            made_up = f"{config}.cfg{number:02x}{zlib.crc32(header.encode()) & 0xFFFF:04x}"
            text = re.sub(rf"^{re.escape(config)}\.{re.escape(section)}(?=[.=])", made_up, text, flags=re.MULTILINE)
    return text


class World:
    """A board's world below `folder`: sys/class, bin, iw, uci, tmp/dhcp.leases, run/rwagent/status, proc_net_dev; changed by a test as it likes."""

    def __init__(self, folder: Path, board: Board) -> None:
        self.folder = folder
        self.board = board
        self.sys_class = folder / "sys" / "class"
        self.bin = folder / "bin"
        self.iw = folder / "iw"
        self.uci = folder / "uci"
        self.lease_file = folder / "tmp" / "dhcp.leases"
        self.run_dir = folder / "run" / "rwagent"
        self.facts = self.run_dir / "status" / "wireless.json"
        self.socket = folder / "run" / "ubus" / "ubus.sock"
        for directory in (self.bin, self.iw, self.uci, self.lease_file.parent, self.facts.parent, self.socket.parent, folder / "etc"):
            directory.mkdir(parents=True)
        self._calls = folder / "calls"
        self._sys = FakeSys(self.sys_class)
        (self.sys_class / "ieee80211").mkdir()
        for name, phy in board.phys.items():
            self._add_phy(name, phy)
        for name in board.devices:
            self.add_device(name)
        self._write_programs()
        self._write_files()

    def calls(self) -> list[str]:
        """Give the programs started so far, each with its arguments: "iw dev", "uci show wireless"."""
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    def forget_calls(self) -> None:
        """Count them anew."""
        self._calls.unlink(missing_ok=True)

    def write_facts(self, facts: dict[str, Any] | None = None) -> None:
        """Write status/wireless.json as root's script should: the board's, unless others are given."""
        self.facts.write_text(json.dumps(self.board.json("expected-wireless.json") if facts is None else facts))
        self.facts.chmod(0o644)

    def set_clock(self, state: str) -> None:
        """Say how good the clock is (ntp, floor, none), as root's NTP hook does."""
        (self.facts.parent / "clock").write_text(f"{state}\n")

    def add_device(self, name: str) -> None:
        """Add a network device of the board to /sys/class/net (in a namespace only there)."""
        about = self.board.devices[name]
        if name in self.board.wlans:
            phy = self.board.wlans[name]
            self._sys.add_wlan(name, self.board.phys[phy]["index"])
            (self.sys_class / "net" / name / "phy80211" / "name").write_text(f"{phy}\n")
        directory = self.sys_class / "net" / name
        directory.mkdir(exist_ok=True)
        if about["type"] == "bridge":
            (directory / "bridge").mkdir()
        if about["type"] in ("ethernet", "dsa", "wlan"):
            (directory / "device").mkdir()
        facts = {
            "operstate": "up" if about["up"] else "down",
            "ifindex": about["ifindex"],
            # As the kernel does where it knows neither.
            "speed": about["speed"] or -1,
            "duplex": about["duplex"] or "unknown",
            "address": about.get("macaddress", "00:00:00:00:00:00"),
            "carrier": int(about["up"]),
        }
        for fact, value in facts.items():
            (directory / fact).write_text(f"{value}\n")

    def remove_device(self, name: str) -> None:
        """Take a network device out of /sys/class/net, as `wifi down` does."""
        shutil.rmtree(self.sys_class / "net" / name)

    def set_operstate(self, name: str, operstate: str) -> None:
        """Change a device's state."""
        self._sys.set_operstate(name, operstate)

    def _add_phy(self, name: str, phy: dict[str, Any]) -> None:
        self._sys.add_phy(phy["index"], name, phy["macaddress"])
        directory = self.sys_class / "ieee80211" / name
        (directory / "name").write_text(f"{name}\n")
        device = self.folder / "sys" / "devices" / phy["path"]
        device.mkdir(parents=True, exist_ok=True)
        # Relative, and as deep below /sys/class as it is here: so it leads nowhere else once it is bound over the real one.
        (directory / "device").symlink_to(os.path.relpath(device, directory))

    def _write_programs(self) -> None:
        has_iw = (self.board.directory / "iw").exists()
        for name, script, texts in (("iw", _IW, self.iw), ("uci", _UCI, self.uci)):
            program = self.bin / name
            program.write_text(script.format(calls=shlex.quote(str(self._calls)), texts=shlex.quote(str(texts))))
            # A file that nobody may execute is as good as none: a board without Wi-Fi has no iw.
            program.chmod(0o755 if name != "iw" or has_iw else 0o644)
            for path in sorted((self.board.directory / name).glob("*.txt")):
                shutil.copyfile(path, texts / path.name)
        (self.uci / "named").mkdir()
        for path in sorted(self.uci.glob("*.txt")):
            (self.uci / "named" / path.name).write_text(name_sections(path.read_text()))

    def _write_files(self) -> None:
        leases = self.board.text("dhcp.leases")
        if leases is not None:
            self.lease_file.write_text(leases)
        release = self.board.json("ubus/system.board.json")["release"]
        (self.folder / "etc" / "os-release").write_text(f'NAME="OpenWrt"\nID="openwrt"\nPRETTY_NAME="{release["distribution"]} {release["version"]}"\n')
        head = "Inter-|   Receive                                                |  Transmit\n"
        head += " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
        rows = (f"{name:>6}: " + " ".join(map(str, about["counters"])) + "\n" for name, about in self.board.devices.items())
        (self.folder / "proc_net_dev").write_text(head + "".join(rows))


class Inside:
    """A namespace with the board's devices; `command` gives the words that run a program in it. Every cable ends in a second one, `far`."""

    def __init__(self, name: str, world: World, ubusd: Ubusd) -> None:
        self.name = name
        self.far = f"{name}-far"
        self.world = world
        self.board = world.board
        self.ubusd = ubusd

    def command(self, argv: Sequence[str]) -> list[str]:
        """Give the argument list that runs `argv` inside; an `argv` of one's own may be appended to that of []."""
        return [_which("ip"), "netns", "exec", self.name, "/bin/sh", str(self.world.folder / "enter"), *argv]

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command that make it run inside."""
        return tuple(self.command([]))

    def run(self, *argv: str) -> str:
        """Run a program inside to its end, and give what it printed."""
        done = subprocess.run(self.command(argv), check=False, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ip(self, *words: str) -> None:
        """Change the namespace's devices, addresses or routes."""
        subprocess.run([_which("ip"), "-n", self.name, *words], check=True, capture_output=True, timeout=10)

    def add_link(self, name: str, ifindex: int | None = None, *, has_carrier: bool = True) -> None:
        """Add a device that is up, with a cable whose other end has the same name far away."""
        number = () if ifindex is None else ("index", str(ifindex))
        self.ip("link", "add", "name", name, *number, "type", "veth", "peer", "name", name, "netns", self.far)
        self.ip("link", "set", name, "up")
        self.set_carrier(name, has_carrier)

    def set_carrier(self, name: str, has_carrier: bool) -> None:
        """Plug or pull a device's cable."""
        subprocess.run([_which("ip"), "-n", self.far, "link", "set", name, "up" if has_carrier else "down"], check=True, capture_output=True, timeout=10)

    def ifindex(self, device: str) -> int:
        """Give a device's number."""
        done = subprocess.run([_which("ip"), "-j", "-n", self.name, "link", "show", device], check=True, capture_output=True, timeout=10)
        return int(json.loads(done.stdout)[0]["ifindex"])

    def listen(self, port: int = 0) -> socket.socket:
        """Give a socket that listens on a port (any) of loopback *inside*, held by this process: a way in to what runs outside."""
        listener = _socket_in(self.name, "127.0.0.1", port, is_udp=False)
        listener.listen(16)
        return listener

    def take_wifi_down(self, phy: str) -> list[str]:
        """Let a phy's networks vanish as `wifi down` does: hostapd's objects, the devices, what `iw dev` says; give the interfaces' names."""
        ifnames = [name.partition(".")[2] for name in self.board.bss_objects(phy)]
        self.ubusd.remove(*(f"hostapd.{ifname}" for ifname in ifnames))
        for ifname in ifnames:
            self.ip("link", "del", ifname)
            self.world.remove_device(ifname)
        whole = self.board.text("iw/dev.txt") or ""
        blocks = whole.replace("\nphy#", "\n\0phy#").split("\0")
        (self.world.iw / "dev.txt").write_text("".join(block for block in blocks if not any(f"Interface {name}\n" in block for name in ifnames)))
        return ifnames

    def bring_wifi_up(self, ifnames: Sequence[str]) -> None:
        """Let networks appear again as `wifi up` does: new devices, new objects."""
        for ifname in ifnames:
            self.add_link(ifname)
            self.world.add_device(ifname)
            (self.world.sys_class / "net" / ifname / "ifindex").write_text(f"{self.ifindex(ifname)}\n")
        (self.world.iw / "dev.txt").write_text(self.board.text("iw/dev.txt") or "")
        self.ubusd.add(*(f"hostapd.{ifname}" for ifname in ifnames))


@contextlib.contextmanager
def netns_world(board: Board, allow: Allow | None = None) -> Iterator[Inside]:
    """Make a board's world with real devices; its ubusd runs outside, its socket stands inside at the real path. Needs root.

    The uplink's gateway and resolvers, as netifd's dump names them, are alive: they refuse TCP, and answer every DNS query with "no such name".
    """
    name = f"rw-openwrt-{os.getpid()}-{next(_NUMBERS)}"
    with tempfile.TemporaryDirectory(prefix="rw-openwrt-", dir="/dev/shm") as folder, contextlib.ExitStack() as stack:
        world = World(Path(folder) / "w", board)
        _write_enter(world)
        inside = Inside(name, world, stack.enter_context(Ubusd(board, world.socket, allow)))
        for namespace in (name, inside.far):
            subprocess.run([_which("ip"), "netns", "add", namespace], check=True, capture_output=True, timeout=10)
            stack.callback(subprocess.run, [_which("ip"), "netns", "del", namespace], check=False, capture_output=True, timeout=10)
        _add_devices(inside)
        _add_addresses(inside, stack)
        yield inside


def _write_enter(world: World) -> None:
    """Write the script that every program inside begins as; what lies below /tmp and /run and is needed is kept there."""
    kept: list[str] = []
    needed = [path.resolve() for path in (ROOT, Path(sys.prefix), Path(sys.base_prefix), world.folder)]
    for path in needed:
        if any(path != other and path.is_relative_to(other) for other in needed):
            continue  # it comes with the other
        for top, under in (("/tmp", world.folder / "tmp"), ("/run", world.folder / "run")):
            if path.is_relative_to(top):
                target = under / path.relative_to(top)
                target.mkdir(parents=True, exist_ok=True)
                kept.append(f"mount --rbind {shlex.quote(str(path))} {shlex.quote(str(target))}")
    script = _ENTER.format(folder=shlex.quote(str(world.folder)), kept="\n".join(kept))
    (world.folder / "enter").write_text(script)


def _add_devices(inside: Inside) -> None:
    inside.ip("link", "set", "lo", "up")
    for name, about in inside.board.devices.items():
        if about["type"] == "bridge":
            inside.ip("link", "add", "name", name, "index", str(about["ifindex"]), "type", "bridge")
            inside.ip("link", "set", name, "up")
        elif about["type"] not in ("loopback", "other"):
            inside.add_link(name, about["ifindex"], has_carrier=about["up"])
    for name, about in inside.board.devices.items():
        for port in about.get("ports", ()):
            inside.ip("link", "set", port, "master", name)


def _add_addresses(inside: Inside, stack: contextlib.ExitStack) -> None:
    """Set addresses and default routes as netifd's dump has them, and far away who they lead to."""
    for one in inside.board.json("ubus/network.interface.dump.json")["interface"]:
        device = one.get("l3_device")
        if device in (None, "lo"):
            continue
        for address in one.get("ipv4-address", ()):
            inside.ip("addr", "add", f"{address['address']}/{address['mask']}", "dev", device)
        gateways = [route["nexthop"] for route in one.get("route", ()) if route["target"] == "0.0.0.0" and route["mask"] == 0]
        for gateway in gateways:
            inside.ip("route", "add", "default", "via", gateway, "dev", device, "onlink")
        for there in [*gateways, *one.get("dns-server", ())] if gateways else ():
            for words in (("addr", "add", f"{there}/32", "dev", device), ("route", "replace", one["ipv4-address"][0]["address"], "dev", device)):
                subprocess.run([_which("ip"), "-n", inside.far, *words], check=True, capture_output=True, timeout=10)
        for server in one.get("dns-server", ()) if gateways else ():
            stack.enter_context(_resolver(_socket_in(inside.far, server, 53, is_udp=True)))


@contextlib.contextmanager
def _resolver(link: socket.socket) -> Iterator[None]:
    """Answer every query with "no such name" meanwhile."""
    is_over = threading.Event()

    def serve() -> None:
        link.settimeout(0.1)
        while not is_over.is_set():
            with contextlib.suppress(OSError):
                query, asker = link.recvfrom(4096)
                link.sendto(query[:2] + b"\x81\x83" + query[4:], asker)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with link:
        yield
        is_over.set()
        thread.join()


def _socket_in(namespace: str, address: str, port: int, *, is_udp: bool) -> socket.socket:
    """Give a socket of this process that is bound within another network namespace."""
    kind = "DGRAM" if is_udp else "STREAM"
    source = f"import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_{kind}); s.bind(({address!r}, {port})); "
    source += "socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b'.'], [s.fileno()])"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        argv = [_which("ip"), "netns", "exec", namespace, sys.executable, "-c", source, str(theirs.fileno())]
        subprocess.run(argv, check=True, capture_output=True, timeout=30, pass_fds=(theirs.fileno(),))
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    return socket.socket(fileno=fds[0])


def _which(name: str) -> str:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":" + PATH) or name
