"""The nouns of a push: the configuration as a tree, what is wrong with a document, what would change and what that costs.

Pure values and the one function that applies edits to a tree; touches nothing. The tree speaks UCI's words on every backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

MASK = "***"  # stands where a secret would

Impact = Literal["live", "bss", "radio", "network"]
IMPACTS: tuple[Impact, ...] = ("live", "bss", "radio", "network")  # rising


class Section(NamedTuple):
    """One section of a package; `name` as other programs call it (cfg033579 when it has none of its own). A list of one looks like a single value."""

    type: str
    name: str
    options: dict[str, tuple[str, ...]]

    def value(self, option: str) -> str | None:
        """Give the option as one text, a list with spaces between; None when it is not set."""
        values = self.options.get(option)
        return None if values is None else " ".join(values)

    def is_on(self, option: str) -> bool:
        """Say whether the option is set to one of the words that OpenWrt takes for yes."""
        return self.value(option) in TRUE


TRUE = ("1", "on", "true", "yes", "enabled")

# Package (wireless, system, …) -> section's name -> section, in the file's order.
Tree = Mapping[str, Mapping[str, Section]]


class Edit(NamedTuple):
    """One step on the tree.

    `type` given: make that section (one that is there stays). `option` given: set it to `value`, or delete it when None.
    Neither: delete the section.
    """

    package: str
    section: str
    option: str | None = None
    value: str | None = None
    type: str | None = None


class Change(NamedTuple):
    """One thing a push changes, by the document's path; `before` and `after` are None where it is not set. Secrets stand as MASK."""

    path: str
    before: object
    after: object
    impact: Impact
    edits: tuple[Edit, ...]


class Fault(NamedTuple):
    """One thing wrong with a document: where, a code for programs, and a sentence with the value and what is allowed."""

    path: str
    code: str
    message: str


class RadioFact(NamedTuple):
    """One radio that a push may set: its section (radio0), band, allowed channels (empty: not known), and whether it is switched on.

    What follows `owned.informed` takes from the tree: the htmode that was set before us, the sections of `adopt` on this radio, and those that are ours.
    """

    name: str
    band: str | None
    channels: frozenset[int]
    is_enabled: bool
    htmode: str | None = None
    adopt: tuple[str, ...] = ()
    owned: tuple[str, ...] = ()


class Facts(NamedTuple):
    """What the check must know of this access point.

    `public_problem`: why no new SSID may attach to `public_network`, "" when it may. `secrets`: what `key_ref` may name, with the keys.
    `sections`: the parts of a document that this backend can carry out. `uplink`: the device of the way out, "" when it is not known now.
    `caps_problem`: why no cap can stand on this box, "" when one can. `is_below_meant`: the push says that a cap below the contract is meant.
    `dns_problem`: why nobody can say who answers the public network's questions for names, "" when it can be said. `public_device`: behind which
    device that network lies, "" when that is not known.
    """

    backend: str
    sections: tuple[str, ...]
    radios: tuple[RadioFact, ...]
    public_network: str
    public_problem: str
    adopt: tuple[str, ...]
    contract_mbps: float
    secrets: Mapping[str, str]
    uplink: str = ""
    caps_problem: str = ""
    is_below_meant: bool = False
    dns_problem: str = ""
    public_device: str = ""


class OnAir(NamedTuple):
    """One network as hostapd has it, or as it should be: `channel` None when it is not known or does not matter."""

    ifname: str
    ssid: str
    channel: int | None
    state: Literal["enabled", "starting", "down"]


class Plan(NamedTuple):
    """What a document would do: the changes, all their edits in order, the packages they touch, the worst impact (None: nothing changes).

    `expect`: what must be on air afterwards on the radios touched; `somewhere`: what must be too, under a name that only the box knows
    (ifname ""); `gone`: interfaces that must not be there any more. `derived`: the files of agent/derived.py as they must be afterwards.
    """

    changes: tuple[Change, ...]
    edits: tuple[Edit, ...]
    packages: tuple[str, ...]
    impact: Impact | None
    expect: tuple[OnAir, ...]
    gone: tuple[str, ...]
    somewhere: tuple[OnAir, ...] = ()
    derived: tuple[tuple[str, bytes], ...] = ()


def edited(tree: Tree, edits: Iterable[Edit]) -> dict[str, dict[str, Section]]:
    """Give the tree as the edits leave it; KeyError for an option of a section that is not there."""
    found = {package: dict(sections) for package, sections in tree.items()}
    for edit in edits:
        package = found.setdefault(edit.package, {})
        if edit.type is not None:
            package.setdefault(edit.section, Section(edit.type, edit.section, {}))
        elif edit.option is None:
            package.pop(edit.section, None)
        else:
            options = {option: values for option, values in package[edit.section].options.items() if edit.value is not None or option != edit.option}
            if edit.value is not None:
                options[edit.option] = (edit.value,)
            package[edit.section] = package[edit.section]._replace(options=options)
    return found
