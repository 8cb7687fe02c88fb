"""The box as its own scripts and programs see it: its folder is /, with OpenWrt's applets, our stand-ins of its scripts, and a Python. Needs root.

A process of its own holds a mount and a network namespace open; whatever is run here is run in those. What belongs to this machine is there to be read only.
"""

from __future__ import annotations

import compileall
import contextlib
import os
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from tests.fakes.openwrt.ubusd import Allow
from tests.fakes.openwrt.userland.procd import Place

RC = Path(__file__).parent / "rc"
ROOT = Path(__file__).parents[4]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
GONE_S = 60.0
# Of BusyBox as OpenWrt builds it; stat, timeout, install, realpath and setsid are not among them.
APPLETS = """
    [ ash awk basename cat chgrp chmod chown chroot clear cmp cp cut date dd df dirname dmesg du echo egrep env expr false fgrep find free
    grep gunzip gzip head hexdump id ifconfig kill killall less ln ls lsmod md5sum mkdir mkfifo mknod mktemp mount mv nc netstat nice
    nslookup passwd ping pivot_root printf ps pwd readlink reset rm rmdir route sed seq sh sha256sum sort strings sync
    sysctl tail tar tee test time top touch tr true udhcpc umount uname uniq uptime vi wc which xargs yes zcat
"""
# BusyBox' own of these would end this machine, whose process numbers the box has.
HARMLESS = ("halt", "poweroff", "reboot")
# What other packages bring, as this machine has it.
BROUGHT = ("flock", "ip", "tc", "nft", "signify-openbsd")
# Of this machine, below the box's own directories of these names.
_SHARED = ("lib", "lib32", "lib64", "libx32")
_OWN = ("bin", "dev", "etc", "host", "kernel", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys", "usr")
_PASSWD = "root:x:0:0:root:/root:/bin/ash\nnobody:*:65534:65534:nobody:/var:/bin/false\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"
_HOLD = """
set -e
cd {folder}
mount --bind / host
mount -o remount,bind,ro host
mount --rbind /proc proc
mount -t sysfs sysfs kernel
mount --bind boot_id proc/sys/kernel/random/boot_id
for name in null zero full random urandom; do mount --bind /dev/$name dev/$name; done
for path in {needed}; do
    mkdir -p ".$path"
    mount --bind "$path" ".$path"
    mount -o remount,bind,ro ".$path"
done
mkdir -p .{folder}
mount --bind . .{folder}
ip link set lo up
exec chroot . /host{cat}
"""


class Root:
    """The inside of one box. `folder` is its /; `inside_of`: the words that make a command run in the box's network namespace, where it has one."""

    def __init__(self, folder: Path, inside_of: Sequence[str] = ()) -> None:
        assert os.geteuid() == 0, "only root may make a box's own root"
        self.folder = folder
        self.python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.site_packages = folder / "usr/lib" / self.python / "site-packages"
        self._is_over = threading.Event()
        self._lay_out()
        self._holder = self._hold(inside_of)
        # Asked once: were the holder gone, nobody's namespace would be the box's, and everybody's whose we may not see.
        self._mounts = _mounts(self._holder.pid)
        assert self._mounts not in ("", _mounts(os.getpid())), "the box has no namespace of its own"
        self._prefix = (_host("nsenter"), "--target", str(self._holder.pid), "--mount", "--net", "--root", "--wd")
        self._ubusd = self._start_ubusd()

    # What it runs.

    def place(self) -> Place:
        """Give how procd starts a process here."""
        return Place(self.words, {"PATH": PATH})

    def command(self, *argv: str) -> list[str]:
        """Give the argument list that runs a program in the box, as root."""
        return [*self._prefix, *argv]

    def words(self, config: Mapping[str, Any]) -> list[str]:
        """Give the words before a command: into the box, and as the instance's user."""
        words = [*self._prefix]
        user = config.get("user")
        # procd leaves it to ujail (service/instance.c: -c of jail_run, and nothing without one).
        more = ["--no-new-privs"] if config.get("no_new_privs") and config.get("jail") else []
        if user and user != "root":
            number, group = self.user(str(user))
            group = self.group(str(config["group"])) if config.get("group") else group
            more += [f"--reuid={number}", f"--regid={group}", "--clear-groups"]
        return [*words, f"/host{_host('setpriv')}", *more] if more else words

    def run(self, *argv: str, user: str | None = None, text: str | None = None, seconds: float = 60.0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the box to its end, as root or another."""
        command = [*self.words({"user": user} if user else {}), *argv]
        environment = {"PATH": PATH, **env}
        return subprocess.run(
            command, input=text, check=False, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=seconds, env=environment
        )

    def user(self, name: str) -> tuple[int, int]:
        """Give the numbers of a user and of its group."""
        for line in (self.folder / "etc/passwd").read_text().splitlines():
            row = line.split(":")
            if row[0] == name:
                return int(row[2]), int(row[3])
        raise AssertionError(f"no user {name} in the box")

    def group(self, name: str) -> int:
        """Give the number of a group."""
        return next(int(line.split(":")[2]) for line in (self.folder / "etc/group").read_text().splitlines() if line.startswith(f"{name}:"))

    def show_links(self, *names: str) -> None:
        """Let network devices of these names, whenever the box's scripts make such, be seen in /sys/class/net: what else is seen there is the board's."""
        threading.Thread(target=self._mirror, args=(names,), daemon=True).start()

    def _mirror(self, names: Sequence[str]) -> None:
        real, seen = Path(f"/proc/{self._holder.pid}/root/kernel/class/net"), self.folder / "sys/class/net"
        while not self._is_over.wait(0.005):
            for name in names:
                is_there, is_seen = os.path.exists(real / name), os.path.islink(seen / name)
                if is_there and not is_seen:
                    (seen / name).symlink_to(f"../../../kernel/class/net/{name}")
                elif is_seen and not is_there:
                    (seen / name).unlink()

    def allowed(self) -> Allow | None:
        """Read what the daemon's user may call, as ubusd does at SIGHUP; None without any file."""
        found = sorted((self.folder / "usr/share/acl.d").glob("*.json"))
        return Allow.read(found[0]) if found else None

    def processes(self) -> dict[int, str]:
        """Give all that runs in the box, with their command lines."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            pid = int(path.name)
            if pid != self._holder.pid and _mounts(pid) == self._mounts:
                with contextlib.suppress(OSError):
                    found[pid] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        return {pid: words for pid, words in found.items() if words}

    def clear_ram(self) -> None:
        """Lose what is in RAM, and everybody who runs: the power went. Another boot begins."""
        self.kill_all()
        self._ubusd.wait()
        # The others: on the way to where the box itself, and what it needs of this machine, are mounted. Who removes such a directory ends the mount.
        mounted = [self.folder, *map(Path, self._needed())]
        kept = {self.folder / "run/ubus", self.folder / "run/box.sock", *(self.folder.joinpath(*path.parts[1:3]) for path in mounted)}
        for directory in (self.folder / "run", self.folder / "tmp"):
            for path in [path for path in directory.iterdir() if path not in kept]:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self._make_ram()
        self._new_boot()
        self._ubusd = self._start_ubusd()

    def kill_all(self) -> None:
        """End everything that runs in the box."""
        ends = time.monotonic() + GONE_S
        while found := self.processes():
            assert time.monotonic() < ends, f"still there: {found}"
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def close(self) -> None:
        """End everything."""
        self._is_over.set()
        self.kill_all()
        self._ubusd.wait()
        assert self._holder.stdin is not None and self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.stdout.close()
        self._holder.wait(10)

    # What comes into it.

    def install(self, tree: Path) -> None:
        """Put a tree into the box, with its modes; all is root's."""
        for path in sorted(tree.rglob("*")):
            target = self.folder / path.relative_to(tree)
            if path.is_dir() and not path.is_symlink():
                target.mkdir(exist_ok=True)
            else:
                target.unlink(missing_ok=True)
                shutil.copy2(path, target, follow_symlinks=False)
                os.chown(target, 0, 0, follow_symlinks=False)
            if not path.is_symlink():
                target.chmod(stat.S_IMODE(path.stat().st_mode))

    def install_agent(self) -> None:
        """Put the agent of this tree there as the package has it: bytecode alone, its scripts in /usr/libexec/rwagent, its two programs."""
        where, scripts = self.site_packages / "agent", self.folder / "usr/libexec/rwagent"
        shutil.rmtree(where, ignore_errors=True)
        compileall.compile_dir(str(ROOT / "agent"), quiet=2)
        for path in sorted((ROOT / "agent").rglob("*.py")):
            target = where / path.relative_to(ROOT / "agent").with_suffix(".pyc")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(cache_from_source(str(path)), target)
        scripts.mkdir(parents=True, exist_ok=True)
        for path in (ROOT / "agent" / "ash").iterdir():
            _put(path, scripts)
        (where / "ash").symlink_to("/usr/libexec/rwagent")
        for name, module in (("rwagent", "agent.__main__"), ("rwagent-apply", "agent.apply")):
            program = self.folder / "usr/bin" / name
            program.write_text(f"#!/usr/bin/python3 -I\nimport sys\n\nfrom {module} import main\n\nsys.exit(main())\n")
            program.chmod(0o755)

    # How it is made.

    def _lay_out(self) -> None:
        folder = self.folder
        folder.chmod(0o755)
        for name in (
            "dev",
            "etc/hotplug.d",
            "etc/sysctl.d",
            "etc/uci-defaults",
            "host",
            "kernel",
            "lib/functions",
            "lib/upgrade/keep.d",
            "proc",
            "root",
            "sbin",
        ):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("lib/functions", "lib/upgrade/keep.d", "usr/bin", "usr/sbin", "usr/lib/opkg/info", "usr/libexec", "usr/share/acl.d", "python/bin"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("null", "zero", "full", "random", "urandom"):
            (folder / "dev" / name).touch()
        shutil.rmtree(folder / "run/rwagent", ignore_errors=True)  # whoever needs it makes it
        self._make_ram()
        self._new_boot()
        self._write_etc()
        self._link_libraries()
        self._put_programs()
        self._put_python()

    def _make_ram(self) -> None:
        for name in ("tmp", "tmp/.uci", "run/lock", "run/rpcd"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").chmod(0o1777)

    def _new_boot(self) -> None:
        (self.folder / "boot_id").write_text(f"{secrets.token_hex(4)}-2222-4333-8444-555555555555\n")

    def _write_etc(self) -> None:
        etc = self.folder / "etc"
        for name, text in (("passwd", _PASSWD), ("group", _GROUP), ("shadow", "root:::0:99999:7:::\n"), ("hosts", "127.0.0.1 localhost\n")):
            (etc / name).write_text(text)
        (etc / "shadow").chmod(0o600)
        (self.folder / "lib/upgrade/keep.d/base-files").write_text("/etc/config/\n/etc/group\n/etc/passwd\n/etc/shadow\n")
        if not (etc / "ld.so.cache").is_symlink():
            (etc / "ld.so.cache").symlink_to("/host/etc/ld.so.cache")

    def _link_libraries(self) -> None:
        for name in (*_SHARED, "usr/lib"):
            theirs = Path("/", name)
            if not theirs.is_dir():
                continue
            (self.folder / name).mkdir(exist_ok=True)
            for path in theirs.iterdir():
                mine = self.folder / name / path.name
                if not mine.exists() and not mine.is_symlink() and path.name != self.python:
                    mine.symlink_to(f"/host{path}")

    def _put_programs(self) -> None:
        folder = self.folder
        # Debian's static BusyBox prefers its own applets to what lies in PATH, as OpenWrt's does not; unless it does not find itself.
        busybox = Path(_host("busybox")).read_bytes().replace(b"/proc/self/exe\0", b"/proc/self/none"[:14] + b"\0")
        (folder / "usr/bin/busybox").write_bytes(busybox)
        (folder / "usr/bin/busybox").chmod(0o755)
        for applet in APPLETS.split():
            # Relative: seen from outside too it must never lead to this machine's own.
            _link(*((folder / "bin" / applet, "../usr/bin/busybox") if applet in ("sh", "ash") else (folder / "usr/bin" / applet, "busybox")))
        for name in BROUGHT:
            if path := shutil.which(name, path=os.environ["PATH"] + ":" + PATH):
                _link(folder / "usr/sbin" / name, f"/host{os.path.realpath(path)}")
        for name, where in (("rc.common", "etc"), ("functions.sh", "lib"), ("functions/procd.sh", "lib/functions"), ("sysupgrade", "sbin")):
            _put(RC / name, folder / where)
        for name in ("uci", "reload_config", "wifi", "logread", "reread_acl"):
            _link(folder / "sbin" / name, f"../bin/{name}")
        for name, where in (("hotplug-call", "sbin"), ("ubusd", "sbin"), ("sleep", "bin"), ("boot", "etc/init.d"), ("sysctl", "etc/init.d")):
            _put(RC / name, folder / where)
        _link(folder / "usr/sbin/iw", "../../bin/iw")
        for name in ("logger", "pidof", "reboot"):
            _put(RC / name, folder / "usr/bin")
        for name in HARMLESS:
            if name != "reboot":
                _link(folder / "usr/bin" / name, "reboot")
        (folder / "log").touch()
        (folder / "calls").touch()
        for name in ("log", "calls"):
            (folder / name).chmod(0o666)

    def _put_python(self) -> None:
        """Make /usr/bin/python3 this Python, with the box's own site-packages, and below them the third-party packages of this environment."""
        base = Path(sys.base_prefix)
        here = f"/host{base}" if base.parts[1] in _OWN else str(base)
        real = Path(os.path.realpath(sys.executable)).name
        prefix = self.folder / "python"
        (prefix / "pyvenv.cfg").write_text(f"home = {here}/bin\ninclude-system-site-packages = false\n")
        _link(prefix / "bin/python3", f"{here}/bin/{real}")
        (prefix / "lib" / self.python).mkdir(parents=True, exist_ok=True)
        _link(prefix / "lib" / self.python / "site-packages", f"../../../usr/lib/{self.python}/site-packages")
        self.site_packages.mkdir(parents=True, exist_ok=True)
        # A path in such a file is searched after the box's own, and no such file of its is read: this tree's own agent is not seen there.
        third = Path(sysconfig.get_paths()["purelib"])
        (self.site_packages / "third-party.pth").write_text(f"/host{third}\n" if third.parts[1] in _OWN else f"{third}\n")
        program = self.folder / "usr/bin/python3"
        program.unlink(missing_ok=True)
        program.write_text('#!/bin/sh\nexec /python/bin/python3 "$@"\n')
        program.chmod(0o755)

    def _start_ubusd(self) -> subprocess.Popen[bytes]:
        """Start the process that is looked for by its name, and told by SIGHUP."""
        null = subprocess.DEVNULL
        started = subprocess.Popen(self.command("/sbin/ubusd"), stdin=null, stdout=null, stderr=null, env={"PATH": PATH}, start_new_session=True)
        ends = time.monotonic() + GONE_S
        # On its way into the box it is not yet one of its processes, and would outlive them.
        while _mounts(started.pid) != self._mounts:
            assert started.poll() is None and time.monotonic() < ends, "the box's ubusd did not start"
            time.sleep(0.001)
        return started

    def _needed(self) -> Iterator[str]:
        wanted = dict.fromkeys(path.resolve() for path in (ROOT, Path(sys.prefix), Path(sys.base_prefix)))
        for path in wanted:
            if path.parts[1] not in _OWN and not any(path != other and path.is_relative_to(other) for other in wanted):
                yield str(path)

    def _hold(self, inside_of: Sequence[str]) -> subprocess.Popen[str]:
        script = _HOLD.format(folder=shlex.quote(str(self.folder)), needed=" ".join(map(shlex.quote, self._needed())), cat=_host("cat"))
        words = [*inside_of, "unshare", "--mount", *([] if inside_of else ["--net"]), "/bin/sh", "-c", script]
        pipe = subprocess.PIPE
        holder = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        assert holder.stdin is not None and holder.stdout is not None and holder.stderr is not None
        with contextlib.suppress(BrokenPipeError):
            holder.stdin.write("ready\n")
            holder.stdin.flush()
        # What it repeats says that it is there, in its place.
        assert holder.stdout.readline() == "ready\n", holder.stderr.read()
        holder.stderr.close()
        return holder


def _put(path: Path, directory: Path) -> None:
    """Put a file into a directory of the box, never through a link that stands there."""
    target = directory / path.name
    target.unlink(missing_ok=True)
    shutil.copy(path, target)


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _host(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":" + PATH)
    assert path is not None, f"{name} is not on this machine"
    return os.path.realpath(path)


def _mounts(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""
