"""procd as far as services go: instances started, watched, started again, stopped; and triggers, their scripts run one after the other (service/*.c)."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.fakes.openwrt.userland.timers import Timers

Command = Sequence[str] | Callable[[], Sequence[str]]
RAW_TRIGGER_S = 0.1  # procd_add_raw_trigger's 100 ms
RELOAD_TRIGGER_S = 1.0  # procd_add_reload_trigger's default
MISSING_BINARY = 127
LOOK_S = 0.01
# What makes an instance another one than before (instance_config_changed); `file` stands for what the files contain.
_TELLING = ("command", "env", "netdev", "file", "nice", "facility", "user", "group", "pidfile", "respawn", "reload_signal", "term_timeout")
_TELLING += ("seccomp", "capabilities", "limits", "jail", "no_new_privs", "stdout", "stderr")
_FLAGS = ("procfs", "sysfs", "ubus", "log", "ronly", "netns", "userns", "cgroupsns", "console")


def _locked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let one thread at a time do it."""

    @functools.wraps(method)
    def alone(self: Procd, *arguments: Any) -> Any:
        with self._lock:
            return method(self, *arguments)

    return alone


def _trigger(package: str, name: str) -> list[Any]:
    """Give procd_add_reload_trigger as procd keeps it."""
    script = ["run_script", f"/etc/init.d/{name}", "reload"]
    return ["config.change", ["if", ["eq", "package", package], script], int(RELOAD_TRIGGER_S * 1000)]


class Service(NamedTuple):
    """What a start script tells procd: `command` may be made anew at each start or reload, `reload_on` are configurations."""

    name: str
    command: Command
    trigger: str | None = None
    reload_on: tuple[str, ...] = ()
    respawn: tuple[int, int, int] | None = None
    term_timeout: int = 5
    env: Mapping[str, str] = {}
    pidfile: str | None = None
    instance: str = "instance1"

    def config(self) -> dict[str, Any]:
        """Give its instance as `service set` has it."""
        command = self.command() if callable(self.command) else self.command
        found: dict[str, Any] = {"command": list(command), "term_timeout": self.term_timeout}
        if self.env:
            found["env"] = dict(self.env)
        if self.respawn:
            found["respawn"] = [str(one) for one in self.respawn]
        return found | ({"pidfile": self.pidfile} if self.pidfile else {})


class Place(NamedTuple):
    """How a process of an instance is started: the words before its command (`user`: whose it is), and what it finds in its environment."""

    words: Callable[[Mapping[str, Any]], Sequence[str]] = lambda config: ()
    environment: Mapping[str, str] = {}


class _Trigger(NamedTuple):
    """One trigger: `owner` is the service that has it; what it does is a script or, of daemons in this process, a function."""

    owner: str | None
    event: str
    condition: tuple[str, str] | None
    delay_s: float
    run: Callable[[], None] | tuple[str, ...]


class _Running:
    """One instance."""

    def __init__(self, service: str, name: str, config: Mapping[str, Any], marks: str) -> None:
        self.service, self.name = service, name
        self.config, self.marks = config, marks
        self.process: subprocess.Popen[bytes] | None = None
        self.exit_code: int | None = None
        self.started_at = 0.0
        self.crashes = 0
        self.has_given_up = False
        self.kill_at: float | None = None
        self.respawn_at: float | None = None

    @property
    def is_running(self) -> bool:
        """Say whether its process lives (or is about to be started again)."""
        return self.process is not None or self.respawn_at is not None

    @property
    def label(self) -> str:
        """Name it as procd does."""
        return f"{self.service}::{self.name}"

    @property
    def respawn(self) -> tuple[int, int, int] | None:
        """Give threshold, timeout and how often."""
        told = self.config.get("respawn")
        if told is None:
            return None
        threshold, timeout, retry = [*map(int, told), 3600, 5, 5][:3] if len(told) == 3 else (3600, 5, 5)
        return threshold, timeout, retry


