"""What safe mode knows of a box: its time, its boot, and how root is rung for, by the way of its backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router.clock import boot
from agent.router.doorbell import RealDoorbell, open_doorbell
from tests.fakes.ubus import FakeUbus
from tests.settings_of import of_openwrt, settings


def test_on_openwrt_procd_is_told() -> None:
    """By the one event that starts the applier; away, it cannot be told."""
    ubus = FakeUbus({"service": {"event": {}}})
    box = RealDoorbell("/nowhere", ubus)  # type: ignore[arg-type]  # a fake
    box.ring()
    assert ubus.asked == [("service", "event")]
    ubus.is_away = True
    with pytest.raises(Unavailable):
        box.ring()


def test_on_linux_nobody_needs_to_be_told(tmp_path: Path) -> None:
    """Root looks by itself."""
    box = open_doorbell(settings(router={"backend": "linux"}, paths={"run_dir": str(tmp_path)}))
    box.ring()
    assert list(tmp_path.iterdir()) == []


def test_its_time_is_the_boxs(tmp_path: Path) -> None:
    """The kernel's boot, and the trust in its clock that root's hook wrote down."""
    (tmp_path / "status").mkdir()
    (tmp_path / "status/clock").write_text("floor\n")
    box = open_doorbell(of_openwrt(tmp_path))
    assert (box.boot(), box.clock.state()) == (boot(), "floor")


def test_a_simulated_box_is_whole(tmp_path: Path) -> None:
    """Its boot is the one that its commands are signed for."""
    chosen = settings(router={"backend": "simulated"}, paths={"run_dir": str(tmp_path), "state_dir": str(tmp_path)})
    assert len(open_doorbell(chosen).boot()) == 16
