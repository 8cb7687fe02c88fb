"""The wall between a daemon that somebody has taken over and root: two real users, the real rwagent-apply, real signatures.

Whatever the daemon's user can do, nothing that the city did not sign for this access point, now, comes to act; root's secrets stay
root's; and a good push is taken afterwards. Acts are counted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent import apply
from agent.wire import jws, keyfile
from tests import signing
from tests.ram import tmpfs
from tests.replayed import counted
from tests.stories import hostile
from tests.stories.hostile import USER
from tests.stories.test_secrets import find
from tests.stories.walled import KEY, NAMED, PATIENCE_S, PUSHED, SHORT, SHORTEST_S, STANDING, STRANGER, TIMES, Applier, Box, Ended, document, make_box, signed
from tests.stories.world import until

pytestmark = [pytest.mark.story, pytest.mark.needs("root", "netns", "signify-openbsd")]
ACTS = counted("hostile acts of the daemon")
STIRS = counted("files that a hostile daemon put or moved as fast as it could")
Record = Callable[[str, object], None]
# Of one run that has nothing to try out: seconds, and memory far below what a small router has.
MOST_RUN_S, MOST_KIB = 20.0, 64 * 1024
CHECK_EVERY_S = apply.Limits().verify_every_s


@pytest.fixture
def box() -> Iterator[Box]:
    """An access point of its own."""
    with make_box() as made:
        yield made


def assert_bounded(ended: Ended) -> None:
    """Claim that a run took neither long nor much."""
    assert ended.took_s < MOST_RUN_S and ended.memory_kib < MOST_KIB, ended


def assert_quiet(applier: Applier) -> None:
    """Claim that one that watches still does, took not much, and is ended."""
    assert applier.is_running(), applier.log()
    ended = applier.terminate()
    assert ended.memory_kib < MOST_KIB and "Traceback" not in ended.log, ended


# What was signed once, or nearly.


def forged(revision: int) -> Iterator[tuple[str, bytes, str | None]]:
    """Give pushes that are not the city's for this access point, by name, and the reason each is refused for."""
    config = document("Palsu")
    good = signed(revision, config)
    head, payload, signature = good.split(b".")
    claims = json.loads(base64.urlsafe_b64decode(payload + b"=="))

    def sealed(header: dict[str, Any], sign: Callable[[bytes], bytes]) -> bytes:
        said = b".".join(base64.urlsafe_b64encode(json.dumps(one, separators=(",", ":")).encode()).rstrip(b"=") for one in (header, claims))
        return said + b"." + base64.urlsafe_b64encode(sign(said)).rstrip(b"=")

    named = {"alg": "EdDSA", "typ": "rw+jws", "kid": KEY.kid}
    yield "a plan", signed(revision, config, kind="plan"), "wrong_kind"
    yield "another access point's", signed(revision, config, ap="rw-0502"), "wrong_ap"
    yield "another city's", signed(revision, config, city="bandung"), "wrong_city"
    yield "another key's", signed(revision, config, key=STRANGER), "unknown_key"
    yield "another key's under our number", signed(revision, config, key=STRANGER._replace(kid=KEY.kid)), "bad_signature"
    yield "no algorithm", sealed(named | {"alg": "none"}, lambda said: b""), "malformed"
    yield "no algorithm, a signature", sealed(named | {"alg": "none"}, KEY.sign), "malformed"
    public = keyfile.public_key(KEY.public, "the city")
    yield "HS256 with the public key", sealed(named | {"alg": "HS256"}, lambda said: hmac.new(public, said, hashlib.sha256).digest()), "malformed"
    yield "a key of its own in the header", sealed(named | {"jwk": {"kty": "OKP"}}, KEY.sign), "malformed"
    yield "no signature", head + b"." + payload + b".", "malformed"
    yield "another's signature", head + b"." + payload + b"." + signed(revision, document("Lain")).split(b".")[2], "bad_signature"
    yield "another payload", head + b"." + signed(revision, document("Lain")).split(b".")[1] + b"." + signature, "bad_signature"
    yield "a second spelling of the signature", jws.compact(head + b"." + payload, KEY.sign(head + b"." + payload))[:-1] + b"=", "malformed"
    raw = base64.urlsafe_b64decode(signature + b"==")
    yield "S beyond the order", head + b"." + payload + b"." + base64.urlsafe_b64encode(signing.respelled(raw, 1)).rstrip(b"="), "malformed"
    for left in (1, 2, 40, len(head), len(head) + 1, len(good) // 2, len(good) - 87, len(good) - 1):
        yield f"the first {left} bytes", good[:left], "malformed"
    yield "a line break behind", good + b"\n", "malformed"
    yield "twice", good + good, "malformed"
    yield "ten megabytes behind", good + b"A" * 10_000_000, "oversize"
    yield "just too much", good + b"A" * (60_001 - len(good)), "oversize"
    yield "nothing", b"", "malformed"
    yield "dots", b"." * 60_000, "malformed"
    yield "zeros", b"\0" * 60_000, "malformed"
    for name, deep in (("brackets", b"[" * 40_000), ("objects", b'{"a":' * 8_000), ("a long number", b'{"revision":' + b"9" * 40_000 + b"}")):
        yield name, head + b"." + base64.urlsafe_b64encode(deep).rstrip(b"=") + b"." + signature, "malformed"
        said = head + b"." + base64.urlsafe_b64encode(deep).rstrip(b"=")
        yield f"{name}, signed", jws.compact(said, KEY.sign(said)), "malformed"


def expect_refused(box: Box, name: str, reason: str | None, before: dict[str, bytes]) -> None:
    """Claim that a push was refused with that reason, or is an old one's verdict repeated, and that nothing came of it."""
    reported = box.reported()
    assert (reported["state"], reported.get("reason")) == (("rejected", reason) if reason else ("confirmed", None)), (name, reported)
    assert (reported.get("verified") is False) == (reason in ("malformed", "oversize", "unknown_key", "bad_signature")), (name, reported)
    assert box.configured() == before, name


def test_no_push_of_the_past_acts(box: Box, record_property: Record) -> None:
    """In any order, each after a reboot that left nothing in RAM and another boot's id: by the program as it is, with nothing replaced."""
    for revision, ssid in ((5, "Lima"), (6, "Enam")):
        assert box.push(revision, ssid)["state"] == "confirmed"
    before = box.configured()
    past = [(1, "Satu", "stale"), (5, "Lima", "stale"), (6, "Enam", None), (5, "Lima", "stale"), (6, "Enam B", "conflict"), (1_000_007, "Jauh", "jump")]
    for revision, ssid, reason in past:
        box.reboot()
        box.put(signed(revision, document(ssid)))
        ended = box.run()
        assert_bounded(ended)
        assert ended.code == apply.DONE
        expect_refused(box, f"{revision} {ssid}", reason, before)
    assert box.push(7, "Tujuh")["state"] == "confirmed" and "ssid=Tujuh" in box.conf.read_text()
    record_property(ACTS, len(past))


def test_nothing_foreign_or_forged_acts(box: Box, record_property: Record) -> None:
    """All that is nearly a push, as what is desired and as what is to be planned."""
    applier = box.watch()
    before = box.configured()
    bad = signed(7, {"ssids": {"warga": {"ssid": "x", "security": "wpa9", "bands": ["2g"]}}})
    acts = [*forged(7), ("a bad document", bad, "invalid")]
    for name, push, reason in acts:
        digest = hashlib.sha256(push[:60_001]).hexdigest()
        box.put(push)
        until(lambda digest=digest: box.status().get("handled") == digest and box.reported()["state"] != "received", name, every_s=0.01)
        expect_refused(box, name, reason, before)
        if reason == "wrong_kind":
            continue  # to be planned is what it is for
        box.put(push, "plan")
        until(lambda digest=digest: box.status("plan").get("handled") == digest, name, every_s=0.01)
        assert (box.status("plan")["result"]["state"], box.status("plan")["result"]["reason"], box.configured()) == ("rejected", reason, before), name
    assert_quiet(applier)
    assert box.push(7, "Tujuh")["state"] == "confirmed" and "ssid=Tujuh" in box.conf.read_text()
    record_property(ACTS, 2 * len(acts))


def test_a_plan_of_the_past_is_planned_and_nothing_more(box: Box, record_property: Record) -> None:
    """Whatever is signed may be planned again; no file is touched, and what it says has no key in it."""
    before = box.configured()
    for push in (signed(7, document("Rencana"), kind="plan"), signed(7, document("Rencana"))):
        box.reboot()
        box.put(push, "plan")
        assert_bounded(box.run())
        planned = box.status("plan")["result"]
        assert planned["state"] == "planned" and not find(json.dumps(planned).encode(), {PUSHED, STANDING})
        assert {path: content for path, content in box.configured().items() if path in before} == before
    assert not (box.state_dir / "revisions.json").exists()
    record_property(ACTS, 2)


# What lies in the inbox, and in its place.


def shapes(box: Box, good: bytes) -> Iterator[tuple[str, Callable[[], object]]]:
    """Give what the daemon may make of its directory, each from a clean one."""
    run_dir, inbox = str(box.run_dir), str(box.inbox)
    outside, home, desired = str(box.outside), str(box.folder / "home"), str(box.inbox / "desired")

    def daemon(act: Callable[..., Any], *arguments: Any) -> Any:
        return box.daemon(act, *arguments)

    def instead(act: Callable[..., Any], *arguments: Any) -> Callable[[], object]:
        """Do it where the inbox was."""
        return lambda: (daemon(os.rmdir, inbox), daemon(act, *arguments))

    def elsewhere(name: str) -> None:
        daemon(os.rename, inbox, f"{run_dir}/elsewhere")
        daemon(hostile.write, f"{run_dir}/elsewhere/desired", good)
        daemon(os.symlink, name, inbox)

    yield "the inbox is a link to /etc", instead(os.symlink, "/etc", inbox)
    yield "the inbox is a link to root's directory", instead(os.symlink, outside, inbox)
    yield "the inbox is a link to its own directory", partial(elsewhere, "elsewhere")
    yield "the inbox is a link to itself", instead(os.symlink, "inbox", inbox)
    yield "the inbox is a file", instead(hostile.write, inbox, good)
    yield "the inbox is a FIFO", instead(os.mkfifo, inbox)
    yield "the inbox is gone", lambda: daemon(os.rmdir, inbox)
    yield "the inbox is for everybody", lambda: (daemon(hostile.put, run_dir, "desired", good), daemon(os.chmod, inbox, 0o777))
    yield "the inbox is root's status", lambda: (daemon(os.rmdir, inbox), daemon(os.rename, f"{run_dir}/status", inbox))
    for target in (f"{outside}/desired", "/etc/shadow", "/dev/zero", "/proc/self/environ", home, "desired", "missing", f"{box.etc}/secrets/office"):
        yield f"desired is a link to {target}", partial(daemon, os.symlink, target, desired)
    yield "desired is a link to a good push", lambda: (daemon(hostile.write, f"{run_dir}/good", good), daemon(os.symlink, f"{run_dir}/good", desired))
    # As a kernel without fs.protected_hardlinks would let it.
    yield "desired is root's file by another name", lambda: os.link(f"{outside}/desired", desired)
    yield "desired is a directory", lambda: daemon(os.mkdir, desired)
    yield "desired is a FIFO", lambda: daemon(os.mkfifo, desired)
    yield "desired is a FIFO with a good push in it", lambda: daemon(hostile.hold_fifo, desired, good)
    yield "desired is a socket", lambda: daemon(os.mknod, desired, 0o140600)
    yield "desired is held by a lease", lambda: (daemon(hostile.write, desired, b"x"), daemon(hostile.lease, desired))
    yield "desired is a terabyte of nothing", lambda: daemon(hostile.write, desired, b"", 1 << 40)
    yield "desired is a good push and a terabyte of nothing", lambda: daemon(hostile.write, desired, good, 1 << 40)
    yield "desired is empty", lambda: daemon(hostile.write, desired, b"")
    yield "desired is for nobody to read and says nothing", lambda: (daemon(hostile.write, desired, b"x"), daemon(os.chmod, desired, 0))
    yield "thousands of files with line breaks in their names", lambda: daemon(hostile.throng, inbox, 3000)
    yield "new files lie there", lambda: [daemon(hostile.write, f"{inbox}/.new-{name}", good) for name in ("desired", "plan", "confirm")]
    yield "the plan is a link to root's file", lambda: daemon(os.symlink, f"{outside}/desired", f"{inbox}/plan")
    yield "the confirm is a link to root's file", lambda: daemon(os.symlink, f"{outside}/confirm", f"{inbox}/confirm")
    links = [f"{run_dir}/{name}" for name in ("config.json", ".config.json.new")]
    yield "what root might write is links", lambda: [daemon(os.symlink, f"{outside}/config.json", link) for link in links]


def test_reading_a_file_shows(box: Box) -> None:
    """The proof that the claims on files outside hold something: a reading is seen, and a writing."""
    before = box.arm()
    assert box.outer() == before
    (box.outside / "desired").read_bytes()
    assert box.outer() != before
    before = box.arm()
    (box.outside / "new").write_bytes(b"")
    assert box.outer() != before


def expect_untouched(box: Box, name: str, before: dict[str, bytes], outer: dict[str, tuple[int, ...]]) -> None:
    """Claim that nothing acted, and that nothing of root's was read or written for the daemon."""
    assert (box.configured(), box.outer()) == (before, outer), name
    folders = [folder for folder in box.run_dir.iterdir() if folder.is_dir() and not folder.is_symlink()]
    said = b"".join(path.read_bytes() for folder in folders for path in folder.glob("*.json"))
    for secret in (box.outside / "desired", box.outside / "confirm"):
        # Root names the digest of what it read: an answer for whoever can guess.
        assert hashlib.sha256(secret.read_bytes()).hexdigest().encode() not in said, name
    os.utime(box.outside / "desired", ns=(0, outer[str(box.outside / "desired")][0]))
    os.utime(box.outside / "confirm", ns=(0, outer[str(box.outside / "confirm")][0]))


def clean(box: Box) -> None:
    """End the daemon with all that it holds, and begin anew with an empty directory."""
    box.daemon.kill()
    box.daemon = box.another_daemon()
    box.daemon(hostile.clear, str(box.run_dir))


def test_whatever_lies_in_the_inbox_leads_root_nowhere(box: Box, record_property: Record) -> None:
    """Links, hard links, FIFOs, leases, sockets, directories, huge and many files: nothing acts, nothing outside is read or written, nothing waits."""
    applier = box.watch()
    before, outer = box.configured(), box.arm()
    acts = list(shapes(box, signed(3, document("Umpan"))))
    for name, act in acts:
        act()
        applier.look_again()
        assert applier.is_running(), (name, applier.log())
        expect_untouched(box, name, before, outer)
        clean(box)
    assert_quiet(applier)
    assert box.push(3, "Tiga")["state"] == "confirmed"
    record_property(ACTS, len(acts))


@pytest.mark.parametrize("part", ["to root's directory", "by another name", "a FIFO", "a lease", "terabyte"])
def test_the_program_as_it_is_is_led_nowhere(part: str, box: Box, record_property: Record) -> None:
    """The worst of them, with nothing replaced: one run after the other, each at its end soon."""
    box.run()
    before, outer = box.configured(), box.arm()
    acts = [(name, act) for name, act in shapes(box, signed(3, document("Umpan"))) if part in name]
    for name, act in acts:
        act()
        ended = box.run()
        assert_bounded(ended)
        assert ended.code == apply.DONE, (name, ended)
        expect_untouched(box, name, before, outer)
        clean(box)
    assert acts
    record_property(ACTS, len(acts))


def test_what_a_user_cannot_do_it_cannot_do_here(box: Box, record_property: Record) -> None:
    """Device files, root's processes, root's files by a hard link (OpenWrt and Debian protect them), a status file of root's: all refused by the kernel."""
    box.put(signed(3, document("Tiga")))
    applier = box.start()
    box.nonce(applier)
    guard = int((box.apply_dir / "guard").read_text().split()[0])
    acts: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (os.mknod, (str(box.inbox / "desired-2"), 0o020600, os.makedev(1, 5))),
        (hostile.write, (str(box.status_dir / "config.json"), b"{}")),
        (os.unlink, (str(box.status_dir / "config.json"),)),
        (os.chown, (str(box.inbox), 0, 0)),
        (os.rename, (str(box.run_dir), str(box.folder / "home/x"))),
        (os.rename, (str(box.status_dir), str(box.inbox / "status"))),
        *((os.kill, (pid, number)) for pid in (applier.pid, guard) for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)),
    ]
    if Path("/proc/sys/fs/protected_hardlinks").read_text().strip() == "1":
        acts.append((os.link, (str(box.outside / "desired"), str(box.inbox / "linked"))))
    for act, arguments in acts:
        with pytest.raises(PermissionError):
            box.daemon(act, *arguments)
    box.put(box.nonce(applier), "confirm")
    box.ended(applier)
    assert box.reported()["state"] == "confirmed"
    record_property(ACTS, len(acts))


