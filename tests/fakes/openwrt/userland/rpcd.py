"""rpcd's objects `uci` and `session`: LuCI's way to change a configuration, and the apply that waits for its confirmation (openwrt/rpcd uci.c)."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fakes.openwrt.userland import uci

if TYPE_CHECKING:
    from tests.fakes.openwrt.userland.box import Box

OK, INVALID, NOT_FOUND, NO_DATA, DENIED, UNKNOWN = 0, 2, 4, 5, 6, 9
APPLY_S = 60
Arguments = Mapping[str, Any]
Answer = tuple[int, dict[str, Any] | None]
_SAID = {"add_list": "list-add", "del_list": "list-del", "reorder": "order"}
_OF_UCI = {uci.INVALID: INVALID, uci.NOT_FOUND: NOT_FOUND}


class Rpcd:
    """The daemon. `is_pending`: an apply waits for its confirmation."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._numbers = itertools.count(1)
        self.sessions: dict[str, set[str]] = {}
        self._applied_by: str | None = None
        self._left_s = 0.0
        self._forget: Callable[[], None] | None = None

    @property
    def is_pending(self) -> bool:
        """Say whether an apply waits for its confirmation."""
        return self._applied_by is not None

    def methods(self) -> dict[tuple[str, str], Callable[[Arguments], Answer]]:
        """Name what may be called."""
        of_uci = {
            name: getattr(self, f"_{name}")
            for name in ["configs", "get", "state", "set", "add", "delete", "rename", "changes", "revert", "commit", "apply", "confirm", "rollback"]
        }
        of_session = {"create": self._create, "grant": self._grant, "destroy": self._destroy, "list": self._list}
        return {("uci", name): run for name, run in of_uci.items()} | {("session", name): run for name, run in of_session.items()}

    def kill(self) -> None:
        """End it, and start it anew: its sessions are gone and the timer of an apply; what was applied stays, and so does its snapshot."""
        for path in self._box.rpcd.glob("uci-*"):
            shutil.rmtree(path)
        self.sessions.clear()
        self._applied_by = None
        if self._forget:
            self._forget()

    def pass_time(self, seconds: float) -> None:
        """Let so many of the box's seconds be over at once: for what was recorded with sleeps between."""
        self._left_s -= seconds
        if self._applied_by is not None and self._left_s <= 0:
            self._roll_back()

    def delta_of(self, session: str) -> Path:
        """Give where a session's steps are staged."""
        return self._box.rpcd / f"uci-{session}"

    # Sessions.

    def _create(self, arguments: Arguments) -> Answer:
        session = f"{next(self._numbers):032x}"
        self.sessions[session] = set()
        return OK, {"ubus_rpc_session": session, "timeout": arguments.get("timeout", 300), "expires": arguments.get("timeout", 300), "acls": {}, "data": {}}

    def _grant(self, arguments: Arguments) -> Answer:
        session = arguments.get("ubus_rpc_session")
        if session not in self.sessions:
            return NOT_FOUND, None
        self.sessions[session].add("uci")
        return OK, None

    def _destroy(self, arguments: Arguments) -> Answer:
        session = arguments.get("ubus_rpc_session")
        if self.sessions.pop(session or "", None) is None:
            return NOT_FOUND, None
        shutil.rmtree(self.delta_of(str(session)), ignore_errors=True)
        return OK, None

    def _list(self, arguments: Arguments) -> Answer:
        session = arguments.get("ubus_rpc_session")
        return (OK, {"ubus_rpc_session": session}) if session in self.sessions else (NOT_FOUND, None)

    def _may(self, arguments: Arguments) -> bool:
        session = arguments.get("ubus_rpc_session")
        return session is None or "uci" in self.sessions.get(session, ())

    # Configurations.

    def _context(self, arguments: Arguments) -> uci.Context:
        session = arguments.get("ubus_rpc_session")
        context = self._box.context()
        if session is not None:
            context.save = str(self.delta_of(session))
            context.delta_paths = [context.save]
            for directory in (self._box.rpcd, self.delta_of(session)):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return context

    def _configs(self, _: Arguments) -> Answer:
        return OK, {"configs": self._box.context().configs()}

    def _state(self, arguments: Arguments) -> Answer:
        return self._get(arguments)

    def _get(self, arguments: Arguments) -> Answer:
        config = arguments.get("config")
        if not isinstance(config, str):
            return INVALID, None
        if not self._may(arguments):
            return DENIED, None
        try:
            package = self._context(arguments).load(config)
        except uci.Error as error:
            return _OF_UCI.get(error.code, UNKNOWN) if uci.is_name(config, "-") else NOT_FOUND, None
        section, option = arguments.get("section"), arguments.get("option")
        if section is None:
            rows = {one.name: _row(one, place) for place, one in enumerate(package.sections) if _fits(one, arguments)}
            return OK, {"values": rows}
        found = _find(package, str(section))
        if found is None or (option is not None and option not in found.options):
            return OK, None
        return OK, {"values": _row(found, None)} if option is None else {"value": _utf8(found.options[option])}

    def _change(self, arguments: Arguments, steps: Callable[[uci.Package, uci.Section], None], *, needs_section: bool = True) -> Answer:
        config = arguments.get("config")
        if not isinstance(config, str) or (needs_section and not isinstance(arguments.get("section"), str)):
            return INVALID, None
        if not self._may(arguments):
            return DENIED, None
        context = self._context(arguments)
        try:
            package = context.load(config)
            section = _find(package, str(arguments.get("section")))
            if section is None:
                return NOT_FOUND, None
            steps(package, section)
            context.save_delta(package)
        except uci.Error as error:
            return _OF_UCI.get(error.code, UNKNOWN), None
        return OK, None

    def _set(self, arguments: Arguments) -> Answer:
        values = arguments.get("values")
        if not isinstance(values, dict):
            return INVALID, None
        return self._change(arguments, lambda package, section: _set_all(package, section, values))

    def _add(self, arguments: Arguments) -> Answer:
        kind, name = arguments.get("type"), arguments.get("name")
        config = arguments.get("config")
        if not isinstance(kind, str) or not isinstance(config, str):
            return INVALID, None
        if not self._may(arguments):
            return DENIED, None
        context = self._context(arguments)
        try:
            package = context.load(config)
            section = package.find(name) if name else None
            if section is None:
                section = package.make(kind, name)
                package.delta.append(uci.Change("set" if name else "add", section.name, None, kind))
            _set_all(package, section, arguments.get("values", {}))
            context.save_delta(package)
        except uci.Error as error:
            return _OF_UCI.get(error.code, UNKNOWN), None
        return OK, {"section": section.name}

    def _delete(self, arguments: Arguments) -> Answer:
        option = arguments.get("option")

        def delete(package: uci.Package, section: uci.Section) -> None:
            if option is not None and option not in section.options:
                raise uci.Error(uci.NOT_FOUND)
            _step(package, section, "remove", option, None)

        return self._change(arguments, delete)

    def _rename(self, arguments: Arguments) -> Answer:
        name = arguments.get("name")
        if not isinstance(name, str):
            return INVALID, None
        return self._change(arguments, lambda package, section: _step(package, section, "rename", arguments.get("option"), name))

    def _changes(self, arguments: Arguments) -> Answer:
        if not self._may(arguments):
            return DENIED, None
        only, rows = arguments.get("config"), {}
        context = self._context(arguments)
        for config in [only] if only else context.configs():
            with contextlib.suppress(uci.Error):
                saved = context.load(config).saved
                if saved:
                    rows[config] = [_told(one) for one in saved]
        return OK, {"changes": rows[only] if only and only in rows else [] if only else rows}

    def _revert(self, arguments: Arguments) -> Answer:
        if not self._may(arguments):
            return DENIED, None
        self._context(arguments).revert(uci.Pointer(str(arguments.get("config"))))
        return OK, None

    def _commit(self, arguments: Arguments) -> Answer:
        config = str(arguments.get("config"))
        if not self._may(arguments):
            return DENIED, None
        self._committed(self._context(arguments), config)
        return OK, None

    def _committed(self, context: uci.Context, config: str) -> None:
        with contextlib.suppress(uci.Error):
            context.commit(context.load(config))
        self._box.procd.event("config.change", {"package": config})

    # The apply that waits.

    def _apply(self, arguments: Arguments) -> Answer:
        session, is_trial = arguments.get("ubus_rpc_session"), bool(arguments.get("rollback"))
        if self._applied_by is not None and is_trial:
            return DENIED, None
        if not isinstance(session, str):
            return INVALID, None
        self._purge()
        if self._applied_by is not None:
            return OK, None  # so has rpcd it: the snapshot is gone, and nothing else happens
        staged = [path for path in sorted(self.delta_of(session).glob("*")) if path.stat().st_size]
        if not staged:
            self._purge()
            return NO_DATA, None
        if not self._may(arguments):
            return DENIED, None
        for path in staged:
            for folder in ("snapshot-files", "snapshot-delta"):
                (self._box.rpcd / folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._box.config / path.name, self._box.rpcd / "snapshot-files" / path.name)
            shutil.copyfile(path, self._box.rpcd / "snapshot-delta" / path.name)
            self._committed(self._context(arguments), path.name)
        if is_trial:
            self._applied_by = session
            self._left_s = float(arguments.get("timeout", APPLY_S))
            if not self._box.has_slow_clock:
                self._forget = self._box.timers.after(self._left_s * self._box.pace, self._roll_back)
        return OK, None

    def _confirm(self, arguments: Arguments) -> Answer:
        refusal = self._refusal(arguments)
        if refusal:
            return refusal, None
        self._purge()
        self._end()
        return OK, None

    def _rollback(self, arguments: Arguments) -> Answer:
        refusal = self._refusal(arguments) if self._applied_by is not None else NO_DATA
        if refusal:
            return refusal, None
        self._roll_back()
        return OK, None

    def _refusal(self, arguments: Arguments) -> int:
        session = arguments.get("ubus_rpc_session")
        if session is None:
            return INVALID
        if self._applied_by is None:
            return NO_DATA
        return OK if session == self._applied_by else DENIED

    def _roll_back(self) -> None:
        session = self._applied_by
        if session is None:
            return
        files = self._box.rpcd / "snapshot-files"
        for path in sorted(files.glob("*")) if files.exists() else []:
            shutil.copyfile(path, self._box.config / path.name)
            if session in self.sessions:
                self.delta_of(session).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._box.rpcd / "snapshot-delta" / path.name, self.delta_of(session) / path.name)
            self._box.procd.event("config.change", {"package": path.name})
        self._purge()
        self._end()

    def _end(self) -> None:
        self._applied_by = None
        if self._forget:
            self._forget()

    def _purge(self) -> None:
        for name in ("snapshot-files", "snapshot-delta"):
            shutil.rmtree(self._box.rpcd / name, ignore_errors=True)


