"""TLS contexts, and the words for what goes wrong."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.tls import NO_CHECK_TIME, Contexts, explain, explain_session, is_fault
from tests.pki import Authority


@pytest.mark.parametrize("are_dates_checked", [True, False])
def test_signature_and_host_name_are_always_checked(tmp_path: Path, are_dates_checked: bool) -> None:
    """In either trust state: TLS 1.2 at least, a certificate required, its host name checked."""
    context = Contexts(Authority(tmp_path).file, None, None).context(are_dates_checked=are_dates_checked)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_only_the_dates_depend_on_the_clock(tmp_path: Path) -> None:
    """The flag is OpenSSL's X509_V_FLAG_NO_CHECK_TIME and the only difference."""
    contexts = Contexts(Authority(tmp_path).file, None, None)
    good, bad = (int(contexts.context(are_dates_checked=checked).verify_flags) for checked in (True, False))
    assert good & NO_CHECK_TIME == 0
    assert bad == good | NO_CHECK_TIME


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python's default from 3.13 on")
def test_certificates_are_read_strictly_where_python_does(tmp_path: Path) -> None:
    """VERIFY_X509_STRICT as in ssl.create_default_context."""
    context = Contexts(Authority(tmp_path).file, None, None).context(are_dates_checked=True)
    assert context.verify_flags & ssl.VERIFY_X509_STRICT


def test_a_context_is_made_once(tmp_path: Path) -> None:
    """Each trust state has one, used again."""
    contexts = Contexts(Authority(tmp_path).file, None, None)
    first = contexts.context(are_dates_checked=True)
    other = contexts.context(are_dates_checked=False)
    assert contexts.context(are_dates_checked=True) is first
    assert contexts.context(are_dates_checked=False) is other
    assert first is not other


def test_a_renewed_file_is_read_again(tmp_path: Path) -> None:
    """A client certificate that was replaced is used from the next connection on."""
    city = Authority(tmp_path)
    client = city.client("rw-0501")
    contexts = Contexts(city.file, client.cert, client.key)
    first = contexts.context(are_dates_checked=True)
    os.utime(client.cert, ns=(0, 1))
    assert contexts.context(are_dates_checked=True) is not first


def test_a_key_that_does_not_fit_is_named(tmp_path: Path) -> None:
    """Both files, and no passphrase is ever asked for."""
    city = Authority(tmp_path)
    one, other = city.client("rw-0501"), city.client("rw-0502")
    with pytest.raises(Unavailable, match=r"rw-0501\.pem with .*rw-0502\.key cannot be used"):
        Contexts(city.file, one.cert, other.key).context(are_dates_checked=True)


def test_a_ca_file_without_a_certificate_is_named(tmp_path: Path) -> None:
    """Its name and why."""
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(Unavailable, match=r"the CA file .*ca\.pem cannot be used"):
        Contexts(str(tmp_path / "ca.pem"), None, None).context(are_dates_checked=True)


def test_a_timeout_asks_for_the_port() -> None:
    """Silence during the handshake."""
    assert explain(TimeoutError(), "mqtt.example", 8883, None) == "TLS: mqtt.example:8883 does not answer the handshake; is it a plain port?"


def test_a_reset_asks_for_the_port() -> None:
    """Closed during the handshake."""
    assert explain(ConnectionResetError(), "mqtt.example", 8883, None).endswith("closed the connection during the handshake; is it a plain port?")


def test_an_alert_is_the_brokers_no() -> None:
    """With TLS 1.3 our certificate is refused after the handshake."""
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    assert is_fault(alert)
    assert explain_session(alert).startswith("TLS: the broker refused us (tlsv13 alert certificate required)")


def test_a_path_that_breaks_is_no_fault_of_tls() -> None:
    """A reset below TLS counts as the path's."""
    assert not is_fault(ConnectionResetError())
    assert not is_fault(None)
