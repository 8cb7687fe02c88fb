"""The files that the broker's settings name, and the id they give."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.settings import Settings
from agent.settings_rules import resolve
from tests.fakes import certificates

CA = certificates.authority()
CLIENT = certificates.issue(CA, "rw-0501")


@pytest.fixture
def broker(tmp_path: Path) -> dict[str, Any]:
    """A broker's table with TLS and a certificate, all files good."""
    contents = {"ca_file": CA.pem(), "cert_file": CLIENT.pem(), "key_file": CLIENT.key_pem()}
    for key, content in contents.items():
        (tmp_path / key).write_bytes(content)
        (tmp_path / key).chmod(0o640)
    return {"host": "mqtt.example"} | {key: str(tmp_path / key) for key in contents}


def resolved(broker: dict[str, Any], **agent: str) -> Settings:
    settings, faults = resolve({"agent": {"city": "malang"} | agent, "broker": broker})
    assert settings is not None, faults
    return settings


def sentences(broker: dict[str, Any], **agent: Any) -> list[str]:
    settings, faults = resolve({"agent": {"city": "malang"} | agent, "broker": broker})
    assert settings is None
    return [fault.sentence() for fault in faults]


def put(broker: dict[str, Any], key: str, content: bytes, mode: int = 0o640) -> str:
    file = Path(broker["ca_file"]).parent / key
    file.write_bytes(content)
    file.chmod(mode)
    broker[key] = str(file)
    return str(file)


def test_the_id_is_the_certificates_cn(broker: dict[str, Any]) -> None:
    """Without agent.id the certificate says who this access point is."""
    assert resolved(broker).id == "rw-0501"


def test_a_given_id_comes_before_the_certificates(broker: dict[str, Any]) -> None:
    """With agent.id that is it; the doctor tells when the certificate says otherwise."""
    assert resolved(broker, id="rw-9").id == "rw-9"


def test_a_cn_outside_the_grammar_is_no_id(broker: dict[str, Any]) -> None:
    """A CN that could not be a topic's level is refused, and shown."""
    put(broker, "cert_file", certificates.issue(CA, "_ingest/#").pem())
    expected = "expected 1 to 48 of a-z, 0-9 and -, or broker.cert_file with a certificate whose CN is that; its CN is '_ingest/#'"
    assert sentences(broker) == [f"agent.id is missing, {expected}"]


def test_without_certificate_the_id_must_be_given() -> None:
    """Plain text to this box needs agent.id."""
    expected = "expected 1 to 48 of a-z, 0-9 and -, or broker.cert_file with a certificate whose CN is that"
    assert sentences({"host": "localhost", "tls": False}) == [f"agent.id is missing, {expected}"]


def test_a_wrong_id_is_not_also_missing(broker: dict[str, Any]) -> None:
    """A wrong agent.id is one fault, not two."""
    assert len(sentences({"host": "localhost", "tls": False}, id="A")) == 1


def test_the_documented_files_are_the_default() -> None:
    """With TLS and nothing said, the three files of the design are looked for."""
    assert [line.split(",")[0] for line in sentences({"host": "mqtt.example"}, id="rw-1")] == [
        'broker.ca_file is "/etc/rwagent/ca.pem"',
        'broker.cert_file is "/etc/rwagent/client.pem"',
        'broker.key_file is "/etc/rwagent/client.key"',
    ]


def test_a_password_stands_in_for_a_certificate(broker: dict[str, Any]) -> None:
    """With a password no certificate is looked for, and the user's name is the id."""
    put(broker, "password_file", b"hunter2\n")
    del broker["cert_file"], broker["key_file"]
    settings = resolved(broker, id="rw-5").broker
    assert (settings.username, settings.cert_file, settings.key_file) == ("rw-5", "", "")


def test_tls_without_any_proof_is_refused(broker: dict[str, Any]) -> None:
    """TLS with both ways of proving who we are switched off is refused."""
    broker |= {"cert_file": "", "key_file": ""}
    put(broker, "password_file", b"x")
    broker["password_file"], broker["username"] = "", "rw-5"
    assert sentences(broker, id="rw-5") == ["broker.password_file is missing, expected with broker.username"]