# While root works.


@pytest.mark.parametrize("changes", ["the inbox", "desired", "status"])
def test_what_changes_places_while_root_works_leads_it_nowhere(changes: str, box: Box, record_property: Record) -> None:
    """Renamed as fast as can be, with links, FIFOs, directories and root's own files in its place; written over while it is read."""
    seconds = 4.0
    run_dir, desired, outside = str(box.run_dir), str(box.inbox / "desired"), str(box.outside)
    watching = box.watch()
    bad = [signed(3, document(f"Umpan {number}"), key=STRANGER) for number in range(8)]
    others = {name: f"{run_dir}/{name}" for name in ("outside", "etc", "file", "own", "fifo", "hard")}
    for name, target in (("outside", outside), ("etc", "/etc"), ("file", f"{outside}/desired")):
        box.daemon(os.symlink, target, others[name])
    box.daemon(os.mkdir, others["own"], 0o755)
    box.daemon(os.symlink, f"{outside}/desired", f"{others['own']}/desired")
    box.daemon(os.mkfifo, others["fifo"])
    os.link(box.outside / "desired", others["hard"])
    os.link(box.outside / "desired", f"{others['own']}/plan")
    before, outer = box.configured(), box.arm()
    writer = box.another_daemon()
    path, names = {
        "the inbox": (str(box.inbox), ("outside", "own", "etc", "fifo")),
        "desired": (desired, ("file", "hard", "fifo", "own")),
        "status": (str(box.status_dir), ("outside", "own", "etc", "fifo")),
    }[changes]
    if changes == "desired":
        box.put(bad[0])
    count, looks, deadline = 0, watching.sleeps(), time.monotonic() + PATIENCE_S
    while not (count and watching.sleeps() - looks > 20 and "push rejected" in watching.log()) and time.monotonic() < deadline:
        if changes == "desired":
            writer.begin(hostile.rewrite, desired, bad, seconds)
        else:
            writer.begin(hostile.flood_any, f"{run_dir}/elsewhere", str(box.inbox), bad, seconds)
        box.daemon.begin(hostile.turn, path, [others[name] for name in names], seconds)
        if changes == "status":
            # It looks at that directory when it begins, and whenever it has something to say.
            runs = ring_for(box, seconds)
            assert {ended.code for ended in runs} <= {apply.DONE, apply.FAILED, -signal.SIGTERM}
        count += box.daemon.end() + writer.end()
    looks = watching.sleeps() - looks
    assert_quiet(watching)
    # Refusals are two seconds apart, and looks at the inbox between them.
    assert looks > 20 and "push rejected" in watching.log()
    assert (box.configured(), box.outer()) == (before, outer)
    box.reboot()
    assert box.push(3, "Tiga")["state"] == "confirmed"
    record_property(ACTS, 1)
    record_property(STIRS, count)


