"""The agent's settings as UCI has them: sections of /etc/config/rwagent named like agent.toml's tables, and back again.

Pure: reads sections and gives a document, or a document and gives lines for `uci batch`. What pushes keep in the same package is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agent.change import TRUE, Section
from agent.settings import Fault
from agent.settings_rules import NO_KEY, TABLES, Rule
from agent.wire import bundle as form

PACKAGE = "rwagent"
FILE = f"/etc/config/{PACKAGE}"
HEADER = (
    f"# Made from {FILE} each time the service starts: edit that and not this"
    f" (uci set {PACKAGE}.TABLE.KEY=VALUE; uci commit {PACKAGE}; /etc/init.d/rwagent reload)."
)
# What starts the service, not what it does: the init script's.
MAIN, SWITCHES = "main", ("enabled", "jail")
# Types of the sections in which root remembers what was pushed (agent/owned.py, caps.py, dns.py).
MEMORY = ("originals", "claims", "pushed", "cap", "dns")
FALSE = ("0", "off", "false", "no", "disabled")
FLAG_ALLOWED = "expected 1 or 0 (on or off, true or false, yes or no, enabled or disabled)"
BACKEND = "openwrt"
# What the package decides: where things lie, and what this box is.
EMPTY: tuple[object, ...] = (None, "", [], ())  # not set, as UCI has it: every rule's default says the same
FIXED_TABLES, FIXED_KEYS = ("paths", "simulated"), {("router", "backend")}
SETTABLE: dict[str, dict[str, Rule]] = {
    table: {key: rule for key, rule in rules.items() if (table, key) not in FIXED_KEYS} for table, rules in TABLES.items() if table not in FIXED_TABLES
}

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,14})", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,20})?", re.ASCII)
Document = dict[str, Any]


def read(sections: Mapping[str, Section]) -> tuple[Document, list[Fault]]:
    """Give the settings as agent.toml would say them, and what cannot be said there; a value that is not allowed stays as it is, for the rules to refuse."""
    document: Document = {}
    faults: list[Fault] = []
    for section in sections.values():
        if section.type in MEMORY:
            continue
        if section.name == MAIN and section.type == PACKAGE:
            faults += _switches(section)
        elif section.name == section.type and section.name in SETTABLE:
            document[section.name], more = _keys(section)
            faults += more
        else:
            faults.append(_stray(section))
    return {table: document[table] for table in SETTABLE if document.get(table)}, faults


def _keys(section: Section) -> tuple[Document, list[Fault]]:
    table, rules = section.name, TABLES[section.name]
    found: Document = {}
    faults: list[Fault] = []
    for key, values in section.options.items():
        name = f"{table}.{key}"
        if (table, key) in FIXED_KEYS:
            faults.append(Fault(name, "set", f"but the package decides it; run: uci delete {PACKAGE}.{name}"))
        elif not all(map(_is_utf8, values)):
            faults.append(Fault(name, "not UTF-8", rules[key].allowed if key in rules else NO_KEY))
        elif key in rules and rules[key].kind != "list" and len(values) > 1:
            faults.append(Fault(name, f"a list of {len(values)}", f"expected one value (option {key}, not list {key}); {rules[key].allowed}"))
        else:
            found[key] = _value(values, rules[key]) if key in rules else ""
    return {key: found[key] for key in (*rules, *(found.keys() - rules.keys())) if key in found}, faults


def _value(values: tuple[str, ...], rule: Rule) -> object:
    """Make of UCI's texts what the rule wants; a text stays one where it cannot be that."""
    if rule.kind == "list":
        return list(values)
    text = values[0]
    if rule.kind == "flag":
        return True if text in TRUE else False if text in FALSE else text
    if rule.kind == "whole":
        return int(text) if _WHOLE.fullmatch(text) else text
    if rule.kind == "number" and _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text


def _switches(section: Section) -> Iterator[Fault]:
    for key, values in section.options.items():
        name = f"{MAIN}.{key}"
        if key not in SWITCHES:
            yield Fault(name, NO_KEY, f"expected one of {', '.join(SWITCHES)}")
        elif len(values) > 1 or values[0] not in (*TRUE, *FALSE):
            yield Fault(name, "neither", FLAG_ALLOWED)