@pytest.mark.parametrize(("gone", "other"), [("cert_file", "key_file"), ("key_file", "cert_file")])
def test_half_a_pair_is_refused(broker: dict[str, Any], gone: str, other: str) -> None:
    """A certificate needs its key, a key its certificate."""
    del broker[gone]
    assert sentences(broker, id="rw-5") == [f"broker.{gone} is missing, expected with broker.{other}"]


@pytest.mark.parametrize("mode", [0o644, 0o642, 0o604])
@pytest.mark.parametrize("key", ["key_file", "password_file"])
def test_a_secret_open_to_others_is_refused_with_the_command(broker: dict[str, Any], key: str, mode: int) -> None:
    """A key or password that others may read or write is refused, and the fault is the command to run."""
    file = put(broker, key, CLIENT.key_pem() if key == "key_file" else b"hunter2", mode)
    assert sentences(broker) == [f'broker.{key} is "{file}", expected a file closed to others: run chmod o-rwx {file}']


def test_the_command_closes_the_file(broker: dict[str, Any]) -> None:
    """Typing what the fault says, also for a path with a space, ends the fault."""
    key = Path(broker["key_file"]).with_name("the key $HOME'")
    key.write_bytes(CLIENT.key_pem())
    key.chmod(0o644)
    broker["key_file"] = str(key)
    (said,) = sentences(broker)
    subprocess.run(["sh", "-c", said.split(": run ")[1]], check=True)
    assert resolved(broker).broker.key_file == str(key)


def test_others_may_read_what_is_no_secret(broker: dict[str, Any]) -> None:
    """The CA and the certificate may be world-readable."""
    for key in ("ca_file", "cert_file"):
        Path(broker[key]).chmod(0o644)
    assert resolved(broker).id == "rw-0501"


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_a_file_that_is_not_there_is_named(broker: dict[str, Any], key: str) -> None:
    """Each file must exist."""
    broker[key] += ".gone"
    assert sentences(broker, id="rw-5") == [f'broker.{key} is "{broker[key]}", expected a file that can be read (No such file or directory)']


def test_a_fifo_in_a_files_place_does_not_hold_up_the_start(broker: dict[str, Any]) -> None:
    """What is no regular file is refused unread."""
    broker["ca_file"] += ".fifo"
    os.mkfifo(broker["ca_file"])
    assert sentences(broker) == [f'broker.ca_file is "{broker["ca_file"]}", expected a regular file']


@pytest.mark.parametrize(
    ("key", "content", "said"),
    [
        ("ca_file", b"", "expected a certificate in PEM: no certificate in it, expected a PEM file with -----BEGIN CERTIFICATE-----"),
        ("cert_file", CLIENT.key_pem(), "expected a certificate in PEM: no certificate in it, expected a PEM file with -----BEGIN CERTIFICATE-----"),
        ("key_file", CLIENT.pem(), "expected a private key in PEM"),
        ("key_file", CLIENT.key_pem(b"hunter2"), "expected a private key without a passphrase"),
        ("password_file", b"\nhunter2\n", "expected a file whose first line is the password"),
    ],
)
def test_a_file_with_the_wrong_content_is_refused(broker: dict[str, Any], key: str, content: bytes, said: str) -> None:
    """Files mixed up, empty or closed with a passphrase are found at once, and nothing in them is shown."""
    file = put(broker, key, content)
    assert sentences(broker, id="rw-5") == [f'broker.{key} is "{file}", {said}']


def test_a_fault_elsewhere_hides_no_faulty_file(broker: dict[str, Any]) -> None:
    """A wrong port and a missing CA are told together."""
    broker |= {"port": 0, "ca_file": "/nowhere/ca.pem"}
    assert [line.split(" ")[0] for line in sentences(broker, id="rw-5")] == ["broker.port", "broker.ca_file"]


def test_a_faulty_key_is_not_also_called_missing(broker: dict[str, Any]) -> None:
    """A relative key_file is one fault; the certificate is not blamed for the missing pair."""
    broker["key_file"] = "client.key"
    assert [line.split(" ")[0] for line in sentences(broker)] == ["broker.key_file"]
