"""Enrolment bundles for tests: those of a city made for this, and hostile ones written byte by byte."""

from __future__ import annotations

import functools
import gzip
import time
from pathlib import Path

from agent.wire import bundle as form
from agent.wire import keyfile
from fleet import authority, bundle
from fleet.authority import Authority, Issued
from fleet.city import Broker, City
from fleet.inventory import Row
from tests.signing import KEY

AP = "rw-0501"
CITY = City(Path("/nowhere"), "malang", broker=Broker(host="mqtt.malang.example"))
ROW = Row(AP, "05", "Jatimulyo", "Lowokwaru", "Awinet", 50.0, 500_000)


@functools.cache
def _authority(name: str) -> tuple[bytes, Authority]:
    """Make a city's authority; one for all tests, because keys cost time."""
    key = authority.new_key()
    certificate = authority.self_signed(key, name, time.time())
    return certificate, Authority(certificate, key)


def ca(name: str = "malang") -> bytes:
    """Give the certificate of a city's authority."""
    return _authority(name)[0]


def issued(ap: str = AP, turn: int = 0) -> Issued:
    """Give a certificate, always the same one; `turn` tells those of one access point apart: each ends a day after the one before."""
    return _issued(ap, turn)


@functools.cache
def _issued(ap: str, turn: int) -> Issued:
    return _authority("malang")[1].client(ap, authority.CLIENT_DAYS + turn)


def members(ap: str = AP, floor: int = 0, turn: int = 0, keys: tuple[str, ...] = ("malang",), city: City = CITY, mbps: float = 50.0) -> dict[str, bytes]:
    """Give the members of a sound bundle."""
    one = issued(ap, turn=turn)
    shared = {form.CA: ca(), **{f"keys/{name}.pub": keyfile.public_key(KEY.public, name) for name in keys}}
    return bundle.members(city, ROW._replace(id=ap, contract_mbps=mbps), shared, (one.certificate, one.key), one.expires_at, floor)


def write(folder: Path, content: dict[str, bytes], name: str = "bundle.tar.gz") -> str:
    """Pack members into a file; give its path."""
    path = folder / name
    path.write_bytes(bundle.archive(content))
    return str(path)


def entry(name: str, content: bytes = b"", kind: bytes = b"0", link: str = "", size: int | None = None, prefix: str = "") -> bytes:
    """Make one member of a tar archive, whatever it says."""
    digits = b"%011o\0" % (len(content) if size is None else size)
    head = name.encode().ljust(100, b"\0") + b"0000640\0" + b"0000000\0" * 2 + digits + b"%011o\0" % 0
    tail = kind + link.encode().ljust(100, b"\0") + b"ustar\0" + b"00" + b"\0" * 80 + prefix.encode().ljust(155, b"\0") + b"\0" * 12
    checksum = sum(head) + 8 * 0x20 + sum(tail)
    return head + b"%06o\0 " % checksum + tail + content.ljust(-(-len(content) // 512) * 512, b"\0")


def pack(folder: Path, *entries: bytes) -> str:
    """Put raw members behind those of a sound bundle; give the file's path."""
    sound = gzip.decompress(bundle.archive(members()))
    path = folder / "hostile.tar.gz"
    path.write_bytes(gzip.compress(sound.rstrip(b"\0").ljust(_ends(sound), b"\0") + b"".join(entries) + b"\0" * 1024))
    return str(path)


def _ends(tar: bytes) -> int:
    """Say where the last member of an archive ends."""
    at = 0
    while tar[at : at + 512].strip(b"\0"):
        at += 512 + -(-int(tar[at + 124 : at + 135], 8) // 512) * 512
    return at
