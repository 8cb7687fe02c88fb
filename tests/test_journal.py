"""The journal: a record is back whole or not at all, whatever happened to its file."""

from __future__ import annotations

import os
import tempfile
from errno import ENOSPC
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import journal
from agent.journal import Journal
from tests.ram import tmpfs

# A loaded machine is no fault of what is tested.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

BODIES = st.lists(st.binary(max_size=60), min_size=1, max_size=12)


def _open(directory: Path | str, segment_bytes: int = 1000) -> Journal:
    return Journal(str(directory), "boot", segment_bytes, lambda: [b"first"])


def _found(directory: Path | str) -> list[bytes]:
    again = _open(directory)
    found = [body for _, body in again.scan() if body != b"first"]
    again.close()
    return found


def test_records_are_found_again(tmp_path: Path) -> None:
    """What was appended is there for the next process, in order, without any closing."""
    one = _open(tmp_path)
    for number in range(100):
        one.append(b"%d" % number, is_held=True)
    assert _found(tmp_path) == [b"%d" % number for number in range(100)]


def test_appending_goes_on_in_the_last_file(tmp_path: Path) -> None:
    """A thousand restarts do not make a thousand files."""
    for number in range(20):
        one = _open(tmp_path)
        list(one.scan())
        one.append(b"%d" % number)
        one.close()
    assert len(list(tmp_path.iterdir())) == 1
    assert _found(tmp_path) == [b"%d" % number for number in range(20)]


def test_every_file_opens_with_the_first_records(tmp_path: Path) -> None:
    """Each new segment begins with what the owner wants to find in any of them."""
    one = _open(tmp_path, 200)
    for _ in range(10):
        one.append(bytes(80), is_held=True)
    files = sorted(tmp_path.iterdir())
    assert len(files) > 3
    assert all(next(journal.records(file.read_bytes()))[1] == b"first" for file in files)


def test_place_reads_the_record(tmp_path: Path) -> None:
    """The place that append gave leads to the body."""
    one = _open(tmp_path)
    places = [one.append(b"%d" % number, is_held=True) for number in range(50)]
    assert [one.read(place) for place in places if place is not None] == [b"%d" % number for number in range(50)]


def test_damaged_place_reads_none(tmp_path: Path) -> None:
    """A record whose bytes changed under us is not given as if it were whole."""
    one = _open(tmp_path)
    place = one.append(b"the body", is_held=True)
    assert place is not None
    os.pwrite(place[0].fd, b"X", place[1] + journal.HEAD.size)
    assert one.read(place) is None


def test_files_die_oldest_first(tmp_path: Path) -> None:
    """A file without held records stays while an older one is needed, because it may take back what stands there."""
    one = _open(tmp_path, 100)
    places = [one.append(bytes(80), is_held=True) for _ in range(4)]
    assert None not in places
    for place in places[1:]:
        assert place is not None
        one.free(place)
    one.trim()
    assert len(list(tmp_path.iterdir())) == 4
    assert places[0] is not None
    one.free(places[0])
    one.trim()
    assert len(list(tmp_path.iterdir())) == 1


def test_sealed_journal_begins_a_new_file(tmp_path: Path) -> None:
    """After a seal nothing is written to the former file."""
    one = _open(tmp_path)
    one.append(b"a")
    one.seal()
    one.append(b"b")
    assert len(list(tmp_path.iterdir())) == 2
    assert _found(tmp_path) == [b"a", b"b"]


@UNTIMED
@given(BODIES, st.data())
def test_one_damage_costs_one_record(bodies: list[bytes], data: st.DataObject) -> None:
    """Any change within one record loses no other record."""
    framed = [journal.frame(body) for body in bodies]
    victim = data.draw(st.integers(0, len(framed) - 1))
    at = data.draw(st.integers(0, len(framed[victim]) - 1))
    damaged = bytearray(framed[victim])
    damaged[at] ^= data.draw(st.integers(1, 255))
    found = [body for _, body in journal.records(b"".join([*framed[:victim], bytes(damaged), *framed[victim + 1 :]]))]
    assert found == bodies[:victim] + bodies[victim + 1 :]


@UNTIMED
@given(BODIES, st.data())
def test_cut_short_keeps_all_whole_records(bodies: list[bytes], data: st.DataObject) -> None:
    """A file that ends anywhere gives every record that is whole."""
    text = b"".join(journal.frame(body) for body in bodies)
    length = data.draw(st.integers(0, len(text)))
    whole, end = 0, 0
    for body in bodies:
        end += len(journal.frame(body))
        whole += end <= length
    assert [body for _, body in journal.records(text[:length])] == bodies[:whole]


@UNTIMED
@given(
    st.lists(st.one_of(st.binary(max_size=40), st.just(journal.MARKER), st.binary(max_size=9).map(journal.frame), st.just(b"\xff\xff\xff\xff")), max_size=20)
)
def test_any_bytes_are_read(chunks: list[bytes]) -> None:
    """Bytes of any kind give records, all of which are framed right."""
    data = b"".join(chunks)
    for offset, body in journal.records(data):
        assert data[offset:].startswith(journal.frame(body))