def spaced(checks: list[float]) -> bool:
    """Say whether no two checks were nearer to each other than may be; /proc/uptime has hundredths."""
    return all(later - earlier >= CHECK_EVERY_S - 0.05 for earlier, later in itertools.pairwise(checks))


def ring_for(box: Box, seconds: float) -> list[Ended]:
    """Start the applier again and again for a while, one at a time, as procd does for whoever rings without end; the last one is ended."""
    until_s = time.monotonic() + seconds
    found = []
    while time.monotonic() < until_s:
        applier = box.start()
        until(lambda applier=applier: not applier.is_running() or time.monotonic() >= until_s, "its end or ours", seconds + MOST_RUN_S, 0.01)
        found.append(applier.terminate() if applier.is_running() else box.ended(applier))
    return found


def effects(runs: list[Ended]) -> int:
    """Count what was written to flash."""
    return len(re.findall(r"^(?:cp|rm|mv|mkdir)\b", "\n".join(ended.log for ended in runs), re.MULTILINE))


def test_a_flood_of_forged_pushes_costs_next_to_nothing(box: Box, record_property: Record) -> None:
    """Rewritten and rung for as fast as can be: a signature in ten seconds at most, none of them written down on flash, and hardly any CPU."""
    seconds = 23.0
    bad = [signed(3, document(f"Umpan {number}"), key=STRANGER._replace(kid=KEY.kid)) for number in range(64)]
    box.run()
    before = box.configured()
    box.daemon.begin(hostile.flood, str(box.run_dir), [*bad, b"x", bad[0][:-1]], seconds)
    runs = ring_for(box, seconds)
    count = box.daemon.end()
    assert 1 <= len(box.checks()) <= 1 + (sum(ended.took_s for ended in runs) / CHECK_EVERY_S) and spaced(box.checks())
    assert (effects(runs), box.configured()) == (0, before)
    # Starting Python is what a run costs; who starts it how often is procd's to bound.
    assert sum(ended.cpu_s for ended in runs) < 0.25 * sum(ended.took_s for ended in runs) + 2.0 * len(runs)
    assert all(ended.memory_kib < MOST_KIB for ended in runs)
    record_property(ACTS, 1)
    record_property(STIRS, count)


