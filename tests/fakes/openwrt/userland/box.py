"""A whole OpenWrt box for tests: a board's world, real UCI files, and the userland around them. What it offers stands in this package's docstring."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.router.uci import parse
from tests.fakes.openwrt.board import OK, Board
from tests.fakes.openwrt.ubusd import Allow, Ubusd
from tests.fakes.openwrt.userland import uci
from tests.fakes.openwrt.userland.chroot import Root
from tests.fakes.openwrt.userland.netifd import Netifd, OnAir
from tests.fakes.openwrt.userland.procd import RELOAD_TRIGGER_S, Command, Procd, Service
from tests.fakes.openwrt.userland.programs import formatted, noted_anew
from tests.fakes.openwrt.userland.rpcd import Rpcd
from tests.fakes.openwrt.userland.timers import Timers
from tests.fakes.openwrt.world import Inside, World

HERE = Path(__file__).parent
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PACE = 0.05
SETUP_S = 1.2  # from the trigger to what is on air, besides the trigger's own second
ABSENT_S = 0.5
_UCI_FAULTS = ("uci_slow_s", "uci_fails", "read_only", "commit_lies", "lost_commit", "disk_full")

_UCI = """#!{python} -IS
import os, sys
sys.path.insert(0, {here!r})
with open({calls!r}, "a") as calls:
    calls.write(" ".join(["uci", *sys.argv[1:]]).encode("utf-8", "replace").decode() + "\\n")
import uci
if os.path.exists({folder!r} + "/faults.json") and "BOX_HAS_NO_FAULTS" not in os.environ:
    import uci_faults
    uci_faults.arm({folder!r})
sys.exit(uci.main({folder!r}))
"""
_PROGRAM = """#!{python} -IS
import sys
sys.path.insert(0, {here!r})
with open({calls!r}, "a") as calls:
    calls.write(" ".join([{name!r}, *sys.argv[1:]]) + "\\n")
import programs
sys.exit(programs.main({program!r}, {folder!r}))
"""


class LiveBoard(Board):
    """A board some of whose methods are done and not only answered; its objects come and go."""

    def __init__(self, directory: Path | str) -> None:
        super().__init__(directory)
        self.handlers: dict[tuple[str, str], Callable[[Mapping[str, Any]], tuple[int, dict[str, Any] | None]]] = {}

    def replies(self) -> list[tuple[str, str, str | None]]:
        """Name what a reply is set for."""
        return list(self._replies)

    def hide(self, name: str) -> None:
        """Let an object be gone, also for an ubusd that starts."""
        self._objects.discard(name)

    def show(self, name: str) -> None:
        """Let an object be there."""
        self._objects.add(name)

    def methods(self, name: str) -> dict[str, dict[str, int]]:
        """Give the methods of one object, with those that are done."""
        known = super().methods(name)
        return known | {method: {} for of, method in self.handlers if of == name and method not in known}

    def answer(self, name: str, method: str, arguments: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
        """Do the method, or answer as the board does."""
        if (name, method) in self.handlers:
            return self.handlers[name, method](arguments)
        return super().answer(name, method, arguments)


class Faults:
    """What goes wrong on a box; set at any time. The package's docstring tells them."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self.netifd_deaf = False
        self.hostapd_refuses: set[str] = set()
        self.channel_is: dict[str, int] = {}
        self.dfs_s: dict[str, float] = {}
        self.never_on_air: set[str] = set()
        self.delay_s = SETUP_S * box.pace
        self.absent_s = ABSENT_S * box.pace
        self._uci: dict[str, Any] = {"uci_slow_s": 0.0, "uci_fails": [], "read_only": False, "commit_lies": False, "lost_commit": False, "disk_full": False}
        self._hangs = False

    @property
    def reload_hangs(self) -> bool:
        """Whether procd and netifd do not answer."""
        return self._hangs

    @reload_hangs.setter
    def reload_hangs(self, hangs: bool) -> None:
        self._hangs = hangs
        for name in ("service", "network"):
            (self._box.ubusd.hold if hangs else self._box.ubusd.release)(name)

    def __getattr__(self, name: str) -> Any:
        if name in _UCI_FAULTS:
            return self._uci[name]
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _UCI_FAULTS:
            if name not in self.__dict__ and "_uci" in self.__dict__ and name not in ("reload_hangs", "_hangs"):
                raise AttributeError(name)
            super().__setattr__(name, value)
            return
        self._uci[name] = sorted(value) if isinstance(value, (set, frozenset, tuple)) else value
        path = self._box.folder / "faults.json"
        if any(self._uci.values()):
            path.write_text(json.dumps(self._uci))
        else:
            path.unlink(missing_ok=True)


