"""The nouns that travel, and how one of them is changed."""

from __future__ import annotations

import sys

import pytest

from agent.records import Board, changed

BOARD = Board("model", "board", "os", "kernel", "name", "linux")


def test_a_changed_record_is_one_of_its_kind() -> None:
    """The others of its fields are as they were, and the former record too."""
    assert changed(BOARD, hostname="other") == BOARD._replace(hostname="other")
    assert type(changed(BOARD)) is Board and BOARD.hostname == "name"


def test_no_record_gets_a_field_it_has_not() -> None:
    """Like any call with a name that is none."""
    with pytest.raises(TypeError, match="colour"):
        changed(BOARD, colour="red")


def test_changing_records_leaves_nothing_behind() -> None:
    """However often: what is taken is given back."""
    changed(BOARD, os="first")
    before = sys.getallocatedblocks()
    for _ in range(500):
        changed(BOARD, os="other")
    assert sys.getallocatedblocks() - before < 100
