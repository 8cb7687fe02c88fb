"""Who this access point is, as its certificate says: the CN, and how long that is valid.

Reads a certificate's first CN and its last valid second straight from the DER (RFC 5280), because the
standard library offers that for a peer's certificate only. It judges nothing: TLS does.
"""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

from agent.errors import Rejected

MAX_PEM_BYTES = 65536

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s*([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z")

_SEQUENCE, _SET, _OID, _VERSION = 0x30, 0x31, 0x06, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_COMMON_NAME = b"\x55\x04\x03"
_BMP_STRING = 0x1E


class Certificate(NamedTuple):
    """What the agent needs to know of its own certificate: the subject's CN ("" when it has none) and its last valid Unix second."""

    cn: str
    expires_at: int


class _Value(NamedTuple):
    """One DER value: its tag and its content."""

    tag: int
    content: bytes


def certificate(path: str) -> Certificate:
    """Read the first certificate of a PEM file; Rejected says what is wrong with the file."""
    try:
        with open(path, "rb") as file:
            pem = file.read(MAX_PEM_BYTES)
    except OSError as error:
        raise Rejected(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return parse(pem)
    except Rejected as error:
        raise Rejected(f"{path}: {error}") from None


def certificate_ends(path: str) -> int:
    """Read the last Unix second at which a PEM file's first certificate is valid; Rejected as `certificate`."""
    return certificate(path).expires_at


def parse(pem: bytes) -> Certificate:
    """Understand the first certificate in PEM text; anything before it is ignored."""
    found = _PEM.search(pem)
    if found is None:
        raise Rejected("no certificate in it, expected a PEM file with -----BEGIN CERTIFICATE-----")
    try:
        return _certificate(binascii.a2b_base64(found[1]))
    except (ValueError, IndexError):
        raise Rejected("the certificate in it is damaged, expected X.509 in DER inside the PEM") from None


def _certificate(der: bytes) -> Certificate:
    (outer,) = _values(der, 1)
    to_be_signed = _inside(_values(_inside(outer, _SEQUENCE), 1)[0], _SEQUENCE)
    fields = _values(to_be_signed, 7)
    skip = 1 if fields[0].tag == _VERSION else 0
    # serial, algorithm, issuer, validity, subject (RFC 5280, 4.1)
    validity, subject = fields[skip + 3], fields[skip + 4]
    _, not_after = _values(_inside(validity, _SEQUENCE), 2)
    return Certificate(_common_name(_inside(subject, _SEQUENCE)), _seconds(not_after))


def _common_name(name: bytes) -> str:
    """Give the first CN, as brokers do that make a user name of it."""
    for relative in _values(name):
        for attribute in _values(_inside(relative, _SET)):
            kind, value = _values(_inside(attribute, _SEQUENCE), 2)
            if kind == _Value(_OID, _COMMON_NAME):
                return value.content.decode("utf-16-be" if value.tag == _BMP_STRING else "utf-8", "backslashreplace")
    return ""


def _seconds(time: _Value) -> int:
    """Turn UTCTime or GeneralizedTime into Unix seconds."""
    text = time.content.decode("ascii")
    if time.tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text  # RFC 5280, 4.1.2.5.1
    elif time.tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("not a time")
    year, month, day, hour, minute, second = (int(part) for part in found.groups())
    if not (year and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        raise ValueError("not a time")
    return ((_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second


def _days(year: int, month: int, day: int) -> int:
    """Count the days from 1970-01-01 in the Gregorian calendar; `calendar` and `datetime` would cost the daemon 200 KiB for this one date."""
    if month < 3:
        year, month = year - 1, month + 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719469


def _inside(value: _Value, tag: int) -> bytes:
    if value.tag != tag:
        raise ValueError(f"tag {value.tag:#x}, expected {tag:#x}")
    return value.content


def _values(der: bytes, at_most: int | None = None) -> list[_Value]:
    """Split DER into the values standing side by side in it, the first `at_most` of them."""
    found: list[_Value] = []
    at = 0
    while at < len(der) and len(found) != at_most:
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            octets = length & 0x7F
            if not 1 <= octets <= 4:
                raise ValueError("no such length in DER")
            length, at = int.from_bytes(der[at : at + octets], "big"), at + octets
        if at + length > len(der):
            raise ValueError("cut short")
        found.append(_Value(tag, der[at : at + length]))
        at += length
    return found
