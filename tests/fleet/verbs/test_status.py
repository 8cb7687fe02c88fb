"""`rwctl status` shows all, some or one, for people and for machines, and says how much of it can be believed."""

from __future__ import annotations

import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from fleet import cli
from fleet.city import City
from tests.fleet import cities

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """Sixty access points of every state, heard just now, and one that is pending."""
    former, cities.NOW = cities.NOW, int(time.time())
    city = cities.make_city(tmp_path_factory.mktemp("status") / "malang")
    cities.fill(city, 60)
    cities.write(city, "pending", {"ap": "rw-9999", "first_at": cities.NOW, "last_at": cities.NOW, "messages": 1})
    yield city
    cities.NOW = former


@pytest.fixture
def run(city: City, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `rwctl status …` there; gives code, stdout and stderr."""
    monkeypatch.setenv("RWCTL_DIR", str(city.folder))
    monkeypatch.setenv("COLUMNS", "120")
    cities.listen(city, cities.NOW - 9000, int(time.time()))

    def done(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["status", *arguments])
        return (code, *capsys.readouterr())

    return done


def document(run: Run, *arguments: str) -> dict[str, Any]:
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_all_are_listed_worst_first(run: Run) -> None:
    """Without a terminal every one has its line; the title counts by state."""
    code, out, _ = run()
    lines = out.splitlines()
    shown = [line for line in lines if line.startswith("rw-0")]
    states = ["lost", "late", "offline", "never", "online"]
    order = [next(place for place, state in enumerate(states) if f" {state}" in line) for line in shown]
    assert code == 0 and len(shown) == 60 and order == sorted(order)
    assert lines[0].startswith("malang  ✖") and "Mbit/s" in lines[0]


def test_the_pending_one_is_told_and_not_mixed_in(run: Run) -> None:
    """It stands below with the command, and alone when it is asked for."""
    assert "rw-9999; enrol it:" in " ".join(run()[1].split())
    out = run("--where", "state=pending")[1]
    assert [line.split()[0] for line in out.splitlines() if line.startswith("rw-")][:1] == ["rw-9999"] and "not enrolled" in out


def test_where_sort_and_limit(run: Run) -> None:
    """What is meant, in the order asked for, and how many more there are."""
    out = run("--where", "kelurahan=Lowokwaru and provider=Awinet", "--sort", "id", "--limit", "2")[1]
    shown = [line.split()[0] for line in out.splitlines() if line.startswith("rw-0")]
    assert shown == ["rw-0006", "rw-0021"] and "malang (4 of 60)" in out and "… and 2 more; all of them:" in " ".join(out.split())


@pytest.mark.parametrize("order", ["worst", "id", "kelurahan", "provider", "clients", "down", "up", "age"])
def test_every_order_has_everybody(order: str, run: Run) -> None:
    """An order drops nobody."""
    rows = document(run, "--sort", order)["access_points"]
    assert isinstance(rows, list) and len({row["id"] for row in rows}) == 60
    if order in ("clients", "down"):
        values = [row.get("clients" if order == "clients" else "down_bps", 0) for row in rows]
        assert values == sorted(values, reverse=True)


def test_json_has_what_the_table_has(run: Run) -> None:
    """One document: the moment, who listens, counts, rows; what is not known is absent."""
    found = document(run, "--where", "state!=online")
    assert set(found) == {"v", "city", "at", "ear", "counts", "quarantined", "access_points"}
    assert found["ear"] == {"listening": True, "serving": False, "last_at": found["ear"]["last_at"], "clock_off_s": 0.0}
    assert sum(found["counts"].values()) == 61
    assert all(row["state"] != "online" for row in found["access_points"])


def test_one_in_full(run: Run) -> None:
    """Its card, or all of it as JSON."""
    code, out, _ = run("rw-0006")
    assert code == 0 and out.startswith("rw-0006  ") and "kelurahan Lowokwaru" in out
    point = document(run, "rw-0006")["access_point"]
    assert point["id"] == "rw-0006" and "availability" in point


def test_an_unknown_one_is_1(run: Run) -> None:
    """With what is close to it."""
    code, out, err = run("rw-006")
    assert (code, out) == (1, "") and "there is no access point 'rw-006'; did you mean rw-0006" in err


@pytest.mark.parametrize(
    "arguments", [("--where", "kelurahn=x"), ("--where", "kelurahan=Lowokwru"), ("rw-0006", "--where", "state=lost"), ("--sort", "name"), ("--limit", "-1")]
)
def test_bad_input_is_2(arguments: tuple[str, ...], run: Run) -> None:
    """A slip never shows an empty table."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and err


def test_what_was_not_understood_can_be_looked_at(city: City, run: Run) -> None:
    """Topic, reason and beginning, the newest first, hostile bytes spelled out; and as JSON."""
    assert run("--quarantine")[1] == "every message was understood\n"
    for number, beginning in ((1, "{"), (2, "\x1b[2J")):
        row = {"at": cities.NOW, "topic": "wifi/v1/malang/rw-0001/report", "reason": "not JSON", "bytes": 7, "sha256": "00", "beginning": beginning}
        cities.write(city, "quarantine", {"number": number, **row})
    _, out, _ = run("--quarantine")
    lines = out.splitlines()
    assert "rw-0001/report  7 bytes: not JSON" in lines[0] and lines[1::2] == ["    \\x1b[2J", "    {"]
    assert [one["reason"] for one in document(run, "--quarantine", "--limit", "1")["quarantine"]] == ["not JSON"]
    assert "2 messages could not be understood" in " ".join(run()[1].split())


def test_nothing_found_says_so(run: Run) -> None:
    """And of how many."""
    code, out, _ = run("--where", "clients>1000")
    assert code == 0 and "none of the 60 access points is so" in out and "Access point" not in out


def test_without_serve_all_is_unknown_and_said(city: City, run: Run) -> None:
    """Old figures are not shown as news: unknown, what each was, how old, and the remedy."""
    cities.listen(city, cities.NOW - 9000, cities.NOW - 60)
    code, out, _ = run()
    assert code == 0 and "rwctl serve is not running: what follows is as it was" in " ".join(out.split())
    shown = [line for line in out.splitlines() if line.startswith("rw-0")]
    assert all("? unknown" in line or "○ never" in line for line in shown) and any("was lost" in line for line in shown)


def test_a_terminal_gets_as_many_as_fit(city: City) -> None:
    """The worst stay on the screen, and the last line says how to see the others."""
    out = on_a_terminal(["status"], city, rows=20, columns=100)
    lines = [line for line in out.splitlines() if line.strip()]
    assert 12 < len(lines) < 20 and "status --limit 0" in " ".join(out.split()) and "none of them worse" in out
    assert "\x1b[?1049h" not in out, "nothing takes the screen over"


def on_a_terminal(arguments: list[str], city: City, rows: int, columns: int) -> str:
    """Run rwctl on a terminal of that size and give what it wrote."""
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**os.environ, "RWCTL_DIR": str(city.folder), "TERM": "xterm", "NO_COLOR": "1"}
    for name in ("COLUMNS", "LINES"):  # readline leaves them behind
        environment.pop(name, None)
    program = "import sys; from fleet import cli; sys.exit(cli.main(sys.argv[1:]))"
    child = subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=ROOT, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    out = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([leader], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux tells so that the other side is closed
            break
        out += piece
    os.close(leader)
    assert child.wait(10) == 0
    return out.decode()
