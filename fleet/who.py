"""Who sits here, for the record. Of itself, so that whoever writes a record loads no key making."""

from __future__ import annotations

import os
from pathlib import Path


def login() -> str:
    """Give the name of who runs this."""
    return os.environ.get("USER") or Path.home().name or "unknown"
