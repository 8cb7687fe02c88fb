"""What fleet/doors.py promises: that it comes in where anybody may, so that a door it calls shut is shut."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import doors
from tests.mosquitto import Mosquitto, free_port
from tests.pki import Authority

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doors")


@pytest.fixture(scope="module")
def ca(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def mutual(folder: Path, ca: Authority) -> Iterator[Mosquitto]:
    with Mosquitto(folder, server=ca.server(), ca_file=ca.file, mutual=True) as broker:
        yield broker


@pytest.mark.needs("mosquitto")
def test_a_plain_open_broker_is_open(folder: Path) -> None:
    """Without TLS, with or without a name; to TLS it is shut."""
    ca = Authority(folder, "other")
    with Mosquitto(folder) as broker:
        assert doors.opens(HOST, broker.port, None) and doors.opens(HOST, broker.port, None, "rw-1")
        assert not doors.opens(HOST, broker.port, ca.file)


@pytest.mark.needs("mosquitto", "mosquitto_passwd")
def test_a_made_up_password_is_not_taken(folder: Path) -> None:
    """Where there are passwords, neither nobody nor a guess comes in."""
    with Mosquitto(folder, passwords={"rw-1": "rahasia"}) as broker:
        assert not doors.opens(HOST, broker.port, None) and not doors.opens(HOST, broker.port, None, "rw-1")


@pytest.mark.needs("mosquitto")
def test_tls_without_a_certificate_is_tried(folder: Path, ca: Authority) -> None:
    """A broker that only has a server certificate is open to anybody."""
    with Mosquitto(folder, server=ca.server()) as broker:
        assert doors.opens(HOST, broker.port, ca.file) and not doors.opens(HOST, broker.port, None)


@pytest.mark.needs("mosquitto")
def test_only_the_right_certificate_opens(mutual: Mosquitto, folder: Path, ca: Authority) -> None:
    """None and another authority's do not."""
    right, wrong = ca.client("rw-1"), Authority(folder, "stranger").client("rw-1")
    opened = [doors.opens(HOST, mutual.port, ca.file, pair=pair and (pair.cert, pair.key)) for pair in (right, wrong, None)]
    assert opened == [True, False, False]


def test_where_nobody_listens_nothing_is_open() -> None:
    """And it is told apart from a door that is shut."""
    port = free_port()
    assert not doors.opens(HOST, port, None) and not doors.is_there(HOST, port)
    with socket.create_server((HOST, port)):
        assert doors.is_there(HOST, port)


def test_a_file_that_is_missing_is_no_shut_door(tmp_path: Path) -> None:
    """It would look like one."""
    with pytest.raises(FileNotFoundError):
        doors.opens(HOST, free_port(), str(tmp_path / "ca.pem"))
