"""Lines by their word."""

from __future__ import annotations

from agent.router.hostapd_lines import last, put


def test_the_last_line_counts() -> None:
    """As for hostapd; a word that only begins alike is another."""
    assert last(["a=1\n", "a=2\n", "ab=3\n"], "a") == "2"
    assert last(["a2=1\n"], "a") is None


def test_one_takes_the_place_of_all() -> None:
    """The first of them keeps its place, the others go."""
    assert put(["x=1\n", "a=1\n", "y=1\n", "b=2\n"], ("a", "b"), ["a=3"]) == ("x=1\n", "a=3\n", "y=1\n")


def test_a_file_without_an_end_gets_one() -> None:
    """A new line does not run into one that was never ended."""
    assert put(["x=1"], ("a",), ["a=3"]) == ("x=1\n", "a=3\n")


def test_nothing_said_takes_them_away() -> None:
    """Without a word in their place they are gone."""
    assert put(["a=1\n", "x=1\n"], ("a",), ()) == ("x=1\n",)
