"""rwagent-apply as a whole, over the simulated access point: every way a push may end, once, and with no more written than needed."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent import apply, guard, wall
from agent.change import OnAir
from agent.desk import sha256
from agent.errors import Rejected, Unavailable
from agent.flash import Flash
from agent.limits import Limits
from agent.router.store_simulated import SimulatedStore
from agent.wire.keyfile import public_key
from tests.pushes import DOCUMENT, FAST, KEY, OTHER_KEY, SSID, Jump, Place, place, signed

pytestmark = pytest.mark.needs("busybox")
OTHER = {"ssids": {"warga": {"ssid": "Lain", "security": "open", "bands": ["2g"]}}}


@pytest.fixture
def there(tmp_path: Path) -> Place:
    """A simulated access point."""
    return place(tmp_path)


def faulty(there: Place, **methods: Any) -> SimulatedStore:
    """Open a store some of whose methods are others."""
    store = there.store()
    for name, method in methods.items():
        setattr(store, name, method)
    return store


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Number and time of every file on flash."""
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def confirmed(there: Place, revision: int = 7, config: dict[str, Any] | None = None) -> Jump:
    """Push, with a daemon that confirms."""
    jump = Jump()
    there.push(revision, config)
    assert there.run_confirmed(jump) == 0 and there.reported()["state"] == "confirmed", there.reported()
    return jump


def test_what_nobody_tells_of_is_tended_while_a_push_waits(there: Place) -> None:
    """Each second: the daemon's word may take minutes, and a network made anew in between is to have its caps all the same."""
    jump, tended = Jump(), list[float]()
    store = faulty(there, tend=lambda asked=None: tended.append(jump.slept_s) if asked == b"1" else None)
    there.put("stations", b"1")
    there.push(7, confirm_within_s=60)
    jump.then = lambda: there.confirm() if jump.slept_s > 40 else None
    assert there.run(jump.clock, store, limits=FAST._replace(live_gap_s=5.0, poll_s=4.0)) == 0
    assert there.reported()["state"] == "confirmed" and jump.slept_s > 40
    assert max(later - sooner for sooner, later in itertools.pairwise(tended)) <= 1.0


# The ways a push ends.


def test_a_confirmed_push_stays(there: Place) -> None:
    """On air, in the memory, in the history; the journal is gone."""
    confirmed(there)
    assert SSID in there.wireless.read_text() and not there.pending.exists()
    reported = there.reported()
    assert {name: reported[name] for name in ("revision", "current", "state")} == {"revision": 7, "current": 7, "state": "confirmed"}
    assert reported["changes"][0]["path"] == "ssids.warga" and reported["took_ms"] > 0 and "reason" not in reported
    assert there.memory()["config"] == DOCUMENT and there.status("history")["entries"][0]["author"] == "siti"


def test_a_push_without_the_daemons_word_is_taken_back(there: Place) -> None:
    """At the deadline, byte for byte, and the reason says what was missed."""
    confirmed(there)
    before = there.wireless.read_bytes()
    jump = Jump()
    began = jump.uptime
    there.push(8, OTHER)
    assert there.run(jump.clock) == 0
    reported = there.reported()
    assert (reported["state"], reported["reason"]) == ("rolled_back", "broker_unreachable")
    assert (reported["revision"], reported["current"], reported["previous"]) == (8, 7, 7)
    assert there.wireless.read_bytes() == before and not there.pending.exists() and 29 <= jump.uptime - began <= 32
    # What the rollback freed is there for the next push of the same run.
    assert (there.folder / "state/ballast").stat().st_size > 0


def test_the_first_push_taken_back_leaves_no_file(there: Place) -> None:
    """There was none before."""
    there.push(7)
    there.run(Jump().clock)
    assert there.reported()["state"] == "rolled_back" and not there.wireless.exists() and "current" not in there.reported()


def test_what_is_so_already_is_unchanged(there: Place) -> None:
    """One flash write for the number; no journal, no trial."""
    confirmed(there)
    before = snapshot(there.folder / "state/simulated")
    there.push(8)
    there.run(Jump().clock)
    reported = there.reported()
    assert (reported["state"], reported["revision"], reported["current"], reported["previous"]) == ("unchanged", 8, 8, 7)
    assert snapshot(there.folder / "state/simulated") == before and there.memory()["revision"] == 8


