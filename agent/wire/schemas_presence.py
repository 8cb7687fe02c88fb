"""The shape of `presence`, with what a birth in safe mode says besides; the daemon never imports it."""

from __future__ import annotations

from agent.wire.safe_mode import LONGEST_CRASH
from agent.wire.shapes import AT, BOOT, SESSION, V, extra, flag, known, moment, one_of, record, text, whole

PRESENCE = record(
    "Whether the access point is connected, retained. `lost` counts only for the session of the last birth, and any newer report means online.",
    {
        "v": V,
        "state": one_of(("online", "lost", "offline"), "online (birth), lost (will) or offline (clean stop)."),
        "reason": known(("stopped",), "Why it is offline."),
        "boot": BOOT,
        "session": SESSION,
        "at": AT,
        "agent": text("The agent's version; only in the birth.", 64),
        "safe_mode": extra(flag("The agent crashed again and again and runs presence, `config/desired` and `logs` only; only in the birth.")),
        "since": extra(moment("Since when it is in safe mode.")),
        "crashes": extra(whole("How many crashes led to safe mode, and came after the tries to leave it.", 1)),
        "last_crash": extra(text("Type and place of the last crash, where it left a word.", LONGEST_CRASH, pattern="^[ -~]+$")),
    },
    ["v", "state", "boot", "session"],
)
