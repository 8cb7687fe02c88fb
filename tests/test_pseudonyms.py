"""A pseudonym is the same all day, another tomorrow, known to root, and says nothing of the address without the key."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.pseudonyms import DAY_S, FILE, KEY_BYTES, Pseudonyms, name_of, namer

MAC = "02:ab:cd:ef:01:23"


class Daemon(Pseudonyms):
    """The daemon's, and the uptime that the test sets."""

    def __init__(self, run_dir: Path, boot: str = "b1946ac92492d234") -> None:
        self.up = 1000.0
        super().__init__(str(run_dir), boot, lambda: self.up)


@pytest.mark.parametrize("key", [b"k" * 32, b"", b"x" * 64])
def test_it_is_hmac_sha256(key: bytes) -> None:
    """As the standard library works it out, of the address in lower case."""
    expected = hmac.new(key, MAC.encode(), hashlib.sha256).hexdigest()[:12]
    assert name_of(key, MAC) == name_of(key, MAC.upper()) == expected


def test_it_is_the_same_all_day_and_another_on_the_next(tmp_path: Path) -> None:
    """Also for a daemon that was restarted; 24 hours of uptime make a day."""
    daemon = Daemon(tmp_path)
    first = daemon.name(MAC)
    daemon.up = DAY_S - 1
    assert daemon.name(MAC) == first == Daemon(tmp_path).name(MAC)
    daemon.up = DAY_S
    assert daemon.name(MAC) != first


def test_another_boot_has_another_key(tmp_path: Path) -> None:
    """Where run_dir outlives the boot, which is no RAM, its key does not."""
    assert Daemon(tmp_path).name(MAC) != Daemon(tmp_path, "0" * 16).name(MAC)


def test_root_gives_the_names_that_the_daemon_gives(tmp_path: Path) -> None:
    """Also after a new key, in a process that lives on; before there is one it knows nobody."""
    root = namer(str(tmp_path))
    nobody = root(MAC)
    daemon = Daemon(tmp_path)
    assert nobody == root(MAC) != daemon.name(MAC)
    assert root(MAC) == daemon.name(MAC)
    daemon.up = DAY_S
    assert root(MAC) != daemon.name(MAC)
    assert root(MAC) == daemon.name(MAC)


def test_the_key_is_the_daemons_alone(tmp_path: Path) -> None:
    """Nobody else may read it, and no half of a file is ever seen."""
    Daemon(tmp_path).renew()
    file = tmp_path / FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_bytes()) > KEY_BYTES
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_two_boxes_call_the_same_station_differently(tmp_path: Path) -> None:
    """Nobody is followed from one access point to the next."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert Daemon(tmp_path / "a").name(MAC) != Daemon(tmp_path / "b").name(MAC)


@pytest.mark.parametrize("way", ["link", "fifo", "directory", "readable", "short"])
def test_root_takes_no_key_that_is_not_the_daemons_file(tmp_path: Path, way: str) -> None:
    """A link, a FIFO, anything that others could have read: as if there were none, and nothing waits."""
    other = tmp_path / "other"
    other.write_bytes(b"k" * 60)
    other.chmod(0o600)
    run = tmp_path / "run"
    run.mkdir()
    file = run / FILE
    if way == "link":
        file.symlink_to(other)
    elif way == "fifo":
        os.mkfifo(file, 0o600)
    elif way == "directory":
        file.mkdir()
    else:
        file.write_bytes(b"k" * (60 if way == "readable" else 10))
        file.chmod(0o644 if way == "readable" else 0o600)
    assert namer(str(run))(MAC) != name_of(b"k" * KEY_BYTES, MAC)


def test_where_it_cannot_be_written_nobody_is_named(tmp_path: Path) -> None:
    """Unavailable with the path; a name that root does not know would be of no use."""
    with pytest.raises(Unavailable, match="pseudonyms cannot be written"):
        Daemon(tmp_path / "gone").renew()
