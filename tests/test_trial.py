"""One push tried: what it stops for before anything is replaced, in which order things happen, and what its guard is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent import plan, trial, wall
from agent.change import Edit
from agent.desk import Desk
from agent.errors import Rejected, Unavailable
from agent.flash import Flash
from agent.pending import Pending
from agent.revisions import Memory
from agent.router.store_simulated import SimulatedStore
from agent.settling import Outcome, Places
from agent.trial import Box, Push, Stop
from agent.wire import claims
from agent.wire.claims import ConfigClaims
from tests.pushes import DOCUMENT, Jump, Place, place

pytestmark = pytest.mark.needs("busybox")


@pytest.fixture
def there(tmp_path: Path) -> Place:
    """A simulated access point."""
    return place(tmp_path)


def carry_out(there: Place, store: SimulatedStore | None = None, jump: Jump | None = None, confirms: bool = True, document: Any = DOCUMENT) -> Outcome:
    """Try a document as revision 7."""
    store, jump = store or there.store(), jump or Jump()
    if confirms:
        jump.then = there.confirm
    tree = store.tree()
    made = plan.make(document, tree, store.facts(tree))
    said = ConfigClaims("malang", "rw-0501", 7, 5, "siti", document, 30)
    push = Push(b"push", said, claims.digest(document), made, tree, trial.read_all(store), 0)
    places = Places(str(there.folder / "state"), str(there.folder / "apply"))
    desk = Desk(there.settings, store.sections, jump.clock)
    box = Box(store, Flash(), places, there.scripts, jump.clock, wall.Inbox(str(there.folder / "run")), desk)
    return trial.carry_out(box, push, Memory(), 0.05, 0.25)


def replaced(store: SimulatedStore, **methods: Any) -> SimulatedStore:
    """Give the store with other methods."""
    for name, method in methods.items():
        setattr(store, name, method)
    return store


def raising(error: Exception) -> Any:
    """Give a method that raises."""

    def method(*_: object) -> None:
        raise error

    return method


@pytest.mark.parametrize(
    ("methods", "state", "reason", "is_passing"),
    [
        ({"busy": lambda: "somebody's edits are staged"}, "rejected", "busy", True),
        ({"stage": raising(Rejected("no place for tx_power"))}, "rejected", "unsupported", False),
        ({"stage": raising(Unavailable("uci wrote something else"))}, "rolled_back", "read_back", False),
        ({"stage": raising(OSError(28, "No space left on device"))}, "rejected", "busy", True),
        ({"stage": lambda edits, directory: {"wireless": None}}, "rejected", "unsupported", False),
    ],
)
def test_it_stops_before_anything_is_touched(methods: dict[str, Any], state: str, reason: str, is_passing: bool, there: Place) -> None:
    """No journal, no guard, no file; nothing of it stays in RAM."""
    with pytest.raises(Stop) as stopped:
        carry_out(there, replaced(there.store(), **methods))
    assert (stopped.value.state, stopped.value.reason, stopped.value.is_passing) == (state, reason, is_passing) and str(stopped.value)
    assert not there.pending.exists() and not there.wireless.exists() and not (there.folder / "apply/stage").exists()


def test_without_a_guard_nothing_is_touched(there: Place) -> None:
    """A push that only Python watches is none."""
    scripts = there.scripts._replace(shell=("/nonexistent/sh",))
    with pytest.raises(Stop) as stopped:
        carry_out(there._replace(scripts=scripts))
    assert (stopped.value.state, stopped.value.reason, stopped.value.is_passing) == ("rejected", "busy", True)
    assert not there.pending.exists() and not there.wireless.exists()


def test_the_journal_and_the_guard_are_there_before_the_first_file(there: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens from then on, somebody takes the push back."""
    seen: list[tuple[str, bool]] = []
    real = Flash.put

    def put(self: Flash, path: str, content: bytes, mode: int | None = None, like: str | None = None) -> None:
        if path == str(there.wireless):
            guarded = (there.folder / "apply/guard").exists() and (there.folder / "apply/applier").exists()
            seen.append((Pending(Flash(), str(there.folder / "state")).state(), guarded))
        real(self, path, content, mode, like)

    monkeypatch.setattr(Flash, "put", put)
    carry_out(there)
    assert seen == [("ready", True)]


