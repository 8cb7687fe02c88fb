"""iw's turns: never more than one process per radio and period, and all it can tell in due course."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.records import Station
from agent.router.child import Program
from agent.router.iw import NO_SURVEY, Iw, Survey
from agent.router.iw_turns import STATIONS_EACH, WLANS_S, IwTurns, Tuned
from tests.fakes.iw import FakeIw

CAPTURES = Path(__file__).parents[1] / "captures"
PERIOD_S = 60.0
TWO = {"radio0": Tuned(("phy0-ap0", "phy0-ap1"), 2437, True), "radio1": Tuned(("phy1-ap0",), 5180, True)}
DEV = """phy#1
\tInterface phy1-ap0
\t\taddr 02:00:00:00:01:00
\t\ttype AP
\t\tchannel 36 (5180 MHz), width: 80 MHz, center1: 5210 MHz
\t\ttxpower 23.00 dBm
phy#0
\tInterface phy0-ap0
\t\taddr 02:00:00:00:00:00
\t\ttype AP
\t\tchannel 6 (2437 MHz), width: 20 MHz, center1: 2437 MHz
\t\ttxpower 20.00 dBm
"""
SURVEY = """Survey data from phy0-ap0
\tfrequency:\t\t\t{0} MHz [in use]
\tnoise:\t\t\t\t-92 dBm
\tchannel active time:\t\t1000 ms
\tchannel busy time:\t\t400 ms
\tchannel transmit time:\t\t100 ms
"""
DUMP = """Station 02:00:00:00:02:00 (on phy0-ap0)
\tauthorized:\tyes
\ttx packets:\t200
\ttx retries:\t20
\tsignal:  \t-50 dBm
"""


class Box:
    """Two radios on air; `now` is the clock, `pass_` a sample."""

    def __init__(self, root: Path) -> None:
        self.now = 1000.0
        self.iw = FakeIw(root / "bin")
        self.iw.says("dev", DEV)
        for ifname, frequency in (("phy0-ap0", 2437), ("phy0-ap1", 2437), ("phy1-ap0", 5180)):
            self.iw.says(f"{ifname}.survey", SURVEY.format(frequency))
            self.iw.says(f"{ifname}.station", DUMP)
        self.turns = IwTurns(Iw(Program("iw", f"{root}/bin:/usr/bin:/bin")), lambda: self.now, PERIOD_S)

    def samples(self, number: int, radios: dict[str, Tuned] | None = None, every_s: float = 10.0) -> list[str]:
        """Take so many samples; give what iw was asked meanwhile."""
        before = len(self.iw.calls())
        for _ in range(number):
            self.turns.step(TWO if radios is None else radios)
            self.now += every_s
        return self.iw.calls()[before:]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """Two radios, three networks."""
    return Box(tmp_path)


def test_the_first_turn_of_each_radio_is_its_survey(box: Box) -> None:
    """Noise and the first counters of the airtime are there from the first sample on."""
    assert box.samples(1) == ["dev phy0-ap0 survey dump", "dev phy1-ap0 survey dump"]
    assert box.turns.survey("radio0") == Survey(-92, 1000, 400, 100)


def test_no_radio_has_two_processes_in_a_period(box: Box) -> None:
    """An hour of samples at 10 s starts at most one iw per radio and minute."""
    assert len(box.samples(360)) <= 2 * 60


def test_a_longer_period_holds_from_the_next_turn_on(box: Box) -> None:
    """An hour at one turn in ten minutes: the turn that was due, then six of each radio."""
    box.samples(1)
    box.turns.pace(600.0)
    assert len(box.samples(360)) <= 2 * 7


def test_a_shorter_period_holds_at_once(box: Box) -> None:
    """Who waited for an hour's turn waits a minute from now."""
    box.turns.pace(3600.0)
    box.samples(3)
    box.turns.pace(PERIOD_S)
    assert (len(box.samples(6)), len(box.samples(1))) == (0, 2)


def test_ten_minutes_use_every_turn(box: Box) -> None:
    """The grid is kept: a sample that comes a little late does not shift all later turns."""
    assert len(box.samples(60, every_s=10.004)) == 2 * 10


def test_one_iw_dev_serves_all_radios(box: Box) -> None:
    """Width and power of both radios come with the second turn of the first."""
    asked = box.samples(12)
    assert asked.count("dev") == 1
    power = [wlan.tx_power_dbm for names, mhz in ((["phy0-ap0"], 2437), (["phy1-ap0"], 5180)) if (wlan := box.turns.wlan(names, mhz))]
    assert power == [20.0, 23.0]