@pytest.mark.parametrize(
    ("push", "reason", "is_verified"),
    [
        (b"no push", "malformed", False),
        (b"x" * 60_001, "oversize", False),
        (signed(9, key=OTHER_KEY), "unknown_key", False),
        (signed(9)[:-8] + signed(10)[-8:], "bad_signature", False),
        (signed(9, ap="rw-0502"), "wrong_ap", True),
        (signed(9, city="bandung"), "wrong_city", True),
        (signed(6), "stale", True),
        (signed(7, OTHER), "conflict", True),
        (signed(1_000_008), "jump", True),
        (signed(8, {"ssids": {"a": {"ssid": "", "security": "pks2", "bands": ["2g"]}}}), "invalid", True),
        (signed(8, {"uplink": {"cap": {"down_mbps": 10}}}), "invalid", True),
    ],
)
def test_a_refused_push_changes_nothing_and_writes_nothing(push: bytes, reason: str, is_verified: bool, there: Place) -> None:
    """Not a byte on flash, not even of memory: the same rules refuse it again."""
    confirmed(there)
    before = snapshot(there.folder / "state")
    there.put("desired", push)
    assert there.run(Jump().clock) == 0
    reported = there.reported()
    assert (reported["state"], reported["reason"]) == ("rejected", reason) and reported.get("verified", True) is is_verified
    assert reported["errors"] and reported["current"] == 7 and snapshot(there.folder / "state") == before


def test_all_faults_of_a_document_are_listed(there: Place) -> None:
    """One answer for one correction."""
    there.push(7, {"ssids": {"a": {"ssid": "", "security": "pks2", "bands": ["2g"]}}, "radios": {"9g": {}}, "unknown": 1})
    there.run(Jump().clock)
    assert len({fault["path"] for fault in there.reported()["errors"]}) >= 3


# The same push again.


@pytest.mark.parametrize("is_kept", [True, False])
def test_the_second_delivery_repeats_the_verdict_without_a_write(is_kept: bool, there: Place) -> None:
    """The same bytes; the same content newly signed; and after a reboot, which empties RAM."""
    there.push(7)
    there.run_confirmed(Jump()) if is_kept else there.run(Jump().clock)
    verdict, before = there.reported(), snapshot(there.folder / "state")
    for message, is_rebooted in ((signed(7), False), (signed(7, author="budi"), False), (signed(7), True)):
        if is_rebooted:
            for name in ("judged", "verified"):
                (there.folder / "apply" / name).unlink()
        jump = Jump(boot="c" * 16 if is_rebooted else "")
        jump.uptime = 100.0 if is_rebooted else jump.uptime
        there.put("desired", message)
        assert there.run(jump.clock) == 0
        assert there.reported() == verdict and snapshot(there.folder / "state") == before


def test_the_same_bytes_cost_no_verification(there: Place) -> None:
    """Being rung for what was judged already."""
    jump = confirmed(there)
    checks = (there.folder / "apply/verified").read_text()
    for _ in range(5):
        there.run(jump.clock)
    assert (there.folder / "apply/verified").read_text() == checks


def test_the_status_is_rebuilt_after_a_reboot(there: Place) -> None:
    """From the state directory alone; no push is named as handled."""
    confirmed(there)
    verdict = there.reported()
    for name in os.listdir(there.folder / "run/status"):
        (there.folder / "run/status" / name).unlink()
    (there.folder / "apply/judged").unlink()
    assert there.run(Jump(boot="c" * 16).clock, mode="settle") == 0
    assert there.reported() == verdict and there.status()["handled"] == "" and there.status("history")["entries"][0]["revision"] == 7


def test_what_the_flash_knows_better_is_said(there: Place) -> None:
    """A run that was killed after its last write to flash and before its word: the next one says what is so."""
    confirmed(there)
    older = (there.folder / "apply/judged").read_bytes()
    confirmed(there, 8, OTHER)
    (there.folder / "apply/judged").write_bytes(older)
    there.run(Jump().clock, mode="settle")
    assert (there.reported()["revision"], there.reported()["state"], there.status()["handled"]) == (8, "confirmed", "")


def test_a_refusal_outlives_the_run(there: Place) -> None:
    """It is not on flash, and is the last word all the same."""
    confirmed(there)
    there.put("desired", signed(6))
    there.run(Jump().clock)
    there.run(Jump().clock, mode="settle")
    assert there.reported()["reason"] == "stale"


def test_a_push_that_the_broker_did_not_hear_is_tried_again_and_then_held(there: Place) -> None:
    """After 10 minutes, after 60, then it waits for a higher one."""
    jump = Jump()
    there.push(7)
    verdicts: list[tuple[Any, ...]] = []
    for wait_s in (0, 300, 300, 3300, 300, 9999):
        jump.uptime += wait_s
        there.run(jump.clock)
        status = there.status()
        verdicts.append((len(there.status("history")["entries"]), status["reported"].get("held", False), status.get("retry_in_s")))
    assert verdicts[0][:2] == (1, False) and verdicts[0][2] in (599, 600) and verdicts[1][:2] == (1, False)
    assert verdicts[2][:2] == (2, False) and verdicts[2][2] in (3599, 3600)
    assert verdicts[3][:2] == (2, False) and verdicts[4] == (3, True, None) and verdicts[5] == (3, True, None)
    confirmed(there, 8)


