"""What `presence` says of safe mode; the normal daemon never loads it."""

from __future__ import annotations

from agent.wire.messages import Payload

LONGEST_CRASH = 120


def members(since: int | None, crashes: int, last_crash: str) -> Payload:
    """Make what a birth in safe mode says besides (`since`: Unix seconds, None while the clock is unknown; 0 and "": not known)."""
    said = {"since": since, "crashes": crashes or None, "last_crash": crash_text(last_crash) or None}
    return {"safe_mode": True} | {name: value for name, value in said.items() if value is not None}


def crash_text(text: str) -> str:
    """Keep of a crash's type and place what is plain text, bounded: it comes out of a file that a crashing process wrote."""
    return "".join(character if " " <= character <= "~" else "?" for character in text[:LONGEST_CRASH])
