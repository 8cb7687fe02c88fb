"""Lines of hostapd's file: what the last of them says, and one taking another's place. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def last(lines: Sequence[str], word: str) -> str | None:
    """Give what the last line with this word says: the one that counts; None when there is none."""
    for line in reversed(lines):
        if line.startswith(f"{word}="):
            return line.rstrip("\n")[len(word) + 1 :]
    return None


def put(lines: Sequence[str], words: Collection[str], said: Sequence[str]) -> tuple[str, ...]:
    """Give the lines with `said` where the first line with one of the words was, or at the end, and the others of those words gone."""
    is_one = [line.partition("=")[0] in words for line in lines]
    kept = [line for line, is_it in zip(lines, is_one, strict=True) if not is_it]
    place = is_one.index(True) if True in is_one else len(kept)
    if kept and not kept[-1].endswith("\n") and said:
        kept[-1] += "\n"
    return (*kept[:place], *(f"{line}\n" for line in said), *kept[place:])
