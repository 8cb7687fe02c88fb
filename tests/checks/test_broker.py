"""The doctor at the broker: the daemon's own way there, with real sockets and a real broker."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.checks import broker
from agent.finding import Case, Finding
from agent.settings import Settings
from agent.settings_rules import resolve
from agent.status import Status
from tests.fakes import certificates
from tests.fakes.router import FakeRouter

NOT_RUNNING = Status(False, "none", None, {})
CA = certificates.authority()
WITHIN_S = 60.0


def settings(port: int, **changes: Any) -> Settings:
    found, faults = resolve({"agent": {"id": "rw-1", "city": "malang"}, "broker": {"host": "127.0.0.1", "port": port, "tls": False} | changes})
    assert found is not None, faults
    return found


def findings(port: int, status: Status = NOT_RUNNING, **changes: Any) -> list[Finding]:
    return broker.check(Case("/nowhere", settings(port, **changes), FakeRouter(), status))


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server for one connection; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            # The doctor may hang up first.
            with connection, suppress(OSError):
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(WITHIN_S)


def files(folder: Path, *issued: tuple[str, bytes]) -> dict[str, str]:
    for name, content in issued:
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return {name: str(folder / name) for name, _ in issued}


def client(folder: Path, cn: str = "rw-1") -> dict[str, Any]:
    own = certificates.issue(CA, cn)
    return {"tls": True} | files(folder, ("ca_file", CA.pem()), ("cert_file", own.pem()), ("key_file", own.key_pem()))


def answer_with(content: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(content)
        connection.recv(1024)

    return answer


def test_nobody_listening_is_refused() -> None:
    """A closed port is bad, and MQTT is not tried."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert [(finding.name, finding.verdict, finding.what) for finding in findings(port)] == [
        ("broker", "bad", f"tcp: 127.0.0.1 port {port}: refused"),
        ("mqtt", "skipped", "the broker is not reached"),
    ]


@pytest.mark.parametrize(
    ("answer", "verdict", "what"),
    [
        (b"\x20\x02\x00\x00", "ok", "the broker accepts this access point"),
        (b"\x20\x02\x00\x05", "bad", "the broker refuses this access point: not authorized (0x87)"),
        (b"\x20\x02\x00\x04", "bad", "the broker refuses this access point: bad user name or password (0x86)"),
        (b"HTTP/1.1 400 Bad Request", "bad", "what answers is no MQTT broker"),
        (b"\x20", "bad", "what answers is no MQTT broker"),
    ],
)
def test_the_answer_to_connect_is_understood(answer: bytes, verdict: str, what: str) -> None:
    """CONNACK's codes in words; anything else is no broker."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1024)

    with answering(serve) as port:
        found = findings(port)[1]
    assert (found.verdict, found.what) == (verdict, what)


def test_a_broker_that_hangs_up_is_told() -> None:
    """No answer to CONNECT but an end: bad, with what it mostly means."""
    with answering(lambda connection: None) as port:
        found = findings(port)[1]
    assert (found.verdict, found.what) == ("bad", "the broker closed the connection instead of answering CONNECT")


def test_while_the_daemon_runs_nothing_is_said_in_its_name() -> None:
    """A second CONNECT would end the daemon's session: its own word is taken, and not one byte is sent."""
    heard: list[bytes] = []
    running = Status(True, "", 1.0, {"broker": {"state": "connected", "protocol": "5"}})
    with answering(lambda connection: heard.append(connection.recv(1024))) as port:
        found = findings(port, running)[1]
    assert (found.what, heard) == ("the running agent is connected, MQTT 5", [b""])


def test_the_daemons_reason_is_told() -> None:
    """A running daemon that is refused: its reason is the finding."""
    running = Status(True, "", 1.0, {"broker": {"state": "waiting", "last_reason": "not authorized (0x87)"}})
    with answering(lambda connection: None) as port:
        found = findings(port, running)[1]
    assert (found.verdict, found.what) == ("bad", "the running agent is not connected: not authorized (0x87)")


def test_a_plain_port_behind_tls_is_told(tmp_path: Path) -> None:
    """tls = true against a port that speaks something else is bad, and never falls back."""
    with answering(answer_with(b"hello, this is no TLS\r\n")) as port:
        found = findings(port, **client(tmp_path))
    assert found[0].verdict == "bad"
    assert "does not speak TLS" in found[0].what
    assert found[1].verdict == "skipped"


