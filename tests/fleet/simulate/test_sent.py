"""What a fleet sent, as a file and back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fleet.simulate import sent


@given(st.lists(st.integers(1, 60)))
def test_ranges_are_the_numbers(seqs: list[int]) -> None:
    """Ranges stand for each number once; they rise and do not touch."""
    made = sent.ranges(seqs)
    assert [seq for first, last in made for seq in range(first, last + 1)] == sorted(set(seqs))
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(made))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Lines are added to what is there."""
    boots = [sent.Boot("rw-0501", "b" * 16, 1.5, 9, 8, [[4, 5]], 1), sent.Boot("rw-0502", "c" * 16, 2.5, 3, 2, [], 0)]
    for boot in boots:
        sent.write(tmp_path / "sent.jsonl", [boot])
    assert list(sent.read(tmp_path / "sent.jsonl")) == boots