class Pending:
    """An apply of LuCI's that waits for its confirmation."""

    def __init__(self, box: Box, session: str) -> None:
        self._box, self._arguments = box, {"ubus_rpc_session": session}

    @property
    def is_over(self) -> bool:
        """Say whether it waits no more."""
        return not self._box.rpcd_daemon.is_pending

    def confirm(self) -> int:
        """Confirm it; the status of the call."""
        return self._box.board.handlers["uci", "confirm"](self._arguments)[0]

    def roll_back(self) -> int:
        """Take it back now."""
        return self._box.board.handlers["uci", "rollback"](self._arguments)[0]


class Box:
    """One box in `folder`, or around a namespace that `netns_world` made of a LiveBoard. `pace`: how long a second of the daemons' is."""

    def __init__(
        self, folder: Path | str, board: LiveBoard | str = "rig-x86", allow: Allow | None = None, *, pace: float = PACE, inside: Inside | None = None
    ) -> None:
        if inside is not None:
            assert isinstance(inside.board, LiveBoard)
            self.board, self.world = inside.board, inside.world
        else:
            self.board = LiveBoard(board) if isinstance(board, str) else board
            self.world = World(Path(folder), self.board)
        self.inside, self.pace, self.has_slow_clock = inside, pace, False
        self._is_over = False
        self.quiet_when: list[Callable[[], bool]] = []
        self.folder, self.bin, self.socket = self.world.folder, self.world.bin, self.world.socket
        self.config, self.save, self.override = self.folder / "etc" / "config", self.folder / "tmp" / ".uci", self.folder / "var" / "run" / "uci"
        self.rpcd, self.init_d = self.folder / "var" / "run" / "rpcd", self.folder / "etc" / "init.d"
        for directory in (self.config, self.init_d, self.folder / "etc" / "rc.d", self.folder / "usr" / "bin", self.folder / "var"):
            directory.mkdir(parents=True, exist_ok=True)
        (self.folder / "var" / "run").symlink_to("../run")
        self._root: Root | None = None
        self.path = f"{self.bin}:{SYSTEM_PATH}"
        self.environment = {"PATH": self.path, "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
        self._write_configs()
        self._write_programs()
        self.ubusd = inside.ubusd if inside else Ubusd(self.board, self.socket, allow)
        self.timers = Timers()
        self.faults = Faults(self)
        self.procd = Procd(self.timers, pace, self.folder, self.note, self.environment)
        self.rpcd_daemon = Rpcd(self)
        self.netifd = Netifd(self)
        self._moments: list[tuple[str, tuple[str, ...], bool]] = []
        for package in ("network", "wireless"):
            self.procd.on("config.change", package, RELOAD_TRIGGER_S, self.netifd.reload)
        self._give_methods()
        self._control = _Control(self)

    def __enter__(self) -> Box:
        self._control.start()
        if self.inside is None:
            self.ubusd.start()
        else:
            for name in sorted({name for name, _ in self.board.handlers}):
                self.show_object(name)
        noted_anew(str(self.folder), uci)  # reload_config, at boot
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self.timers.close()
        self.procd.close()
        if self._root is not None:
            self._root.close()
        self._control.close()
        if self.inside is None:
            self.ubusd.kill()
        assert not self.timers.broken, self.timers.broken[0]

    # What is there.

    def on_air(self) -> dict[str, OnAir]:
        """Give what hostapd sends now: the truth."""
        names = set(self.ubusd.names())
        return self.netifd.on_air(lambda name: self.ubusd.number(name) if name in names else None)

    def show(self, package: str) -> str:
        """Give what `uci show` prints."""
        return self.uci("show", package).stdout

    def value(self, path: str) -> str | None:
        """Give an option as it is on flash, whoever staged what; None when it is not set."""
        name, section, *option = path.split(".")
        package = self.load(name, staged=False)
        found = package.find(section) if package else None
        if found is None:
            return None
        value = found.options.get(option[0]) if option else found.type
        text = " ".join(value) if isinstance(value, list) else value
        return None if text is None else text.encode("latin-1").decode("utf-8", "surrogateescape")

    def staged(self, package: str = "") -> list[str]:
        """Give what is staged and not committed, as `uci changes` prints it."""
        return self.uci("changes", *([package] if package else [])).stdout.splitlines()

    def calls(self) -> list[str]:
        """Give the programs started so far, with their arguments."""
        return self.world.calls()

    @property
    def reloads(self) -> int:
        """How often the wireless half was set up."""
        return self.netifd.reloads

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """The service events that procd was told of."""
        return self.procd.events

    def log(self) -> list[str]:
        """Give the system's log."""
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def note(self, line: str) -> None:
        """Write to the log, as logd has it."""
        with (self.folder / "log").open("a") as log:
            log.write(f"{time.strftime('%a %b %e %H:%M:%S %Y')} {line}\n")

    def wait_for(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Wait until something is so; fails when it never is."""
        until = time.monotonic() + seconds
        while not condition():
            assert not self.timers.broken, self.timers.broken[0]
            assert time.monotonic() < until, "it never came"
            time.sleep(0.005)

    def settle(self, seconds: float = 60.0) -> None:
        """Wait until nothing is under way (of what has no end of its own: not while a service runs)."""
        self.wait_for(self.timers.is_idle, seconds)

    def settle_triggers(self, seconds: float = 60.0) -> None:
        """Wait until every trigger whose event came has run, whatever else is under way."""
        self.wait_for(lambda: not self.procd.is_waiting, seconds)

    # A package on it, its scripts run as they lie there.

    @property
    def root(self) -> Root:
        """The box as its own scripts see it, made when it is first asked for; from then on procd starts everything there, and ubusd knows root."""
        if self._root is None:
            inside_of = () if self.inside is None else tuple(self.inside.command([])[:4])
            self._root = Root(self.folder, inside_of)
            self.procd.place = self._root.place()
            self.ubusd.is_root_free = True
            self.read_acl()
        return self._root

    def read_acl(self) -> None:
        """Let ubusd read who may what, as at SIGHUP."""
        self.ubusd.allow = self.root.allowed()

    def install(self, tree: Path) -> None:
        """Put a tree into the box: nothing of it is run."""
        self.root.install(tree)

    def init(self, name: str, action: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run an init script of the box, as somebody over ssh does."""
        return self.root.run(f"/etc/init.d/{name}", action, *words, **env)

    def hotplug(self, kind: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Let an event of a kind (net, iface, ntp, …) come, as hotplug-call has it."""
        return self.root.run("/sbin/hotplug-call", kind, **env)

    def boot(self) -> list[tuple[str, subprocess.CompletedProcess[str]]]:
        """Cut the power and boot: RAM is lost, then each start script in its turn; give which, and how each ended."""
        root = self.root
        self.procd.forget()
        root.clear_ram()
        self.settle_triggers()
        self.read_acl()
        links = sorted(path.name for path in (self.folder / "etc" / "rc.d").glob("S[0-9][0-9]*"))
        return [(name, root.run(f"/etc/rc.d/{name}", "boot")) for name in links]

    def sysupgrade(self, *words: str) -> list[str]:
        """Upgrade the box's firmware (`words`: other than with the settings kept): the names of the files that survive."""
        done = self.root.run("/sbin/sysupgrade", *(words or ("/tmp/image.bin",)))
        assert done.returncode == 0, done.stderr
        kept = self.folder / "tmp" / "sysupgrade.kept"
        return kept.read_text().splitlines() if kept.exists() else []

    # Who does something.

    def run(self, *argv: str, text: str | None = None, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a program as on the box."""
        environment = self.environment
        return subprocess.run(
            argv, input=text, check=False, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=seconds, env=environment, cwd=self.folder
        )

    def uci(self, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `uci`."""
        return self.run(str(self.bin / "uci"), *words, text=text)

    def stage(self, *lines: str) -> None:
        """Leave edits staged."""
        self.run(str(self.bin / "uci"), "batch", text="".join(f"{line}\n" for line in lines))

    def technician(self, *lines: str, reload: bool = True) -> None:
        """Edit and commit as somebody over ssh does; with reload_config where wanted."""
        self.stage(*lines)
        for package in dict.fromkeys(re.split(r"[. =]", line.split(" ", 1)[1])[0] for line in lines):
            self.uci("commit", package)
        if reload:
            self._run_program("reload_config")

    def technician_at(self, moment: str, *lines: str, reload: bool = False) -> None:
        """Do it when the moment comes: "commit" (the next `uci commit` begins), "reload" (procd is told), "rendered", "on_air"."""
        if moment == "commit":
            packages = dict.fromkeys(re.split(r"[. =]", line.split(" ", 1)[1])[0] for line in lines)
            (self.folder / "before-commit").write_text("".join(f"{line}\n" for line in [*lines, *(f"commit {one}" for one in packages)]))
            if not (self.folder / "faults.json").exists():
                (self.folder / "faults.json").write_text(json.dumps(self.faults._uci))
            return
        self._moments.append((moment, lines, reload))

    def moment(self, name: str) -> None:
        """Say that a moment came."""
        for entry in [one for one in self._moments if one[0] == name]:
            self._moments.remove(entry)
            self.technician(*entry[1], reload=entry[2])

    def luci_apply(self, package: str, *lines: str, timeout_s: float = 30.0) -> Pending:
        """Change by LuCI: staged in a session, applied, waiting to be confirmed (`timeout_s` of the box's seconds)."""
        handlers = self.board.handlers
        session = handlers["session", "create"]({})[1]["ubus_rpc_session"]  # type: ignore[index]
        handlers["session", "grant"]({"ubus_rpc_session": session})
        delta = self.rpcd_daemon.delta_of(session)
        delta.parent.mkdir(parents=True, exist_ok=True)
        done = self.run(str(self.bin / "uci"), "-t", str(delta), "batch", text="".join(f"{line}\n" for line in lines))
        assert done.returncode == 0, done.stderr
        status, _ = handlers["uci", "apply"]({"ubus_rpc_session": session, "rollback": True, "timeout": timeout_s})
        assert status == OK, status
        return Pending(self, session)

    def service(self, name: str, command: Command, trigger: str | None = None, **more: Any) -> Service:
        """Install a service: a start script, and what procd does with it (procd.Service has the rest)."""
        service = Service(name, command, trigger, **more)
        self.procd.add(service)
        self._write(self.init_d / name, _PROGRAM, program="init", name=f"/etc/init.d/{name}")
        return service

    def kill_procd(self) -> None:
        """Let procd's objects be gone (it restarts its connection only with ubusd)."""
        for name in ("service", "system"):
            self.hide_object(name)

    def start_procd(self) -> None:
        """Let them be there again."""
        for name in ("service", "system"):
            self.show_object(name)

    # For the daemons in it.

    def context(self) -> uci.Context:
        """Give what libuci has in each of them."""
        return uci.Context(str(self.config), str(self.override), str(self.save))

    def load(self, name: str, *, staged: bool = True) -> uci.Package | None:
        """Load a package as a daemon does: not strictly, and with what anybody staged."""
        context = self.context()
        context.is_strict = False
        if not staged:
            context.delta_paths = []
        with contextlib.suppress(uci.Error):
            return context.load(name)
        return None

    def show_object(self, name: str) -> None:
        """Let an object appear, if it is not there."""
        self.board.show(name)
        if self.ubusd.is_alive and name not in self.ubusd.names():
            self.ubusd.add(name)

    def hide_object(self, name: str) -> None:
        """Let an object vanish."""
        self.board.hide(name)
        if self.ubusd.is_alive and name in self.ubusd.names():
            self.ubusd.remove(name)

    def add_device(self, name: str) -> None:
        """Let a network device appear."""
        if self.inside is not None:
            self.inside.add_link(name, self.board.devices[name]["ifindex"])
        directory = self.world.sys_class / "net" / name
        if not directory.exists():
            self.world.add_device(name)
        (directory / "ifindex").write_text(f"{self.board.devices[name]['ifindex']}\n")
        self._tell_iw()

    def remove_device(self, name: str) -> None:
        """Let a network device vanish."""
        with contextlib.suppress(FileNotFoundError):
            self.world.remove_device(name)
        if self.inside is not None:
            with contextlib.suppress(subprocess.CalledProcessError):
                self.inside.ip("link", "del", name)
        self._tell_iw()

    def _tell_iw(self) -> None:
        """Let `iw dev` know what is on air."""
        blocks: dict[str, list[str]] = {}
        for ifname, one in sorted(self.netifd.bss.items()):
            phy = self.board.wlans[ifname]
            head = f"\tInterface {ifname}\n\t\tifindex {one.ifindex}\n\t\tssid {one.ssid}\n\t\ttype AP\n"
            blocks.setdefault(phy, []).append(head + f"\t\tchannel {one.channel} ({self._mhz(ifname)} MHz), width: 20 MHz\n\t\ttxpower 20.00 dBm\n")
        text = "".join(f"phy#{self.board.phys[phy]['index']}\n" + "".join(rows) for phy, rows in blocks.items() if phy in self.board.phys)
        (self.world.iw / "dev.txt").write_text(text, encoding="utf-8", errors="surrogateescape")

    def _mhz(self, ifname: str) -> int:
        try:
            return int(self.board.get(f"hostapd.{ifname}", "get_status")["freq"])
        except KeyError:
            return 2412

    def do(self, words: Sequence[Any]) -> Any:
        """Do what a program on the box asks of a daemon."""
        if words[0] == "event":
            return self._event({"type": words[1], "data": words[2]})[0]
        if words[0] == "slept":
            return self._slept(float(words[1]))
        if words[0] == "read acl":
            return self.read_acl()
        if words[0] == "kill rpcd":
            return self.rpcd_daemon.kill()
        if words[0] == "wifi":
            {"down": self.netifd.down, "up": self.netifd.up}.get(words[1], self.netifd.reload)()
            return None
        return self._init(str(words[1]), str(words[2]))

    def _event(self, arguments: Mapping[str, Any]) -> tuple[int, None]:
        kind = arguments.get("type")
        if not isinstance(kind, str):
            return 2, None
        data = arguments.get("data")
        self.moment_later("reload")
        self.procd.event(kind, data if isinstance(data, dict) else {})
        return OK, None

    def moment_later(self, name: str) -> None:
        """Say that a moment came, where nobody may wait."""
        if any(one[0] == name for one in self._moments):
            self.timers.after(0, lambda: self.moment(name))

    def _reload(self, _: Mapping[str, Any]) -> tuple[int, None]:
        self.netifd.reload()
        return OK, None

    def _give_methods(self) -> None:
        handlers = self.board.handlers
        handlers["service", "event"] = self._event
        handlers["service", "list"] = self._listed
        handlers["service", "signal"] = self._signal
        handlers["service", "delete"] = lambda arguments: (OK if self.procd.stop(str(arguments.get("name")), arguments.get("instance")) else 4, None)
        handlers["service", "set"] = lambda arguments: (self.procd.set(arguments), None)
        handlers["service", "add"] = lambda arguments: (self.procd.set(arguments, True), None)
        handlers["network", "reload"] = self._reload
        handlers |= self.rpcd_daemon.methods()
        for name in {name for name, _ in handlers}:
            self.board.show(name)

    def _listed(self, arguments: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
        name = arguments.get("name")
        _, known = Board.answer(self.board, "service", "list", {})
        ours = {one: self.procd.info(one) for one in self.procd.listed()} if arguments.get("verbose") else {}
        shown = {**(known or {}), **self.procd.listed(), **{one: shown[one] for one, shown in ours.items()}}
        return OK, {one: value for one, value in shown.items() if name in (None, one)}

    def _signal(self, arguments: Mapping[str, Any]) -> tuple[int, None]:
        is_known = self.procd.signal(str(arguments.get("name")), int(arguments.get("signal", 15)), arguments.get("instance"))
        return (OK if is_known else 4), None

    def _init(self, name: str, action: str) -> dict[str, Any]:
        """Do what a start script does; give its output and exit code."""
        told = {"out": "", "err": "", "code": 0}
        links = [self.folder / "etc" / "rc.d" / f"{kind}{name}" for kind in ("K10", "S95")]
        if action in ("start", "reload", "restart"):
            if action == "restart":
                self.procd.stop(name)
            self.procd.start(name)
        elif action == "stop":
            if not self.procd.stop(name):
                told["err"] = f'Command failed: ubus call service delete {{ "name": "{name}" }} (Not found)\n'
        elif action == "status":
            word, told["code"] = self.procd.status(name)
            told["out"] = f"{word}\n"
        elif action == "info":
            told["out"] = f"{formatted(self.procd.info(name))}\n"
        elif action == "running":
            told["code"] = 0 if self.procd.status(name)[0] == "running" else 1
        elif action == "enabled":
            told["code"] = 0 if links[1].is_symlink() else 1
        elif action == "enable":
            for link in links:
                if not link.is_symlink():
                    link.symlink_to(f"../init.d/{name}")
        elif action == "disable":
            for link in links:
                link.unlink(missing_ok=True)
        return told

    def _run_program(self, name: str) -> None:
        self.run(str(self.bin / name))

    # How it is made.

    def _write_configs(self) -> None:
        for path in sorted((self.board.directory / "uci").glob("*.txt")):
            (self.config / path.stem).write_bytes(package_of(path.stem, path.read_bytes().decode("latin-1")).exported(False).encode("latin-1"))
            (self.config / path.stem).chmod(0o600)

    def _write_programs(self) -> None:
        self._write(self.bin / "uci", _UCI)
        for name in ("ubus", "reload_config", "wifi", "logread", "jsonfilter", "reread_acl"):
            self._write(self.bin / name, _PROGRAM, program=name, name=name)
        (self.folder / "usr" / "bin" / "python3").symlink_to(sys.executable)

    def _write(self, path: Path, text: str, **more: str) -> None:
        path.write_text(text.format(python=sys.executable, here=str(HERE), folder=str(self.folder), calls=str(self.folder / "calls"), **more))
        path.chmod(0o755)

    def use_slow_clock(self) -> None:
        """Let `sleep` keep the box's pace, and end only when no daemon is about to do something: for what was recorded with sleeps between."""
        self.has_slow_clock = True
        self._write(self.bin / "sleep", _PROGRAM, program="sleep", name="sleep")

    def _slept(self, seconds: float) -> None:
        self.rpcd_daemon.pass_time(seconds)
        time.sleep(seconds * self.pace)
        # Who sleeps in a box that is no more need not be told.
        self.wait_for(lambda: self._is_over or (self.procd.is_quiet() and self.netifd.is_quiet and all(one() for one in self.quiet_when)))


def package_of(name: str, shown: str, lists: Sequence[str] = ()) -> uci.Package:
    """Make the package of what `uci show` printed: a list of one looks like a value there, and becomes one unless `lists` has it (lan.ports)."""
    package = uci.Package(name)
    for section in parse(shown).values():
        made = package.make(section.type, None if section.name.startswith("@") else section.name)
        for option, values in section.options.items():
            is_list = len(values) > 1 or f"{section.name}.{option}" in lists
            made.options[option] = list(values) if is_list else values[0]
    return package


class _Control:
    """The way from a program of the box to the daemons, who live in this process."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._path = box.folder / "run" / "box.sock"
        self._listener = socket.socket(socket.AF_UNIX)

    def start(self) -> None:
        """Begin to listen."""
        self._listener.bind(str(self._path))
        self._listener.listen(32)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for link in _accepted(self._listener):
            threading.Thread(target=self._answer, args=(link,), daemon=True).start()

    def _answer(self, link: socket.socket) -> None:
        with link, contextlib.suppress(OSError), link.makefile("rb") as lines:
            link.sendall(json.dumps(self._box.do(json.loads(lines.readline()))).encode())

    def close(self) -> None:
        """Stop."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    with contextlib.suppress(OSError):
        while True:
            yield listener.accept()[0]


def command_line(words: Sequence[str]) -> str:
    """Write words as a shell reads them."""
    return " ".join(map(shlex.quote, words))


def which(name: str) -> str:
    """Find a program of this machine."""
    return next((path for folder in SYSTEM_PATH.split(":") if os.access(path := os.path.join(folder, name), os.X_OK)), name)
