"""The two ways the agent says no; every other exception is a bug and stays one."""

from __future__ import annotations


class Unavailable(Exception):
    """The router cannot give this value now: no such file, program, socket or feature."""


class Rejected(Exception):
    """The operator may not have this: the settings, config or command is refused, with the reason."""
