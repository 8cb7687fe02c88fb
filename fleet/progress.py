"""A progress bar for long work: on stderr and only on a terminal; everywhere else nothing but the work."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def track(items: Collection[T], text: str, console: Console | None = None) -> Iterator[T]:
    """Give the items one after the other, showing how many are done and how long the rest will take; the bar goes when they are done."""
    console = console or Console(stderr=True)
    if not console.is_terminal or not items:
        yield from items
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(text, total=len(items))
        for item in items:
            yield item
            bar.advance(task)
