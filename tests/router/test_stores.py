"""The settings choose the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.router.stores import open_store
from tests.pushes import place
from tests.settings_of import settings


def test_a_simulated_access_point_has_its_own(tmp_path: Path) -> None:
    """Its files lie below its state."""
    there = place(tmp_path)
    store = open_store(there.settings)
    assert store.backend == "simulated" and store.paths()["wireless"] == str(there.wireless)


@pytest.mark.parametrize("backend", ["linux", "openwrt"])
def test_each_backend_has_its_own(backend: str, tmp_path: Path) -> None:
    """Opening reads nothing that only the box has."""
    chosen = settings(router={"backend": backend}, paths={"run_dir": str(tmp_path / "run"), "state_dir": str(tmp_path / "state")})
    assert open_store(chosen).backend == backend
