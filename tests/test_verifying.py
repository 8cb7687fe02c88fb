"""Signatures are checked seldom, whoever asks how often; and only what a trusted key signed for this access point passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import signature, verifying
from agent.verifying import Gate, Spacing
from agent.wire import keyfile
from agent.wire.jws import Refused
from tests.pushes import KEY, OTHER_KEY, Jump, signed

SPACING = Spacing(10.0, 60.0, 600.0)


def keys(folder: Path) -> signature.Keys:
    """Trust KEY."""
    (folder / "keys").mkdir(exist_ok=True)
    (folder / "keys/city").write_bytes(keyfile.public_key(KEY.public, "the city"))
    return signature.load(str(folder / "keys"))


def test_the_first_check_is_at_once_and_the_next_ten_seconds_later(tmp_path: Path) -> None:
    """Counted from the beginning of the last one."""
    jump = Jump()
    gate = Gate(str(tmp_path), jump.clock, SPACING)
    assert gate.wait_s() == 0
    gate.begin()
    jump.uptime += 4
    assert gate.wait_s() == 6
    jump.uptime += 6
    assert gate.wait_s() == 0


def test_being_started_again_and_again_buys_nothing(tmp_path: Path) -> None:
    """A new process finds when the last check was, also when the last process died in it."""
    jump = Jump()
    for _ in range(3):
        Gate(str(tmp_path), jump.clock, SPACING).begin()
    gate = Gate(str(tmp_path), jump.clock, SPACING)
    assert gate.wait_s() == 10 and gate.checks_total == 3


def test_three_bad_ones_in_a_row_make_it_quiet(tmp_path: Path) -> None:
    """One check a minute for ten minutes after the last; a good one ends it."""
    jump = Jump()
    gate = Gate(str(tmp_path), jump.clock, SPACING)
    for waits_s in (10, 10, 60, 60):
        gate.begin()
        gate.end(False)
        assert gate.wait_s() == waits_s
    assert Gate(str(tmp_path), jump.clock, SPACING).refusals == 4
    jump.uptime += 600
    assert gate.wait_s() == 0
    gate.begin()
    gate.end(True)
    assert (gate.refusals, gate.wait_s()) == (0, 10)


def test_a_memory_of_another_boot_does_not_lock_us_out(tmp_path: Path) -> None:
    """An uptime in the future is no reason to wait; nor is garbage."""
    jump = Jump()
    Gate(str(tmp_path), jump.clock, SPACING).begin()
    jump.uptime -= 500
    assert Gate(str(tmp_path), jump.clock, SPACING).wait_s() == 0
    for garbage in ("", "{}", "[1]", '["a",1,2]'):
        (tmp_path / "verified").write_text(garbage)
        assert Gate(str(tmp_path), jump.clock, SPACING).wait_s() == 0


def test_a_good_signature_passes(tmp_path: Path) -> None:
    """Its claims are then read by others."""
    gate, trusted = Gate(str(tmp_path), Jump().clock, SPACING), keys(tmp_path)
    verifying.check(verifying.read(signed(7), trusted), trusted, gate, str(tmp_path))
    assert (gate.checks_total, gate.refusals) == (1, 0)


def test_a_bad_signature_is_refused_and_counted(tmp_path: Path) -> None:
    """One bit of the signature, or of what was signed."""
    trusted = keys(tmp_path)
    gate = Gate(str(tmp_path), Jump().clock, SPACING)
    header, _, signature_part = signed(7).split(b".")
    forged = b".".join((header, signed(8).split(b".")[1], signature_part))
    with pytest.raises(Refused) as refused:
        verifying.check(verifying.read(forged, trusted), trusted, gate, str(tmp_path))
    assert refused.value.code == "bad_signature" and gate.refusals == 1


def test_an_unknown_key_costs_no_check(tmp_path: Path) -> None:
    """It is refused by its number; the sentence names those that are trusted."""
    with pytest.raises(Refused) as refused:
        verifying.read(signed(7, key=OTHER_KEY), keys(tmp_path))
    assert refused.value.code == "unknown_key" and KEY.kid in str(refused.value)


@pytest.mark.parametrize(("raw", "code"), [(b"", "malformed"), (b"a.b.c", "malformed"), (b"x" * 60_001, "oversize")])
def test_what_is_no_push_costs_no_check(raw: bytes, code: str, tmp_path: Path) -> None:
    """Form comes before signatures."""
    with pytest.raises(Refused) as refused:
        verifying.read(raw, keys(tmp_path))
    assert refused.value.code == code


def test_a_gate_that_cannot_remember_stays_closed(tmp_path: Path) -> None:
    """No signature is checked while RAM is full: who starts us again and again would get one each time."""
    trusted, gate = keys(tmp_path), Gate(str(tmp_path), Jump().clock, SPACING)
    (tmp_path / "verified.new").mkdir()
    with pytest.raises(Refused) as refused:
        verifying.check(verifying.read(signed(7), trusted), trusted, gate, str(tmp_path))
    assert refused.value.code == "busy" and gate.wait_s() == 10


def test_a_check_that_cannot_be_counted_has_its_verdict(tmp_path: Path) -> None:
    """When it was made is remembered."""
    gate = Gate(str(tmp_path), Jump().clock, SPACING)
    gate.begin()
    (tmp_path / "verified.new").mkdir()
    gate.end(False)
    assert gate.refusals == 1


def test_a_burst_is_paid_for(tmp_path: Path) -> None:
    """Three at once after a pause, then one each ten seconds; another process goes on where the last was."""
    jump, checked = Jump(), []
    for _ in range(100):
        gate = Gate(str(tmp_path), jump.clock, SPACING._replace(burst=3))
        if gate.wait_s() == 0:
            gate.begin()
            gate.end(True)
            checked.append(jump.uptime)
        jump.uptime += 0.5
    began = checked[0]
    assert [round(at - began, 1) for at in checked] == [0, 0.5, 1, 10, 20, 30, 40]