def _stray(section: Section) -> Fault:
    """Say what to do about a section that says nothing to anybody: most likely it was meant to."""
    name, kind = (word if word.isascii() and word.isprintable() else "?" for word in (section.name, section.type))
    if kind in FIXED_TABLES:
        return Fault(name, f"a section {kind}", f"but the package decides what is in it; run: uci delete {PACKAGE}.{name}")
    known = (*SETTABLE, MAIN)
    # Imported here because a start without a fault must not pay for it.
    import difflib

    near = next((one for word in (kind, name) for one in difflib.get_close_matches(word, known, 1)), "")
    wanted = f"config {PACKAGE if near == MAIN else near} '{near}'"
    return Fault(name, f"a section of type {kind}", f"expected the line: {wanted}" if near else f"expected one of {', '.join(known)}")


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def sentence(fault: Fault) -> str:
    """Say a fault of the settings' rules by its UCI path."""
    table, _, key = fault.key.partition(".")
    rule = SETTABLE.get(table, {}).get(key)
    allowed = FLAG_ALLOWED if rule is not None and rule.kind == "flag" and fault.allowed == rule.allowed else fault.allowed
    return f"{PACKAGE}.{fault._replace(allowed=allowed).sentence()}"


def text(document: Mapping[str, Mapping[str, Any]], paths: Mapping[str, str]) -> str:
    """Write agent.toml of settings that the rules have accepted; `paths`: its table [paths], where that is not the usual one."""
    tables = {table: {key: _plain(keys[key]) for key in rules if keys.get(key) not in EMPTY} for table, rules, keys in _tables(document)}
    tables["router"] = {"backend": BACKEND, **tables["router"]}
    return f"{HEADER}\n\n{form.toml({**tables, 'paths': paths})}"


def _tables(document: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Rule], Mapping[str, Any]]]:
    for table, rules in SETTABLE.items():
        yield table, rules, document.get(table, {})


def _plain(value: object) -> object:
    """Give a whole number as one: the same settings are the same text, whether they come from UCI or from a bundle."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_made(content: bytes) -> bool:
    """Say whether this agent.toml was made from UCI."""
    return content.startswith(f"# Made from {FILE} ".encode())


def adopted(sections: Mapping[str, Section], document: Mapping[str, Mapping[str, Any]]) -> dict[str, Section]:
    """Give the package as it must be to say what a document says, and nothing else, in the tables that can be set; all other sections stay."""
    found = dict(sections)
    for table, rules, keys in _tables(document):
        there = found.get(table)
        said = {key: _texts(keys[key]) for key in rules if keys.get(key) not in EMPTY}
        if there is None and not said:
            continue
        old = there.options if there is not None else {}
        found[table] = Section(table, table, {key: said[key] for key in old if key in said} | said)
    return found


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(map(str, value))
    if isinstance(value, bool):
        return ("1" if value else "0",)
    return (str(_plain(value)),)


def batch(package: str, before: Mapping[str, Section], after: Mapping[str, Section]) -> list[str]:
    """Give the lines of `uci batch` that make one of the other, for a package of this name; sections are only made and changed."""
    lines: list[str] = []
    for name, section in after.items():
        was = before.get(name)
        if was is None:
            lines.append(f"set {package}.{name}={section.type}")
        old = was.options if was is not None else {}
        lines += [f"delete {package}.{name}.{option}" for option in old if option not in section.options]
        for option, values in section.options.items():
            if old.get(option) == values:
                continue
            is_list = len(values) > 1 or SETTABLE[name][option].kind == "list"
            if option in old and (is_list or len(old[option]) > 1):
                lines.append(f"delete {package}.{name}.{option}")
            lines += [f"{'add_list' if is_list else 'set'} {package}.{name}.{option}={_quoted(value)}" for value in values]
    return lines


def _quoted(value: str) -> str:
    """Put a value between quotes, where every character stands for itself (openwrt/uci file.c, parse_single_quote)."""
    return "'" + value.replace("'", "'\\''") + "'"