def test_torn_tail_is_cut_and_written_over(tmp_path: Path) -> None:
    """What a death in mid-write left behind is gone before the next record is written."""
    one = _open(tmp_path)
    one.append(b"a")
    one.close()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes() + journal.frame(b"torn")[:-1])
    again = _open(tmp_path)
    list(again.scan())
    assert again.damaged_bytes == len(journal.frame(b"torn")) - 1
    again.append(b"b")
    assert _found(tmp_path) == [b"a", b"b"]


def test_empty_file_is_deleted(tmp_path: Path) -> None:
    """A file whose maker died before the first record is no place for records."""
    (tmp_path / "boot.000007.journal").touch()
    assert _found(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    """A FIFO, a link and a directory under our names neither block nor lead elsewhere, and writing goes on past their numbers."""
    (tmp_path / "elsewhere").write_bytes(journal.frame(b"not ours"))
    os.mkfifo(tmp_path / "boot.000001.journal")
    (tmp_path / "boot.000002.journal").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "boot.000003.journal").mkdir()
    one = _open(tmp_path)
    assert list(one.scan()) == []
    assert one.append(b"a") is not None
    assert _found(tmp_path) == [b"a"]


def test_strange_names_are_not_ours(tmp_path: Path) -> None:
    """Only names of our own form are journals."""
    for name in ("boot.journal", "boot.x.journal", ".000001.journal", "a.b.000001.journal", "boot.000001.txt", "other.000001.journal"):
        (tmp_path / name).touch()
    assert journal.names(str(tmp_path)) == {"other"}


@pytest.mark.parametrize("name", ["", "a/b", "../b", "a.b"])
def test_name_stays_a_name(name: str) -> None:
    """A name that would lead out of the directory is refused."""
    with pytest.raises(ValueError, match="journal name"):
        Journal("x", name, 1000, list)


def test_directory_that_cannot_be_is_told(tmp_path: Path) -> None:
    """Where a file stands in the way, append says None and why."""
    (tmp_path / "file").touch()
    one = _open(tmp_path / "file")
    assert list(one.scan()) == []
    assert one.append(b"a") is None
    assert one.trouble is not None


def test_directory_that_went_is_made_again(tmp_path: Path) -> None:
    """When the directory was deleted, the next file makes it anew."""
    one = _open(tmp_path / "gone", 100)
    one.append(bytes(80))
    for file in (tmp_path / "gone").iterdir():
        file.unlink()
    (tmp_path / "gone").rmdir()
    assert one.append(bytes(80)) is not None
    assert _found(tmp_path / "gone") == [bytes(80)]


MOUNTS = """/dev/root / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/sdb /tmp/disk\\040a ext4 rw 0 0
overlay /srv overlay rw 0 0
tmpfs /srv tmpfs rw 0 0
none /ram ramfs rw 0 0
"""


@pytest.mark.parametrize(
    ("directory", "expected"),
    [("/tmp/x", True), ("/tmp", True), ("/tmpx", False), ("/tmp/disk a/x", False), ("/srv/x", True), ("/ram/x", True), ("/etc", False)],
)
def test_ram_is_told_from_flash(directory: str, expected: bool) -> None:
    """The innermost, last mount decides; only tmpfs and ramfs are RAM."""
    assert journal.is_in_ram(directory, MOUNTS) is expected


def test_unknown_mounts_count_as_flash() -> None:
    """Without a mount table nothing is called RAM."""
    assert journal.is_in_ram("/tmp", "nonsense\n") is False


@pytest.mark.needs("root")
def test_writes_to_ram_are_not_counted(tmp_path: Path) -> None:
    """On tmpfs there are no flash writes."""
    with tmpfs(tmp_path / "ram", 64) as directory:
        one = _open(directory)
        assert one.append(b"a") is not None
        assert one.flash_writes == 0
        one.close()


@pytest.mark.needs("root")
def test_full_tmpfs_tears_nothing(tmp_path: Path) -> None:
    """When the tmpfs is full append says None, what was written stays whole, and it goes on when there is room again."""
    with tmpfs(tmp_path / "ram", 32) as directory:
        one = _open(directory, 6000)
        bodies = []
        while one.append(body := os.urandom(900)) is not None:
            bodies.append(body)
        assert one.trouble is not None
        assert one.trouble.errno == ENOSPC
        assert one.append(bytes(900)) is None
        again = _open(directory, 6000)
        assert [body for _, body in again.scan() if body != b"first"] == bodies
        assert again.damaged_bytes == 0
        again.close()
        one.trim()
        assert one.append(bodies[0]) is not None
        one.close()
        assert _found(directory)[-1] == bodies[0]


def test_writes_elsewhere_are_counted(tmp_path: Path) -> None:
    """Where the directory is not in RAM, each write to it counts as one that wears flash."""
    mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    directory = next((each for each in (tmp_path, Path(__file__).parent) if not journal.is_in_ram(str(each), mounts)), None)
    if directory is None:
        pytest.skip("everything here lies in RAM")
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        one = _open(Path(folder))
        for number in range(1, 4):
            assert one.append(b"a") is not None
            assert one.flash_writes >= number
        one.close()
