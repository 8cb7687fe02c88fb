"""The certificate as identity: its CN and its end, and any garbage in its place."""

from __future__ import annotations

import base64
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from hypothesis import example, given
from hypothesis import strategies as st

from agent import identity
from agent.errors import Rejected
from tests.fakes import certificates

UTC = datetime.timezone.utc
CA = certificates.authority()
ISSUED = certificates.issue(CA, "rw-0501")
DER = ssl.PEM_cert_to_DER_cert(ISSUED.pem().decode())


def pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


def test_the_cn_is_read() -> None:
    """The subject's CN is the access point's id."""
    assert identity.parse(ISSUED.pem()).cn == "rw-0501"


def test_the_first_of_two_cns_counts() -> None:
    """Brokers that make a user name of the CN take the first one; so does the agent."""
    assert identity.parse(certificates.issue(CA, "rw-0501", "rw-0502").pem()).cn == "rw-0501"


def test_no_cn_is_empty() -> None:
    """A certificate without a CN gives an empty one, and no exception."""
    assert identity.parse(certificates.issue(CA).pem()).cn == ""


def test_a_cn_in_two_byte_characters_is_read() -> None:
    """A CN as BMPString, as some Windows authorities write it, is read as text."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rw-7", _type=_ASN1Type.BMPString)])
    assert identity.parse(certificates.issue(CA, subject=subject).pem()).cn == "rw-7"


@pytest.mark.parametrize("year", [2024, 2028, 2049, 2050, 2099])
def test_the_end_is_what_openssl_says(year: int, tmp_path: Path) -> None:
    """The last valid second equals OpenSSL's reading, in UTCTime (to 2049) and in GeneralizedTime (from 2050)."""
    issued = certificates.issue(CA, "rw-1", not_after=datetime.datetime(year, 2, 28, 23, 59, 58, tzinfo=UTC))
    file = tmp_path / "client.pem"
    file.write_bytes(issued.pem())
    expected = ssl._ssl._test_decode_cert(str(file))["notAfter"]  # type: ignore[attr-defined]  # the independent reading
    assert identity.certificate_ends(str(file)) == ssl.cert_time_to_seconds(expected)


def test_text_before_the_certificate_is_ignored() -> None:
    """The readable dump that `openssl x509 -text` puts before the PEM does no harm."""
    assert identity.parse(b"Certificate:\n    Data:\n" + ISSUED.pem()).cn == "rw-0501"


def test_the_first_certificate_of_a_chain_counts() -> None:
    """A file with intermediates behind it tells of its own certificate."""
    assert identity.parse(ISSUED.pem() + CA.pem()).cn == "rw-0501"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is refused with its name and the reason."""
    with pytest.raises(Rejected, match=r"client\.pem: cannot be read: No such file"):
        identity.certificate(str(tmp_path / "client.pem"))


def test_a_key_is_no_certificate(tmp_path: Path) -> None:
    """The private key given in the certificate's place is refused, and nothing of it is shown."""
    file = tmp_path / "client.pem"
    file.write_bytes(ISSUED.key_pem())
    with pytest.raises(Rejected, match="no certificate in it") as caught:
        identity.certificate(str(file))
    assert ISSUED.key_pem().split(b"\n")[1].decode() not in str(caught.value)


@given(st.binary(max_size=300))
@example(b"")
@example(b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----")
@example(b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----")
def test_any_bytes_are_read_or_refused(garbage: bytes) -> None:
    """Random bytes, bare or in PEM's clothes, give Rejected and no other exception."""
    for text in (garbage, pem(garbage)):
        with pytest.raises(Rejected):
            identity.parse(text)


@given(st.integers(0, len(DER) - 1), st.integers(0, 255))
def test_a_flipped_byte_is_read_or_refused(at: int, byte: int) -> None:
    """A certificate with any one byte changed gives a certificate or Rejected."""
    damaged = pem(DER[:at] + bytes([byte]) + DER[at + 1 :])
    try:
        assert isinstance(identity.parse(damaged), identity.Certificate)
    except Rejected as error:
        assert "damaged" in str(error)


@given(st.integers(0, len(DER) - 1))
def test_a_certificate_cut_short_is_refused(length: int) -> None:
    """A certificate that ends early is refused as damaged."""
    with pytest.raises(Rejected):
        identity.parse(pem(DER[:length]))


@given(st.dates(min_value=datetime.date(1970, 1, 1)))
def test_days_are_those_of_the_calendar(date: datetime.date) -> None:
    """The Gregorian calendar, leap centuries included, without the modules that know it."""
    assert identity._days(date.year, date.month, date.day) == (date - datetime.date(1970, 1, 1)).days
