"""Topics: the grammar lets nothing through that could mean another topic, and the table is DESIGN.md's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import topics

DESIGN = (Path(__file__).parents[2] / "DESIGN.md").read_text(encoding="utf-8")
NAMES = st.from_regex(r"[a-z0-9-]{1,48}", fullmatch=True)


def design_rows() -> list[tuple[str, str, int, bool]]:
    """The topics of DESIGN.md section 3: name, way, QoS, retained; a row of two topics counts as two."""
    table = DESIGN.split("| Topic below the root |")[1].split("\n\n")[0].splitlines()[2:]
    rows = []
    for line in table:
        names, ways, qos, retained = [cell.strip() for cell in line.strip("| ").split(" | ")][:4]
        if names == "`echo`":
            continue  # our extension, whichever side of the contract's page it stands on
        for name, way in zip(names.split(", "), ways.split(", "), strict=True):
            rows.append((name.strip("`"), way, int(qos), retained.startswith("yes")))
    return rows


def test_every_topic_of_the_design_stands_in_the_table_with_its_way_qos_and_retain() -> None:
    """DESIGN.md's table and ours are the same, but for `echo`, our extension."""
    ours = [(topic.name, topic.direction, topic.qos, topic.retained) for topic in topics.TOPICS if topic.name != "echo"]
    assert ours == design_rows()


def test_a_command_is_never_retained() -> None:
    """Nothing under command/ is retained: a retained command would be given again after each connect."""
    assert not any(topic.retained for topic in topics.TOPICS if topic.name.startswith("command/"))


@pytest.mark.parametrize("name", ["", "a" * 49, "RW-1", "rw_1", "_ingest", "rw/1", "+", "#", "rw 1", "rw\n", "rẃ", "rw\x00", "１"])
def test_a_name_outside_the_grammar_has_no_root(name: str) -> None:
    """A city or access point outside [a-z0-9-]{1,48} is refused, not escaped."""
    with pytest.raises(ValueError, match="city is"):
        topics.root(name, "rw-0501")
    with pytest.raises(ValueError, match="ap is"):
        topics.root("malang", name)
    with pytest.raises(ValueError, match="alert code is"):
        topics.alert(name)


def test_the_root_is_as_the_contract_says() -> None:
    """The root is wifi/v1/<city>/<ap>."""
    assert topics.root("malang", "rw-0501") == "wifi/v1/malang/rw-0501"


@given(NAMES, NAMES, st.text(min_size=1))
def test_a_topic_made_is_a_topic_understood(city: str, ap: str, below: str) -> None:
    """What root() makes, parse() takes apart again, whatever stands below."""
    assert topics.parse(f"{topics.root(city, ap)}/{below}") == (city, ap, below)


@given(st.text() | st.lists(st.text(max_size=8) | st.just("wifi") | st.just("v1"), max_size=8).map("/".join))
def test_any_text_is_parsed_or_refused(topic: str) -> None:
    """No text makes parse() or lookup() fail; what parse() gives keeps to the grammar."""
    parts = topics.parse(topic)
    topics.lookup(topic)
    if parts is not None:
        assert topics.is_name(parts[0]) and topics.is_name(parts[1]) and topic == f"wifi/v1/{'/'.join(parts)}"


@pytest.mark.parametrize(
    "topic", ["wifi/v1/malang/rw-1", "wifi/v1/malang/rw-1/", "wifi/v2/malang/rw-1/report", "/wifi/v1/malang/rw-1/report", "wifi/v1/Malang/rw-1/report", ""]
)
def test_what_is_not_ours_is_not_parsed(topic: str) -> None:
    """Another version, another root or nothing below the root gives None."""
    assert topics.parse(topic) is None


def test_lookup_fills_the_free_level() -> None:
    """alert/<code> and command/<name>/result find their rows."""
    found = [topics.lookup(below) for below in ("report", "alert/radio-down", "command/reboot", "command/reboot/result", "config/plan/result")]
    assert [topic.name if topic else None for topic in found] == ["report", "alert/<code>", "command/<name>", "command/<name>/result", "config/plan/result"]


@pytest.mark.parametrize("below", ["alert", "alert/", "alert/A", "alert/a/b", "report/x", "config", "<code>", "alert/<code>", ""])
def test_lookup_refuses_what_the_contract_lacks(below: str) -> None:
    """A topic that is not in the table has no row."""
    assert topics.lookup(below) is None


def test_a_subscription_hears_all_or_one() -> None:
    """A filter has + for what is left open."""
    assert topics.subscription("alert/<code>") == "wifi/v1/+/+/alert/+"
    assert topics.subscription("ack", "malang", "rw-0501") == "wifi/v1/malang/rw-0501/ack"


def test_a_commands_topics_are_made_and_understood() -> None:
    """By its name, and by no name outside the grammar."""
    assert (topics.command("reload-wifi"), topics.command_result("reload-wifi")) == ("command/reload-wifi", "command/reload-wifi/result")
    assert topics.command_of("command/reload-wifi") == "reload-wifi" and topics.subscription(topics.COMMANDS).endswith("/command/+")
    for below in ("command", "command/", "command/+", "command/A", "command/a/result", "commands/a", "config/desired", ""):
        assert topics.command_of(below) is None
    for name in ("", "A", "a/b", "+", "a" * 49):
        with pytest.raises(ValueError, match="command is"):
            topics.command_result(name)