def test_starting_root_again_buys_no_check_of_a_signature(box: Box, record_property: Record) -> None:
    """Nor does making away with whatever root left where the daemon may: the next one waits its ten seconds."""
    for number in range(2):
        box.put(signed(3, document(f"Umpan {number}"), key=STRANGER._replace(kid=KEY.kid)))
        assert box.run().code == apply.DONE
        assert (len(box.checks()), box.reported()["reason"]) == (number + 1, "bad_signature")
        box.daemon(hostile.clear, str(box.run_dir))
    assert spaced(box.checks())
    record_property(ACTS, 4)


def test_a_flood_of_good_pushes_is_worked_through_at_roots_own_pace(box: Box, record_property: Record) -> None:
    """Pushes that the city signed and the daemon kept for itself: one in ten seconds at most, each but a few writes to flash, and never a lower one."""
    seconds = 23.0
    good = [signed(revision, {"agent": {"report_interval_s": 2 + revision % 50}}) for revision in range(3, 203)]
    box.run()
    box.daemon.begin(hostile.flood, str(box.run_dir), good, seconds, True)
    runs = ring_for(box, seconds)
    count = box.daemon.end()
    checks = box.checks()
    assert 1 <= len(checks) <= 1 + sum(ended.took_s for ended in runs) / CHECK_EVERY_S and spaced(checks)
    assert effects(runs) <= 20 * len(checks)
    tried = [int(found) for ended in runs for found in re.findall(r"^push: revision=(\d+) .* rule=fresh", ended.log, re.MULTILINE)]
    assert tried == sorted(set(tried))
    assert STANDING in box.conf.read_text() and b"ssid=Kantor" in box.conf.read_bytes()
    record_property(ACTS, 1)
    record_property(STIRS, count)


