"""What `rwctl broker` says and leaves with: a broker that runs, the reasons why one does not, a table of what was tried."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.cli import main
from tests.fleet.broker_city import BrokerCity, founded


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCity]:
    with BrokerCity(founded(tmp_path_factory.mktemp("city") / "malang")) as broker:
        yield broker


def rwctl(capsys: pytest.CaptureFixture[str], folder: Path, *words: object) -> tuple[int, str, str]:
    code = main(["--dir", str(folder), *map(str, words)])
    return code, *capsys.readouterr()


@pytest.mark.needs("mosquitto")
def test_run_says_where_it_listens_and_ends_as_it_is_told(tmp_path: Path) -> None:
    """On stderr, before mosquitto's own log; SIGTERM and SIGINT reach it, and it ends with 0."""
    city = founded(tmp_path / "malang")
    for number in (signal.SIGTERM, signal.SIGINT):
        with BrokerCity(city) as broker:
            assert f"127.0.0.1:{city.broker.port} for access points, 127.0.0.1:{city.broker.city_port} for the city\n" in broker.log()
            assert broker.stop(number) == 0


@pytest.mark.needs("mosquitto")
def test_run_mends_what_was_edited(tmp_path: Path) -> None:
    """The configuration and the access list are city.toml's at each start; so is the certificate's name."""
    city = founded(tmp_path / "malang")
    (city.broker_folder / "acl").write_text("topic readwrite #\n")
    file = city.folder / "city.toml"
    file.write_text(file.read_text().replace("names = []", 'names = ["mqtt.example"]').replace("away_minutes = 60", "away_minutes = 90"))
    with BrokerCity(city) as broker:
        assert "mended  the broker's certificate: was for other names" in broker.log()
    assert "pattern" in (city.broker_folder / "acl").read_text()
    assert "max_queued_messages 3600\n" in (city.broker_folder / "mosquitto.conf").read_text()


@pytest.mark.needs("mosquitto")
def test_a_second_run_is_refused(running: BrokerCity, capsys: pytest.CaptureFixture[str]) -> None:
    """With the process that runs."""
    code, _, error = rwctl(capsys, running.city.folder, "broker", "run")
    assert code == 1 and f"rwctl broker: this city's broker runs already (process {running.pid()})" in error


@pytest.mark.needs("mosquitto")
def test_another_citys_port_is_refused(running: BrokerCity, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    city = founded(tmp_path / "other", port=running.city.broker.port)
    code, _, error = rwctl(capsys, city.folder, "broker", "run")
    assert code == 1 and f"{running.city.broker.port} cannot be listened on (Address already in use)" in error


def test_anothers_broker_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text says the check."""
    city = founded(tmp_path / "malang", own=False)
    code, _, error = rwctl(capsys, city.folder, "broker", "run")
    assert code == 1 and "somebody else runs the broker" in error and "broker check" in error


@pytest.mark.needs("mosquitto")
def test_check_prints_a_table(running: BrokerCity, capsys: pytest.CaptureFixture[str]) -> None:
    """Or JSON; exit 0 when all is as it must be."""
    code, out, error = rwctl(capsys, running.city.folder, "broker", "check", "--messages", 20, "--json")
    told = json.loads(out)
    assert (code, error, told["good"]) == (0, "", True)
    (waiting,) = [finding for finding in told["findings"] if finding["what"].startswith("messages that wait")]
    assert (waiting["is_good"], waiting["found"], waiting["needed"]) == (True, "20 came, 0 were lost", "20")


@pytest.mark.needs("mosquitto")
def test_a_broker_that_will_not_do_is_exit_1(running: BrokerCity, capsys: pytest.CaptureFixture[str]) -> None:
    """The table says which line is wrong and what to do; a good line has no remedy."""
    city = founded(running.city.folder.parent / "second")
    broker = BrokerCity(city)
    broker.start()
    broker.stop()
    broker.start((city.broker_folder / "mosquitto.conf").read_text().replace("max_inflight_messages 1000", "max_inflight_messages 10"))
    try:
        code, out, error = rwctl(capsys, city.folder, "broker", "check", "--messages", 20)
    finally:
        broker.stop()
    assert code == 1 and "of 16 are not as they must be" in error
    (line,) = [line for line in out.splitlines() if "messages in flight" in line or line.startswith("WRONG  messages")]
    assert line.startswith("WRONG") and " 10 " in line
    assert next(line for line in out.splitlines() if "MQTT version" in line).startswith("ok")


def test_check_of_a_broker_that_is_away_is_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the command that starts it."""
    city = founded(tmp_path / "malang")
    code, _, error = rwctl(capsys, city.folder, "broker", "check")
    assert code == 1 and f"start it:  rwctl --dir {city.folder} broker run" in error


@pytest.mark.parametrize("verb", ["run", "check"])
def test_help_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Ready to be typed."""
    assert main(["broker", verb, "--help"]) == 0
    assert f"  rwctl --dir malang broker {verb}" in capsys.readouterr().out
