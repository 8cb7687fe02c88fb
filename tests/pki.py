"""Certificates for tests, made with `cryptography`: a city's authority, servers and clients, good and wrong in one way each."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


class Pair(NamedTuple):
    """A certificate and its key, as files."""

    cert: str
    key: str


class Authority:
    """One certificate authority, P-256, RFC 5280-clean and backdated as the city's are."""

    def __init__(self, folder: Path, name: str = "city") -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
        self._cert = self._sign(self._subject, self._key, self._subject, -3650, 3650, is_authority=True)
        self.file = str(folder / f"{name}-ca.pem")
        Path(self.file).write_bytes(self._cert.public_bytes(serialization.Encoding.PEM))

    def server(self, host: str = "127.0.0.1", *, name: str = "server", from_day: int = -365, to_day: int = 365) -> Pair:
        """Make a server's certificate for one host name or address, valid between two days from today."""
        return self._pair(f"{self._name}-{name}", host, from_day, to_day, [self._alternative(host)], ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, cn: str, *, from_day: int = -365, to_day: int = 365) -> Pair:
        """Make an access point's certificate."""
        return self._pair(f"{self._name}-client-{cn}", cn, from_day, to_day, [], ExtendedKeyUsageOID.CLIENT_AUTH)

    @staticmethod
    def _alternative(host: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            return x509.DNSName(host)

    def _pair(self, stem: str, cn: str, from_day: int, to_day: int, names: list[x509.GeneralName], usage: x509.ObjectIdentifier) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
        cert = self._sign(subject, key, self._subject, from_day, to_day, names=names, usage=usage)
        pair = Pair(str(self._folder / f"{stem}.pem"), str(self._folder / f"{stem}.key"))
        Path(pair.cert).write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        Path(pair.key).write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        Path(pair.key).chmod(0o600)
        return pair

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Name,
        from_day: int,
        to_day: int,
        *,
        is_authority: bool = False,
        names: list[x509.GeneralName] | None = None,
        usage: x509.ObjectIdentifier | None = None,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + from_day * DAY)
            .not_valid_after(now + to_day * DAY)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


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