# Confirms, and none.


def test_only_the_nonce_of_this_try_confirms(box: Box, record_property: Record) -> None:
    """Earlier ones, made-up ones, nearly right ones, before and in the test and as fast as can be: taken back in time, by the real clock."""
    box.put(signed(3, document("Tiga")))
    applier = box.start(quick=TIMES)
    earlier = box.nonce(applier)
    box.put(earlier, "confirm")
    box.ended(applier)
    assert box.reported()["state"] == "confirmed"
    # From now on an earlier confirm lies there, and the next push finds it.
    before = box.configured()
    box.put(signed(4, document("Empat")))
    shutil.rmtree(box.apply_dir)
    applier = box.start()
    began = time.monotonic()
    nonce = box.nonce(applier)
    run = box.status()["test"]["run"]
    made_up = [b"", b"\n", nonce[:-1], nonce[1:], nonce + b"0", nonce.upper(), nonce[::-1], run.encode(), b"0" * 32, nonce * 2000, b"\0" + nonce, earlier]
    made_up = [one for one in made_up if one.strip() != nonce]
    for one in made_up:
        box.put(one, "confirm")
    desired = str(box.inbox / "confirm")
    for act, arguments in ((os.mkdir, (desired,)), (os.mkfifo, (desired,)), (os.symlink, (str(box.status_dir / "config.json"), desired))):
        box.daemon(os.rmdir if os.path.isdir(desired) and not os.path.islink(desired) else os.unlink, desired)
        box.daemon(act, *arguments)
    box.daemon(os.unlink, desired)
    box.daemon.begin(hostile.flood_confirm, str(box.run_dir), made_up, 5.0)
    count = box.daemon.end()
    assert applier.is_running() and "ssid=Empat" in box.conf.read_text()
    # And then it is not heard of any more.
    box.daemon.stop()
    ended = box.ended(applier)
    assert time.monotonic() - began < SHORTEST_S + 15
    os.kill(box.daemon.pid, signal.SIGCONT)
    reported = box.reported()
    assert (reported["state"], reported["reason"], reported["current"]) == ("rolled_back", "broker_unreachable", 3), ended
    assert {path: content for path, content in box.configured().items() if "state" not in path} == {p: c for p, c in before.items() if "state" not in p}
    assert box.push(5, "Lima")["state"] == "confirmed"
    record_property(ACTS, len(made_up) + 4)
    record_property(STIRS, count)


