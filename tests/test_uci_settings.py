"""Settings as UCI has them and as agent.toml says them: the same both ways, whatever is in them."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as drawn
from hypothesis import strategies as st

from agent import settings, settings_rules, uci_settings
from agent.change import Section
from agent.router.uci import parse

HOSTILE = (
    *("it's", '"', "\\", "$(reboot)", "`id`", "a\nhost = 1", 'x"\n[push]\nkeys_dir = "/tmp"', "#", "\x7f", "é日本\U0001f6dc", "\u2028\u202e", "%s"),
    *("x" * 65536, "]]", "'''", "\\u0000", "\t"),
)


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("key", ["broker.username", "broker.host", "push.keys_dir", "router.uplink", "router.adopt"])
def test_a_hostile_value_is_data_or_a_fault(key: str, value: str, tmp_path: Path) -> None:
    """It never becomes another key, or another table: what is read back says the same, or nothing is written."""
    table, _, name = key.partition(".")
    (tmp_path / "password").write_text("x\n")
    (tmp_path / "password").chmod(0o600)
    broker = section("broker", host="localhost", tls="0", password_file=str(tmp_path / "password"))
    sections = {"agent": section("agent", id="rw-1", city="malang"), "broker": broker}
    values = {**sections[table].options} if table in sections else {}
    document, faults = uci_settings.read(sections | {table: Section(table, table, {**values, name: (value,)})})
    found, more = settings_rules.resolve(document)
    if found is None or faults:
        assert [fault.key for fault in (*faults, *more)] == [key] and "\n" not in "".join(fault.sentence() for fault in more)
        return
    again, _ = settings_rules.resolve(settings.parse_toml("", uci_settings.text(document, {})))
    assert again is not None and again._replace(router=found.router) == found and again.router._replace(backend="linux") == found.router


def section(kind: str, **options: str) -> Section:
    return Section(kind, kind, {name: (value,) for name, value in options.items()})


# Any settings


def texts(alphabet: str, least: int = 1, most: int = 12) -> st.SearchStrategy[str]:
    return st.text(alphabet=alphabet, min_size=least, max_size=most)


WORDS = texts(string.ascii_letters + "_")
PATHS = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20).map(lambda text: f"/{text} '\"\\$")
HOSTS = st.one_of(texts(string.ascii_lowercase), st.just("2001:db8::1"), st.ip_addresses(v=4).map(str))
DRAWN: dict[str, st.SearchStrategy[object]] = {
    "agent.id": texts("abc-09"),
    "agent.city": texts("abc-09"),
    "broker.host": HOSTS,
    "broker.port": st.integers(1, 65535),
    "broker.allow_plaintext": st.just(True),
    "broker.username": st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=30),
    "broker.keepalive_s": st.integers(5, 600),
    "report.interval_s": st.one_of(st.integers(10, 3600), st.floats(10, 3600)),
    "report.sample_s": st.floats(1, 10),
    "report.encoding": st.sampled_from(["json", "deflate"]),
    "report.peaks": st.booleans(),
    "probe.interval_s": st.integers(0, 3600),
    "probe.dns_name": HOSTS,
    "probe.internet": st.lists(st.integers(1, 65535).map(lambda port: f"[::1]:{port}"), min_size=1, max_size=8),
    "router.uplink": texts(string.ascii_letters + "é$'\"\\#"),
    "router.public_network": WORDS,
    "router.contract_mbps": st.floats(0.25, 100_000),
    "router.adopt": st.lists(WORDS, min_size=1, max_size=9),
    "router.lease_file": PATHS,
    "push.keys_dir": PATHS,
    "push.secrets_dir": PATHS,
    "outbox.max_bytes": st.integers(65536, 16 * 2**20),
}
REQUIRED = ("agent.id", "agent.city", "broker.host", "broker.allow_plaintext")


@st.composite
def documents(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Draw settings that the rules accept."""
    found: dict[str, dict[str, Any]] = {"broker": {"tls": False}}
    for name, values in DRAWN.items():
        if name in REQUIRED or draw(st.booleans()):
            table, _, key = name.partition(".")
            found.setdefault(table, {})[key] = draw(values)
    found["broker"].pop("username", None)
    return found


@given(documents())
@drawn(max_examples=150)
def test_settings_that_the_rules_accept_come_through_uci_as_they_are(document: Mapping[str, dict[str, Any]]) -> None:
    """Document, UCI, agent.toml, and the daemon's settings are the same."""
    wanted, faults = settings_rules.resolve({**document, "router": {**document.get("router", {}), "backend": "openwrt"}})
    assert wanted is not None, faults
    sections = uci_settings.adopted({}, document)
    read, strange = uci_settings.read(parse(shown(sections)))
    assert strange == []
    found, _ = settings_rules.resolve(settings.parse_toml("", uci_settings.text(read, {})))
    assert found == wanted


def shown(sections: Mapping[str, Section]) -> str:
    """Give sections as `uci show` prints them."""
    lines = []
    for name, one in sections.items():
        lines.append(f"rwagent.{name}={one.type}\n")
        for option, values in one.options.items():
            lines.append(f"rwagent.{name}.{option}={' '.join(uci_settings._quoted(value) for value in values)}\n")
    return "".join(lines)
