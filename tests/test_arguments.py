"""What is wrong with a command's arguments is said all at once, with what is allowed; whatever they are, nothing is raised."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import arguments, checked, commands

ANY = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=80), st.sampled_from(([], [1], {}, {"a": 1})))


def said(name: str, args: dict[str, object]) -> list[str]:
    return [fault.message for fault in commands.load(name).check(args)]


@pytest.mark.parametrize("name", ["report", "restart-agent", "reload-wifi"])
def test_a_command_without_arguments_takes_none(name: str) -> None:
    """And says so by its name."""
    assert said(name, {}) == []
    assert said(name, {"fast": True}) == [f"args has 1 members, expected none: `{name}` takes no arguments"]


def test_what_is_not_known_is_named_with_the_nearest_word() -> None:
    """So that a typing error is found."""
    assert said("locate", {"second": 3}) == ["args.second is not known, did you mean seconds?"]


@pytest.mark.parametrize(
    ("name", "args", "found"),
    [
        ("kick", {}, ["args.station is missing, expected a pseudonym of 12 hex digits as `stations` gives it"]),
        ("kick", {"station": "02:00:00:00:00:01"}, ['args.station is "02:00:00:00:00:01", expected a pseudonym of 12 hex digits as `stations` gives it']),
        ("kick", {"station": "0123456789AB"}, ['args.station is "0123456789AB", expected a pseudonym of 12 hex digits as `stations` gives it']),
        ("kick", {"station": "0123456789ab", "ban_s": 3601}, ["args.ban_s is 3601, expected 0 to 3600"]),
        ("kick", {"station": "0123456789ab", "ban_s": -1}, ["args.ban_s is -1, expected 0 to 3600"]),
        ("kick", {"station": "0123456789ab", "ban_s": True}, ["args.ban_s is true, expected a whole number from 0 to 3600"]),
        ("kick", {"station": "0123456789ab", "ban_s": 3600}, []),
        ("scan", {"band": "5ghz"}, ['args.band is "5ghz", expected one of 2g, 5g, 6g (did you mean 5g?)']),
        ("scan", {}, []),
        ("locate", {"seconds": 0}, ["args.seconds is 0, expected 1 to 600"]),
        ("locate", {"seconds": 601}, ["args.seconds is 601, expected 1 to 600"]),
        ("locate", {"seconds": 600}, []),
        ("logs", {"lines": 501, "match": ""}, ["args.lines is 501, expected 1 to 500", 'args.match is "", expected plain text of 1 to 64 bytes that prints']),
        ("logs", {"match": "a\nb"}, ['args.match is "a\\nb", expected plain text of 1 to 64 bytes that prints']),
        ("logs", {"match": "é" * 33}, [f'args.match is "{"é" * 33}", expected plain text of 1 to 64 bytes that prints']),
        ("logs", {"lines": 500, "match": "$(reboot).*["}, []),
        ("reboot", {"delay_s": 301}, ["args.delay_s is 301, expected 0 to 300"]),
        ("reboot", {"delay_s": 0}, []),
        ("stations", {"ssid": 5}, ["args.ssid is 5, expected an SSID as it stands in `report`"]),
        ("stations", {"ssid": "Malang RW 05"}, []),
    ],
)
def test_each_argument_has_its_bounds(name: str, args: dict[str, object], found: list[str]) -> None:
    """At the edge it is taken, beyond it is refused."""
    assert said(name, args) == found


@pytest.mark.parametrize("name", sorted(commands.COMMANDS))
@settings(max_examples=15)
@given(args=st.dictionaries(st.sampled_from(("station", "ban_s", "band", "seconds", "lines", "match", "delay_s", "ssid")) | st.text(), ANY, max_size=4))
def test_nothing_is_raised_whatever_they_are(name: str, args: dict[str, object]) -> None:
    """A signed command may still hold anything; and what is said of it prints on one line."""
    assert all(message.isprintable() for message in said(name, args))


def test_a_number_written_with_a_point_is_one() -> None:
    """JSON has one kind of number."""
    assert arguments.number({"lines": 60.0}, "lines", 100) == 60
    assert arguments.number({}, "lines", 100) == 100
    assert arguments.some({"n": 1}, {"n": checked.whole(0, 2)}) == []