def test_what_is_in_the_way_for_a_moment_is_refused_and_tried_again(there: Place) -> None:
    """Somebody's staged edits: busy, nothing touched; gone a minute later, the same push passes."""
    there.wireless.parent.mkdir()
    (there.wireless.parent / "busy").write_bytes(b"")
    jump = Jump()
    there.push(7)
    there.run_confirmed(jump)
    assert (there.reported()["reason"], there.status()["retry_in_s"]) == ("busy", 60) and not there.pending.exists()
    (there.wireless.parent / "busy").unlink()
    jump.uptime += 60
    there.run_confirmed(jump)
    assert there.reported()["state"] == "confirmed"


# A hostile or busy inbox.


def test_a_thousand_pushes_a_minute_cost_six_checks_and_the_last_wins(there: Place) -> None:
    """A daemon that starts us again and again, each time with another push: verifications and flash writes stay bounded."""
    jump, messages = Jump(), [signed(number) for number in range(1, 1001)]
    began, sent = jump.uptime, 0

    def flood() -> None:
        nonlocal sent
        due = min(1000, int((jump.uptime - began) / 60 * 1000))
        if due > sent:
            sent = due
            there.put("desired", messages[due - 1])
        there.confirm()

    jump.then = flood
    there.put("desired", messages[0])
    limits = FAST._replace(verify_every_s=10.0)
    while jump.uptime - began < 75:
        there.run(jump.clock, limits=limits)
        jump.clock.sleep(2.0)
    checks = json.loads((there.folder / "apply/verified").read_text())[1]
    assert there.reported()["revision"] == 1000 and checks <= 8 and len(there.memory()["history"]) <= checks


def test_a_rejected_push_asked_for_again_is_judged_by_what_is_so_now(there: Place) -> None:
    """Its key was not there and is now: the very same bytes pass, once they are asked for again."""
    key = next(path for path in (there.folder / "keys").iterdir())
    jump, text = Jump(), key.read_bytes()
    key.unlink()
    there.push(7)
    there.run(jump.clock)
    assert there.reported()["reason"] == "unknown_key"
    key.write_bytes(text)
    there.run(jump.clock)
    assert there.reported()["reason"] == "unknown_key"
    there.put("desired.again", b"0123456789abcdef")
    there.run_confirmed(jump)
    assert there.reported()["state"] == "confirmed"


def test_a_refused_push_takes_no_retry_away(there: Place) -> None:
    """A lower one comes between: when the time has come is said all the same, and who is held back stays held back."""
    jump = Jump()
    there.push(7)
    there.run(jump.clock)
    assert there.reported()["reason"] == "broker_unreachable"
    there.push(3)
    there.run(jump.clock)
    assert there.reported()["reason"] == "stale" and 0 < there.status()["retry_in_s"] <= 600 and "held" not in there.status()


def test_the_newest_content_is_what_the_waiting_ends_with(there: Place) -> None:
    """While the next check may not be made yet, a newer push takes the place of the older."""
    jump = confirmed(there)
    there.push(8, OTHER)

    def newer() -> None:
        there.push(9)

    jump.then = newer
    there.run(jump.clock, limits=FAST._replace(verify_every_s=10.0))
    assert there.reported()["revision"] == 9 and [entry["revision"] for entry in there.status("history")["entries"]] == [9, 7]


def test_a_newer_push_waits_for_the_verdict_of_the_one_on_trial(there: Place) -> None:
    """Both get theirs, in order."""
    jump = Jump()
    there.push(7)

    def daemon() -> None:
        if "test" in there.status():
            there.push(8, OTHER)
        there.confirm()

    jump.then = daemon
    there.run(jump.clock)
    assert [(entry["revision"], entry["state"]) for entry in there.status("history")["entries"]] == [(8, "confirmed"), (7, "confirmed")]


def test_three_bad_signatures_are_counted(there: Place) -> None:
    """For the daemon's alert; a good one ends it."""
    jump, good = Jump(), signed(7)
    for number in (8, 9, 10):
        there.put("desired", good[:-8] + signed(number)[-8:])
        there.run(jump.clock)
    assert there.status()["refusals"] == 3
    there.put("desired", good)
    there.run_confirmed(jump)
    assert there.status()["refusals"] == 0


def test_a_confirm_of_an_earlier_run_confirms_nothing(there: Place) -> None:
    """The nonce is this run's."""
    confirmed(there)
    assert (there.inbox / "confirm").exists()
    there.push(8, OTHER)
    there.run(Jump().clock)
    assert there.reported()["reason"] == "broker_unreachable"


def test_a_second_run_leaves_the_work_to_the_first(there: Place) -> None:
    """Two at once: one works, the other ends at once and well."""
    there.push(7)
    jump = Jump()
    codes: list[int] = []

    def daemon() -> None:
        if not codes:
            codes.append(there.run(Jump().clock))
        there.confirm()

    jump.then = daemon
    assert there.run(jump.clock) == 0 and codes == [0] and [entry["revision"] for entry in there.status("history")["entries"]] == [7]


