"""An enrolment bundle, taken apart and checked whole before anything is touched. Believes nothing of it; never loaded by the daemon.

The archive is read by a parser that knows plain files and directories of plain tar (POSIX.1-1988, ustar) and refuses all else, so that
links, devices, sparse files and extended headers have no code to get lost in. Nothing here writes a file.
"""

from __future__ import annotations

import os
import ssl
import stat
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from agent import identity, settings
from agent.errors import Rejected
from agent.settings import Faults
from agent.tls import NO_CHECK_TIME
from agent.wire import bundle as form
from agent.wire import keyfile
from agent.wire.bundle import Manifest
from agent.wire.messages import Malformed

MAX_BYTES = 256 << 10
MAX_UNPACKED_BYTES = 1 << 20
MOST_MEMBERS = 64
BLOCK = 512
FILE, FOLDER = b"0\0", b"5"
REQUIRED = (form.MANIFEST, form.SETTINGS, form.CA, form.CERTIFICATE, form.KEY, form.FLOOR)


class Bundle(NamedTuple):
    """A bundle that is whole: for whom, its settings as a document, its files, the public keys by file name, the floor."""

    manifest: Manifest
    document: dict[str, Any]
    files: Mapping[str, bytes]
    keys: Mapping[str, bytes]
    floor: int

    def __repr__(self) -> str:
        return f"Bundle(city={self.manifest.city!r}, ap={self.manifest.ap!r}, …)"


