"""What root remembers: which revision may come next, when one may be tried again, and that nothing makes it take an old one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import revisions
from agent.flash import Flash
from agent.revisions import Memory, decode, load, retry_at, rule, save

BOOT = "b" * 16
SEVEN = Memory(revision=7, digest="sha256:7", run="r", boot=BOOT, current=7, config={"agent": {}}, reported={"v": 1, "state": "confirmed"})


def rolled_back(attempts: int, reason: str = "broker_unreachable", uptime_s: float = 100.0) -> Memory:
    """Give the memory of revision 8 rolled back so often."""
    reported: dict[str, object] = {"v": 1, "state": "rolled_back", "reason": reason}
    return SEVEN._replace(revision=8, digest="sha256:8", attempts=attempts, uptime_s=uptime_s, reported=reported)


@pytest.mark.parametrize(
    ("memory", "revision", "digest", "expected"),
    [
        (Memory(), 1, "x", "fresh"),
        (Memory(), 1_000_000, "x", "fresh"),
        (Memory(), 1_000_001, "x", "jump"),
        (Memory(floor=7), 7, "x", "stale"),
        (Memory(floor=7), 8, "x", "fresh"),
        (SEVEN, 8, "x", "fresh"),
        (SEVEN, 1_000_007, "x", "fresh"),
        (SEVEN, 1_000_008, "x", "jump"),
        (SEVEN, 6, "sha256:7", "stale"),
        (SEVEN, 7, "sha256:7", "repeat"),
        (SEVEN, 7, "sha256:8", "conflict"),
        (SEVEN._replace(floor=9), 8, "x", "stale"),
        (SEVEN._replace(floor=9), 7, "sha256:7", "repeat"),
    ],
)
def test_the_rule_of_a_revision(memory: Memory, revision: int, digest: str, expected: str) -> None:
    """Higher is fresh, within the jump; lower is stale; the same repeats its verdict with the same content only."""
    assert rule(memory, revision, digest, BOOT, 100.0) == expected


@pytest.mark.parametrize(
    ("attempts", "boot", "uptime_s", "expected"),
    [
        (1, BOOT, 699.9, "repeat"),
        (1, BOOT, 700.0, "retry"),
        (2, BOOT, 3699.9, "repeat"),
        (2, BOOT, 3700.0, "retry"),
        (3, BOOT, 999_999.0, "held"),
        (1, "c" * 16, 599.9, "repeat"),
        (1, "c" * 16, 600.0, "retry"),
    ],
)
def test_what_may_pass_is_tried_again(attempts: int, boot: str, uptime_s: float, expected: str) -> None:
    """After 10 and after 60 minutes, counted from the verdict or from the boot since; then it is held."""
    assert rule(rolled_back(attempts), 8, "sha256:8", boot, uptime_s) == expected


@pytest.mark.parametrize("reason", ["not_on_air", "wrong_channel", "write_failed", "applier_died"])
def test_what_will_not_pass_is_not_tried_again(reason: str) -> None:
    """Only the broker's absence and a reboot are worth another try."""
    memory = rolled_back(1, reason)
    assert rule(memory, 8, "sha256:8", BOOT, 1e9) == "repeat" and retry_at(memory, BOOT) is None


def test_a_held_revision_yields_to_a_higher_one() -> None:
    """The way on is always open."""
    memory = rolled_back(3)
    assert revisions.is_held(memory) and rule(memory, 9, "x", BOOT, 0.0) == "fresh"


def test_it_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """Everything survives the file, which is root's alone."""
    memory = rolled_back(2)._replace(floor=3, history=({"revision": 8}, {"revision": 7}))
    save(Flash(), str(tmp_path), memory)
    assert load(Flash(), str(tmp_path)) == memory
    assert (tmp_path / "revisions.json").stat().st_mode & 0o777 == 0o600


def test_the_first_start_takes_the_floor_of_enrolment(tmp_path: Path) -> None:
    """A new router under an old name takes no push of the old one's."""
    (tmp_path / "floor").write_text("41\n")
    assert load(Flash(), str(tmp_path)) == Memory(floor=41)


@pytest.mark.parametrize("floor", ["", "many", "-1", "1e9", "\x00"])
def test_a_floor_that_is_no_number_is_none(floor: str, tmp_path: Path) -> None:
    """It does not stop the start."""
    (tmp_path / "floor").write_text(floor)
    assert load(Flash(), str(tmp_path)).floor == 0