def test_the_daemons_word_is_the_one_thing_believed(box: Box, record_property: Record) -> None:
    """It may confirm though no broker hears it: the config that the city signed then stays, and no other."""
    assert box.push(3, "Tiga")["state"] == "confirmed"
    assert "ssid=Tiga" in box.conf.read_text() and PUSHED in box.conf.read_text()
    record_property(ACTS, 1)


def test_a_daemon_that_dies_in_the_test_costs_the_push(box: Box, record_property: Record) -> None:
    """And one that makes away with all it owns while it is at it: taken back, and said once somebody can be told."""
    before = box.configured()
    for revision, act in ((3, "status is a file"), (4, "all is gone")):
        box.put(signed(revision, document("Mati")))
        applier = box.start(quick=TIMES)
        box.nonce(applier)
        box.daemon(os.rename, str(box.status_dir), str(box.run_dir / f"away-{revision}"))
        if act == "status is a file":
            box.daemon(hostile.write, str(box.status_dir), b"x")
        if act == "all is gone":
            box.daemon(hostile.clear, str(box.run_dir))
        box.daemon.kill()
        box.ended(applier)
        assert {path: content for path, content in box.configured().items() if path in before} == before
        assert not (box.state_dir / "pending").exists()
        box.daemon = box.another_daemon()
        if act == "status is a file":
            box.daemon(os.unlink, str(box.status_dir))
        box.run()
        assert (box.reported()["revision"], box.reported()["state"], box.reported()["reason"]) == (revision, "rolled_back", "broker_unreachable")
    assert box.push(5, "Lima")["state"] == "confirmed"
    record_property(ACTS, 2)


# What it owns and spoils.


def test_a_spoilt_status_directory_is_refused_and_once_put_right_forgotten(box: Box, record_property: Record) -> None:
    """A directory of its own, a file, links: root refuses to run and says what to remove; whoever may remove it, the daemon itself, ends that."""
    daemon, status, outside = box.daemon, str(box.status_dir), str(box.outside)
    acts: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (os.mkdir, (status, 0o755)),
        (hostile.write, (status, b"{}")),
        (os.symlink, (outside, status)),
        (os.symlink, ("/etc", status)),
        (os.symlink, ("missing", status)),
        (os.mkfifo, (status,)),
    ]
    before, outer = None, box.arm()
    for number, (act, arguments) in enumerate(acts):
        box.put(signed(1, {"agent": {}}))
        daemon(act, *arguments)
        ended = box.run()
        assert_bounded(ended)
        assert (ended.code, box.outer()) == (apply.FAILED, outer) and f"{box.status_dir}" in ended.log
        assert re.search(r"rm -r |must be a directory", ended.log), ended.log
        assert before is None or box.configured() == before
        daemon(os.rename, status, f"{box.run_dir}/spoilt-{number}")
        box.reboot() if number == len(acts) - 1 else daemon(hostile.clear, str(box.run_dir))
        assert box.run().code == apply.DONE
        before = box.configured()
        if number < len(acts) - 1:
            daemon(os.rename, status, f"{box.run_dir}/roots-{number}")
    assert box.push(3, "Tiga")["state"] == "confirmed"
    record_property(ACTS, len(acts))


def test_a_run_dir_that_nobody_may_enter_is_no_hindrance_to_root(box: Box, record_property: Record) -> None:
    """Root may enter; what the daemon put there before is judged."""
    box.put(signed(3, {"agent": {}}))
    box.daemon(os.chmod, str(box.run_dir), 0)
    assert box.run().code == apply.DONE
    assert box.reported()["state"] == "unchanged"
    record_property(ACTS, 1)


def test_a_full_ram_stops_a_push_and_never_holds_one_in_place(box: Box, record_property: Record) -> None:
    """The daemon fills what root's own directory lies in, before a push and in the test of one: refused or taken back; with room again, all is well."""
    keep = box.folder / "kept"
    shutil.move(box.folder / "var", keep)
    with tmpfs(box.folder / "var", 512) as var:
        os.chmod(var, 0o755)
        shutil.copytree(keep, var, dirs_exist_ok=True, ignore=shutil.ignore_patterns("wlan0"))
        box.start_hostapd()
        for path in (box.run_dir, box.inbox):
            os.chown(path, USER, USER)
        box.run()
        before = box.configured()
        full = str(box.run_dir / "full")
        box.put(signed(3, document("Tiga")))
        box.daemon(hostile.fill, str(box.run_dir))
        refused = box.start().wait()
        assert (box.configured(), box.reported()) == (before, {}), refused
        assert "No space left on device" in refused.log
        box.daemon(os.unlink, full)
        applier = box.start(quick=TIMES)
        box.nonce(applier)
        assert "ssid=Tiga" in box.conf.read_text()
        box.daemon(hostile.fill, str(box.run_dir))
        applier.wait()
        until(lambda: "ssid=Kantor" in box.conf.read_text() and not box.own_file.exists(), applier.log, 60)
        box.daemon(os.unlink, full)
        assert until(lambda: box.run().code == apply.DONE and box.reported(), "the verdict", 60)["state"] == "rolled_back"
        assert {path: content for path, content in box.configured().items() if path in before} == before
        assert box.push(4, "Empat")["state"] == "confirmed"
    record_property(ACTS, 2)


