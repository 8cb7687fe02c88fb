"""Each board's expected report, by the real daemon, as a user that may only what the access list says, over a real broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.openwrt.board import BOARDS
from tests.replayed import counted
from tests.stories.openwrt_world import RUN_DIR, USER, Box, differences, make_box
from tests.stories.world import World, assert_valid, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto", "netns", "setpriv")]
TIMES = 60
WIFI_PARTS = {"stations", "bss", "radios"}


def without_power(expected: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only the second turn of `iw` gives, a minute after the start."""
    radios = [{key: value for key, value in radio.items() if key != "tx_power_dbm"} for radio in expected.get("radios", [])]
    return expected | ({"radios": radios} if radios else {})


def assert_rates(report: dict[str, Any], *names: str) -> None:
    """Claim that whatever is up has these rates, and nothing spiked."""
    moving = [row for row in report["interfaces"] if row["up"]]
    assert moving
    for row in moving:
        assert row["reset"] is False, row
        assert all(row[name] >= 0 for name in names), row
    for row in report.get("bss", []):
        assert not row["up"] or row["rx_bps"] >= 0 <= row["tx_bps"], row


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_gives_its_expected_report(name: str, world: World, record_property: Callable[[str, object], None]) -> None:
    """`rwagent run` on its default paths, with the backend found by itself: what `expected.json` and `expected-info.json` name is so."""
    with make_box(world, name) as box:
        expected, info = box.board.json("expected.json"), box.board.json("expected-info.json")
        assert box.write_facts() == box.board.json("expected-wireless.json")
        agent = box.agent(sample_s=1, interval_s=1, report={"peaks": True}, router={"backend": "auto"}).run()
        box.city.wait_for(2)
        report = box.wait_for(lambda report: not differences(without_power(expected), report), lambda: f"{differences(without_power(expected), box.last())}")
        assert report.keys() & WIFI_PARTS == expected.keys() & WIFI_PARTS, "a box without Wi-Fi has no such part"
        assert_rates(report, "rx_bps", "tx_bps", "rx_peak_bps", "tx_peak_bps")
        assert_runs_as_user(box, agent.pid)
        assert agent.stop() == 0
        # iw's later turns come a minute after each other.
        heard = len(box.city.on("report"))
        agent = box.agent(times=TIMES).start()
        until(lambda: len(box.city.on("report")) > heard + 1, "reports in fast time")
        report = box.wait_for(lambda report: not differences(expected, report), lambda: f"{differences(expected, box.last())}")
        assert report["clock"] == "ntp"
        assert {row: figures.get("error") for row, figures in report["agent"]["collectors"].items() if "error" in figures} == {}
        assert agent.stop() == 0
        assert report["agent"]["flash_writes"] == 0
        assert_valid(box.city)
        told = box.city.on("info")[-1].message
        assert told["backend"] == "openwrt"
        assert differences(info, told) == []
    record_property(counted(f"boards with their expected report, of {len(BOARDS)}"), 1)


def assert_runs_as_user(box: Box, pid: int) -> None:
    """Claim that the daemon is not root, and that its directory is the package's."""
    with open(f"/proc/{pid}/status") as status:
        uids = next(line.split()[1:] for line in status if line.startswith("Uid:"))
    assert uids == [str(USER)] * 4
    assert (box.inside.world.run_dir / "daemon.json").exists(), RUN_DIR
