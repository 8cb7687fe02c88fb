"""The trial: what must be on air, for how long, and the daemon's word; always by the uptime, never beyond the deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from agent.change import Edit, OnAir, Plan, Section
from agent.confirm import Clock, Confirm, fault_of, required
from agent.errors import Unavailable

A = OnAir("rw-a-2g", "A", None, "enabled")
B = OnAir("rw-b-2g", "B", 6, "enabled")


def plan(*expect: OnAir, gone: tuple[str, ...] = (), somewhere: tuple[OnAir, ...] = (), edits: tuple[Edit, ...] = ()) -> Plan:
    """Give a plan by what it expects."""
    return Plan((), edits, ("wireless",), "bss", expect, gone, somewhere)


class World:
    """An access point, its daemon and a clock, all moved by the waiting itself."""

    def __init__(self, air: Callable[[float], list[OnAir]], confirm_at: float = 1e9) -> None:
        self.now = 0.0
        self.wall = 1_790_000_000.0
        self.readings: list[float] = []
        self.nonce = b""
        self.confirm_at = confirm_at
        self._air = air

    def on_air(self) -> list[OnAir]:
        """Read, and remember when."""
        self.readings.append(self.now)
        return self._air(self.now)

    def read(self, name: str, most: int) -> bytes | None:
        """Give the daemon's word once its time has come."""
        assert name == "confirm" and most < 100
        return self.nonce if self.now >= self.confirm_at else None

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0
        self.now += max(seconds, 0.001)

    def trial(self, wanted: Plan, deadline: float = 180.0) -> Confirm:
        """Begin a trial."""
        clock = Clock(lambda: self.now, lambda: self.wall, self.sleep, "b" * 16)
        found = Confirm(self, self, wanted, deadline, clock, 5.0, 0.5)
        self.nonce = found.nonce.encode()
        return found


def test_it_is_live_after_two_readings_five_seconds_apart() -> None:
    """Good once is not enough; good twice is."""
    world = World(lambda _: [A])
    assert world.trial(plan(A)).test_live() is None
    assert world.readings == [0.0, 5.0]


def test_a_network_that_falls_between_the_readings_starts_anew() -> None:
    """Both readings must be good."""
    world = World(lambda now: [] if 4 < now < 7 else [A])
    assert world.trial(plan(A)).test_live() is None
    assert world.readings[-1] - max(at for at in world.readings if 4 < at < 7) >= 5


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ([], "not_on_air"),
        ([A._replace(ssid="a")], "not_on_air"),
        ([A._replace(state="down")], "not_on_air"),
        ([A._replace(state="starting")], "not_on_air"),
        ([A._replace(ifname="phy0-ap0")], "not_on_air"),
        ([A, B._replace(channel=11)], "not_on_air"),
    ],
)
def test_what_never_comes_right_ends_at_the_deadline(seen: list[OnAir], reason: str) -> None:
    """Missing, misnamed, down or elsewhere: waited for until the deadline, and not longer."""
    world = World(lambda _: seen)
    assert world.trial(plan(A)).test_live() == (None if seen[:1] == [A] else reason)
    assert world.now <= 181


def test_the_wrong_channel_has_its_own_reason() -> None:
    """All is on air, but not where it should be."""
    world = World(lambda _: [A, B._replace(channel=11)])
    assert world.trial(plan(A, B)).test_live() == "wrong_channel"


def test_dfs_is_waited_for() -> None:
    """A radio that checks for radar for 60 s has all the time until the deadline."""
    world = World(lambda now: [A._replace(state="starting" if now < 60 else "enabled")])
    assert world.trial(plan(A)).test_live() is None and 65 <= world.now < 67


def test_a_reading_that_fails_is_repeated() -> None:
    """hostapd away for a while is not the end."""

    def air(now: float) -> list[OnAir]:
        if now < 20:
            raise Unavailable("no answer")
        return [A]

    assert World(air).trial(plan(A)).test_live() is None


def test_readings_that_always_fail_end_at_the_deadline() -> None:
    """What cannot be known is not on air."""

    def air(now: float) -> list[OnAir]:
        raise Unavailable("no answer")

    world = World(air)
    assert world.trial(plan(A)).test_live() == "not_on_air" and world.now <= 181


def test_what_should_be_gone_must_be() -> None:
    """An old network still sending fails; one that is only listed as down does not."""
    assert fault_of([A, B], plan(A, gone=("rw-b-2g",))) == "not_on_air"
    assert fault_of([A, B._replace(state="down")], plan(A, gone=("rw-b-2g",))) is None