class Procd:
    """The stand-in. `pace`: how long its second is; what it would write to the log goes to `log`; `place` may be set anew by whoever has the box."""

    def __init__(self, timers: Timers, pace: float, folder: Path, log: Callable[[str], object], environment: Mapping[str, str]) -> None:
        self._timers, self._pace, self._folder, self._log = timers, pace, folder, log
        self.place = Place(environment={"PATH": environment["PATH"]})
        self.services: dict[str, Service] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.scripts: list[tuple[str, ...]] = []  # that triggers ran
        self.starts: dict[str, int] = {}
        self._known: dict[str, dict[str, _Running]] = {}
        self._told: dict[str, list[Any]] = {}
        self._triggers: list[_Trigger] = []
        self._waiting: dict[Any, tuple[float, Callable[[], None]]] = {}
        self._queue: list[tuple[str, ...]] = []
        self._script: tuple[tuple[str, ...], subprocess.Popen[bytes]] | None = None
        self._leaving: list[_Running] = []
        self._is_watching = False
        self._lock = threading.RLock()

    def add(self, service: Service) -> None:
        """Install a service (its start script); it is not started by that."""
        self.services[service.name] = service
        if service.trigger:
            self.on(service.trigger, None, RAW_TRIGGER_S, lambda: self.start(service.name))
        for package in service.reload_on:
            # A service's triggers are known to procd only while it knows the service.
            self.on("config.change", package, RELOAD_TRIGGER_S, lambda: self._reload(service.name))

    def on(self, event: str, package: str | None, delay_s: float, run: Callable[[], None]) -> None:
        """Add a trigger, of a `config.change` of one package where that is named."""
        self._triggers.append(_Trigger(None, event, ("package", package) if package else None, delay_s, run))

    # Triggers.

    @_locked
    def event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take an event: what a trigger does is done once, when its time after the last such event is over; a script is told by its words alone."""
        self.events.append((kind, dict(data)))
        for number, trigger in enumerate(self._triggers):
            if _matches(trigger, kind, data):
                self._delay(number if callable(trigger.run) else trigger.run, trigger)

    def _delay(self, key: Any, trigger: _Trigger) -> None:
        due = time.monotonic() + trigger.delay_s * self._pace
        if key in self._waiting:
            before, forget = self._waiting[key]
            if before >= due:
                return
            forget()
        self._waiting[key] = due, self._timers.after(trigger.delay_s * self._pace, lambda: self._fire(key, trigger.run))

    def _fire(self, key: Any, run: Callable[[], None] | tuple[str, ...]) -> None:
        if callable(run):
            self._waiting.pop(key, None)
            run()
            return
        with self._lock:
            self._waiting.pop(key, None)
            if run not in self._queue:
                self._queue.append(run)
            self._watch()

    def _run_scripts(self) -> None:
        """Run what triggers are to run, one at a time."""
        if self._script is not None and self._script[1].poll() is not None:
            self._script = None
        while self._script is None and self._queue:
            words = self._queue.pop(0)
            self.scripts.append(words)
            with contextlib.suppress(OSError):
                self._script = words, self._popen([*self.place.words({}), *words], subprocess.DEVNULL, {})

    # What a start script does.

    @_locked
    def start(self, name: str) -> None:
        """Start, or start anew with other parameters; nothing at all when it runs with the same."""
        service = self.services[name]
        self._update(name, {service.instance: service.config()}, adds=False)

    def _reload(self, name: str) -> None:
        if name in self._known:
            self.start(name)

    @_locked
    def set(self, message: Mapping[str, Any], adds: bool = False) -> int:
        """Do `service set`, or `service add`; the status of the call."""
        name = message.get("name")
        if not isinstance(name, str):
            return 2
        if "triggers" in message:
            self._told[name] = message["triggers"]
            self._triggers = [one for one in self._triggers if one.owner != name]
            self._triggers += [_read_trigger(name, row) for row in message["triggers"]]
        self._known.setdefault(name, {})
        if "instances" in message:
            self._update(name, message["instances"], adds)
        return 0

    def _update(self, name: str, configs: Mapping[str, Mapping[str, Any]], adds: bool) -> None:
        known = self._known.setdefault(name, {})
        for gone in [] if adds else [one for one in known if one not in configs]:
            self._leave(known.pop(gone))
        for label, config in configs.items():
            marks = self._marks(config)
            there = known.get(label)
            if there is None or there.process is None:
                self._begin(known, _Running(name, label, config, marks), None)
            elif there.marks == marks:
                there.config = config
            elif "reload_signal" in config and "reload_signal" in there.config:
                there.process.send_signal(int(there.config["reload_signal"]))
                there.config, there.marks = config, marks
            else:
                self._begin(known, _Running(name, label, config, marks), there)

    def _marks(self, config: Mapping[str, Any]) -> str:
        """Give what another of is another instance, with what the files named contain and the numbers of the devices."""
        marks = {key: config.get(key) for key in _TELLING}
        paths = [self._folder / str(path).lstrip("/") for path in config.get("file", ())]
        marks["file"] = [hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.exists() else "" for path in paths]
        numbers = [self._folder / "sys" / "class" / "net" / str(name) / "ifindex" for name in config.get("netdev", ())]
        marks["netdev"] = [path.read_text() if path.exists() else "" for path in numbers]
        return json.dumps(marks, sort_keys=True)

    def _begin(self, known: dict[str, _Running], running: _Running, former: _Running | None) -> None:
        known[running.name] = running
        if former is not None:
            self._leave(former)
            running.respawn_at = time.monotonic()  # once the former one is gone
        elif any((one.service, one.name) == (running.service, running.name) for one in self._leaving):
            running.respawn_at = time.monotonic()
        else:
            self._spawn(running)
        self._watch()

    @_locked
    def stop(self, name: str, instance: str | None = None) -> bool:
        """Stop and forget, its triggers too; False when it was not known."""
        known = self._known.get(name)
        if known is None or (instance and instance not in known):
            return False
        for label in [instance] if instance else list(known):
            self._leave(known.pop(label))
        if instance is None:
            del self._known[name]
            self._told.pop(name, None)
            self._triggers = [one for one in self._triggers if one.owner != name]
        return True

    @_locked
    def signal(self, name: str, number: int, instance: str | None = None) -> bool:
        """Send a signal; False when it is not known."""
        known = self._known.get(name)
        if known is None:
            return False
        for label, running in known.items():
            if running.process is not None and instance in (None, label):
                running.process.send_signal(number)
        return True

    @_locked
    def forget(self) -> None:
        """Know no service any more, as after a boot; what runs is ended at once."""
        for name in list(self._known):
            self.stop(name)
        self._queue.clear()
        for running in self._leaving:
            if running.process is not None:
                _kill(running.process)
        self.events.clear()

    # What is known.

    @_locked
    def is_quiet(self) -> bool:
        """Say whether there is nothing that procd is about to do."""
        running = [one for known in self._known.values() for one in known.values()]
        dead = [one for one in running if one.process is not None and one.process.poll() is not None]
        return not (self.is_waiting or self._leaving or dead or any(one.respawn_at is not None for one in running))

    @property
    def is_waiting(self) -> bool:
        """Say whether a trigger is to run yet, or its script runs."""
        return bool(self._waiting or self._queue or self._script)

    def _one(self, name: str, instance: str | None = None) -> _Running | None:
        known = self._known.get(name, {})
        return known.get(instance) if instance else next(iter(known.values()), None)

    @_locked
    def is_running(self, name: str, instance: str | None = None) -> bool:
        """Say whether a service's process (of its first instance, unless one is named) lives."""
        running = self._one(name, instance)
        return running is not None and running.process is not None

    @_locked
    def pid(self, name: str, instance: str | None = None) -> int | None:
        """Give the process's id."""
        running = self._one(name, instance)
        return running.process.pid if running is not None and running.process is not None else None

    @_locked
    def exit_code(self, name: str, instance: str | None = None) -> int | None:
        """Give how its last process ended."""
        running = self._one(name, instance)
        return running.exit_code if running is not None else None

    @_locked
    def config(self, name: str, instance: str | None = None) -> dict[str, Any]:
        """Give what a start script told of an instance."""
        running = self._one(name, instance)
        return dict(running.config) if running is not None else {}

    @_locked
    def triggers(self, name: str) -> list[Any]:
        """Give what a start script told of its triggers."""
        return self._told.get(name, [])

    @_locked
    def status(self, name: str) -> tuple[str, int]:
        """Say what `status` of a start script says, with its exit code."""
        running = self._one(name)
        if running is None:
            return "inactive", 3
        return ("running", 0) if running.is_running else ("not running", 5)

    @_locked
    def listed(self, name: str | None = None) -> dict[str, Any]:
        """Give what `service list` does."""
        names = [one for one in sorted(self._known) if name in (None, one)]
        shown = {one: {label: _shown(running) for label, running in self._known[one].items()} for one in names}
        return {one: {"instances": instances} if instances else {} for one, instances in shown.items()}

    @_locked
    def info(self, name: str) -> dict[str, Any]:
        """Give what `info` of a start script prints: the service, and its triggers."""
        shown = self.listed(name)
        service = self.services.get(name)
        rows = [_trigger(package, name) for package in service.reload_on] if service else self._told.get(name, [])
        if name in shown and rows:
            shown[name]["triggers"] = rows
        return shown

    # Its processes.

    def _popen(self, argv: Sequence[str], err: int, env: Mapping[str, str], out: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        environment = {**self.place.environment, **env}
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, cwd="/", start_new_session=True)

    def _spawn(self, running: _Running) -> None:
        running.respawn_at, running.started_at = None, time.monotonic()
        self.starts[running.service] = self.starts.get(running.service, 0) + 1
        config = running.config
        if not config.get("command"):
            self._log(f"daemon.info procd: Not starting instance {running.label}, command not set")
            return
        pipes = [subprocess.PIPE if config.get(name) else subprocess.DEVNULL for name in ("stderr", "stdout")]
        try:
            process = self._popen([*self.place.words(config), *config["command"]], pipes[0], config.get("env", {}), pipes[1])
        except OSError:
            self._ended(running, MISSING_BINARY)
            return
        running.process = process
        for stream, level in ((process.stderr, "err"), (process.stdout, "info")):
            if stream is not None:
                head = f"daemon.{level} {os.path.basename(config['command'][0])}[{process.pid}]: "
                threading.Thread(target=self._pass_on, args=(stream, head), daemon=True).start()
        if config.get("pidfile"):
            path = self._folder / config["pidfile"].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}")
            new.write_text(f"{process.pid}\n")
            new.rename(path)

    def _pass_on(self, stream: Any, head: str) -> None:
        with stream:
            for line in stream:
                self._log(head + line.decode("utf-8", "replace").rstrip("\n"))

    def _leave(self, running: _Running) -> None:
        running.respawn_at = None
        if running.process is None:
            return
        running.kill_at = time.monotonic() + int(running.config.get("term_timeout", 5)) * self._pace
        with contextlib.suppress(ProcessLookupError):
            running.process.send_signal(signal.SIGTERM)
        self._leaving.append(running)
        self._watch()

    def _watch(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            self._timers.after(0, self._look)

    @_locked
    def _look(self) -> None:
        """Reap what ended, kill what does not end, start again what is to be, run what triggers wait for."""
        now = time.monotonic()
        for running in list(self._leaving):
            assert running.process is not None
            if running.process.poll() is not None:
                self._leaving.remove(running)
                running.process = None
            elif running.kill_at is not None and now >= running.kill_at:
                self._log(f"daemon.info procd: Instance {running.label} pid {running.process.pid} not stopped on SIGTERM, sending SIGKILL instead")
                running.process.kill()
                running.kill_at = None
        for running in [one for known in self._known.values() for one in known.values()]:
            if running.process is not None and (code := running.process.poll()) is not None:
                running.process = None
                self._ended(running, code if code >= 0 else 128 - code)
            elif running.process is None and running.respawn_at is not None and now >= running.respawn_at and not self._is_leaving(running):
                self._spawn(running)
        self._run_scripts()
        known = [one for each in self._known.values() for one in each.values()]
        self._is_watching = bool(self._leaving or self._queue or self._script) or any(one.is_running for one in known)
        if self._is_watching:
            self._timers.after(LOOK_S, self._look)

    def _is_leaving(self, running: _Running) -> bool:
        return any((one.service, one.name) == (running.service, running.name) for one in self._leaving)

    def _ended(self, running: _Running, code: int) -> None:
        running.exit_code = code
        respawn = running.respawn
        if respawn is None:
            return
        threshold, timeout, retry = respawn
        lived = time.monotonic() - running.started_at
        running.crashes = 0 if lived > threshold * self._pace else running.crashes + 1
        if running.crashes > retry > 0:
            running.has_given_up = True
            tail = f"{running.crashes} crashes, {int(lived / self._pace)} seconds since last crash"
            self._log(f"daemon.info procd: Instance {running.label} s in a crash loop {tail}")
            return
        running.respawn_at = time.monotonic() + timeout * self._pace
        self._watch()

    @_locked
    def close(self) -> None:
        """End every process."""
        for running in [*(one for known in self._known.values() for one in known.values()), *self._leaving]:
            if running.process is not None:
                _kill(running.process)
                running.process.wait()
        if self._script is not None:
            _kill(self._script[1])
            self._script[1].wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _matches(trigger: _Trigger, kind: str, data: Mapping[str, Any]) -> bool:
    """Say whether an event is a trigger's: its name up to `.*`, its condition."""
    wild = trigger.event.find(".*")
    is_named = kind.startswith(trigger.event[:wild]) if wild >= 0 else kind == trigger.event
    return is_named and (trigger.condition is None or data.get(trigger.condition[0]) == trigger.condition[1])


def _read_trigger(owner: str, row: Sequence[Any]) -> _Trigger:
    """Read one trigger of a message: [event, ["if", ["eq", KEY, VALUE], ["run_script", …]], ms] or [event, [["run_script", …]], ms]."""
    event, rule, *delay = row
    condition = None
    if rule[0] == "if":
        assert rule[1][0] == "eq", rule
        condition, rule = (str(rule[1][1]), str(rule[1][2])), [rule[2]]
    assert rule[0][0] == "run_script" and len(rule) == 1, rule
    return _Trigger(owner, str(event), condition, (delay[0] if delay else 0) / 1000, tuple(map(str, rule[0][1:])))


def _shown(running: _Running) -> dict[str, Any]:
    """Give one instance as `service list` shows it, in its order (instance_dump)."""
    config = running.config
    shown: dict[str, Any] = {"running": running.is_running}
    if running.process is not None:
        shown["pid"] = running.process.pid
    shown |= {"command": list(config.get("command", ())), "term_timeout": int(config.get("term_timeout", 5))}
    if running.exit_code is not None and not running.is_running:
        shown["exit_code"] = running.exit_code
    shown |= {name: config[name] for name in ("env", "data", "limits") if config.get(name)}
    if running.respawn and not running.has_given_up:
        shown["respawn"] = dict(zip(("threshold", "timeout", "retry"), running.respawn, strict=True))
    shown |= {name: config[name] for name in ("no_new_privs", "capabilities", "pidfile", "user", "group", "reload_signal") if config.get(name)}
    jail = config.get("jail")
    if jail:
        shown["jail"] = {"name": jail["name"], **{flag: bool(jail.get(flag)) for flag in _FLAGS}}
        shown |= {"mount": jail["mount"]} if jail.get("mount") else {}
    return shown
