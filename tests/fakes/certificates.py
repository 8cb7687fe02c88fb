"""A small certificate authority for tests: certificates and keys as PEM, made anew each time."""

from __future__ import annotations

import datetime
import ipaddress
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

UTC = datetime.timezone.utc
NOT_BEFORE = datetime.datetime(2020, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime.datetime(2049, 12, 31, 23, 59, 58, tzinfo=UTC)


class Issued(NamedTuple):
    """One certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, passphrase: bytes | None = None) -> bytes:
        """The private key as PEM."""
        closed = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, closed)


def name(*common_names: str) -> x509.Name:
    """A subject with an organisation before its CNs."""
    attributes = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Kota Malang")]
    return x509.Name(attributes + [x509.NameAttribute(x509.NameOID.COMMON_NAME, cn) for cn in common_names])


def authority(cn: str = "the city") -> Issued:
    """A certificate authority that signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    builder = _builder(name(cn), name(cn), key, NOT_AFTER)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).add_extension(usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return Issued(builder.sign(key, hashes.SHA256()), key)


def issue(ca: Issued, *common_names: str, not_after: datetime.datetime = NOT_AFTER, hosts: tuple[str, ...] = (), subject: x509.Name | None = None) -> Issued:
    """A certificate signed by `ca`; `hosts` are the names or addresses it is for."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(subject or name(*common_names), ca.certificate.subject, key, not_after)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False)
    return Issued(builder.sign(ca.key, hashes.SHA256()), key)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, not_after: datetime.datetime) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(NOT_BEFORE).not_valid_after(not_after)


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
