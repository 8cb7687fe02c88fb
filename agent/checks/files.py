"""Files and their owners: nobody but the owner's group may change what the agent trusts. That secrets are closed, the settings check already."""

from __future__ import annotations

import os
import shlex
import stat

from agent.finding import Case, Finding

NAME = "files"


def check(case: Case) -> list[Finding]:
    """Look at each file the agent trusts, and at the directory it lies in."""
    broker = case.settings.broker
    files = [file for file in (case.config, broker.ca_file, broker.cert_file, broker.key_file, broker.password_file) if file]
    paths = [*files, case.settings.push.keys_dir, *sorted({os.path.dirname(os.path.abspath(file)) for file in files})]
    bad = [path for path in paths if _is_open(path)]
    if not bad:
        return [Finding(NAME, "ok", f"none of {', '.join(files)} can be changed by others")]
    return [Finding(NAME, "bad", f"{path} can be changed by every user of this box", f"run chmod o-w {shlex.quote(path)}") for path in bad]


def _is_open(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    # In a sticky directory, such as /tmp, others cannot replace what is not theirs.
    return bool(mode & stat.S_IWOTH) and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)
