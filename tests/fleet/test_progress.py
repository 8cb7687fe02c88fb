"""Long work shows how far it is, on a terminal only."""

from __future__ import annotations

import io

from rich.console import Console

from fleet.progress import track


def test_on_a_terminal_there_is_a_bar() -> None:
    """What is done and how many there are."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    assert list(track(range(551), "Making bundles", console)) == list(range(551))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Making bundles" in text and "551" in text


def test_elsewhere_there_is_nothing() -> None:
    """A log file gets no escape sequences."""
    console = Console(file=io.StringIO(), force_terminal=False)
    assert list(track([1, 2], "Making bundles", console)) == [1, 2]
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
