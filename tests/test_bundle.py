"""Bundles on the router's side: a sound one is taken, everything hostile is refused with its reason."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import bundle
from agent.errors import Rejected
from agent.wire import bundle as form
from fleet import authority
from fleet.bundle import archive
from tests import bundles
from tests.bundles import AP, entry, issued, members, pack, write


def refused(path: str) -> str:
    """Load a bundle that must not be taken; give the reason."""
    with pytest.raises(Rejected) as found:
        bundle.load(path)
    text = str(found.value)
    assert text.startswith(f"{path}: ") and "nothing was changed" in text and text.isprintable() and "PRIVATE" not in text
    return text


def test_a_sound_bundle_is_taken(tmp_path: Path) -> None:
    """For whom, its files, keys by their names, the floor."""
    found = bundle.load(write(tmp_path, members(floor=41, keys=("malang", "second"))))
    assert (found.manifest.city, found.manifest.ap, found.manifest.certificate_expires_at) == ("malang", AP, issued().expires_at)
    assert (sorted(found.files), sorted(found.keys), found.floor) == (["ca.pem", "client.key", "client.pem"], ["malang.pub", "second.pub"], 41)
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (entry("/etc/passwd", b"x"), "a file '/etc/passwd', which no bundle has"),
        (entry("../agent.toml", b"x"), "a file '../agent.toml', which no bundle has"),
        (entry("keys/../../x.pub", b"x"), "which no bundle has"),
        (entry("./agent.toml", b"x"), "which no bundle has"),
        (entry("keys/\x1b[31m.pub", b"x"), "which no bundle has"),
        (entry("keys/a.pub", kind=b"2", link="/etc/shadow"), "neither a plain file nor a directory (type '2')"),
        (entry("keys/a.pub", kind=b"1", link="client.key"), "neither a plain file nor a directory"),
        (entry("keys/a.pub", kind=b"3"), "neither a plain file nor a directory"),
        (entry("keys/a.pub", kind=b"6"), "neither a plain file nor a directory"),
        (entry("keys/a.pub", b"27 path=/etc/shadow\n", kind=b"x"), "neither a plain file nor a directory"),
        (entry("keys/a.pub", b"/etc/shadow\0", kind=b"L"), "neither a plain file nor a directory"),
        (entry("keys/a.pub", b"x", kind=b"S"), "neither a plain file nor a directory"),
        (entry("keys/a.pub", b"x", prefix="/etc"), "neither a plain file nor a directory"),
        (entry("keys/b", kind=b"5"), "a directory 'keys/b', expected keys and state only"),
        (entry("keys", kind=b"5"), "has 'keys' twice"),
        (entry("agent.toml", b"x"), "has 'agent.toml' twice"),
        (entry("keys", b"x"), "has 'keys' twice"),
        (entry("keys/big.pub", b"x" * 4097), "keys/big.pub with 4097 bytes, expected at most 4096"),
        (entry("keys/big.pub", b"x", size=8**11 - 1), "expected at most 4096"),
        (entry("keys/big.pub", b"x" * 100, size=4000), "ends within keys/big.pub"),
        (entry("keys/none.pub", b"no key"), "keys/none.pub is no public key"),
        (b"".join(entry(f"keys/{n}.pub", b"x") for n in range(80)), "more than 64 members"),
        (b"x" * 512, "no plain tar archive"),
        (entry("keys/a.pub", b"x")[:148] + b"7777777\0" + entry("keys/a.pub", b"x")[156:], "no plain tar archive"),
        (b"\0" * 1024 + entry("keys/a.pub", b"x"), "no whole archive"),
    ],
)
def test_a_hostile_member_is_refused(more: bytes, said: str, tmp_path: Path) -> None:
    """Behind all that a sound bundle has."""
    assert said in refused(pack(tmp_path, more))


@pytest.mark.parametrize("name", bundle.REQUIRED)
def test_a_missing_member_is_named(name: str, tmp_path: Path) -> None:
    """A bundle is whole or none."""
    content = members()
    del content[name]
    assert f"has no {name}" in refused(write(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (form.MANIFEST, b"{", "bundle.json: "),
        (form.SETTINGS, b"x = = 1", "is not TOML"),
        (form.SETTINGS, b"\xff", "is not UTF-8"),
        (form.SETTINGS, b"broker = 1\n[agent]\nid = 'rw-0501'\ncity = 'malang'", "'broker' is no table"),
        (form.SETTINGS, b"[agent]\nid = 'rw-0502'\ncity = 'malang'", "is not for rw-0501 of malang, as bundle.json is"),
        (form.CA, b"", "no certificate in it"),
        (form.CERTIFICATE, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
        (form.KEY, b"", "client.key is not the key of client.pem"),
        (form.FLOOR, b"many", "state/floor is b'many', expected a whole number"),
    ],
)
def test_a_member_that_is_not_what_its_name_says_is_refused(name: str, text: bytes, said: str, tmp_path: Path) -> None:
    """With the member's name."""
    assert said in refused(write(tmp_path, members() | {name: text}))


