"""The doctor's nouns: what is examined, and what is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from agent.router.contract import Router
from agent.settings import Settings
from agent.status import Status

Verdict = Literal["ok", "warn", "bad", "skipped"]


class Finding(NamedTuple):
    """One thing looked at: what is so, and what to do when that is not well ("" otherwise)."""

    name: str
    verdict: Verdict
    what: str
    remedy: str = ""


class Case(NamedTuple):
    """What every check may look at: the settings' file and its content, the router, and what the daemon says of itself."""

    config: str
    settings: Settings
    router: Router
    status: Status


Check = Callable[[Case], list[Finding]]
