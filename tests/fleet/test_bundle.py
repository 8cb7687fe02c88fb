"""The city's half of a bundle: what is in it, that the same content is the same bytes, and that OpenSSL and the agent take it."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from agent import bundle as taken
from agent.wire import keyfile
from fleet import bundle, inventory, store
from fleet.city import Broker, City, Report
from fleet.errors import Refused
from tests import bundles
from tests.bundles import ROW, members
from tests.fleet.cities import make_city
from tests.signing import KEY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COLUMNS = "ap, revision, change, at, author, hash, document, confirm_within_s, below_contract, published_at"


@pytest.fixture
def city(tmp_path: Path) -> City:
    """A directory with a store and one public key."""
    at = make_city(tmp_path / "malang")
    at.keys.mkdir()
    (at.keys / "malang.pub").write_bytes(keyfile.public_key(KEY.public, "malang"))
    return at


def test_the_settings_are_the_citys_and_the_rows() -> None:
    """Broker and intervals of city.toml, the contract of the inventory, the paths of an access point."""
    city = City(Path("/x"), "malang", broker=Broker(host="mqtt.example", port=8999), report=Report(30, 5))
    found = tomllib.loads(bundle.settings_text(city, ROW._replace(contract_mbps=100.0)))
    assert found["agent"] == {"id": "rw-0501", "city": "malang"} and found["report"] == {"interval_s": 30, "sample_s": 5}
    assert (found["broker"]["host"], found["broker"]["port"], found["broker"]["tls"]) == ("mqtt.example", 8999, True)
    assert (found["broker"]["key_file"], found["push"]["keys_dir"], found["router"]["contract_mbps"]) == ("/etc/rwagent/client.key", "/etc/rwagent/keys", 100.0)


def test_a_simulation_puts_its_own_over_it() -> None:
    """Another directory, and keys that go over those of a table or make a new one."""
    found = tomllib.loads(bundle.settings_text(bundles.CITY, ROW, "/x", router={"backend": "simulated"}, simulated={"speed": 60.0}, broker={"port": 1}))
    assert found["router"] == {"contract_mbps": 50.0, "backend": "simulated"} and found["simulated"] == {"speed": 60.0}
    assert (found["broker"]["port"], found["broker"]["ca_file"], found["paths"]["state_dir"]) == (1, "/x/ca.pem", "/x/state")


def test_the_same_content_is_the_same_bytes() -> None:
    """No time, no user of this machine; the names in a fixed order."""
    one = members()
    assert bundle.archive(one) == bundle.archive(dict(reversed(one.items())))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(bundle.archive(one)))) as tar:
        entries = {entry.name: (entry.mode, entry.uid, entry.gid, entry.uname, entry.mtime) for entry in tar}
    assert {entry[1:] for entry in entries.values()} == {(0, 0, "root", 0)}
    assert (entries["client.key"][0], entries["keys"][0], entries["state"][0], entries["state/floor"][0]) == (0o640, 0o750, 0o700, 0o600)


def test_a_bundle_reads_back(tmp_path: Path) -> None:
    """By the city itself, to see whether it is still as it should be; what is none is None."""
    path = Path(bundles.write(tmp_path, members()))
    assert bundle.read(path) == members()
    for raw in (b"", b"x", path.read_bytes()[:-20], gzip.compress(b"x" * 600)):
        path.write_bytes(raw)
        assert not bundle.read(path)
    assert bundle.read(tmp_path / "gone") is None


def test_a_bundle_that_may_not_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    """Else its access point would get one certificate after the other."""
    (tmp_path / "a.tar.gz").mkdir()
    with pytest.raises(Refused, match=r"a\.tar\.gz: cannot be read"):
        bundle.read(tmp_path / "a.tar.gz")


def test_the_agent_takes_it(tmp_path: Path) -> None:
    """Both ends agree on the form."""
    assert taken.load(bundles.write(tmp_path, members(floor=7))).floor == 7


@pytest.mark.needs("openssl")
def test_openssl_verifies_the_certificate(tmp_path: Path) -> None:
    """Strictly, as a client's, and the key belongs to it."""
    subprocess.run(["tar", "-xzf", bundles.write(tmp_path, members()), "-C", str(tmp_path)], check=True, timeout=30)
    verify = ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "ca.pem", "client.pem"]
    assert subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False).stdout == "client.pem: OK\n"
    publics = [["openssl", "pkey", "-in", "client.key", "-pubout"], ["openssl", "x509", "-in", "client.pem", "-noout", "-pubkey"]]
    one, other = (subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=30, check=True).stdout for words in publics)
    assert one == other


def test_all_public_keys_of_the_city_are_in_it(city: City) -> None:
    """Those of two operators, so that either may push; never a secret one."""
    (city.keys / "second.pub").write_bytes(keyfile.public_key(KEY.public, "second"))
    (city.keys / "malang.sec").write_bytes(b"secret")
    assert sorted(bundle.public_keys(city)) == ["keys/malang.pub", "keys/second.pub"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("a b.pub", None, "a name that no access point takes"), ("x.pub", b"no key", "is no public key"), ("malang.pub", b"", "is no public key")],
)
def test_a_public_key_that_would_be_refused_is_refused_here(name: str, text: bytes | None, said: str, city: City) -> None:
    """Before 551 bundles are made with it."""
    (city.keys / name).write_bytes(keyfile.public_key(KEY.public, "x") if text is None else text)
    with pytest.raises(Refused, match=said):
        bundle.public_keys(city)


def test_a_city_without_public_keys_makes_no_bundles(city: City) -> None:
    """Its access points would refuse every push."""
    (city.keys / "malang.pub").unlink()
    with pytest.raises(Refused, match="0 public keys, expected 1 to 32; rwctl init"):
        bundle.public_keys(city)


def test_the_floor_lets_in_what_is_wanted_and_nothing_older(city: City) -> None:
    """A new access point has none. A replaced one takes the newest revision from the broker, and no older one ever."""
    with closing(store.open_city(city)) as connection:
        inventory.keep(connection, [ROW, ROW._replace(id="rw-2"), ROW._replace(id="rw-3")], 1)
        for ap, revision in ((1, 6), (1, 7), (2, 1)):
            connection.execute(f"INSERT INTO revisions ({COLUMNS}) VALUES (?, ?, 1, 1, 'a', 'h', '{{}}', 180, 0, 5)", (ap, revision))
        assert bundle.floors(connection) == {"rw-0501": 6, "rw-2": 0}