def test_networks_without_a_known_interface_are_found_by_name() -> None:
    """Two of one name need two; the channel counts there too."""
    one, two = (OnAir("", "Kantor", channel, "enabled") for channel in (6, 36))
    seen = [OnAir("phy0-ap0", "Kantor", 6, "enabled"), OnAir("phy1-ap0", "Kantor", 36, "enabled")]
    assert fault_of(seen, plan(somewhere=(one, two))) is None
    assert fault_of(seen[:1], plan(somewhere=(one, one))) == "not_on_air"
    assert fault_of(seen, plan(somewhere=(one, OnAir("", "Kantor", 11, "enabled")))) == "wrong_channel"
    assert fault_of(seen[:1], plan(OnAir("phy0-ap0", "Kantor", 6, "enabled"), somewhere=(one,))) == "not_on_air"


def test_a_confirm_with_the_nonce_keeps() -> None:
    """The daemon's word, and all still on air."""
    world = World(lambda _: [A], confirm_at=20)
    assert world.trial(plan(A)).wait() is None and 20 <= world.now < 21 and world.readings[-1] >= 20


@pytest.mark.parametrize("word", [b"", b"00", b"\xff" * 65, b"0" * 32])
def test_any_other_word_does_not(word: bytes) -> None:
    """An earlier run's nonce, and whatever else a daemon may write."""
    world = World(lambda _: [A], confirm_at=0)
    trial = world.trial(plan(A))
    world.nonce = word
    assert trial.wait() == "broker_unreachable" and world.now >= 180


def test_every_run_has_its_own_nonce() -> None:
    """32 hex digits, never twice."""
    world = World(lambda _: [A])
    nonces = {world.trial(plan(A)).nonce for _ in range(50)}
    assert len(nonces) == 50 and all(len(nonce) == 32 for nonce in nonces)


@pytest.mark.parametrize(("late_s", "kept"), [(179.0, True), (180.0, False), (200.0, False)])
def test_nothing_is_kept_at_or_after_the_deadline(late_s: float, kept: bool) -> None:
    """After it the guard may roll back at any moment."""
    world = World(lambda _: [A], confirm_at=late_s)
    assert (world.trial(plan(A)).wait() is None) is kept


def test_a_reading_that_takes_past_the_deadline_does_not_keep() -> None:
    """The last look counts by when it ends."""
    world = World(lambda now: [A], confirm_at=170)

    def slow(now: float) -> list[OnAir]:
        world.now = 181.0
        return [A]

    world._air = slow
    assert world.trial(plan(A)).wait() == "broker_unreachable"


def test_what_falls_off_the_air_in_the_window_is_not_kept() -> None:
    """The word of a daemon on a cable says nothing of the radio."""
    world = World(lambda now: [A] if now < 10 else [], confirm_at=20)
    assert world.trial(plan(A)).wait() == "not_on_air"


@pytest.mark.parametrize("step_s", [-1e9, -3600.0, 3600.0, 1e9])
def test_clock_jumps_change_nothing(step_s: float) -> None:
    """The wall clock is not in it: the same readings, the same end."""
    ends = []
    for step in (0.0, step_s):
        world = World(lambda _: [A])

        def jump(now: float, world: World = world, step: float = step) -> list[OnAir]:
            world.wall += step
            return []

        world._air = jump
        ends.append((world.trial(plan(A)).test_live(), world.now, len(world.readings)))
    assert ends[0] == ends[1]


State = Literal["enabled", "starting", "down"]


@pytest.mark.parametrize(
    ("before", "edits", "is_required"),
    [
        ([A, B], (), True),
        ([A], (), False),
        ([A, B._replace(state="down")], (), False),
        ([A], (Edit("wireless", "b", "ssid", "B"),), True),
        ([A], (Edit("wireless", "radio0", "channel", "6"),), True),
        ([A], (Edit("system", "b", "x", "y"),), False),
    ],
)
def test_what_was_dead_before_and_is_not_touched_is_not_required(before: list[OnAir], edits: tuple[Edit, ...], is_required: bool) -> None:
    """No push is to blame for a neighbour that was down already; it is for what it touches."""
    sections = {
        "radio0": Section("wifi-device", "radio0", {"channel": ("6",)}),
        "b": Section("wifi-iface", "b", {"device": ("radio0",), "ifname": ("rw-b-2g",), "ssid": ("B",)}),
    }
    found = required(plan(A, B, edits=edits), {"wireless": sections}, before)
    assert (B in found.expect) is is_required and A in found.expect


def test_a_dead_network_without_an_interface_name_is_not_required_either() -> None:
    """There the SSID tells."""
    wanted = OnAir("", "Kantor", None, "enabled")
    tree = {"wireless": {"k": Section("wifi-iface", "k", {"device": ("radio0",), "ssid": ("Kantor",)})}}
    assert required(plan(A, somewhere=(wanted,)), tree, [A]).somewhere == ()
    assert required(plan(A, somewhere=(wanted,)), tree, [A, OnAir("phy0-ap3", "Kantor", 1, "enabled")]).somewhere == (wanted,)
