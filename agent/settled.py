"""Where a box has its settings: in agent.toml alone, or on OpenWrt in UCI, of which agent.toml is made. What an enrolment asks of either.

Root's; never loaded by the daemon.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from agent import alone, settings, settings_rules, uci_settings
from agent.change import Section
from agent.errors import Rejected
from agent.settings import Fault, Faults, Settings
from agent.uci_file import Places, UciFile
from agent.wire import bundle as form

Document = dict[str, Any]


class Settled(Protocol):
    """What an enrolment asks of the place where settings are."""

    def old(self, written: Document | None) -> Document | None:
        """Give the settings of this box before, where agent.toml says `written`; None when there are none. Faults when they cannot be understood."""

    def locked(self) -> Any:
        """Keep pushes out while entered."""

    def text(self, document: Document) -> str:
        """Give agent.toml of settings; Rejected when they cannot be written."""

    def settle(self, document: Document) -> str:
        """Make settings those of this box, but for agent.toml, whose text is given."""

    def resolved(self, document: Document) -> Settings:
        """Judge settings as the daemon will, all rules and the files they name; Faults when it would not start."""


class Plain:
    """A box whose settings are agent.toml."""

    def __init__(self, config: str) -> None:
        self._config = config

    def old(self, written: Document | None) -> Document | None:
        """Give what agent.toml says."""
        return written

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep nobody out: no push changes agent.toml."""
        yield

    def text(self, document: Document) -> str:
        """Give agent.toml of settings."""
        try:
            return f"# Made by rwagent enroll; the file before it is {form.SETTINGS}.old. docs/agent.toml names every key.\n\n{form.toml(document)}"
        except ValueError as error:
            raise Rejected(f"{self._config}: {error}; nothing was changed") from None

    def settle(self, document: Document) -> str:
        """Give the text; there is nothing else."""
        return self.text(document)

    def resolved(self, document: Document) -> Settings:
        """Judge settings as the daemon will."""
        found, faults = settings_rules.resolve(settings.parse_toml(self._config, self.text(document)))
        if found is None:
            raise Faults(self._config, faults)
        return found


class WithUci:
    """An OpenWrt box: UCI is the truth, agent.toml is made of it."""

    def __init__(self, config: str, places: Places) -> None:
        self._config, self._places = config, places
        self._file = UciFile(places)

    def old(self, written: Document | None) -> Document | None:
        """Give what UCI says; what agent.toml says besides counts only as long as UCI has never been told who this box is."""
        found, faults = self.read()
        if faults:
            raise Faults(uci_settings.FILE, [fault._replace(key=f"{uci_settings.PACKAGE}.{fault.key}") for fault in faults])
        base = (written or {}) if is_untold(found) else {}
        tables = {table: dict(keys) for table, keys in base.items() if isinstance(keys, dict)}
        for table, keys in found.items():
            tables[table] = tables.get(table, {}) | keys
        return tables or None

    def read(self) -> tuple[Document, list[Fault]]:
        """Give the settings that UCI has, and what cannot be said of them."""
        return uci_settings.read(self.sections())

    def sections(self) -> dict[str, Section]:
        """Give the sections of the package."""
        return self._file.sections()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep pushes out: what one tries is in the same file."""
        os.makedirs(self._places.apply_dir, 0o700, exist_ok=True)
        # One that is being tried holds the lock for minutes; one that is only looked at, for less.
        with alone.locked(self._places.apply_dir, self._places.wait_s) as is_ours:
            if not is_ours:
                raise Rejected("a push is being tried on this box, which takes some minutes; then run the same again: nothing was changed")
            yield

    def text(self, document: Document) -> str:
        """Give agent.toml of settings; what the package decides is not asked of them."""
        return uci_settings.text(document, self._places.paths_in(os.path.dirname(self._config)))

    def settle(self, document: Document) -> str:
        """Make UCI say what the settings say."""
        self._file.adopt(document)
        return self.text(document)

    def resolved(self, document: Document) -> Settings:
        """Judge settings as the daemon will, and options that no text would have."""
        found, faults = self.judged(document)
        if found is None:
            raise Faults(self._config, [fault._replace(key=f"{uci_settings.PACKAGE}.{fault.key}") for fault in faults])
        return found

    def judged(self, document: Document) -> tuple[Settings | None, list[Fault]]:
        """Give the settings that a document makes here, or every fault in it."""
        paths = self._places.paths_in(os.path.dirname(self._config))
        return settings_rules.resolve({**document, "router": {**document.get("router", {}), "backend": uci_settings.BACKEND}, "paths": paths})


def of(config: str, written: Document | None) -> Plain | WithUci:
    """Find out where this box has its settings, by what agent.toml says (None: there is none) and by what the box is."""
    router, paths = ((written or {}).get(table) for table in ("router", "paths"))
    backend = router.get("backend", "auto") if isinstance(router, dict) else "auto"
    if backend != "openwrt" and (backend != "auto" or not os.path.exists(settings_rules.OPENWRT_RELEASE)):
        return Plain(config)
    # An OpenWrt box that has its state elsewhere is not the package's: UCI could not say so.
    return Plain(config) if isinstance(paths, dict) and elsewhere(paths, config, Places()) else WithUci(config, Places())


def elsewhere(paths: Document, config: str, places: Places) -> list[str]:
    """Name the directories that settings have elsewhere than the package has them."""
    usual = places.paths(os.path.dirname(config))
    return [key for key, value in paths.items() if value not in ("", usual.get(key))]


def is_untold(document: Document) -> bool:
    """Say whether settings name neither city nor broker: nobody has enrolled with them."""
    return "city" not in document.get("agent", {}) and "host" not in document.get("broker", {})
