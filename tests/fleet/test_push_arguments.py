"""What push, revert and plan have in common on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet import push_arguments
from fleet.city import City
from fleet.errors import BadInput, Refused
from fleet.secrets import Secrets
from fleet.selector import Node

CITY = Node("city", "")


def test_a_file_is_read_once_and_at_once(tmp_path: Path) -> None:
    """What is signed later is what was there when it was typed; its keys are names from the first on."""
    file = tmp_path / "a.toml"
    file.write_text('[ssids.a]\nkey = "planted-wifi-key"\n')
    make = push_arguments.wish_of(str(file), False)
    file.unlink()
    wish = make(None, CITY, Secrets(City(tmp_path, "malang")))  # type: ignore[arg-type]  # no store is asked
    assert wish.layer is not None
    assert "planted-wifi-key" not in str(wish.layer)


def test_without_a_file_the_layer_stays(tmp_path: Path) -> None:
    assert push_arguments.wish_of(None, True, True)(None, CITY, Secrets(City(tmp_path, "malang"))) == (CITY, None, True, True)  # type: ignore[arg-type]


def test_a_bad_file_is_refused_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        push_arguments.wish_of(str(tmp_path / "none.toml"), False)


def test_a_broker_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        push_arguments.connected(City(tmp_path, "malang"))
