"""What a daemon that somebody has taken over can do with commands: two real users, the real rwagent-apply, real signatures.

It has every command that was ever signed for this access point, and more; none is done but those of this boot, in their time, once.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent import apply
from agent.wire import jws
from agent.wire.claims import CommandClaims
from fleet import sign
from tests.orders import new_id
from tests.stories import hostile
from tests.stories.test_wall import ACTS, MOST_KIB, STIRS, Record, assert_bounded, expect_untouched
from tests.stories.walled import KEY, STRANGER, TIMES, Applier, Box, document, make_box, signed
from tests.stories.world import until

pytestmark = [pytest.mark.story, pytest.mark.needs("root", "netns", "signify-openbsd")]
NOBODY = {"station": "0123456789ab"}
HOUR = 3600


@pytest.fixture
def box() -> Iterator[Box]:
    """An access point of its own."""
    with make_box() as made:
        yield made


def boot_of(box: Box) -> str:
    return (box.folder / "boot_id").read_text().replace("-", "")[:16]


def ordered(box: Box, name: str = "kick", args: dict[str, Any] | None = None, *, ahead: float = 60, key: sign.SecretKey = KEY, **more: Any) -> bytes:
    """Sign a command for this access point in this boot; `kick` means nobody who is there, so that doing it costs nothing."""
    until_s = int(time.clock_gettime(time.CLOCK_BOOTTIME) + ahead)
    known: dict[str, Any] = {"city": "malang", "ap": "rw-0501", "id": new_id(), "boot": boot_of(box), "issued_at": 1_790_000_000}
    return sign.command(key, CommandClaims(**(known | {"name": name, "args": NOBODY if args is None else args, "until_uptime_s": until_s} | more)))


def begun(log: str) -> int:
    """Count what was done so far."""
    return log.count("state=running")


def answer(box: Box, raw: bytes) -> dict[str, Any]:
    """Give what root says of a file; {} when it says nothing."""
    of = hashlib.sha256(raw[:60_001]).hexdigest()
    return next((one for one in box.status("command").get("results", []) if one["of"] == of and one["state"] != "running"), {})


def acted(box: Box, raw: bytes, name: str = "command.act") -> tuple[str, str, int]:
    """Put a file there and run the program as it is; give how it ended, why, and how much was done."""
    box.put(raw, name)
    ended = box.run()
    assert_bounded(ended)
    assert ended.code == apply.DONE
    told = answer(box, raw)
    return told["state"], told.get("code", ""), begun(ended.log)


def test_no_command_of_the_past_acts(box: Box, record_property: Record) -> None:
    """Not again, not in another class, not with all that the daemon can delete gone, not after its time, not in another boot."""
    good, soon, far = ordered(box), ordered(box, ahead=4), ordered(box, ahead=HOUR + 60)
    assert acted(box, good) == ("failed", "unavailable", 1)
    first = answer(box, good)
    assert acted(box, far)[1] == "jump"
    for name in ("command.act", "command.ask"):
        assert acted(box, good, name) == ("failed", "unavailable", 0) and answer(box, good) == first
        box.daemon(hostile.clear, str(box.run_dir))
    time.sleep(max(0.0, 4.5 - first["took_ms"] / 1000))
    assert acted(box, soon) == ("expired", "expired", 0)
    past = [good, soon, far, ordered(box, ahead=HOUR - 60)]
    box.reboot()
    for raw in past:
        assert acted(box, raw) == ("rejected", "wrong_boot", 0)
    assert acted(box, ordered(box)) == ("failed", "unavailable", 1)
    record_property(ACTS, 8)


def forged(box: Box) -> Iterator[tuple[str, bytes, str]]:
    """Give what is nearly a command, by name, and the reason each is refused for."""
    good = ordered(box, ahead=HOUR / 2)
    head, payload, signature = good.split(b".")
    other = ordered(box, ahead=HOUR / 2).split(b".")
    yield "another access point's", ordered(box, ap="rw-0502"), "wrong_ap"
    yield "another city's", ordered(box, city="bandung"), "wrong_city"
    yield "another key's", ordered(box, key=STRANGER), "unknown_key"
    yield "another key's under our number", ordered(box, key=STRANGER._replace(kid=KEY.kid)), "bad_signature"
    yield "another's signature", head + b"." + payload + b"." + other[2], "bad_signature"
    yield "another payload", head + b"." + other[1] + b"." + signature, "bad_signature"
    yield "a push", signed(7, document("Palsu")), "wrong_kind"
    yield "a plan", signed(7, document("Palsu"), kind="plan"), "wrong_kind"
    yield "in no table", ordered(box, "format-flash", {}, ahead=HOUR / 2), "unknown_command"
    yield "a shell word", ordered(box, args={"station": "$(reboot)"}, ahead=HOUR / 2), "bad_arguments"
    yield "a path", ordered(box, "scan", {"band": "../../etc/passwd"}, ahead=HOUR / 2), "bad_arguments"
    yield "no signature", head + b"." + payload + b".", "malformed"
    yield "cut short", good[:-1], "malformed"
    yield "a line break behind", good + b"\n", "malformed"
    yield "too much", good + b"A" * 10_000_000, "oversize"
    yield "nothing", b"", "malformed"
    for name, deep in (("brackets", b"[" * 40_000), ("objects", b'{"a":' * 8_000)):
        said = head + b"." + base64.urlsafe_b64encode(deep).rstrip(b"=")
        yield name, jws.compact(said, KEY.sign(said)), "malformed"


def judged(box: Box, raw: bytes, name: str) -> dict[str, Any]:
    """Wait until one that watches has judged a file."""
    digest = hashlib.sha256(raw[:60_001]).hexdigest()
    until(lambda: box.status("command").get("handled", {}).get(name.partition(".")[2]) == digest, name, every_s=0.01)
    return answer(box, raw)


def test_nothing_foreign_or_forged_acts(box: Box, record_property: Record) -> None:
    """All that is nearly a command; and a command is no push."""
    applier = box.watch()
    before = box.configured()
    acts = list(forged(box))
    for name, raw, code in acts:
        box.put(raw, "command.act")
        told = judged(box, raw, "command.act")
        assert (told["state"], told["code"]) == ("rejected", code), (name, told)
        assert (told.get("verified") is False) == (code in ("malformed", "oversize", "unknown_key", "bad_signature")), (name, told)
    good = ordered(box, ahead=HOUR / 2)
    for name in ("desired", "plan"):
        box.put(good, name)
    until(lambda: box.reported().get("reason") == "wrong_kind" and box.status("plan").get("result", {}).get("reason") == "wrong_kind", "no push")
    assert begun(applier.log()) == 0 and box.configured() == before
    box.put(good, "command.act")
    assert until(lambda: answer(box, good), "a good one")["code"] == "unavailable" and begun(applier.log()) == 1
    _assert_quiet(applier)
    record_property(ACTS, len(acts) + 2)


def _assert_quiet(applier: Applier) -> None:
    assert applier.is_running(), applier.log()
    ended = applier.terminate()
    assert ended.memory_kib < MOST_KIB and "Traceback" not in ended.log, ended


def shapes(box: Box, good: bytes) -> Iterator[tuple[str, Callable[[], object]]]:
    """Give what the daemon may put in a command's place."""
    run_dir, act, outside = str(box.run_dir), str(box.inbox / "command.act"), str(box.outside)
    for target in (f"{outside}/desired", "/etc/shadow", "/dev/zero", "command.act", f"{box.etc}/secrets/office"):
        yield f"a link to {target}", lambda target=target: box.daemon(os.symlink, target, act)  # type: ignore[misc]  # a default
    yield "a link to a good one", lambda: (box.daemon(hostile.write, f"{run_dir}/good", good), box.daemon(os.symlink, f"{run_dir}/good", act))
    yield "root's file by another name", lambda: os.link(f"{outside}/desired", act)
    yield "a directory", lambda: box.daemon(os.mkdir, act)
    yield "a FIFO", lambda: box.daemon(os.mkfifo, act)
    yield "a FIFO with a good one in it", lambda: box.daemon(hostile.hold_fifo, act, good)
    yield "a good one and a terabyte of nothing", lambda: box.daemon(hostile.write, act, good, 1 << 40)
    for name in ("pseudonyms", "commands.json"):
        yield f"{name} is a link", lambda name=name: box.daemon(os.symlink, f"{outside}/desired", f"{run_dir}/{name}")  # type: ignore[misc]  # a default
        yield f"{name} is a FIFO", lambda name=name: box.daemon(os.mkfifo, f"{run_dir}/{name}")  # type: ignore[misc]  # a default
    links = [f"{run_dir}/{name}" for name in ("command.json", ".command.json.new")]
    yield "what root might write is links", lambda: [box.daemon(os.symlink, f"{outside}/config.json", link) for link in links]