# What it may see.


def test_root_s_files_are_closed_to_the_daemon(box: Box, record_property: Record) -> None:
    """In the middle of a push: the journal, what is remembered, the secrets, the configuration and root's RAM can be neither read, listed nor written to."""
    box.put(signed(3, document("Tiga")))
    applier = box.start()
    nonce = box.nonce(applier)
    pending = box.state_dir / "pending"
    assert (pending / "ready").exists()
    own = [box.state_dir, box.apply_dir, box.etc / "secrets", box.outside]
    closed = [str(path) for folder in own for path in (folder, *folder.rglob("*"))] + [str(box.conf), str(box.own_file)]
    closed += [f"/proc/{pid}/{name}" for pid in (applier.pid, int((box.apply_dir / "guard").read_text().split()[0])) for name in ("environ", "mem", "fd")]
    assert len(closed) > 20
    assert box.daemon(hostile.readable, [str(box.file), str(box.etc / "keys/city")]) == [str(box.file), str(box.etc / "keys/city")]
    assert box.daemon(hostile.readable, closed) == []
    for path in closed:
        with pytest.raises(PermissionError):
            box.daemon(os.listdir if os.path.isdir(path) else hostile.read, path)
    writable = [str(box.file), str(box.etc), str(box.etc / "keys"), str(box.etc / "keys/city"), str(box.status_dir), str(box.status_dir / "config.json")]
    assert [path for path in writable if box.daemon(os.access, path, os.W_OK)] == []
    box.put(nonce, "confirm")
    box.ended(applier)
    assert (box.reported()["state"], box.daemon(hostile.readable, [str(box.state_dir / "revisions.json")])) == ("confirmed", [])
    record_property(ACTS, 2 * len(closed) + len(writable))


def test_no_key_shows_where_the_daemon_can_look(box: Box, record_property: Record) -> None:
    """Neither in command lines and environments, nor in what root says and logs: of a push taken, one taken back, one refused, one planned."""
    planted = {STANDING, NAMED, PUSHED, SHORT}
    network = {"ssid": "Staf", "security": "psk2", "bands": ["2g"]}
    (box.folder / "slowly").touch()  # so that a look at all processes surely meets a check
    spy = box.another_daemon()
    spy.begin(hostile.spy, 14.0)
    pushes = [signed(3, document("Tiga")), signed(4, {"ssids": {"staf": network | {"key_ref": "office"}}})]
    bad = {"ssids": {"staf": network | {"key": SHORT}, "dua": network | {"key": SHORT, "key_ref": "office"}}}
    for push in pushes:
        box.put(push)
        applier = box.start(quick=TIMES)
        nonce = box.nonce(applier)
        if push is pushes[0]:
            box.put(nonce, "confirm")
        box.ended(applier)
    assert (box.reported()["revision"], box.reported()["state"]) == (4, "rolled_back")
    for name, push in (("desired", signed(5, bad)), ("plan", signed(5, document("Rencana"))), ("plan", signed(6, bad, kind="plan"))):
        box.put(push, name)
        box.run(quick=TIMES)
    assert (box.reported()["reason"], box.status("plan")["result"]["state"]) == ("invalid", "rejected")
    seen = spy.end()
    assert any(b"agent/ash/guard" in one for one in seen) and any(b"-V\0-q\0-m" in one for one in seen)
    seen += [path.read_bytes() for path in box.status_dir.iterdir()] + [log.encode() for log in box.logs]
    # What commands could be done here is told besides, where a run lasts long enough.
    assert {path.name for path in box.status_dir.iterdir()} - {"command.json"} == {"config.json", "plan.json", "history.json"}
    # The search proves itself on what the daemon passed on, and on root's own file.
    assert find(pushes[0], planted) == {PUSHED} and find((box.own_file).read_bytes(), planted) == {STANDING}
    for one in seen:
        assert not find(one, planted), one[:300]
    record_property(ACTS, 6)


# Who owns what.


Undo = Callable[[], None]


def _mode(name: str, mode: int) -> Callable[[Box], Undo]:
    def change(box: Box) -> Undo:
        path = box.folder / name
        former = path.stat().st_mode
        path.chmod(mode)
        return lambda: path.chmod(former)

    return change


def _owner(name: str) -> Callable[[Box], Undo]:
    def give(box: Box) -> Undo:
        os.chown(box.folder / name, USER, -1)
        return lambda: os.chown(box.folder / name, 0, -1)

    return give


def _link(name: str) -> Callable[[Box], Undo]:
    def make(box: Box) -> Undo:
        path, moved = box.folder / name, box.folder / "home/moved"
        path.rename(moved)
        path.symlink_to(moved)

        def undo() -> None:
            path.unlink()
            moved.rename(path)

        return undo

    return make


