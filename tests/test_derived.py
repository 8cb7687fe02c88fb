"""agent/derived.py: the table of derived files, and what else has to know of each."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import get_args

import pytest

from agent import derived
from agent.derived import DERIVED
from agent.guard import DIRECTORY
from tests.documents import facts_of, tree_of, with_section

TREE = with_section(tree_of("rig-x86"), "rwagent", "cap_uplink", "cap", down_kbit="45000")
BOTH = with_section(TREE, "rwagent", "dns", "dns", servers="1.1.1.3")


def test_each_file_is_made_of_the_whole_tree() -> None:
    """By its name, with the device that only the box knows."""
    made = dict(derived.made(BOTH, facts_of(BOTH, public_device="br-guest")))
    assert made == {"caps": b"v 1\nuplink 45000 - wan\n", "dns": b"v 1\nnetwork br-guest\nserver 1.1.1.3\n"}


def test_what_is_not_asked_for_is_no_content() -> None:
    """Which no file at all says too."""
    assert set(dict(derived.made(tree_of("rig-x86"), facts_of(TREE))).values()) == {b""}


@pytest.mark.parametrize("name", DERIVED)
def test_each_has_a_script_of_its_name(name: str) -> None:
    """Which the applier, the rollback and the boot run by it."""
    assert os.access(os.path.join(DIRECTORY, name), os.X_OK)


def test_the_rollback_knows_all_of_them_and_no_other() -> None:
    """It names them once more, because it needs no Python: one left out would be taken for a file of UCI's or hostapd's."""
    (names,) = re.findall(r'case "\$1" in ([a-z |]+)\) ;;', Path(DIRECTORY, "rollback").read_text(encoding="utf-8"))
    assert set(names.split(" | ")) == set(DERIVED)


def test_each_reason_is_one_that_is_told() -> None:
    """Of a rollback, in `config/reported`."""
    assert {one.reason for one in DERIVED.values()} == set(get_args(derived.Reason))
