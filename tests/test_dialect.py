"""Which MQTT version is spoken next."""

from __future__ import annotations

from agent.dialect import Dialect


def test_five_first() -> None:
    """Before anything is known."""
    assert Dialect().version(0.0) == 5


def test_a_refusal_falls_back_at_once() -> None:
    """The broker said so."""
    dialect = Dialect()
    dialect.refused(0.0)
    assert dialect.version(1.0) == 4


def test_one_cut_is_not_enough() -> None:
    """A broker that is stopping cuts as well."""
    dialect = Dialect()
    dialect.cut(0.0)
    assert dialect.version(1.0) == 5
    dialect.cut(1.0)
    assert dialect.version(2.0) == 4


def test_an_answer_between_two_cuts_resets_them() -> None:
    """Twice in a row, not twice in a life."""
    dialect = Dialect()
    dialect.cut(0.0)
    dialect.accepted()
    dialect.cut(1.0)
    assert dialect.version(2.0) == 5


def test_when_the_older_version_is_cut_too_it_was_not_the_version() -> None:
    """Back to 5 after two more cuts."""
    dialect = Dialect()
    for now in range(4):
        dialect.cut(float(now))
    assert dialect.version(5.0) == 5


def test_five_is_tried_again_after_a_day() -> None:
    """The broker may have been renewed."""
    dialect = Dialect()
    dialect.refused(100.0)
    assert dialect.version(100.0 + 86399) == 4
    assert dialect.version(100.0 + 86400) == 5


def test_after_a_guess_five_is_tried_again_within_the_hour() -> None:
    """Two cuts may have been a broker under load."""
    dialect = Dialect()
    dialect.cut(0.0)
    dialect.cut(100.0)
    assert dialect.version(100.0 + 3599) == 4
    assert dialect.version(100.0 + 3600) == 5