def tls_server(folder: Path, issued: certificates.Issued, client_ca: str | None = None) -> Callable[[socket.socket], None]:
    named = files(folder, ("server.pem", issued.pem()), ("server.key", issued.key_pem()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(named["server.pem"], named["server.key"])

    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            answer_with(b"\x20\x02\x00\x00")(secured)

    return answer


def test_tls_that_holds_is_told_with_its_version(tmp_path: Path) -> None:
    """A broker with the city's certificate for its name is reached, verified, and accepts."""
    with answering(tls_server(tmp_path, certificates.issue(CA, "broker", hosts=("127.0.0.1",)))) as port:
        reached, mqtt = findings(port, **client(tmp_path))
    assert "TLSv1.3, certificate verified" in reached.what
    assert mqtt.verdict == "ok"


@pytest.mark.parametrize(("ca", "host", "what"), [(certificates.authority(), "127.0.0.1", "not signed by"), (CA, "10.0.0.1", "another host name")])
def test_a_broker_that_is_not_the_citys_is_told(tmp_path: Path, ca: certificates.Issued, host: str, what: str) -> None:
    """Another CA, another name: bad, with which of the two."""
    with answering(tls_server(tmp_path, certificates.issue(ca, "broker", hosts=(host,)))) as port:
        found = findings(port, **client(tmp_path))[0]
    assert found.verdict == "bad"
    assert what in found.what


def test_a_broker_that_will_not_have_our_certificate_is_told(tmp_path: Path) -> None:
    """TLS 1.3 tells only after the handshake that our certificate is of another CA: bad, and whose fault it is."""
    other = files(tmp_path, ("other.pem", certificates.authority("another city").pem()))["other.pem"]
    with answering(tls_server(tmp_path, certificates.issue(CA, "broker", hosts=("127.0.0.1",)), other)) as port:
        reached, mqtt = findings(port, **client(tmp_path))
    assert (reached.verdict, mqtt.verdict) == ("ok", "bad")
    assert "is our certificate signed by the city's CA" in mqtt.remedy


def test_connect_says_who_we_are_and_keeps_the_session(tmp_path: Path) -> None:
    """CONNECT: MQTT 3.1.1, no clean session, no will, id, user name and password."""
    named = files(tmp_path, ("password_file", b"hunter2\r\nnot this\n"))
    packet = broker.connect_packet(settings(1883, keepalive_s=30, **named))
    assert packet == b"\x10\x1f\x00\x04MQTT\x04\xc0\x00\x1e\x00\x04rw-1\x00\x04rw-1\x00\x07hunter2"


def test_a_long_connect_has_a_long_length(tmp_path: Path) -> None:
    """From 128 bytes on the remaining length takes two bytes."""
    named = files(tmp_path, ("password_file", b"x" * 300))
    packet = broker.connect_packet(settings(1883, **named))
    assert (packet[1] & 0x7F) + (packet[2] << 7) == len(packet) - 3


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[int]:
    """A real broker on loopback that knows one password."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    passwords = tmp_path / "passwords"
    path = "/usr/sbin:/usr/local/sbin:/usr/bin:/bin"
    subprocess.run([shutil.which("mosquitto_passwd") or "mosquitto_passwd", "-b", "-c", passwords, "rw-1", "hunter2"], check=True, capture_output=True)
    passwords.chmod(0o644)
    tmp_path.chmod(0o755)
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nuser root\n")
    process = subprocess.Popen([shutil.which("mosquitto", path=path) or "mosquitto", "-c", config], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert process.poll() is None
    yield port
    process.terminate()
    process.wait(WITHIN_S)


@pytest.mark.needs("mosquitto", "mosquitto_passwd")
@pytest.mark.parametrize(("password", "what"), [(b"hunter2\n", "the broker accepts"), (b"wrong\n", "the broker refuses this access point: ")])
def test_a_real_broker_lets_us_in_or_not(tmp_path: Path, mosquitto: int, password: bytes, what: str) -> None:
    """mosquitto takes the right password and no other."""
    named = files(tmp_path, ("agent_password", password))
    assert what in findings(mosquitto, password_file=named["agent_password"])[1].what