def test_each_step_tells_the_guard_what_it_would_mean(there: Place) -> None:
    """A hang is named by where it is."""
    store, steps = there.store(), []
    real_on_air, real_reload = store.on_air, store.reload

    def note() -> None:
        steps.append((there.folder / "apply/step").read_text().split())

    def reload(packages: Sequence[str]) -> None:
        note()
        real_reload(packages)

    def on_air() -> list[Any]:
        note()
        return real_on_air()

    carry_out(there, replaced(store, reload=reload, on_air=on_air))
    told = [step for index, step in enumerate(steps) if index == 0 or step != steps[index - 1]]
    assert told == [
        ["journal", "applier_died", "applier_died"],
        ["reloading", "applier_died", "reload_failed"],
        ["testing", "applier_died", "not_on_air"],
        ["confirming", "applier_died", "broker_unreachable"],
    ]
    assert (there.folder / "apply/step").read_text().split()[0] == "keeping"


def test_only_the_packages_whose_files_change_are_told(there: Place) -> None:
    """A staged file that is the same byte for byte is neither journaled nor put in place."""
    store, told = there.store(), []
    real = store.stage

    def stage(edits: Sequence[Edit], directory: str) -> dict[str, bytes]:
        return real(edits, directory) | {"system": Path(store.paths()["system"]).read_bytes()}

    there.wireless.parent.mkdir()
    Path(store.paths()["system"]).write_bytes(b'{"v":1,"sections":[]}')
    carry_out(there, replaced(store, stage=stage, reload=lambda packages: told.extend(packages)))
    assert told == ["wireless"]


def test_the_agents_own_package_is_roots_alone(there: Place) -> None:
    """Originals lie there, with them maybe a key; whatever mode the file had."""
    store = there.store()
    real = store.stage
    there.wireless.parent.mkdir()
    own = Path(store.paths()["rwagent"])
    own.write_bytes(b'{"v":1,"sections":[]}')
    own.chmod(0o644)
    carry_out(there, replaced(store, stage=lambda edits, directory: real(edits, directory) | {"rwagent": b'{"v":1,"sections":[],"more":1}'}))
    assert own.stat().st_mode & 0o777 == 0o600


def test_a_network_that_was_dead_before_is_not_held_against_the_push(there: Place) -> None:
    """The office's network is down all the time, and nobody touches it."""
    store = there.store()
    real = store.on_air
    outcome = carry_out(there, replaced(store, on_air=lambda: [one for one in real() if one.ifname != "phy0-ap1"]))
    assert (outcome.memory.reported or {})["state"] == "confirmed"


def test_one_that_dies_of_the_push_is(there: Place) -> None:
    """It was there before, and is gone now."""
    store = there.store()
    real = store.on_air
    outcome = carry_out(there, replaced(store, on_air=lambda: [one for one in real() if one.ifname != "phy0-ap1" or not there.wireless.exists()]))
    assert (outcome.memory.reported or {})["reason"] == "not_on_air"