# Faults of the box.


def test_a_full_flash_refuses_before_anything_is_touched(there: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that cannot be written is no journal."""
    confirmed(there)
    before = there.wireless.read_bytes()
    real = Flash.put

    def put(self: Flash, path: str, content: bytes, mode: int | None = None, like: str | None = None) -> None:
        if path.endswith("/ready"):
            raise OSError(28, "No space left on device")
        real(self, path, content, mode, like)

    monkeypatch.setattr(Flash, "put", put)
    there.push(8, OTHER)
    there.run_confirmed(Jump())
    assert (there.reported()["state"], there.reported()["reason"], there.status()["retry_in_s"]) == ("rejected", "busy", 60)
    assert there.wireless.read_bytes() == before and not there.pending.exists()


def test_a_file_that_cannot_be_put_in_place_takes_all_back(there: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flash went read-only or full between the first file and the second."""
    confirmed(there)
    before = there.wireless.read_bytes()
    real = Flash.put

    def put(self: Flash, path: str, content: bytes, mode: int | None = None, like: str | None = None) -> None:
        if path.endswith("simulated/system"):
            raise OSError(30, "Read-only file system")
        real(self, path, content, mode, like)

    monkeypatch.setattr(Flash, "put", put)
    there.push(8, OTHER | {"system": {"hostname": "lain"}})
    there.run_confirmed(Jump())
    assert (there.reported()["state"], there.reported()["reason"]) == ("rolled_back", "write_failed")
    assert there.wireless.read_bytes() == before and not (there.wireless.parent / "system").exists()


def test_a_flash_that_lies_is_found_out(there: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read back is not what was written."""
    real = Flash.put

    def put(self: Flash, path: str, content: bytes, mode: int | None = None, like: str | None = None) -> None:
        real(self, path, content[:-1] if path.endswith("simulated/wireless") else content, mode, like)

    monkeypatch.setattr(Flash, "put", put)
    there.push(7)
    there.run_confirmed(Jump())
    assert (there.reported()["state"], there.reported()["reason"]) == ("rolled_back", "read_back") and not there.wireless.exists()


def test_daemons_that_cannot_be_told_take_it_back(there: Place) -> None:
    """The reload could not be said."""

    def reload(packages: Sequence[str]) -> None:
        raise Unavailable("ubus: no answer")

    there.push(7)
    there.run_confirmed(Jump(), faulty(there, reload=reload))
    assert (there.reported()["state"], there.reported()["reason"]) == ("rolled_back", "reload_failed") and not there.wireless.exists()


def altered(store: SimulatedStore, **fields: Any) -> SimulatedStore:
    """Have the pushed network on air otherwise than it should be."""
    real = store.on_air

    def on_air() -> list[OnAir]:
        return [one._replace(**fields) if one.ifname == "rw-warga-2g" else one for one in real()]

    store.on_air = on_air  # type: ignore[method-assign]
    return store


@pytest.mark.parametrize(
    ("fields", "config", "reason"),
    [
        ({"state": "down"}, DOCUMENT, "not_on_air"),
        ({"state": "starting"}, DOCUMENT, "not_on_air"),
        ({"ssid": "?"}, DOCUMENT, "not_on_air"),
        ({"channel": 13}, DOCUMENT | {"radios": {"2g": {"channel": 11}}}, "wrong_channel"),
    ],
)
def test_what_does_not_come_on_air_is_taken_back(fields: dict[str, Any], config: dict[str, Any], reason: str, there: Place) -> None:
    """By what is sent, whatever the daemon says."""
    there.push(7, config)
    there.run_confirmed(Jump(), altered(there.store(), **fields))
    assert (there.reported()["state"], there.reported()["reason"]) == ("rolled_back", reason) and not there.wireless.exists()


def test_a_channel_the_country_forbids_is_taken_back(there: Place) -> None:
    """The simulated hostapd leaves the radio down, as a real one does."""
    there.push(7, {"radios": {"5g": {"channel": 140}}})
    there.run_confirmed(Jump())
    assert (there.reported()["state"], there.reported()["reason"]) == ("rolled_back", "not_on_air")


def test_radar_is_waited_for(there: Place) -> None:
    """20 s of silence before the network is there; the push is kept."""
    jump = Jump()
    began, store = jump.uptime, there.store()
    real = store.on_air

    def on_air() -> list[OnAir]:
        return real() if jump.uptime - began > 20 else [one._replace(state="starting") for one in real()]

    store.on_air = on_air  # type: ignore[method-assign]
    there.push(7)
    there.run_confirmed(jump, store)
    assert there.reported()["state"] == "confirmed" and jump.uptime - began > 20


def test_clock_jumps_in_the_window_change_nothing(there: Place) -> None:
    """Years on and back at every breath."""
    jump = Jump()
    step = [1e9, -1e9]

    def daemon() -> None:
        jump.wall_s += step[0]
        step.reverse()
        there.confirm()

    jump.then = daemon
    there.push(7)
    there.run(jump.clock)
    assert there.reported()["state"] == "confirmed"


# Somebody else at the configuration.


def test_an_edit_in_the_window_is_told_and_kept(there: Place) -> None:
    """The push is taken back; the technician's version lies beside the file."""
    confirmed(there)
    before = there.wireless.read_bytes()
    jump = Jump()

    def technician() -> None:
        if there.pending.exists():
            there.wireless.write_bytes(before + b"\n")

    jump.then = technician
    there.push(8, OTHER)
    there.run(jump.clock)
    reported = there.reported()
    assert reported["state"] == "rolled_back" and reported["foreign_edit"] is True
    assert there.wireless.read_bytes() == before and (there.folder / "state/foreign.wireless").read_bytes() == before + b"\n"


def test_an_edit_while_it_is_planned_refuses_the_push(there: Place) -> None:
    """What was read is not there any more: nothing of his is written over."""
    confirmed(there)
    store = there.store()
    real = store.stage

    def stage(edits: Sequence[Any], directory: str) -> dict[str, bytes]:
        made = real(edits, directory)
        there.wireless.write_bytes(there.wireless.read_bytes() + b"\n")
        return made

    store.stage = stage  # type: ignore[method-assign]
    there.push(8, OTHER)
    there.run_confirmed(Jump(), store)
    assert (there.reported()["state"], there.reported()["reason"]) == ("rejected", "busy")
    assert there.wireless.read_bytes().endswith(b"\n\n") and "Lain" not in there.wireless.read_text()


def test_what_has_changed_since_is_reported_as_drift(there: Place) -> None:
    """With what is expected and what is found; a status file of its own accord."""
    confirmed(there)
    there.wireless.write_text(there.wireless.read_text().replace(SSID, "Diubah"))
    there.run(Jump().clock, mode="settle")
    assert {"path": "ssids.warga.ssid", "expected": SSID, "found": "Diubah"} in there.reported()["drift"]


def test_pushed_knobs_are_told_to_the_daemon(there: Place) -> None:
    """From the configuration, so also after a reboot; gone when the document does not name them."""
    confirmed(there, 7, {"agent": {"report_interval_s": 30, "sample_interval_s": 5}})
    assert there.status()["agent"] == {"report_interval_s": 30, "sample_interval_s": 5}
    confirmed(there, 8, {})
    assert there.status()["agent"] == {}


def test_a_plan_is_answered_and_changes_nothing(there: Place) -> None:
    """Any revision may be planned; faults are listed, keys starred."""
    (there.folder / "state").mkdir(exist_ok=True)
    there.push(7, {"ssids": {"a": {"ssid": "A", "security": "psk2", "key": "sangat-rahasia", "bands": ["2g"]}}}, name="plan")
    there.run(Jump().clock)
    result = there.status("plan")["result"]
    assert (result["state"], result["revision"], result["impact"]) == ("planned", 7, "bss") and "sangat-rahasia" not in json.dumps(result)
    assert not there.wireless.exists() and not (there.folder / "state/revisions.json").exists()
    there.push(1, {"ssids": 1}, name="plan")
    there.run(Jump().clock)
    assert there.status("plan")["result"]["reason"] == "invalid"


def test_a_push_signed_to_be_planned_is_never_applied(there: Place) -> None:
    """Whoever puts a plan where configs lie gets a verdict and no change; where plans lie it is planned."""
    there.push(7, kind="plan")
    there.run(Jump().clock)
    assert (there.reported()["state"], there.reported()["reason"]) == ("rejected", "wrong_kind")
    assert not there.wireless.exists()
    there.push(7, kind="plan", name="plan")
    there.run(Jump().clock)
    assert there.status("plan")["result"]["state"] == "planned"


def test_desired_comes_before_plan(there: Place) -> None:
    """The plan is made of what the push left."""
    there.push(8, name="plan")
    there.push(7)
    there.run_confirmed(Jump())
    assert there.reported()["state"] == "confirmed" and there.status("plan")["result"]["changes"] == []


def test_no_key_is_in_what_root_says_or_logs(there: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Not in status, RAM or log; only in the box's own file and in root's memory."""
    caplog.set_level("DEBUG")
    confirmed(there, 7, {"ssids": {"a": {"ssid": "A", "security": "psk2", "key": "sangat-rahasia", "bands": ["2g"]}}})
    confirmed(there, 8, {"ssids": {"a": {"ssid": "A", "security": "psk2", "key": "lebih-rahasia!", "bands": ["2g"]}}})
    said = [path.read_bytes() for folder in ("run/status", "apply") for path in (there.folder / folder).rglob("*") if path.is_file()]
    text = b"".join(said) + caplog.text.encode()
    assert b"sangat-rahasia" not in text and b"lebih-rahasia!" not in text
    assert "lebih-rahasia!" in there.wireless.read_text() and "lebih-rahasia!" in (there.folder / "state/revisions.json").read_text()


# What fails for a while.


class End(Exception):
    """The test has seen enough of a watcher."""


def watch(there: Place, jump: Jump, turns: int, each: Callable[[int], None], store: SimulatedStore | None = None, limits: Limits = FAST) -> None:
    """Watch for some breaths; `each` plays the world."""
    number = 0

    def then() -> None:
        nonlocal number
        number += 1
        if number > turns:
            raise End
        each(number)

    jump.then = then
    with pytest.raises(End):
        there.run(jump.clock, store, mode="watch", limits=limits)


def hindered(there: Place, until: str) -> Place:
    """A place whose rollback cannot run until shell says that it can."""
    folder = there.folder / "ash"
    shutil.copytree(guard.DIRECTORY, folder)
    (folder / "rollback").write_text(f"echo >>{there.folder}/tried\n{until} || exit 1\n" + (folder / "rollback").read_text())
    return there._replace(scripts=there.scripts._replace(directory=str(folder)))


def test_a_push_that_cannot_be_taken_back_keeps_the_next_waiting(there: Place) -> None:
    """The watcher destroys no journal, says no verdict before there is one, and goes on once it could."""
    confirmed(there)
    before, said = there.wireless.read_bytes(), list[tuple[Any, Any]]()
    place = hindered(there, f"[ -e {there.folder}/mended ]")
    tries = there.folder / "tried"

    def each(number: int) -> None:
        said.append((there.reported().get("revision"), there.reported()["state"]))
        if tries.exists() and len(tries.read_text()) == 4:
            there.push(9, {})
        if tries.exists() and len(tries.read_text()) == 9:
            assert (there.pending / "before.wireless").read_bytes() == before
            (there.folder / "mended").write_bytes(b"")
        if said[-1][0] == 9:
            there.confirm()

    there.push(8, OTHER)
    watch(place, Jump(), 260, each)
    ends = [(entry["revision"], entry["state"]) for entry in there.status("history")["entries"]]
    assert ends == [(9, "confirmed"), (8, "rolled_back"), (7, "confirmed")] and (8, "failed") not in said


def test_a_rollback_that_fails_at_first_is_no_failure(there: Place) -> None:
    """Three tries, as the guard makes; one verdict."""
    confirmed(there)
    there.push(8, OTHER)
    hindered(there, f'[ "$(cat {there.folder}/tried | tr "\\n" x)" = xxx ]').run(Jump().clock)
    assert there.reported()["state"] == "rolled_back" and [one["revision"] for one in there.status("history")["entries"]] == [8, 7]


def test_a_rollback_marked_failed_is_tried_once_more(there: Place) -> None:
    """Before a person is called."""
    confirmed(there)
    there.push(8, OTHER)
    mark = f'if [ "$(cat {there.folder}/tried | tr "\\n" x)" != xxxx ]; then printf "not_on_air\\n\\n" >"$1/pending/failed"; false; fi'
    assert hindered(there, mark).run(Jump().clock) == 0
    assert there.reported()["state"] == "rolled_back" and not (there.folder / "state/unrestored").exists()


def test_the_watcher_outlives_a_configuration_that_cannot_be_read(there: Place) -> None:
    """The push is busy, and passes when it can."""
    jump, store = confirmed(there), there.store()
    real, seen = store.paths, list[Any]()

    def paths() -> dict[str, str]:
        if 2 <= len(seen) < 20:
            raise Unavailable("two files of nearly one name")
        return real()

    store.paths = paths  # type: ignore[method-assign]

    def each(number: int) -> None:
        seen.append((there.reported()["state"], there.reported().get("reason")))
        if number == 3:
            there.push(8, OTHER)
        there.confirm()

    watch(there, jump, 1600, each, store)
    assert ("rejected", "busy") in seen and seen[-1] == ("confirmed", None) and there.reported()["revision"] == 8


def test_the_watcher_outlives_a_full_ram_and_a_broken_flash(there: Place) -> None:
    """One fault after the other, and then it works."""
    jump = confirmed(there)
    names = ("judged.new", "verified.new", "step.new", "applier.new")

    def each(number: int) -> None:
        if number == 3:
            for name in names:
                (there.folder / "apply" / name).mkdir()
            there.push(8, OTHER)
        if number == 30:
            for name in names:
                (there.folder / "apply" / name).rmdir()
        there.confirm()

    watch(there, jump, 1600, each)
    assert (there.reported()["revision"], there.reported()["state"]) == (8, "confirmed")


def test_the_watcher_outlives_what_nobody_thought_of(there: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any error of the system in a turn: said, settled, tried again."""
    real, calls = wall.Inbox.read, list[str]()

    def read(self: wall.Inbox, name: str, most: int = wall.MOST_BYTES) -> bytes | None:
        calls.append(name)
        if len(calls) < 3:
            raise OSError(23, "Too many open files in system")
        return real(self, name, most)

    monkeypatch.setattr(wall.Inbox, "read", read)
    there.push(7)
    watch(there, Jump(), 60, lambda number: there.confirm())
    assert there.reported()["state"] == "confirmed"


def test_the_watcher_looks_after_the_caps_whatever_becomes_of_the_flash(there: Place) -> None:
    """A network made anew gets its filters although no push can begin and none can be finished."""
    store, tended = there.store(), list[object]()
    store.tend = lambda asked=None: tended.append(asked)  # type: ignore[method-assign]  # a fake
    for name in ("judged.new", "verified.new", "step.new", "applier.new"):
        (there.folder / "apply" / name).mkdir()
    shutil.rmtree(there.folder / "state")
    (there.folder / "state").write_bytes(b"no directory")
    watch(there, Jump(), 3, lambda number: None, store)
    assert len(tended) >= 3 and not (there.folder / "run/status/config.json").exists()


def test_the_watcher_follows_the_way_out(there: Place) -> None:
    """A cap of the uplink goes with it, some minutes after another device leads out."""
    jump, store = Jump(), there.store()
    there.push(7, {"uplink": {"cap": {"down_mbps": 50}}})
    there.run_confirmed(jump, store)
    real, caps = store.facts, Path(store.paths()["caps"])

    def each(number: int) -> None:
        if number == 3:
            store.facts = lambda tree: real(tree)._replace(uplink="wwan0")  # type: ignore[method-assign]  # another way out

    assert caps.read_bytes() == b"v 1\nuplink 50000 - wan\n"
    watch(there, jump, 150, each, store, FAST._replace(follow_s=5.0))
    assert caps.read_bytes() == b"v 1\nuplink 50000 - wwan0\n" and there.reported()["state"] == "confirmed"


@pytest.mark.parametrize("mode", ["once", "watch"])
def test_a_floor_written_by_hand_is_heard(mode: Any, there: Place) -> None:
    """What was refused because the memory is lost is judged again, in a watcher without a restart."""
    confirmed(there)
    (there.folder / "state/revisions.json").write_bytes(b"")
    there.push(8, OTHER)
    said: list[Any] = []

    def each(number: int) -> None:
        said.append(there.reported().get("reason"))
        if said.count("stale") == 2:
            (there.folder / "state/floor").write_text("7\n")
        there.confirm()

    if mode == "watch":
        watch(there, Jump(), 60, each)
    else:
        there.run(Jump().clock)
        assert there.reported()["reason"] == "stale"
        (there.folder / "state/floor").write_text("7\n")
        there.run_confirmed(Jump())
    assert (there.reported()["revision"], there.reported()["state"]) == (8, "confirmed")


def test_refusals_that_cost_no_check_are_spaced_and_read_nothing(there: Place) -> None:
    """A daemon that puts garbage there without end, in this run or the next."""
    jump, store, read = confirmed(there), there.store(), list[int]()
    real = store.tree

    def tree() -> Any:
        read.append(1)
        return real()

    store.tree = tree  # type: ignore[method-assign]
    there.wireless.write_text(there.wireless.read_text().replace(SSID, "Diubah"))
    began = jump.uptime
    jump.then = lambda: there.put("desired", b"garbage %d" % jump.uptime) if jump.uptime - began < 19 else None
    there.put("desired", b"garbage")
    there.run(jump.clock, store)
    assert len(read) == 1 and there.reported()["reason"] == "malformed" and there.reported()["drift"]
    began = jump.uptime
    for number in range(4):
        there.put("desired", b"more %d" % number)
        there.run(jump.clock, store)
    assert jump.uptime - began >= 6


@pytest.mark.parametrize("mode", ["once", "settle", "watch"])
def test_who_is_withdrawn_touches_nothing(mode: Any, there: Place) -> None:
    """Until the reboot; the watcher ends."""
    there.push(7)
    (there.folder / "apply/withdrawn").write_bytes(b"")
    before = snapshot(there.folder / "state")
    assert there.run(Jump().clock, mode=mode) == 1 and snapshot(there.folder / "state") == before
    assert not (there.folder / "run/status/config.json").exists()


@pytest.mark.parametrize("is_hostile", [False, True])
def test_what_was_left_half_done_is_taken_back_without_a_status_directory(is_hostile: bool, there: Place) -> None:
    """The daemon's directory is missing after a boot, or is hostile: root rolls back and books, and refuses only then."""
    confirmed(there)
    before = there.wireless.read_bytes()
    jump = Jump()

    def cut() -> None:
        raise End

    jump.then = cut
    there.push(8, OTHER)
    with pytest.raises(End):
        there.run(jump.clock)
    assert there.wireless.read_bytes() != before
    shutil.rmtree(there.folder / "run/status")
    if is_hostile:
        (there.folder / "run/status").symlink_to(there.folder / "state")
    else:
        shutil.rmtree(there.folder / "run")
    with pytest.raises(Rejected):
        there.run(Jump().clock)
    assert there.wireless.read_bytes() == before and there.memory()["revision"] == 8 and not there.pending.exists()


# The program.


def start(there: Place, *words: str) -> subprocess.Popen[bytes]:
    """Start it as a program."""
    command = [sys.executable, "-m", "agent.apply", "--config", str(there.folder / "agent.toml"), *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, cwd=Path(__file__).parent.parent)


@pytest.fixture
def program(there: Place) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Collect programs, and end those that still run."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for one in started:
        one.kill()
        one.communicate()


def wait_for(there: Place, claim: Any, seconds: float = 60.0) -> None:
    """Wait until a claim about the status holds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if claim(there.status()):
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.05)
    raise AssertionError(there.status())


def test_killed_in_the_window_the_guard_takes_the_push_back(there: Place, program: list[subprocess.Popen[bytes]]) -> None:
    """With real processes: SIGKILL, and a verdict a moment later that nobody rang for."""
    there.push(7)
    program.append(start(there))
    wait_for(there, lambda status: "test" in status)
    assert there.wireless.exists()
    program[0].send_signal(signal.SIGKILL)
    wait_for(there, lambda status: status["reported"]["state"] == "rolled_back")
    assert there.reported()["reason"] == "applier_died" and not there.wireless.exists() and not there.pending.exists()


def test_as_a_program_it_confirms_in_real_time(there: Place, program: list[subprocess.Popen[bytes]]) -> None:
    """The whole way with the limits of production; --watch goes on to the next."""
    there.push(7)
    program.append(start(there, "--watch"))
    wait_for(there, lambda status: "test" in status)
    there.confirm()
    wait_for(there, lambda status: status["reported"]["state"] == "confirmed")
    there.push(7, author="budi")
    wait_for(there, lambda status: status["handled"] == sha256((there.inbox / "desired").read_bytes()))
    assert program[0].poll() is None and there.reported()["state"] == "confirmed"


def test_a_wall_with_a_hole_refuses_to_run(there: Place, program: list[subprocess.Popen[bytes]]) -> None:
    """Exit 1, each fault with its command; the push stays where it is."""
    there.push(7)
    (there.folder / "keys").chmod(0o777)
    (there.folder / "state").chmod(0o755)
    program.append(start(there))
    said = program[0].communicate(timeout=60)[1].decode()
    assert program[0].returncode == 1 and f"chmod 750 {there.folder}/keys" in said and f"chmod 700 {there.folder}/state" in said
    assert not (there.folder / "run/status/config.json").exists()


def test_half_a_settings_file_is_bad_input(there: Place, program: list[subprocess.Popen[bytes]]) -> None:
    """Exit 2 with what is wrong."""
    (there.folder / "agent.toml").write_text("[agent]\n")
    program.append(start(there))
    assert b"agent.toml: agent.city is missing" in program[0].communicate(timeout=60)[1] and program[0].returncode == 2


@pytest.mark.parametrize("words", [["--help"], ["--unknown"], ["--settle", "--watch"]])
def test_the_command_line_explains_itself(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help with examples; 2 for what it does not know."""
    with pytest.raises(SystemExit) as ended:
        apply.main(words)
    assert ended.value.code == (0 if words == ["--help"] else 2)
    said = "".join(capsys.readouterr())
    assert "rwagent-apply" in said and (words != ["--help"] or "exit codes" in said)


def test_a_status_directory_that_is_not_roots_stops_it(there: Place) -> None:
    """Before anything is read."""
    (there.folder / "run/status").symlink_to(there.folder / "state")
    with pytest.raises(Rejected):
        there.run(Jump().clock)


def test_a_key_taken_away_is_trusted_no_more(there: Place) -> None:
    """Keys are read anew for each push."""
    confirmed(there)
    (there.folder / "keys/city").write_bytes(public_key(OTHER_KEY.public, "the new one"))
    there.push(8, OTHER)
    there.run(Jump().clock)
    assert there.reported()["reason"] == "unknown_key" and KEY.kid in there.reported()["errors"][0]["message"]


def test_the_memory_of_an_applied_push_is_one_transaction(there: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a push costs the flash is known: journal, file, keep, memory, and the journal's removal."""
    confirmed(there)
    flashes: list[Flash] = []
    real = Flash.__init__

    def init(self: Flash) -> None:
        real(self)
        flashes.append(self)

    monkeypatch.setattr(Flash, "__init__", init)
    confirmed(there, 8, OTHER)
    assert sum(flash.writes_total for flash in flashes) == 11
    assert not guard.is_alive(str(there.folder / "apply"), "nobody")