@given(st.data())
def test_a_torn_file_never_lets_an_old_revision_in(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Wherever it is cut or overwritten, a revision that was judged is never fresh again."""
    folder = tmp_path_factory.mktemp("state")
    judged = 4711
    save(Flash(), str(folder), SEVEN._replace(revision=judged, floor=data.draw(st.sampled_from([0, 3, 4000]))))
    raw = (folder / "revisions.json").read_bytes()
    cut = data.draw(st.integers(0, len(raw) - 1))
    torn = data.draw(st.sampled_from([raw[:cut], raw[:cut] + b"\0" * 20, b"\0" * cut + raw[cut:], raw[:cut] + b"\xff" + raw[cut + 1 :]]))
    (folder / "revisions.json").write_bytes(torn)
    if torn == raw or decode(torn) is not None:
        return
    memory = load(Flash(), str(folder))
    for revision in (1, 5, 47, 471, judged):
        assert rule(memory, revision, "sha256:x", BOOT, 1e9) != "fresh"
    assert (folder / "revisions.json.bad").exists()
    assert memory.reported == {"v": 1, "state": "failed", "reason": "state_lost"} | ({"revision": memory.floor} if memory.floor else {})


def test_a_lost_memory_refuses_all_until_a_person_names_the_floor(tmp_path: Path) -> None:
    """With no number to be found an old push could not be told from a new one."""
    (tmp_path / "revisions.json").write_bytes(b"\0" * 500)
    lost = load(Flash(), str(tmp_path))
    assert lost.is_lost and rule(lost, 1000, "x", BOOT, 1e9) == "stale" and "state_dir/floor" in revisions.sentence("stale", lost, 1000)
    assert load(Flash(), str(tmp_path)).is_lost
    (tmp_path / "floor").write_text("999")
    assert rule(load(Flash(), str(tmp_path)), 1000, "x", BOOT, 0.0) == "fresh"


def test_what_this_boot_saw_counts_when_the_file_is_lost(tmp_path: Path) -> None:
    """The highest revision known from RAM is a floor too."""
    (tmp_path / "revisions.json").write_bytes(b'{"v":1,"floor":0,"revision":7,"dig')
    assert load(Flash(), str(tmp_path), also_seen=12).floor == 12


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"[]", b"{}", b'{"v":2}', b'{"v":1,"extra":1}', b'{"v":1,"floor":"1"}', b'{"v":1,"floor":-1}', b'{"v":1,"revision":true}'),
        *(b'{"v":1,"history":[1]}', b'{"v":1,"config":[]}', b'{"v":1,"attempts":null}', b'{"v":1,"floor":NaN}', b"[" * 100_000),
    ],
)
def test_an_alien_file_is_none(raw: bytes) -> None:
    """Nothing but our own record is believed."""
    assert decode(raw) is None


def test_the_history_is_bounded() -> None:
    """Twenty entries, the newest first."""
    memory = Memory()
    for number in range(30):
        memory = memory._replace(history=revisions.remembered(memory, {"revision": number}))
    assert [entry["revision"] for entry in memory.history] == list(range(29, 9, -1))


@pytest.mark.parametrize(("found", "words"), [("stale", "expected 8 to 1000007"), ("jump", "expected 8 to 1000007"), ("conflict", "expected a higher")])
def test_a_refusal_says_what_would_be_taken(found: revisions.Rule, words: str) -> None:
    """The operator reads which revisions are possible."""
    assert words in revisions.sentence(found, SEVEN, 7)


def test_an_unreadable_file_is_no_empty_memory(tmp_path: Path) -> None:
    """A directory in the file's place is an error, not a first start."""
    os.mkdir(tmp_path / "revisions.json")
    with pytest.raises(OSError):
        load(Flash(), str(tmp_path))


def test_a_push_that_met_somebody_elses_edit_is_tried_again() -> None:
    """Taken back because the file had just been changed: that passes."""
    memory = Memory(revision=7, digest="d", attempts=1, boot="b", uptime_s=100.0, reported={"state": "rolled_back", "reason": "busy"})
    assert rule(memory, 7, "d", "b", 699.0) == "repeat" and rule(memory, 7, "d", "b", 700.0) == "retry"