def test_a_changed_channel_makes_the_old_width_and_power_unknown(box: Box) -> None:
    """What iw said of another frequency is not told of this one; the next turn asks again."""
    box.samples(12)
    moved = TWO | {"radio0": Tuned(("phy0-ap0", "phy0-ap1"), 2462, True)}
    assert box.turns.wlan(["phy0-ap0"], 2462) is None
    assert "dev" in box.samples(7, moved)


def test_a_survey_of_another_channel_is_not_told_of_this_one(box: Box) -> None:
    """Until the next turn the noise and the airtime of the new channel are unknown."""
    box.samples(1)
    assert box.samples(1, TWO | {"radio0": Tuned(("phy0-ap0", "phy0-ap1"), 2462, True)}) == []
    assert box.turns.survey("radio0") == NO_SURVEY
    assert box.turns.survey("radio1") != NO_SURVEY


def test_iw_dev_is_asked_again_when_it_grew_old(box: Box) -> None:
    """A changed power shows without anything else changing."""
    box.samples(12)
    box.now += WLANS_S
    assert "dev" in box.samples(7)


def test_each_fifth_turn_counts_one_networks_retries(box: Box) -> None:
    """The networks of a radio take these turns in rotation."""
    asked = box.samples(6 * 2 * STATIONS_EACH)
    assert [call for call in asked if "phy0" in call and "station" in call] == ["dev phy0-ap0 station dump", "dev phy0-ap1 station dump"]
    assert box.turns.counts("phy0-ap0")["02:00:00:00:02:00"] == Station("02:00:00:00:02:00", "phy0-ap0", True, -50, 200, 20)


def test_an_empty_radio_has_no_retries_to_count(box: Box) -> None:
    """Its turns go to the survey."""
    empty = {"radio0": Tuned(("phy0-ap0",), 2437, False)}
    assert not [call for call in box.samples(6 * 2 * STATIONS_EACH, empty) if "station" in call]


def test_a_radio_off_air_has_no_turn(box: Box) -> None:
    """No process for what cannot be asked; its survey is forgotten."""
    box.samples(1)
    assert box.samples(7, {}) == []
    assert box.turns.survey("radio0") == NO_SURVEY


def test_a_radio_that_flaps_does_not_get_more_turns(box: Box) -> None:
    """Off air and back within the period is no new start."""
    asked = []
    for _ in range(6):
        asked += box.samples(1)
        asked += box.samples(1, {}, every_s=0.1)
    assert len(asked) == 2


def test_an_iw_that_fails_leaves_the_survey_unknown(box: Box) -> None:
    """A stale survey would be taken for a radio that heard nothing."""
    box.samples(1)
    (box.iw.directory / "phy0-ap0.survey").unlink()
    box.samples(24)
    assert box.turns.survey("radio0") == NO_SURVEY
    assert box.turns.survey("radio1") != NO_SURVEY


class Interrupted(BaseException):
    """What ends a collector that takes too long."""


class HangingProgram(Program):
    """A program that takes so long that its caller is interrupted."""

    runs = 0

    def run(self, *arguments: str) -> str:
        self.runs += 1
        raise Interrupted


def test_an_iw_that_was_interrupted_is_not_run_again_at_once() -> None:
    """Else each sample would cost its whole time, and start one process."""
    program = HangingProgram("iw")
    turns = IwTurns(Iw(program), lambda: 1000.0, PERIOD_S)
    with pytest.raises(Interrupted):
        turns.step({"radio1": TWO["radio1"]})
    turns.step({"radio1": TWO["radio1"]})
    assert program.runs == 1


def test_a_radio_that_flaps_does_not_take_the_others_surveys(box: Box) -> None:
    """`iw dev` is due by each radio's own change."""
    asked = []
    for minute in range(30):
        asked += box.samples(6, TWO if minute % 2 else {"radio0": TWO["radio0"]})
    assert len([call for call in asked if call == "dev phy0-ap0 survey dump"]) >= 18


def test_an_iw_dev_that_failed_is_asked_again_soon(box: Box) -> None:
    """Width and power are not missing for ten minutes because of one failure."""
    (box.iw.directory / "dev").unlink()
    box.samples(12)
    box.iw.says("dev", DEV)
    box.samples(18)
    assert box.turns.wlan(["phy0-ap0"], 2437) is not None
