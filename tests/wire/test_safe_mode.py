"""What a birth says of safe mode: the golden example, and of a crash nothing but plain bounded text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.wire import messages, safe_mode

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
BOOT, SESSION = "b1946ac92492d234", "5f2c9a7be01d4483"


def golden(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return read


def test_a_birth_in_safe_mode_makes_the_golden_example() -> None:
    """Since when, after how many crashes and the last one's type and place; will and clean stop say nothing of it."""
    more = safe_mode.members(1789999912, 5, "ValueError at agent.report:41")
    own = messages.OwnPresence(BOOT, "0.1.0", lambda: 1790000012.7, lambda: more)
    made = [json.loads(payload) for payload in (own.birth(SESSION), own.lost(SESSION), own.stopped(SESSION))]
    assert made == [golden(f"presence_{name}") for name in ("safe_mode", "lost", "stopped")]


def test_of_a_crash_only_plain_bounded_text_is_said() -> None:
    """It comes out of a file; what is not known is left out."""
    assert safe_mode.members(None, 0, "") == {"safe_mode": True}
    assert safe_mode.members(None, 0, "a\n\x1b\u2028" + "b" * 300)["last_crash"] == "a???" + "b" * 116
