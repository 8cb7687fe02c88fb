"""What the applier needs of a box to change it: one contract, and a file for each backend (store_openwrt.py, store_linux.py, store_simulated.py).

A change is a set of whole files, made in RAM and read back before the first of them is put in place: what is journaled is then what
will be there, byte for byte. Nothing of the daemon imports this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.change import Edit, Facts, OnAir, Tree


class Store(Protocol):
    """The configuration of one box, and what runs of it."""

    @property
    def backend(self) -> str:
        """openwrt, linux or simulated; the rollback script has one branch for each."""

    @property
    def sections(self) -> tuple[str, ...]:
        """The parts of a document that this box can carry out."""

    def tree(self) -> Tree:
        """Read the configuration as it is on flash now; Unavailable with the reason when it cannot be read."""

    def facts(self, tree: Tree) -> Facts:
        """Give what the check must know of this access point."""

    def busy(self) -> str | None:
        """Say why nothing may be changed now (somebody's staged edits, a change of another program that waits for its confirmation)."""

    def paths(self) -> dict[str, str]:
        """Give each package's file on flash and, after these, each derived one (agent/derived.py) by its name, absolute; only these may be replaced."""

    def stage(self, edits: Sequence[Edit], directory: str) -> dict[str, bytes]:
        """Make the new files in an empty directory in RAM, read every option back, and give them whole by package.

        Unavailable when what came out is not what the edits say, Rejected when this box has no place for what they say.
        """

    def undo(self, package: str, before: Tree, after: Tree) -> bytes:
        """Give the script (uci batch) that takes our edits back from a file that somebody else edited too; b"" when there is none."""

    def reload(self, packages: Sequence[str]) -> None:
        """Tell the box's daemons to take the files over, derived ones too; returns when that is said, within 10 s; Unavailable when it cannot be said."""

    def tend(self, asked: bytes | None = None) -> None:
        """Look once at what nobody tells of on this box (a BSS made anew, a derived file replaced), and have it carried out; raises nothing.

        For whoever waits, each second. `asked`: what lies in the inbox as `stations`; the daemon writes it anew when stations came or went.
        """

    def standing(self, name: str) -> str | None:
        """Say why what a derived file asks for is not so in the kernel, read back; None when all of it is."""

    def on_air(self) -> list[OnAir]:
        """Read what is on air now, from who sends it; Unavailable when that cannot be known."""