def _above_a_link(box: Box) -> Undo:
    """The directory that a link in root's own one leads to lies in the daemon's."""
    undone = [_owner("home")(box), _link("etc/rwagent")(box)]

    def undo() -> None:
        for each in undone:
            each()

    return undo


DEMANDS = {
    "settings for the group": (_mode("etc/rwagent/agent.toml", 0o660), "chmod 640 {0}/etc/rwagent/agent.toml"),
    "settings for all": (_mode("etc/rwagent/agent.toml", 0o642), "chmod 640 {0}/etc/rwagent/agent.toml"),
    "settings of another": (_owner("etc/rwagent/agent.toml"), "chown 0 {0}/etc/rwagent/agent.toml"),
    "settings by a link": (_link("etc/rwagent/agent.toml"), "{0}/etc/rwagent/agent.toml is no regular file"),
    "keys for the group": (_mode("etc/rwagent/keys", 0o770), "chmod 750 {0}/etc/rwagent/keys"),
    "keys of another": (_owner("etc/rwagent/keys"), "chown 0 {0}/etc/rwagent/keys"),
    "keys by a link": (_link("etc/rwagent/keys"), "{0}/etc/rwagent/keys is no directory"),
    "a key for all": (_mode("etc/rwagent/keys/city", 0o642), "chmod 640 {0}/etc/rwagent/keys/city"),
    "a key of another": (_owner("etc/rwagent/keys/city"), "chown 0 {0}/etc/rwagent/keys/city"),
    "a key by a link": (_link("etc/rwagent/keys/city"), "{0}/etc/rwagent/keys/city is no regular file"),
    "the client's key of another": (_owner("etc/rwagent/client.key"), "chown 0 {0}/etc/rwagent/client.key"),
    "secrets for the group": (_mode("etc/rwagent/secrets", 0o750), "chmod 700 {0}/etc/rwagent/secrets"),
    "secrets of another": (_owner("etc/rwagent/secrets"), "chown 0 {0}/etc/rwagent/secrets"),
    "a secret for the group": (_mode("etc/rwagent/secrets/office", 0o640), "chmod 600 {0}/etc/rwagent/secrets/office"),
    "a secret of another": (_owner("etc/rwagent/secrets/office"), "chown 0 {0}/etc/rwagent/secrets/office"),
    "state for all": (_mode("etc/rwagent/state", 0o755), "chmod 700 {0}/etc/rwagent/state"),
    "state of another": (_owner("etc/rwagent/state"), "chown 0 {0}/etc/rwagent/state"),
    "state by a link": (_link("etc/rwagent/state"), "{0}/etc/rwagent/state is no directory"),
    "root's RAM for all": (_mode("var/run/rwagent-apply", 0o755), "chmod 700 {0}/var/run/rwagent-apply"),
    "root's RAM of another": (_owner("var/run/rwagent-apply"), "chown 0 {0}/var/run/rwagent-apply"),
    "above the settings, for all": (_mode("etc/rwagent", 0o777), "chmod go-w {0}/etc/rwagent"),
    "above the settings, of another": (_owner("etc/rwagent"), "chown 0 {0}/etc/rwagent"),
    "further above, for the group": (_mode("etc", 0o775), "chmod go-w {0}/etc"),
    "above root's RAM, of another": (_owner("var/run"), "chown 0 {0}/var/run"),
    "above where a link leads, of another": (_above_a_link, "chown 0 {0}/home"),
}


@pytest.fixture(scope="module")
def waiting() -> Iterator[Box]:
    """An access point that ran once, and in whose inbox a good push lies."""
    with make_box() as made:
        made.run()
        made.put(signed(3, document("Tiga")))
        yield made


@pytest.mark.parametrize("demand", DEMANDS)
def test_root_acts_only_where_everything_is_as_it_must_be(demand: str, waiting: Box) -> None:
    """Exit 1, the path and what to run; a good push waits, and nothing is written, checked or answered."""
    box, (spoil, sentence) = waiting, DEMANDS[demand]
    said, before = box.status(), box.configured()
    assert said and not box.checks()
    undo = spoil(box)
    try:
        ended = box.run()
        assert ended.code == apply.FAILED and re.search(re.escape(sentence.format(box.folder)) + r"\b", ended.log), ended.log
        assert (box.status(), box.checks()) == (said, [])
        assert "link" in demand or box.configured() == before
        assert not (box.state_dir / "pending").exists() and "ssid=Kantor" in box.conf.read_text()
    finally:
        undo()
    assert box.configured() == before


def test_settings_that_anybody_may_write_make_no_directory(box: Box, record_property: Record) -> None:
    """Where they say state and RAM are to lie, nothing is made before it is known whose settings they are."""
    box.file.chmod(0o666)
    text = box.file.read_text().replace(f"{box.etc}/state", f"{box.outside}/state") + f'apply_dir = "{box.outside}/apply"\n'
    box.daemon(hostile.write, str(box.file), text.encode())
    ended = box.run()
    assert (ended.code, sorted(path.name for path in box.outside.iterdir())) == (apply.FAILED, ["config.json", "confirm", "desired"])
    assert f"chmod 640 {box.file}" in ended.log
    record_property(ACTS, 1)
