"""The city's two private authorities: certificates made, taken back and read again. The only door to X.509.

Promises certificates that pass X509_STRICT, serials that nobody guesses, and a list of the revoked ones that a clock gone wrong never makes invalid.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleet import files
from fleet.city import City
from fleet.errors import Refused

CA, OPERATORS = "ca", "operators"
BACKDATED_DAYS = 400  # a server whose clock was ahead when it made them, and one whose clock goes back
AUTHORITY_DAYS = 7300
CLIENT_DAYS = SERVER_DAYS = 3650  # nothing renews them on a router, and a city that forgets to must not lose its fleet
BRIEF_S = 900
KEPT_DAYS = 30  # how long the list keeps certificates that were good for minutes only


class Issued(NamedTuple):
    """A certificate and its key, PEM both; `serial` in 32 hex digits, `expires_at` in Unix seconds."""

    certificate: bytes
    key: bytes
    serial: str
    expires_at: int

    def __repr__(self) -> str:
        return f"Issued(serial={self.serial!r}, expires_at={self.expires_at}, key=***)"


class Certificate(NamedTuple):
    """What a certificate says; `names` are the host names and addresses it is for."""

    cn: str
    serial: str
    begins_at: int
    expires_at: int
    names: tuple[str, ...]


class Authority:
    """One authority with its key in memory, so that hundreds of certificates are made in one go."""

    def __init__(self, certificate: bytes, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._certificate = x509.load_pem_x509_certificate(certificate)
        self._key = _private(key)
        self._clock = clock
        self._identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())

    def client(self, cn: str, days: int = CLIENT_DAYS, key: bytes | None = None) -> Issued:
        """Make a client's certificate, with a new key unless one is given."""
        return self._issue(cn, datetime.timedelta(days=days), [], ExtendedKeyUsageOID.CLIENT_AUTH, key)

    def brief(self, cn: str) -> Issued:
        """Make a client's certificate that is good for minutes."""
        return self._issue(cn, datetime.timedelta(seconds=BRIEF_S), [], ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def server(self, names: Iterable[str], days: int = SERVER_DAYS, key: bytes | None = None) -> Issued:
        """Make the broker's certificate for host names and addresses."""
        # A CN that no access point can have; whoever checks the certificate looks at the names only.
        return self._issue("_broker", datetime.timedelta(days=days), [_general(name) for name in names], ExtendedKeyUsageOID.SERVER_AUTH, key)

    def has_signed(self, certificate: bytes) -> bool:
        """Say whether this authority made a certificate."""
        try:
            x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def has_listed(self, crl: bytes) -> bool:
        """Say whether a list of revoked certificates is whole and this authority's."""
        try:
            return x509.load_pem_x509_crl(crl).is_signature_valid(self._key.public_key())
        except (ValueError, TypeError):
            return False

    def crl(self, previous: bytes | None, serials: Iterable[str], is_brief: bool = False) -> bytes:
        """Make the list of revoked certificates: what stood on the previous one, and these. `is_brief`: they were good for minutes only."""
        now = self._now()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._certificate.subject).next_update(now + datetime.timedelta(days=AUTHORITY_DAYS))
        number, updated, entries = 1, now - datetime.timedelta(days=BACKDATED_DAYS), {}
        if previous is not None:
            old = x509.load_pem_x509_crl(previous)
            # OpenSSL keeps the list with the latest last_update when it is given several, so each is a second after the one before. It counts from the
            # first one's backdated moment and never asks the clock again: a list from the future would refuse every access point.
            number, updated = _number(old) + 1, old.last_update_utc + datetime.timedelta(seconds=1)
            entries = {entry.serial_number: entry for entry in old if not _is_over(entry, now)}
        for serial in serials:
            entries.setdefault(int(serial, 16), _entry(int(serial, 16), now, is_brief))
        for entry in entries.values():
            builder = builder.add_revoked_certificate(entry)
        builder = builder.last_update(updated).add_extension(self._identifier, critical=False).add_extension(x509.CRLNumber(number), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _issue(self, cn: str, life: datetime.timedelta, names: list[x509.GeneralName], usage: x509.ObjectIdentifier, key: bytes | None) -> Issued:
        private = ec.generate_private_key(ec.SECP256R1()) if key is None else _private(key)
        begins = self._certificate.not_valid_before_utc
        # A clock that went back to before the authority was made must not make certificates that are over when it is right again.
        now = max(self._now(), begins + datetime.timedelta(days=BACKDATED_DAYS))
        ends = min(now + life, self._certificate.not_valid_after_utc)
        builder = _builder(_name(cn), self._certificate.subject, private.public_key(), now, ends, is_authority=False)
        builder = builder.add_extension(self._identifier, critical=False).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        return Issued(made.public_bytes(serialization.Encoding.PEM), _pem(private), _hex(made.serial_number), int(ends.timestamp()))

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(int(self._clock()), datetime.timezone.utc)


def open_authority(city: City, name: str = CA, clock: Callable[[], float] = time.time) -> Authority:
    """Open one of the city's authorities; Refused when its files are not whole."""
    certificate, key = city.ca / f"{name}.pem", city.ca / f"{name}.key"
    texts = files.read(certificate), files.read_private(key)
    if not is_pair(*texts):
        raise Refused(f"{certificate} and {key} do not belong together, or are damaged; bring both back from the backup")
    return Authority(*texts, clock)


def issue_client(city: City, cn: str, days: int = CLIENT_DAYS) -> Issued:
    """Make one access point's certificate. For many, `open_authority(city)` once and `.client(cn)` for each."""
    return open_authority(city).client(cn, days)


def revoke(city: City, serials: Iterable[str], is_brief: bool = False) -> None:
    """Put certificates on the list of the revoked, and the list where our own broker reads it (which must then be told: fleet.kick)."""
    authority = open_authority(city)
    with files.locked(city.ca):
        text = authority.crl(_list(city), serials, is_brief)
        files.put(city.ca / "crl.pem", text)
        with files.locked(city.broker_folder):
            files.put(city.broker_folder / "crl.pem", text, files.PRIVATE)


def listed(city: City) -> frozenset[str]:
    """Give the serials on the city's list of revoked certificates; Refused when it is missing or none."""
    return revoked(_list(city))


def revoked(crl: bytes) -> frozenset[str]:
    """Give the serials on a list; Refused when it is none."""
    try:
        return frozenset(_hex(entry.serial_number) for entry in x509.load_pem_x509_crl(crl))
    except ValueError as error:
        raise Refused(f"the list of revoked certificates cannot be read ({error})") from None


def new_key() -> bytes:
    """Make a P-256 key, PEM."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def self_signed(key: bytes, cn: str, now: float) -> bytes:
    """Make the certificate of an authority for its key, PEM."""
    private, begun = _private(key), datetime.datetime.fromtimestamp(int(now), datetime.timezone.utc)
    builder = _builder(_name(cn), _name(cn), private.public_key(), begun, begun + datetime.timedelta(days=AUTHORITY_DAYS), is_authority=True)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(private.public_key()), critical=False)
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def is_key(text: bytes) -> bool:
    """Say whether this is a key that an authority of ours can work with."""
    try:
        _private(text)
    except (ValueError, TypeError):
        return False
    return True


def is_pair(certificate: bytes, key: bytes) -> bool:
    """Say whether a certificate and a key can be read and belong together."""
    try:
        return x509.load_pem_x509_certificate(certificate).public_key() == _private(key).public_key()
    except (ValueError, TypeError):
        return False


def read(certificate: bytes) -> Certificate:
    """Say what a certificate says; Refused when it is none."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
    except ValueError as error:
        raise Refused(f"a certificate cannot be read ({error})") from None
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    cn = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    ends = int(found.not_valid_after_utc.timestamp()), int(found.not_valid_before_utc.timestamp())
    return Certificate(str(cn[0].value) if cn else "", _hex(found.serial_number), ends[1], ends[0], tuple(str(name.value) for name in names))


def _list(city: City) -> bytes:
    # Never begun anew here: `rwctl init` alone brings it back with all that was ever revoked.
    path = city.ca / "crl.pem"
    if not path.exists():
        raise Refused(f"{path}: is missing; bring it back:  rwctl init {city.folder}")
    return files.read(path)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime, ends: datetime.datetime, *, is_authority: bool
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        # 16 bytes, positive, the first never 0: all are written with the same 32 digits.
        .serial_number(int.from_bytes(os.urandom(16), "big") >> 1 | 1 << 126)
        .not_valid_before(now - datetime.timedelta(days=BACKDATED_DAYS))
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True)
        .add_extension(_key_usage(is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _entry(serial: int, now: datetime.datetime, is_brief: bool) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
    if is_brief:
        builder = builder.add_extension(x509.CRLReason(x509.ReasonFlags.cessation_of_operation), critical=False)
    return builder.build()


def _is_over(entry: x509.RevokedCertificate, now: datetime.datetime) -> bool:
    """Say whether an entry may go: it was good for minutes, long ago. All others stay for good."""
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return False
    return reason == x509.ReasonFlags.cessation_of_operation and entry.revocation_date_utc < now - datetime.timedelta(days=KEPT_DAYS)


def _number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _private(key: bytes) -> ec.EllipticCurvePrivateKey:
    private = serialization.load_pem_private_key(key, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError("is no key on an elliptic curve")
    return private


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(cn: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])


def _hex(serial: int) -> str:
    return f"{serial:032x}"
