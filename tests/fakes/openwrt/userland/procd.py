"""procd as far as services go: started, watched, started again, stopped; and triggers, run one after the other when an event comes."""

from __future__ import annotations

import contextlib
import functools
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


class _Running:
    """One instance."""

    def __init__(self, service: Service, command: tuple[str, ...]) -> None:
        self.service = service
        self.command = command
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


class Procd:
    """The stand-in. `pace`: how long its second is; what it would write to the log goes to `log`."""

    def __init__(self, timers: Timers, pace: float, folder: Path, log: Callable[[str], object], environment: Mapping[str, str]) -> None:
        self._timers, self._pace, self._folder, self._log, self._environment = timers, pace, folder, log, environment
        self.services: dict[str, Service] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.starts: dict[str, int] = {}
        self._running: dict[str, _Running] = {}
        self._triggers: list[tuple[str, str | None, float, Callable[[], None]]] = []
        self._waiting: dict[int, Callable[[], None]] = {}
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
        self._triggers.append((event, package, delay_s, run))

    @_locked
    def event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take an event: each trigger runs once when its time after the last such event is over."""
        self.events.append((kind, dict(data)))
        for number, (event, package, delay_s, run) in enumerate(self._triggers):
            if event == kind and package in (None, data.get("package")):
                if number in self._waiting:
                    self._waiting[number]()
                self._waiting[number] = self._timers.after(delay_s * self._pace, lambda number=number, run=run: self._fire(number, run))  # type: ignore[misc]

    def _fire(self, number: int, run: Callable[[], None]) -> None:
        self._waiting.pop(number, None)
        run()

    # What a start script does.

    @_locked
    def start(self, name: str) -> None:
        """Start, or start anew with other parameters; nothing at all when it runs with the same."""
        service = self.services[name]
        command = tuple(service.command() if callable(service.command) else service.command)
        there = self._running.get(name)
        if there is not None and there.is_running and there.command == command:
            return
        if there is not None and there.process is not None:
            self._end(there)
            self._leaving.append(there)
        self._running[name] = running = _Running(service, command)
        if there is not None and there.process is not None:
            running.respawn_at = time.monotonic()  # once the former one is gone
        else:
            self._spawn(service, running)
        self._watch()

    def _reload(self, name: str) -> None:
        if name in self._running:
            self.start(name)

    @_locked
    def stop(self, name: str) -> bool:
        """Stop and forget; False when it was not known."""
        running = self._running.pop(name, None)
        if running is None:
            return False
        if running.process is not None:
            self._end(running)
            self._leaving.append(running)
            self._watch()
        return True

    @_locked
    def signal(self, name: str, number: int) -> bool:
        """Send a signal; False when it is not known."""
        running = self._running.get(name)
        if running is None:
            return False
        if running.process is not None:
            running.process.send_signal(number)
        return True

    # What is known.

    @_locked
    def is_quiet(self) -> bool:
        """Say whether there is nothing that procd is about to do."""
        dead = [one for one in self._running.values() if one.process is not None and one.process.poll() is not None]
        return not (self._waiting or self._leaving or dead or any(one.respawn_at is not None for one in self._running.values()))

    @property
    def is_waiting(self) -> bool:
        """Say whether a trigger is to run yet."""
        return bool(self._waiting)

    @_locked
    def is_running(self, name: str) -> bool:
        """Say whether a service's process lives."""
        running = self._running.get(name)
        return running is not None and running.process is not None

    @_locked
    def pid(self, name: str) -> int | None:
        """Give the process's id."""
        running = self._running.get(name)
        return running.process.pid if running is not None and running.process is not None else None

    @_locked
    def exit_code(self, name: str) -> int | None:
        """Give how its last process ended."""
        running = self._running.get(name)
        return running.exit_code if running is not None else None

    @_locked
    def status(self, name: str) -> tuple[str, int]:
        """Say what `status` of a start script says, with its exit code."""
        running = self._running.get(name)
        if running is None:
            return "inactive", 3
        return ("running", 0) if running.is_running else ("not running", 5)

    @_locked
    def listed(self, name: str | None = None) -> dict[str, Any]:
        """Give what `service list` does."""
        return {one: {"instances": {self.services[one].instance: self._shown(one)}} for one in sorted(self._running) if name in (None, one)}

    @_locked
    def info(self, name: str) -> dict[str, Any]:
        """Give what `info` of a start script prints: the service, and its triggers."""
        shown = self.listed(name)
        rows = [_trigger(package, name) for package in self.services[name].reload_on]
        if name in shown and rows:
            shown[name]["triggers"] = rows
        return shown

    def _shown(self, name: str) -> dict[str, Any]:
        service, running = self.services[name], self._running[name]
        shown: dict[str, Any] = {"running": running.is_running}
        if running.process is not None:
            shown["pid"] = running.process.pid
        shown |= {"command": list(running.command), "term_timeout": service.term_timeout}
        if running.exit_code is not None and not running.is_running:
            shown["exit_code"] = running.exit_code
        if service.env:
            shown["env"] = dict(service.env)
        if service.respawn and not running.has_given_up:
            shown["respawn"] = dict(zip(("threshold", "timeout", "retry"), service.respawn, strict=True))
        if service.pidfile:
            shown["pidfile"] = service.pidfile
        return shown

    # Its processes.

    def _spawn(self, service: Service, running: _Running) -> None:
        running.respawn_at, running.started_at = None, time.monotonic()
        self.starts[service.name] = self.starts.get(service.name, 0) + 1
        environment = {"PATH": self._environment["PATH"], **service.env}
        try:
            null = subprocess.DEVNULL
            running.process = subprocess.Popen(running.command, stdin=null, stdout=null, stderr=null, env=environment, cwd="/", start_new_session=True)
        except OSError:
            self._ended(service.name, running, MISSING_BINARY)
            return
        if service.pidfile:
            path = self._folder / service.pidfile.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}")
            new.write_text(f"{running.process.pid}\n")
            new.rename(path)

    def _end(self, running: _Running) -> None:
        if running.process is not None:
            running.kill_at = time.monotonic() + running.service.term_timeout * self._pace
            with contextlib.suppress(ProcessLookupError):
                running.process.send_signal(signal.SIGTERM)

    def _watch(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            self._timers.after(0, self._look)

    @_locked
    def _look(self) -> None:
        """Reap what ended, kill what does not end, start again what is to be."""
        now = time.monotonic()
        for running in list(self._leaving):
            assert running.process is not None
            code = running.process.poll()
            if code is not None:
                self._leaving.remove(running)
                running.process = None
            elif running.kill_at is not None and now >= running.kill_at:
                label = f"{running.service.name}::{running.service.instance}"
                self._log(f"daemon.info procd: Instance {label} pid {running.process.pid} not stopped on SIGTERM, sending SIGKILL instead")
                running.process.kill()
                running.kill_at = None
        for name, running in list(self._running.items()):
            if running.process is not None and (code := running.process.poll()) is not None:
                running.process = None
                self._ended(name, running, code if code >= 0 else 128 - code)
            elif running.process is None and running.respawn_at is not None and now >= running.respawn_at and not self._leaving:
                self._spawn(self.services[name], running)
        self._is_watching = bool(self._leaving) or any(running.is_running for running in self._running.values())
        if self._is_watching:
            self._timers.after(0.01, self._look)

    def _ended(self, name: str, running: _Running, code: int) -> None:
        running.exit_code = code
        respawn = self.services[name].respawn
        if respawn is None:
            return
        threshold, timeout, retry = respawn
        lived = time.monotonic() - running.started_at
        running.crashes = 0 if lived > threshold * self._pace else running.crashes + 1
        if running.crashes > retry >= 0:
            running.has_given_up = True
            tail = f"{running.crashes} crashes, {int(lived / self._pace)} seconds since last crash"
            self._log(f"daemon.info procd: Instance {name}::{self.services[name].instance} s in a crash loop {tail}")
            return
        running.respawn_at = time.monotonic() + timeout * self._pace
        self._watch()

    @_locked
    def close(self) -> None:
        """End every process."""
        for running in [*self._running.values(), *self._leaving]:
            if running.process is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(running.process.pid, signal.SIGKILL)
                running.process.wait()