def test_an_edit_between_the_journal_and_the_file_is_not_written_over(there: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last look is right before the file is put there."""
    store = there.store()
    there.wireless.parent.mkdir()
    tree = store.stage([Edit("wireless", "radio0", "channel", "11")], str(there.folder / "apply"))["wireless"]
    there.wireless.write_bytes(tree)
    real = Flash.put

    def put(self: Flash, path: str, content: bytes, mode: int | None = None, like: str | None = None) -> None:
        real(self, path, content, mode, like)
        if path.endswith("/ready"):
            there.wireless.write_bytes(tree + b" ")

    monkeypatch.setattr(Flash, "put", put)
    reported = carry_out(there, store).memory.reported or {}
    assert (reported["state"], reported["reason"], reported["foreign_edit"]) == ("rolled_back", "busy", True)
    assert (there.folder / "state/foreign.wireless").read_bytes() == tree + b" "


def test_a_push_that_is_not_at_its_end_is_never_written_over(there: Place) -> None:
    """Its journal is all that can restore the box."""
    (there.pending).mkdir()
    (there.pending / "ready").write_bytes(b"")
    (there.pending / "before.wireless").write_bytes(b"the old one")
    with pytest.raises(Stop) as stopped:
        carry_out(there)
    assert (stopped.value.reason, stopped.value.is_passing) == ("busy", True) and (there.pending / "before.wireless").exists()


def test_who_is_withdrawn_while_the_journal_is_written_stops(there: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before `ready` sysupgrade sees no push; from then on the applier sees the mark."""
    real = Pending.write

    def write(self: Pending, *parts: Any) -> None:
        (there.folder / "apply/withdrawn").write_bytes(b"")
        real(self, *parts)

    monkeypatch.setattr(Pending, "write", write)
    with pytest.raises(Stop) as stopped:
        carry_out(there)
    assert stopped.value.reason == "busy" and not there.pending.exists() and not there.wireless.exists()


def test_no_room_in_ram_stops_it_before_anything_is_touched(there: Place) -> None:
    """The applier cannot sign in: no guard would find it."""
    (there.folder / "apply/applier.new").mkdir()
    with pytest.raises(Stop) as stopped:
        carry_out(there)
    assert stopped.value.is_passing and not there.pending.exists() and not there.wireless.exists()


def test_a_stage_that_cannot_be_made_stops_it(there: Place) -> None:
    """RAM is full."""
    (there.folder / "apply/stage").write_bytes(b"")
    with pytest.raises(Stop) as stopped:
        carry_out(there)
    assert stopped.value.is_passing


CAPPED = {"ssids": {"warga": DOCUMENT["ssids"]["warga"] | {"cap": {"down_mbps": 30}}}, "uplink": {"cap": {"up_mbps": 20}}}
FILE_OF_CAPS = b"v 1\nssid warga 30000 - - - rw-warga-2g\nuplink - 20000 wan\n"


def test_the_caps_are_placed_told_and_tested_like_a_package(there: Place) -> None:
    """After the packages, which they are made of; journaled with what was there before, and without a way to take single edits back."""
    store, told, journal = there.store(), list[str](), list[Any]()
    real = store.reload

    def reload(packages: Sequence[str]) -> None:
        told.extend(packages)
        journal.append(((there.pending / "after.caps").read_bytes(), (there.pending / "absent.caps").exists(), (there.pending / "undo.caps").exists()))
        real(packages)

    outcome = carry_out(there, replaced(store, reload=reload, undo=lambda *_: b"commit"), document=CAPPED)
    assert outcome.memory.current == 7 and Path(store.paths()["caps"]).read_bytes() == FILE_OF_CAPS
    assert told == ["wireless", "rwagent", "caps"] and journal == [(FILE_OF_CAPS, True, False)]


def test_caps_that_do_not_stand_roll_the_push_back(there: Place) -> None:
    """Although all is on air; the watcher has had its chance at each look."""
    store, tended = there.store(), list[object]()
    outcome = carry_out(there, replaced(store, standing=lambda name: "no queue on wan", tend=lambda *_: tended.append(1)), document=CAPPED)
    assert outcome.memory.reported is not None and outcome.memory.reported["reason"] == "caps_not_standing"
    assert outcome.memory.current is None and not Path(store.paths()["caps"]).exists() and len(tended) > 1


def test_caps_must_stand_to_the_last(there: Place) -> None:
    """Also those that a push leaves alone, if they stood before it; for others it is not to blame."""
    carry_out(there, document=CAPPED)
    more = {**CAPPED, "system": {"hostname": "balai"}}
    for before, reason in ((None, "caps_not_standing"), ("gone", None)):
        answers = iter([before])
        store = replaced(there.store(), standing=lambda name: next(answers, "gone") if name == "caps" else None)  # noqa: B023  # used up at once
        outcome = carry_out(there, store, document=more)
        assert outcome.memory.reported is not None and outcome.memory.reported.get("reason") == reason


def test_a_derived_file_that_somebody_spoilt_differs(there: Place) -> None:
    """A document whose settings all stand is carried out all the same; no file and an empty one are the same."""
    carry_out(there, document=CAPPED)
    store = there.store()
    made = plan.make(CAPPED, store.tree(), store.facts(store.tree()))
    assert made.changes == () and trial.differing(made, trial.read_all(store)) == {}
    Path(store.paths()["caps"]).unlink()
    assert trial.differing(made, trial.read_all(store)) == {"caps": FILE_OF_CAPS}
    outcome = carry_out(there, store, document=CAPPED)
    assert outcome.memory.current == 7 and Path(store.paths()["caps"]).read_bytes() == FILE_OF_CAPS
    assert trial.differing(plan.make({}, {}, store.facts({})), {"caps": None}) == {}
