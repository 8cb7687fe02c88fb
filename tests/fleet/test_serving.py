"""One run of `serve` in this process: its status file, and what a push left behind."""

from __future__ import annotations

import gc
import json
import logging
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.wire import messages
from fleet.errors import Refused
from fleet.serving import Serving, calm_collector
from tests.fleet.cities import enroll
from tests.fleet.little_city import LittleCity, leave, until
from tests.reports import report

pytestmark = pytest.mark.needs("mosquitto")


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LittleCity]:
    with LittleCity(tmp_path_factory.mktemp("city") / "malang") as little:
        enroll(little.city, 1, "rw-0501")
        yield little


class Run:
    """A serve in a thread of its own, as its SQLite connections want it."""

    def __init__(self, little: LittleCity) -> None:
        self._over = threading.Event()
        self.is_whole: bool | None = None
        self._city = little.city
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.is_whole = Serving(self._city, self._over.is_set).run()

    def end(self) -> None:
        self._over.set()
        self._thread.join(15)


def status(little: LittleCity) -> dict[str, object]:
    path = little.city.store / "serve.json"
    found: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    return found


def test_the_status_file_tells_how_it_goes(little: LittleCity) -> None:
    """What `rwctl status` wants to know stands there while it runs, and that it is gone afterwards."""
    run = Run(little)
    agents = little.agents()
    try:
        until(lambda: status(little).get("connected"), what="the connection")
        agents.publish("wifi/v1/malang/rw-0501/report", messages.encode(report(1, 60.0)), 1)
        agents.publish("wifi/v1/malang/rw-0777/report", messages.encode(report(1, 60.0) | {"ap": "rw-0777"}), 1)
        agents.publish("wifi/v1/malang/rw-0501/report", b"poison", 1)
        until(lambda: status(little).get("messages") == 3, what="the figures")
        said = status(little)
    finally:
        run.end()
        leave(agents)
    assert run.is_whole
    assert (said["stored"], said["poison"], said["pending"], said["duplicates"], said["trouble"]) == (1, 1, 1, 0, "")
    assert isinstance(said["lag_p99_ms"], float) and 0 < said["lag_p99_ms"] < 5_000
    assert isinstance(said["messages_per_s"], float) and said["clock_off_s"] == 0.0
    assert status(little)["pid"] is None and status(little)["connected"] is False


def test_what_a_push_left_behind_is_sent(little: LittleCity, caplog: pytest.LogCaptureFixture) -> None:
    """A revision that the broker never took is published retained, as the operator, and noted."""
    caplog.set_level(logging.INFO)
    columns = "ap, revision, change, at, author, hash, document, confirm_within_s, below_contract, jws"
    with sqlite3.connect(little.city.store / "city.db") as city:
        city.execute(f"INSERT INTO revisions ({columns}) VALUES (1, 1, 1, 1, 'sri', 'sha256:0', '{{}}', 180, 0, x'6a7773')")
    city.close()
    heard: list[tuple[str, bytes, bool]] = []
    agents = little.agents()
    agents.on_message = lambda _client, _data, message: heard.append((message.topic, message.payload, message.retain))
    run = Run(little)
    try:
        until(lambda: "configs of an earlier push sent: access_points=1" in caplog.text, 20, "the line in the log")
        agents.subscribe("wifi/v1/malang/rw-0501/config/desired", 1)
        until(lambda: heard, what="the config")
    finally:
        run.end()
        leave(agents)
    assert heard == [("wifi/v1/malang/rw-0501/config/desired", b"jws", True)]


def test_two_in_one_store_are_refused(little: LittleCity) -> None:
    """The second says whose the store is."""
    run = Run(little)
    try:
        until(lambda: status(little).get("connected"), what="the connection")
        with pytest.raises(Refused, match=r"process \d+"):
            Serving(little.city, lambda: True)
    finally:
        run.end()


def test_a_status_file_that_cannot_be_written_stops_nothing(little: LittleCity, tmp_path: Path) -> None:
    """It is for whoever looks, and not needed."""
    blocker = little.city.store / ".serve.json.new"
    blocker.mkdir()
    run = Run(little)
    agents = little.agents()
    try:
        agents.publish("wifi/v1/malang/rw-0501/report", messages.encode(report(77, 60.0)), 1)
        live = sqlite3.connect(little.city.store / "live.db")
        until(lambda: "77" in live.execute("SELECT group_concat(received) FROM boots").fetchone()[0], what="the report")
        live.close()
    finally:
        run.end()
        leave(agents)
        blocker.rmdir()
    assert run.is_whole


def test_the_collector_is_calm_but_not_off() -> None:
    """What has cycles is still found, only later."""
    before = gc.get_threshold()
    try:
        calm_collector()
        assert gc.isenabled() and before[0] < gc.get_threshold()[0] < 1_000_000 and gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
