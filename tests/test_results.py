"""What root remembers of commands: in another process too, bounded, and never too little to tell a repeated one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.results import KEPT_BYTES, MOST_IDS, MOST_REFUSALS, MOST_RESULTS, MOST_TODO, Results
from agent.wire.claims import CommandClaims
from agent.wire.command import result

BOOT = "b1946ac92492d234"


def claims(number: int, until: int = 1000) -> CommandClaims:
    return CommandClaims("malang", "rw-0501", f"id-{number}", BOOT, until, "locate", {}, 0)


def of(number: int) -> str:
    return f"{number:064x}"


def remembered(folder: Path, count: int, until: int = 1000, size: int = 0) -> Results:
    """Have so many commands done, and give what another process knows of them."""
    first = Results(str(folder), BOOT, 0)
    for number in range(count):
        first.begin(claims(number, until), of(number), result("running", f"id-{number}"))
        first.end(f"id-{number}", result("succeeded", f"id-{number}", output={"a": "x" * size}))
    first.save()
    return Results(str(folder), BOOT, 0)


def test_a_result_outlives_the_process(tmp_path: Path) -> None:
    """Of this boot; another boot begins with nothing."""
    assert remembered(tmp_path, 1).first("id-0") == result("succeeded", "id-0", output={"a": ""}) | {"name": "locate", "of": of(0)}
    assert Results(str(tmp_path), "0" * 16, 0).first("id-0") is None


def test_of_many_the_ids_are_known_longer_than_the_results(tmp_path: Path) -> None:
    """An id whose time is not over is never forgotten: what it found may be."""
    found = remembered(tmp_path, MOST_RESULTS + 10)
    first, last = found.first("id-0"), found.first(f"id-{MOST_RESULTS + 9}")
    assert first is not None and first["state"] == "succeeded" and "output" not in first and last is not None and "output" in last
    assert not found.is_full(999) and found.first("id-0") is not None
    assert not found.is_full(1001) and found.first("id-0") is None and found.first("id-20") is not None


def test_when_no_id_can_be_forgotten_none_is_taken(tmp_path: Path) -> None:
    """Until the first one's time is over."""
    found = remembered(tmp_path, MOST_IDS)
    assert found.is_full(1000) and not found.is_full(1001)


def test_outputs_are_bounded(tmp_path: Path) -> None:
    """The newest are kept; the file and what is said stay small."""
    found = remembered(tmp_path, 20, size=40_000)
    assert (tmp_path / "commands.json").stat().st_size < KEPT_BYTES + 50_000 and len(json.dumps(found.told())) < 200_000
    newest, oldest = found.first("id-19"), found.first("id-0")
    assert newest is not None and "output" in newest and oldest is not None and "output" not in oldest and oldest["state"] == "succeeded"


def test_what_is_asked_again_is_the_newest_word(tmp_path: Path) -> None:
    """Also when many others came since, and when what it found is gone."""
    found = remembered(tmp_path, MOST_RESULTS + 10)
    for number in (0, 20):
        first = found.first(f"id-{number}")
        assert first is not None
        found.again(f"id-{number}", of(900 + number), first, "locate")
        assert [one["id"] for one in found.told() if one["of"] == of(900 + number)] == [f"id-{number}"]


def test_what_is_to_be_done_is_bounded_and_ends_with_its_time(tmp_path: Path) -> None:
    """The daemon gets the newest."""
    found = Results(str(tmp_path), BOOT, 0)
    for number in range(20):
        found.pass_on(claims(number, 1000 + number), 0)
    assert len(found.todo) == MOST_TODO and found.todo[-1]["id"] == "id-19"
    found.pass_on(claims(20, 5000), 1018)
    assert [one["id"] for one in found.todo] == ["id-18", "id-19", "id-20"]


def test_what_ran_when_the_process_ended_is_interrupted(tmp_path: Path) -> None:
    """For good."""
    first = Results(str(tmp_path), BOOT, 0)
    first.begin(claims(1), of(1), result("running", "id-1"))
    first.save()
    found = Results(str(tmp_path), BOOT, 0).first("id-1")
    assert found is not None and (found["state"], found["code"]) == ("failed", "interrupted")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"boot":"b1946ac92492d234"}', '{"boot":"b1946ac92492d234","results":7,"seen":{}}'])
def test_a_memory_that_is_none_is_full_for_an_hour(tmp_path: Path, content: str) -> None:
    """What was done may be sent again by then; also after the next start."""
    (tmp_path / "commands.json").write_text(content)
    found = Results(str(tmp_path), BOOT, 500)
    assert found.is_full(500) and found.is_full(4099) and not found.is_full(4101)
    found.save()
    assert Results(str(tmp_path), BOOT, 600).is_full(4099)


def test_a_refusal_outlives_the_process_too(tmp_path: Path) -> None:
    """The file that it is about counts as judged, so that nobody would say it again; the newest are kept."""
    first = Results(str(tmp_path), BOOT, 0)
    for number in range(20):
        first.refuse(of(number), result("rejected", None, "malformed", verified=False), None)
    first.save()
    found = Results(str(tmp_path), BOOT, 0).told()
    assert [one["of"] for one in found] == [of(number) for number in range(20 - MOST_REFUSALS, 20)]


def test_what_the_daemon_does_pushes_out_nothing_newer(tmp_path: Path) -> None:
    """Root never learns how that ended: it must not count as under way for ever."""
    found = Results(str(tmp_path), BOOT, 0)
    for number in range(MOST_RESULTS):
        found.begin(claims(number), of(number), result("accepted", f"id-{number}"))
    found.begin(claims(900), of(900), result("running", "id-900"))
    found.end("id-900", result("succeeded", "id-900", output={"a": 1}))
    found.begin(claims(901), of(901), result("accepted", "id-901"))
    assert [one["id"] for one in found.told()][-2:] == ["id-900", "id-901"]


def test_one_in_the_middle_of_its_way_is_not_pushed_out(tmp_path: Path) -> None:
    """Many others may end meanwhile."""
    found = Results(str(tmp_path), BOOT, 0)
    found.begin(claims(0), of(0), result("running", "id-0"))
    for number in range(1, MOST_RESULTS + 5):
        found.begin(claims(number), of(number), result("rejected", f"id-{number}", "too_soon"))
    found.end("id-0", result("succeeded", "id-0", output={"a": 1}))
    first = found.first("id-0")
    assert first is not None and first["output"] == {"a": 1} and found.told()[-1]["id"] == "id-0"
