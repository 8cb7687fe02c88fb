"""A program `iw` that prints the files lying beside it and notes each call, for machines without Wi-Fi."""

from __future__ import annotations

from pathlib import Path

_SCRIPT = """#!/bin/sh
echo "$*" >>"{directory}/calls"
case "$*" in
dev) name=dev ;;
*station*) name="$2.station" ;;
*survey*) name="$2.survey" ;;
*scan*) name="$2.scan" ;;
esac
[ -e "{directory}/$name" ] || exit 237
exec cat "{directory}/$name"
"""


class FakeIw:
    """The program in `directory`; `says` sets what a call prints, and a call nothing was set for fails as for a missing device."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        program = directory / "iw"
        program.write_text(_SCRIPT.format(directory=directory))
        program.chmod(0o755)

    def says(self, name: str, text: str) -> None:
        """Set the answer: "dev", "<ifname>.station", "<ifname>.survey" or "<ifname>.scan"."""
        (self.directory / name).write_text(text, encoding="utf-8", errors="surrogateescape")

    def calls(self) -> list[str]:
        """Give the argument lists so far."""
        noted = self.directory / "calls"
        return noted.read_text().splitlines() if noted.exists() else []
