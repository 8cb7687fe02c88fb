"""UCI, the router's configuration, as the program `uci` shows it. Only reads; a value, whatever is in it, is data and never a command.

The program and not the files: it alone knows what is staged, what a trial lays over the flash, and where each lives. Never run while sampling.
"""

from __future__ import annotations

import os
import re

from agent.change import TRUE, Section
from agent.errors import Unavailable
from agent.router.child import Program

__all__ = ["TRUE", "Absent", "Section", "Uci", "parse", "parse_whole"]

_KEY = re.compile(r"([^.=\s']+)\.([^.=\s']+)(?:\.([^.=\s']+))?=")
_QUOTE = "'\\''"  # how uci writes a quote inside a quoted value
# Where a configuration lives: on the flash, and what 25.12 lays over it.
FOLDERS = ("/etc/config", "/var/run/uci")
# Whoever commits holds the file's lock meanwhile, and nothing waits for us.
TIMEOUT_S = 10.0


class Absent(Unavailable):
    """There is no such configuration; any other Unavailable says that uci could not tell."""


class Uci:
    """The configuration of the box it runs on."""

    def __init__(self, program: Program | None = None, folders: tuple[str, ...] = FOLDERS) -> None:
        self._program = program or Program("uci", timeout_s=TIMEOUT_S)
        self._folders = folders

    def show(self, config: str) -> dict[str, Section]:
        """Give the sections of one configuration by name, in their order; Absent when there is none, Unavailable when uci cannot tell."""
        try:
            # -X: a section without a name is called as ubus calls it, not by its place (@wifi-iface[0]).
            return parse(self._program.run("-X", "show", config))
        except Unavailable as error:
            # uci has one exit status for "Entry not found" and for a file that it cannot read.
            if any(os.path.exists(os.path.join(folder, config)) for folder in self._folders):
                raise
            raise Absent(str(error)) from None


def parse(text: str) -> dict[str, Section]:
    """Read what `uci show` prints of one configuration, up to what cannot be its output: what follows might be the inside of a value."""
    return _parse(text)[0]


def parse_whole(text: str) -> dict[str, Section]:
    """Read what `uci show` prints of one configuration; Unavailable when any of it cannot be its output."""
    sections, at = _parse(text)
    if at < len(text):
        raise Unavailable(f"uci show: what it printed cannot be read from character {at} on")
    return sections


def _parse(text: str) -> tuple[dict[str, Section], int]:
    """Read what can be read, and give where that ends."""
    sections: dict[str, Section] = {}
    at = 0
    while (key := _KEY.match(text, at)) is not None:
        name, option = key[2], key[3]
        if option is None:
            line_end = text.find("\n", key.end())
            if line_end < 0:
                break
            sections[name] = Section(text[key.end() : line_end], name, {})
            at = line_end + 1
            continue
        values, line_end = _values(text, key.end())
        if not values:
            break
        at = line_end
        if name in sections:
            sections[name].options[option] = values
    return sections, at


def _values(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """Read the values that stand at `at`, and give where the next line begins; none when they do not end as they must."""
    found: list[str] = []
    while text.startswith("'", at):
        value, at = _quoted(text, at)
        if value is None:
            return (), at
        found.append(value)
        at += text.startswith(" ", at)
    # A line always ends with a line break: a quote at the very end may be the first of an escaped one.
    return (tuple(found), at + 1) if text.startswith("\n", at) else ((), at)


def _quoted(text: str, at: int) -> tuple[str | None, int]:
    """Read the quoted value at `at`, and give where it ends; None when it does not."""
    parts: list[str] = []
    at += 1
    while (end := text.find("'", at)) >= 0:
        parts.append(text[at:end])
        if not text.startswith(_QUOTE, end):
            return "".join(parts), end + 1
        parts.append("'")
        at = end + len(_QUOTE)
    return None, len(text)