def load(path: str) -> Bundle:
    """Read and check a bundle's file; Rejected says what is wrong with it."""
    try:
        raw = _read(path)
    except Rejected as error:
        raise Rejected(f"{path}: {error}; nothing was changed") from None
    try:
        return _checked(_members(_unpacked(raw)))
    except (Rejected, Malformed) as error:
        raise Rejected(f"{path}: {error}; nothing was changed. Fetch the bundle again from the city, or have it made anew: rwctl enroll") from None


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise Rejected(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Rejected("is not a regular file, expected a bundle, ID.tar.gz")
        with open(fd, "rb", closefd=False) as file:
            raw = file.read(MAX_BYTES + 1)
    finally:
        os.close(fd)
    if len(raw) > MAX_BYTES:
        raise Rejected(f"has more than {MAX_BYTES} bytes, expected a bundle, ID.tar.gz")
    return raw


def _unpacked(raw: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    try:
        tar = stream.decompress(raw, MAX_UNPACKED_BYTES + 1)
    except zlib.error as error:
        raise Rejected(f"is not gzip, or damaged ({error})") from None
    if len(tar) > MAX_UNPACKED_BYTES:
        raise Rejected(f"unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    if not stream.eof:
        raise Rejected("is cut short")
    if stream.unused_data:
        raise Rejected("has something behind its end")
    return tar


def _members(tar: bytes) -> dict[str, bytes]:
    """Take the archive apart: files by name, all of them such as a bundle has."""
    found: dict[str, bytes] = {}
    folders: set[str] = set()
    at = 0
    for _ in range(MOST_MEMBERS + 1):
        header = tar[at : at + BLOCK]
        if not header.strip(b"\0"):
            if len(header) < BLOCK or tar[at:].strip(b"\0"):
                raise Rejected("is no whole archive")
            return found
        name, kind, size = _header(header)
        at += BLOCK
        if name in found or name in folders:
            raise Rejected(f"has {_shown(name)} twice")
        if kind in FOLDER:
            if name not in form.FOLDER_MODES or size:
                raise Rejected(f"has a directory {_shown(name)}, expected {' and '.join(form.FOLDER_MODES)} only")
            folders.add(name)
            continue
        found[name] = _content(tar, at, name, size)
        at += -(-size // BLOCK) * BLOCK
    raise Rejected(f"has more than {MOST_MEMBERS} members")


def _header(header: bytes) -> tuple[str, bytes, int]:
    """Give name, kind and size of one member."""
    try:
        checksum, size = (int(header[begin:end].strip(b" \0") or b"0", 8) for begin, end in ((148, 156), (124, 136)))
    except ValueError:
        raise Rejected("is no plain tar archive") from None
    if len(header) < BLOCK or checksum != sum(header[:148]) + 8 * 0x20 + sum(header[156:]) or size < 0:
        raise Rejected("is no plain tar archive, or damaged")
    name, kind = header[:100].partition(b"\0")[0].decode("latin-1"), header[156:157]
    # The rest of a name that is too long would stand there: no member of a bundle has such a name.
    if kind not in FILE + FOLDER or header[345:500].strip(b"\0"):
        raise Rejected(f"has {_shown(name)}, which is neither a plain file nor a directory (type {ascii(kind)[1:]})")
    return name.rstrip("/") if kind in FOLDER else name, kind, size


def _content(tar: bytes, at: int, name: str, size: int) -> bytes:
    most = form.most_bytes(name)
    if most is None:
        raise Rejected(f"has a file {_shown(name)}, which no bundle has")
    if size > most:
        raise Rejected(f"has {name} with {size} bytes, expected at most {most}")
    content = tar[at : at + size]
    if len(content) < size:
        raise Rejected(f"ends within {name}")
    return content


def _checked(members: Mapping[str, bytes]) -> Bundle:
    if missing := [name for name in REQUIRED if name not in members]:
        raise Rejected(f"has no {', '.join(missing)}; is it a bundle?")
    try:
        manifest = form.parse_manifest(members[form.MANIFEST])
    except Malformed as error:
        raise Rejected(f"{form.MANIFEST}: {error}") from None
    document = _document(members[form.SETTINGS], manifest)
    _check_identity(members, manifest)
    keys = {name.partition("/")[2]: text for name, text in members.items() if name.startswith(f"{form.KEYS}/")}
    _check_keys(keys)
    try:
        floor = form.parse_floor(members[form.FLOOR])
    except Malformed as error:
        raise Rejected(f"{form.FLOOR} {error}") from None
    return Bundle(manifest, document, {name: members[name] for name in (form.CA, form.CERTIFICATE, form.KEY)}, keys, floor)


def _document(raw: bytes, manifest: Manifest) -> dict[str, Any]:
    try:
        document = settings.parse_toml(form.SETTINGS, raw.decode())
    except UnicodeDecodeError:
        raise Rejected(f"{form.SETTINGS} is not UTF-8") from None
    except Faults as error:
        raise Rejected(str(error)) from None
    if strangers := [name for name, table in document.items() if not isinstance(table, dict)]:
        raise Rejected(f"{form.SETTINGS}: {_shown(strangers[0])} is no table")
    said = document.get("agent", {})
    if (said.get("id"), said.get("city")) != (manifest.ap, manifest.city):
        raise Rejected(f"{form.SETTINGS} is not for {manifest.ap} of {manifest.city}, as {form.MANIFEST} is")
    return document


def _check_identity(members: Mapping[str, bytes], manifest: Manifest) -> None:
    """Rejected unless the certificate is this access point's, of this authority, and of this key."""
    try:
        cn = identity.parse(members[form.CERTIFICATE]).cn
        identity.parse(members[form.CA])
    except Rejected as error:
        raise Rejected(f"{form.CERTIFICATE} and {form.CA}: {error}") from None
    if cn != manifest.ap:
        raise Rejected(f"{form.CERTIFICATE} is for {_shown(cn)}, expected {manifest.ap}")
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.check_hostname = False
    ours.verify_mode = ssl.CERT_NONE
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.verify_mode = ssl.CERT_REQUIRED
    # The clock may be wrong on a router that was never enrolled.
    theirs.verify_flags = ssl.VerifyFlags(int(theirs.verify_flags) | ssl.VERIFY_X509_STRICT | NO_CHECK_TIME)
    try:
        for context in (ours, theirs):
            _load_pair(context, members[form.CERTIFICATE], members[form.KEY])
    except (ssl.SSLError, ValueError):
        raise Rejected(f"{form.KEY} is not the key of {form.CERTIFICATE}, or one with a passphrase") from None
    try:
        theirs.load_verify_locations(cadata=members[form.CA].decode("ascii"))
        _shake_hands(ours, theirs)
    except (ssl.SSLError, ValueError) as error:
        raise Rejected(f"{form.CERTIFICATE} is not of the authority in {form.CA} ({getattr(error, 'verify_message', '') or 'damaged'})") from None


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load a certificate and its key; OpenSSL reads files only, so they stand in memory that has a name for as long as this takes."""
    fd = os.memfd_create("rwagent-enroll", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(certificate.rstrip(b"\n") + b"\n" + key)
        # The callback keeps OpenSSL from asking a terminal, and waiting for ever.
        context.load_cert_chain(f"/proc/self/fd/{fd}", password=lambda: "")
    finally:
        os.close(fd)


def _shake_hands(ours: ssl.SSLContext, theirs: ssl.SSLContext) -> None:
    """Let a broker that knows the bundle's authority only judge the certificate, without a network."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (ours.wrap_bio(back, there), theirs.wrap_bio(there, back, server_side=True))
    for _ in range(8):
        waits = 0
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waits += 1
        if not waits:
            return
    raise ssl.SSLError("the handshake does not end")


def _check_keys(keys: Mapping[str, bytes]) -> None:
    if not 0 < len(keys) <= form.MOST_KEYS:
        raise Rejected(f"has {len(keys)} public keys, expected 1 to {form.MOST_KEYS}")
    for name, text in keys.items():
        try:
            keyfile.parse_public_key(text)
        except Malformed as error:
            raise Rejected(f"{form.KEYS}/{name} is no public key: {error}") from None


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:60] + "…")
