"""`rwctl tail` against a real broker."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.wire import jws, messages
from fleet.errors import BadInput
from fleet.verbs.tail import NAMES, _named, command
from tests.fleet.cities import enroll
from tests.fleet.little_city import LittleCity, leave, until
from tests.reports import report

ROOT = Path(__file__).resolve().parents[3]
KID = "0123456789abcdef"
CLAIMS = {"kind": "config", "ap": "rw-0501", "revision": 7, "config": {"ssids": {"office": {"key": "hunter2hunter2"}}}}


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LittleCity]:
    with LittleCity(tmp_path_factory.mktemp("city") / "malang") as little:
        (little.city.folder / "city.toml").write_text(
            f'[city]\nname = "malang"\n[broker]\ncity_host = "127.0.0.1"\ncity_port = {little.broker.port}\n', encoding="utf-8"
        )
        enroll(little.city, 1, "rw-0501")
        enroll(little.city, 2, "rw-0502")
        agents = little.agents()
        for ap in ("rw-0501", "rw-0502"):
            presence = messages.presence_birth("b1946ac92492d234", "0" * 16, 1, "0.1.0\x1b[2J")
            agents.publish(f"wifi/v1/malang/{ap}/presence", messages.encode(presence), 1, True).wait_for_publish(5)
        signed = jws.compact(jws.signing_input(KID, CLAIMS), b"\0" * 64)
        agents.publish("wifi/v1/malang/rw-0501/config/desired", signed, 1, True).wait_for_publish(5)
        leave(agents)
        yield little


def tail(little: LittleCity, *words: str) -> Result:
    return CliRunner().invoke(command, list(words), obj=little.city.folder)


@pytest.mark.needs("mosquitto")
def test_one_access_point(little: LittleCity) -> None:
    """Only its messages, decoded, one line each, nothing in them that moves a cursor."""
    done = tail(little, "rw-0501", "--topic", "presence", "--count", "1")
    assert done.exit_code == 0, done.exception
    (line,) = done.stdout.splitlines()
    assert "rw-0501  presence  (retained)" in line and '"state":"online"' in line and line.isprintable()


@pytest.mark.needs("mosquitto")
def test_a_signed_one_is_shown_without_its_keys(little: LittleCity) -> None:
    """The claims, the key's id, and that the signature was not checked."""
    done = tail(little, "rw-0501", "--topic", "config/desired", "--count", "1", "--pretty")
    assert f"kid {KID}, signature not checked" in done.stdout and '"revision": 7' in done.stdout
    assert "hunter2" not in done.stdout


@pytest.mark.needs("mosquitto")
def test_an_expression_chooses(little: LittleCity) -> None:
    """As in `rwctl status --where`; each line a JSON object."""
    done = tail(little, "--where", "id=rw-0502", "--json", "--count", "1")
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["ap"] == "rw-0502"


@pytest.mark.needs("mosquitto")
def test_a_slip_in_the_expression_is_told_at_once(little: LittleCity) -> None:
    """Before anything is waited for."""
    assert isinstance(tail(little, "--where", "idd=1").exception, BadInput)


def test_what_does_not_go_together_is_refused(little: LittleCity) -> None:
    """An ID and an expression; an ID that is none; a topic that is none."""
    assert tail(little, "rw-0501", "--where", "id=x").exit_code == 2
    assert isinstance(tail(little, "RW/#").exception, BadInput)
    assert isinstance(tail(little, "--topic", "nothing").exception, BadInput)


def test_topics_by_name() -> None:
    """A row of the contract, all of a kind, or exactly one."""
    assert _named(()) == NAMES and "echo" not in NAMES
    assert _named(("report",)) == ["report"]
    assert _named(("alert",)) == ["alert/<code>"]
    assert _named(("alert/memory-low",)) == ["alert/memory-low"]
    assert _named(("command",)) == ["command/<name>", "command/<name>/result"]


@pytest.mark.needs("mosquitto")
def test_new_leaves_out_what_is_retained(little: LittleCity) -> None:
    """With --new only what comes from now on counts."""
    agents, done = little.agents(), list[Result]()
    thread = threading.Thread(target=lambda: done.append(tail(little, "rw-0501", "--new", "--count", "1", "--json")))
    thread.start()

    def is_done() -> bool:
        agents.publish("wifi/v1/malang/rw-0501/report", messages.deflate(messages.encode(report(1, 60))), 1)
        return bool(done)

    until(is_done, what="the first new message")
    thread.join(5)
    leave(agents)
    said = json.loads(done[0].stdout)
    assert (said["topic"], said["retained"], said["message"]["seq"]) == ("report", False, 1)


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order_when_told_to(little: LittleCity, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM: what was heard is printed whole, exit 0, nothing on stderr."""
    program = "import sys; from fleet import cli; sys.exit(cli.main(sys.argv[1:]))"
    words = [sys.executable, "-c", program, "--dir", str(little.city.folder), "tail", "rw-0501", "--topic", "presence"]
    child = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        assert child.stdout is not None and select.select([child.stdout], [], [], 20)[0], "nothing was printed"
        child.send_signal(number)
        said, complained = child.communicate(timeout=20)
        assert (child.returncode, complained) == (0, "") and '"state":"online"' in said
    finally:
        child.kill()
        child.wait()
