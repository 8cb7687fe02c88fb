"""Only the backend of the settings is opened, and each of them has every method of the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import commands
from agent.router.hands import Hands, open_hands
from tests.settings_of import settings


@pytest.mark.parametrize("backend", ["openwrt", "linux", "simulated"])
def test_each_backend_has_hands(tmp_path: Path, backend: str) -> None:
    """All methods of the contract (mypy reads this line), before anything of the box is asked; and no command that only reads what root knows is lacking."""
    hands: Hands = open_hands(settings(router={"backend": backend}, paths={"state_dir": str(tmp_path), "run_dir": str(tmp_path / "run")}), str)
    for name in ("lacks", "kick", "scan", "blink", "log", "reload_wifi", "reboot"):
        assert callable(getattr(hands, name))
    assert [name for name in commands.COMMANDS if name not in ("scan", "locate") and hands.lacks(name)] == []
