"""Who sits here."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.who import login


def test_the_login_is_the_users_else_the_home_directorys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "siti")
    assert login() == "siti"
    monkeypatch.delenv("USER")
    assert login() == (Path.home().name or "unknown")
