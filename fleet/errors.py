"""The ways in which the city's programs end without having done what was asked."""

from __future__ import annotations


class Refused(Exception):
    """What was asked cannot be done; the text says what was attempted, with what value, and what to do. Exit code 1."""


class BadInput(Refused):
    """What was typed or named is wrong: an argument, a file's content. Exit code 2."""