def test_whatever_lies_in_a_commands_place_leads_root_nowhere(box: Box, record_property: Record) -> None:
    """Nothing is done, nothing of root's is read or written, nothing waits; a good one is done after each."""
    applier = box.watch()
    before, outer = box.configured(), box.arm()
    acts = list(shapes(box, ordered(box, ahead=HOUR / 2)))
    for name, act in acts:
        done = begun(applier.log())
        act()
        raw = ordered(box, "stations", {}, ahead=HOUR / 2)
        box.put(raw, "command.ask")
        judged(box, raw, "command.ask")
        applier.look_again()
        assert begun(applier.log()) == done, name
        expect_untouched(box, name, before, outer)
        box.daemon.kill()
        box.daemon = box.another_daemon()
        box.daemon(hostile.clear, str(box.run_dir))
    raw = ordered(box, ahead=HOUR / 2)
    box.put(raw, "command.act")
    until(lambda: begun(applier.log()) == 1, "a good one")
    _assert_quiet(applier)
    record_property(ACTS, len(acts))


def test_a_flood_of_commands_does_not_keep_a_push_waiting(box: Box, record_property: Record) -> None:
    """Garbage, forgeries and repetitions as fast as can be, in both classes, by the program as it is: the push is tried, confirmed, and signatures are few."""
    good = ordered(box, ahead=HOUR / 2)
    bad = [good, good[:-4] + b"AAAA", b"x" * 60_000, ordered(box, key=STRANGER), ordered(box, boot="0" * 16, ahead=HOUR / 2)]
    box.put(signed(7, document("Tujuh")))
    flooder = box.another_daemon()
    flooder.begin(hostile.flood_files, str(box.run_dir), ("command.act", "command.ask"), bad, 10.0)
    applier = box.start()
    box.put(box.nonce(applier), "confirm")
    until(lambda: box.reported()["state"] == "confirmed", lambda: applier.log(), 60)
    stirs = flooder.end()
    ended = box.ended(applier)
    assert ended.memory_kib < MOST_KIB and begun(ended.log) <= 1 and "ssid=Tujuh" in box.conf.read_text()
    # The push's one, five at once, and then one in two seconds.
    assert len(box.checks()) <= 1 + 5 + ended.took_s / 2 + 1
    record_property(STIRS, stirs)


def test_a_push_is_tried_while_commands_are_answered(box: Box) -> None:
    """By the program as it is: in the middle of the wait for the daemon's word."""
    box.put(signed(7, document("Tujuh")))
    applier = box.start(quick=TIMES)
    nonce = box.nonce(applier)
    raw = ordered(box, ahead=HOUR / 2)
    box.put(raw, "command.act")
    assert until(lambda: answer(box, raw), "an answer")["code"] == "unavailable" and box.reported()["state"] == "testing"
    reload = ordered(box, "reload-wifi", {}, ahead=HOUR / 2)
    box.put(reload, "command.act")
    assert until(lambda: answer(box, reload), "a refusal")["code"] == "busy"
    box.put(nonce, "confirm")
    box.ended(applier)
    assert box.reported()["state"] == "confirmed"
