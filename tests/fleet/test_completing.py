"""A line is cut into words as a shell does, up to the cursor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.completing import split


@pytest.mark.parametrize(
    ("line", "words", "begun", "quote"),
    [
        ("", [], "", ""),
        ("rwctl", [], "rwctl", ""),
        ("rwctl ", ["rwctl"], "", ""),
        ("rwctl --to kelurahan=Low", ["rwctl", "--to"], "kelurahan=Low", ""),
        ('rwctl --where "state=lost and ', ["rwctl", "--where"], "state=lost and ", '"'),
        ("rwctl --where 'a", ["rwctl", "--where"], "a", "'"),
        ("rwctl a\\ ", ["rwctl"], "a ", ""),
        ("rwctl 'a b' c", ["rwctl", "a b"], "c", ""),
        ("rwctl a#b", ["rwctl"], "a#b", ""),
    ],
)
def test_a_line_is_split(line: str, words: list[str], begun: str, quote: str) -> None:
    """Whole words, the begun one without its quote, and the quote."""
    assert split(line) == (words, begun, quote)


@given(st.text(max_size=40))
def test_no_line_is_too_strange(line: str) -> None:
    """Whatever is typed, something is answered."""
    words, begun, _ = split(line)
    assert all(isinstance(word, str) for word in [*words, begun])
