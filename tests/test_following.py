"""agent/following.py: a derived file that is no longer what the configuration asks for on this box is made anew, and nothing else is touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.change import Edit, Facts, Tree
from agent.errors import Unavailable
from agent.flash import Flash
from agent.following import follow
from agent.router.store_simulated import SimulatedStore, initial_tree

CAPS = b"v 1\nuplink 45000 - wan\n"
CAPPED = [Edit("rwagent", "cap_uplink", type="cap"), Edit("rwagent", "cap_uplink", "down_kbit", "45000")]


class Moved(SimulatedStore):
    """A simulated access point in a folder whose way out may become another; notes what it is told."""

    uplink, public_device = "wan", "br-public"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder}/conf", initial_tree(("A", "B", "A"), {"2g": 6, "5g": 36}, "rw-0501"), "public", (), 50, f"{folder}/secrets")
        self.told: list[str] = []

    def facts(self, tree: Tree) -> Facts:
        return super().facts(tree)._replace(uplink=self.uplink, public_device=self.public_device)

    def reload(self, packages: Sequence[str]) -> None:
        self.told += packages


@pytest.fixture
def store(tmp_path: Path) -> Moved:
    """A cap of the way out stands."""
    found = Moved(tmp_path)
    for name in ("conf", "stage"):
        (tmp_path / name).mkdir()
    for package, content in found.stage(CAPPED, f"{tmp_path}/stage").items():
        (tmp_path / "conf" / package).write_bytes(content)
    (tmp_path / "conf/caps").write_bytes(CAPS)
    return found


def followed(store: Moved) -> bytes:
    """Follow, and give the caps."""
    follow(store, Flash(), store.tree())
    return Path(store.paths()["caps"]).read_bytes()


def test_the_cap_goes_with_the_way_out(store: Moved) -> None:
    """When another device leads out, as where a spare uplink takes over; said and carried out once."""
    store.uplink = "wwan0"
    assert followed(store) == CAPS.replace(b"wan", b"wwan0") == followed(store)
    assert store.told == ["caps"]


def test_what_fits_is_left_alone(store: Moved) -> None:
    """No write to the flash, and nobody is told."""
    flash = Flash()
    follow(store, flash, store.tree())
    assert flash.writes_total == 0 and store.told == []


def test_without_a_way_out_the_cap_stays_where_it_is(store: Moved) -> None:
    """At boot none may be known yet."""
    store.uplink = ""
    assert followed(store) == CAPS and store.told == []


@pytest.mark.parametrize("there", [None, b"", b"v 1\nuplink 1 1 wan\n"])
def test_a_file_that_somebody_spoilt_is_made_anew(there: bytes | None, store: Moved) -> None:
    """Or that did not come along with the configuration."""
    path = Path(store.paths()["caps"])
    path.unlink()
    if there is not None:
        path.write_bytes(there)
    assert followed(store) == CAPS and store.told == ["caps"]


def test_a_box_that_is_asked_for_none_is_not_even_looked_at(tmp_path: Path) -> None:
    """What it takes to know a box costs it programs."""
    store = Moved(tmp_path)
    store.facts = lambda tree: pytest.fail("it was looked at")  # type: ignore[method-assign]  # a fake
    follow(store, Flash(), store.tree())
    assert store.told == [] and not os.path.exists(store.paths()["caps"])


def test_what_nobody_asks_for_any_more_goes(store: Moved, tmp_path: Path) -> None:
    """A file without its configuration holds nothing."""
    (tmp_path / "conf/rwagent").unlink()
    assert followed(store) == b"" and store.told == ["caps"]


def test_who_cannot_be_told_is_no_secret(store: Moved) -> None:
    """The file is there all the same."""

    def reload(packages: Sequence[str]) -> None:
        raise Unavailable("caps: the kernel makes no IFB")

    store.uplink, store.reload = "wwan0", reload  # type: ignore[method-assign]  # a fake
    with pytest.raises(Unavailable, match="makes no IFB"):
        followed(store)
    assert b"wwan0" in Path(store.paths()["caps"]).read_bytes()