def _told(one: uci.Change) -> list[str]:
    parts = (one.section, one.option, one.value)
    return [_SAID.get(one.command, one.command), *(str(_utf8(part)) for part in parts if part is not None)]


def _find(package: uci.Package, name: str) -> uci.Section | None:
    if not name.startswith("@"):
        return package.find(name)
    kind, _, place = name[1:].partition("[")
    fitting = [one for one in package.sections if one.type == kind]
    index = int(place.rstrip("]"))
    return fitting[index] if -len(fitting) <= index < len(fitting) else None


def _fits(section: uci.Section, arguments: Arguments) -> bool:
    wanted = arguments.get("match") or {}
    return arguments.get("type") in (None, section.type) and all(section.options.get(name) == value for name, value in wanted.items())


def _row(section: uci.Section, place: int | None) -> dict[str, Any]:
    index = {} if place is None else {".index": place}
    head = {".anonymous": section.is_anonymous, ".type": section.type, ".name": section.name, **index}
    return head | {name: _utf8(value) for name, value in section.options.items()}


def _utf8(value: str | list[str]) -> Any:
    if isinstance(value, list):
        return [_utf8(one) for one in value]
    return value.encode("latin-1").decode("utf-8", "surrogateescape")


def _text(value: Any) -> str:
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return os.fsencode(text).decode("latin-1")


def _step(package: uci.Package, section: uci.Section, command: str, option: str | None, value: str | None) -> None:
    pointer = uci.Pointer(package.name)
    pointer.package, pointer.section, pointer.section_name, pointer.option, pointer.value = package, section, section.name, option, value
    pointer.is_whole = option is None or option in section.options
    uci.change(package, pointer, command, True)


def _set_all(package: uci.Package, section: uci.Section, values: Mapping[str, Any]) -> None:
    for option, value in values.items():
        if isinstance(value, list):
            if option in section.options:
                _step(package, section, "remove", option, None)
            for one in value:
                _step(package, section, "add_list", option, _text(one))
        else:
            _step(package, section, "set", option, _text(value))