def test_another_certificates_key_is_refused(tmp_path: Path) -> None:
    """It could never connect."""
    assert "client.key is not the key of client.pem" in refused(write(tmp_path, members() | {form.KEY: issued(turn=1).key}))


def test_a_locked_key_is_refused_without_asking_a_terminal(tmp_path: Path) -> None:
    """The daemon has nobody to ask."""
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

    locked = load_pem_private_key(issued().key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    assert "with a passphrase" in refused(write(tmp_path, members() | {form.KEY: locked}))


def test_another_access_points_certificate_is_refused(tmp_path: Path) -> None:
    """Manifest, settings and certificate name one access point."""
    one = issued("rw-0502")
    assert "client.pem is for 'rw-0502', expected rw-0501" in refused(write(tmp_path, members() | {form.CERTIFICATE: one.certificate, form.KEY: one.key}))


def test_another_authoritys_certificate_is_refused(tmp_path: Path) -> None:
    """The broker's would not be believed either; two authorities of the same name are told apart."""
    assert "is not of the authority in ca.pem" in refused(write(tmp_path, members() | {form.CA: bundles.ca("surabaya")}))
    key = authority.new_key()
    forged = authority.self_signed(key, "malang", 1_790_000_000)
    assert "is not of the authority in ca.pem" in refused(write(tmp_path, members() | {form.CA: forged}))


def test_a_bundle_without_public_keys_is_refused(tmp_path: Path) -> None:
    """Every push would be."""
    assert "has 0 public keys" in refused(write(tmp_path, members(keys=())))


@pytest.mark.parametrize("cut", [1, 100, 1000, -9])
def test_a_bundle_that_is_cut_short_is_refused(cut: int, tmp_path: Path) -> None:
    """As a download that broke off."""
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(archive(members())[:cut])
    assert "cut short" in refused(str(path))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "is cut short"),
        (b"PK\3\4", "is not gzip"),
        (gzip.compress(b"\0" * (2 << 20)), "unpacks to more than"),
        (os.urandom(300 << 10), "has more than 262144 bytes"),
        (archive(members()) + b"more", "something behind its end"),
        (gzip.compress(b""), "no whole archive"),
        (gzip.compress(b"\0" * 1024), "has no bundle.json"),
    ],
    ids=["empty", "zip", "bomb", "large", "behind", "nothing", "no-members"],
)
def test_what_is_no_bundle_is_refused(raw: bytes, said: str, tmp_path: Path) -> None:
    """Bounded in what is read, and in what it unpacks to."""
    path = tmp_path / "none.tar.gz"
    path.write_bytes(raw)
    assert said in refused(str(path))


def test_a_fifo_is_no_bundle_and_holds_nothing_up(tmp_path: Path) -> None:
    """Nor a directory, nor a name that is not there."""
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in refused(str(tmp_path / "fifo"))
    assert "cannot be read" in refused(str(tmp_path / "gone"))
    assert "not a regular file" in refused(str(tmp_path))


@given(at=st.integers(0, 12_000), bits=st.binary(min_size=1, max_size=40))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_damage_is_refused_or_harmless(at: int, bits: bytes, tmp_path: Path) -> None:
    """Bytes written over the archive: refused in words, or what is taken is what was there."""
    tar = bytearray(gzip.decompress(archive(members())))
    at %= len(tar)
    tar[at : at + len(bits)] = bits[: len(tar) - at]
    path = tmp_path / "damaged.tar.gz"
    path.write_bytes(gzip.compress(bytes(tar), 1))
    try:
        found = bundle.load(str(path))
    except Rejected as error:
        assert str(error).isprintable()
    else:
        assert found.manifest.ap == AP and set(found.files) == {form.CA, form.CERTIFICATE, form.KEY}
