"""agent/ash/dns with files that are none of ours, and with a kernel of its own to write to: what comes of them is data or a refusal, never a command."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.netns import Netns

SCRIPT = Path(__file__).resolve().parents[2] / "agent/ash/dns"
SHELLS = (["sh"], ["busybox", "sh"])
GOOD = b"v 1\nnetwork br-pub\nserver 1.1.1.3\nserver 2606:4700:4700::1113\n"
# Whatever of these is run leaves a file in the directory it is run in.
HOSTILE = (*("$(touch planted)", "`touch planted`", ";touch planted", "|touch planted", "&& touch planted"), *("\\", "*", "%s", '"', "'", "{ }", "~", "é"))
BROKEN = (
    *(b"v 2\nnetwork br-pub\nserver 1.1.1.3\n", b"network br-pub\nserver 1.1.1.3\n", b"v 1\nserver 1.1.1.3\n", b"v 1\n", b"v 1\nnetwork br-pub\n", b"\n"),
    *(b"v 1\nnetwork br-pub\nnetwork br-lan\nserver 1.1.1.3\n", b"v 1\nv 1\nnetwork br-pub\nserver 1.1.1.3\n", b"v 1\r\nnetwork br-pub\r\nserver 1.1.1.3\r\n"),
    *(b"v 1\nnetwork br-pub\nserver 1.1.1.3\n\n", b"v 1\nnetwork \nserver 1.1.1.3\n", b"v 1\nnetwork abcdefghijklmnop\nserver 1.1.1.3\n"),
    *(b"v 1\nnetwork .\nserver 1.1.1.3\n", b"v 1\nnetwork ..\nserver 1.1.1.3\n", b"v 1\nnetwork br-pub\n" + b"server 1.1.1.3\n" * 9),
)
BAD_ADDRESSES = (
    *("", "1.1.1", "1.1.1.1.1", "1.1.1.256", "1.1.1.03", "1..1.1", ".1.1.1", "1.1.1.", "1.1.1.3/32", "1.1.1.3 1.1.1.4", "1.1.1.3-1.1.1.9", "a.b.c.d"),
    *("99999999999.1.1.1", ":", "::g", "1:::2", "1::2::3", "12345::", "FD00::1", "::1%lo", "fe80::1 drop", "1:2", "::ffff:1.1.1.3", "0000:" * 8 + "0000"),
)

pytestmark = pytest.mark.needs("netns", "nft", "busybox")


class Box:
    """The script, run in a namespace and a directory of a test's own."""

    def __init__(self, netns: Netns, here: Path) -> None:
        self.netns, self.here = netns, here
        self.file, self.ram = here / "dns", here / "ram"

    def run(self, verb: str, shell: list[str] = SHELLS[0], file: str = "") -> subprocess.CompletedProcess[bytes]:
        command = ["ip", "netns", "exec", self.netns.name, *shell, str(SCRIPT), verb, file or str(self.file), str(self.ram)]
        return subprocess.run(command, capture_output=True, timeout=60, check=False, cwd=self.here)

    def apply(self, content: bytes, shell: list[str] = SHELLS[0]) -> subprocess.CompletedProcess[bytes]:
        self.file.write_bytes(content)
        return self.run("apply", shell)

    def rules(self) -> str:
        command = ["ip", "netns", "exec", self.netns.name, "nft", "list", "ruleset"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout


@pytest.fixture(scope="module")
def netns() -> Iterator[Netns]:
    with Netns() as made:
        yield made


@pytest.fixture
def box(netns: Netns, tmp_path: Path) -> Iterator[Box]:
    made = Box(netns, tmp_path)
    yield made
    subprocess.run(["ip", "netns", "exec", netns.name, "nft", "flush", "ruleset"], check=True, timeout=20)


def assert_refused(box: Box, shell: list[str], contents: Iterable[tuple[bytes, int | None]]) -> None:
    """Claim that such files are refused whole: the kernel is as before, nothing ran, and the line is said but nothing of what stands in it."""
    assert box.apply(GOOD, shell).returncode == 0
    before = box.rules()
    for content, line in contents:
        ended = box.apply(content, shell)
        assert ended.returncode == 2, (content, ended)
        assert line is None or ended.stderr == f"dns: {box.file}: line {line} is none of ours\n".encode(), (content, ended)
        assert len(ended.stderr.splitlines()) == 1
    assert box.rules() == before
    assert sorted(path.name for path in box.here.iterdir()) == ["dns", "ram"]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_same_again_is_the_same(box: Box, shell: list[str]) -> None:
    """Applied twice, the rules stand once; the directory in RAM is there with them, and goes with them."""
    assert box.apply(GOOD, shell).returncode == 0
    once = box.rules()
    assert once.count("dnat") == 2 and box.ram.is_dir()
    assert box.apply(GOOD, shell).returncode == 0 and box.rules() == once
    assert box.apply(b"", shell).returncode == 0 and box.rules() == "" and not box.ram.exists()
    assert box.run("apply", shell, f"{box.here}/nowhere").returncode == 0 and box.rules() == ""


@pytest.mark.parametrize("verb", ["apply", "remove"])
def test_others_tables_are_left_alone(box: Box, verb: str) -> None:
    """Only what is ours is made and removed."""
    theirs = "table inet fw4 {\nchain dstnat {\ntype nat hook prerouting priority -100; policy accept;\n}\n}\n"
    subprocess.run(["ip", "netns", "exec", box.netns.name, "nft", theirs], check=True, timeout=20)
    before = box.rules()
    assert box.apply(GOOD).returncode == 0
    assert box.rules() != before
    box.file.write_bytes(b"" if verb == "apply" else GOOD)
    assert box.run(verb).returncode == 0
    assert box.rules() == before


def test_a_last_line_without_its_end_counts(box: Box) -> None:
    """A file that ends without a line break is not shorter by a resolver."""
    assert box.apply(GOOD[:-1]).returncode == 0
    assert "2606:4700:4700::1113" in box.rules()


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_files_that_are_none_of_ours_are_refused(box: Box, shell: list[str]) -> None:
    """Another version, a line too few, too many or twice: the whole file is refused, and what stood stands."""
    assert_refused(box, shell, [(content, None) for content in BROKEN])


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_hostile_values_are_data(box: Box, shell: list[str]) -> None:
    """What a shell, nft or printf would take for its own ends as a refused line, wherever it stands."""
    devices = [(f"v 1\nnetwork br{text}\nserver 1.1.1.3\n".encode(), 2) for text in HOSTILE]
    lines = [line for text in HOSTILE for line in (f"server {text}1.1.1.3", f"server ::1{text}", text)]
    assert_refused(box, shell, [*devices, *((f"v 1\nnetwork br-pub\n{line}\n".encode(), 3) for line in lines)])


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_what_is_no_address_is_refused(box: Box, shell: list[str]) -> None:
    """Names, ranges, scopes, and numbers that are none."""
    assert_refused(box, shell, [(f"v 1\nnetwork br-pub\nserver {address}\n".encode(), 3) for address in BAD_ADDRESSES])


def test_an_address_that_only_looks_like_one_is_refused_by_nft(box: Box) -> None:
    """What has the form but is none leaves the kernel as it was, and the reason is one line."""
    assert box.apply(GOOD).returncode == 0
    before = box.rules()
    ended = box.apply(b"v 1\nnetwork br-pub\nserver 1:2:3\n")
    assert ended.returncode == 1 and ended.stderr.startswith(b"dns: nft does not take the rules: ") and len(ended.stderr.splitlines()) == 1
    assert box.rules() == before


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("verb", ["apply", "remove", "standing"])
def test_an_nft_that_cannot_tell_is_not_taken_for_no_rules(tmp_path: Path, verb: str, shell: list[str]) -> None:
    """Whoever may not ask the kernel does not know that nothing stands."""
    (tmp_path / "dns").write_bytes(b"")
    # As a user of no rights, and before any namespace: nothing can be changed.
    command = ["setpriv", "--reuid=65534", "--clear-groups", *shell, str(SCRIPT), verb, str(tmp_path / "dns")]
    ended = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert (ended.returncode, ended.stderr[:37]) == (1, b"dns: nft does not tell what stands: O"), ended


def test_a_place_in_ram_that_cannot_be_made_is_told_before_anything_changes(box: Box) -> None:
    """In one line, as everything is."""
    box.ram.write_bytes(b"a file")
    ended = box.apply(GOOD)
    assert (ended.returncode, ended.stderr) == (1, f"dns: {box.ram} cannot be made\n".encode())
    assert box.rules() == ""


def test_a_directory_in_its_place_is_no_file(box: Box) -> None:
    """What cannot be read is told, and not taken for nothing."""
    box.file.mkdir()
    assert box.run("apply").returncode == 1


@pytest.mark.parametrize("words", [(), ("aply", "x"), ("",)])
def test_what_it_is_not_asked_for_it_does_not_do(box: Box, words: tuple[str, ...]) -> None:
    """A verb that is none is said, with those that are."""
    ended = subprocess.run(["sh", str(SCRIPT), *words], capture_output=True, timeout=20, check=False)
    assert ended.returncode == 2 and b"expected apply FILE, remove FILE, standing FILE or test FILE" in ended.stderr


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60).map(lambda end: b"v 1\nnetwork br-pub\n" + end) | st.binary(max_size=80))
def test_any_bytes_are_taken_whole_or_refused(box: Box, content: bytes) -> None:
    """Whatever stands in the file, the script ends with one of its three words, and runs nothing of it."""
    ended = box.apply(content)
    assert ended.returncode in (0, 1, 2) and len(ended.stderr.splitlines()) <= 1, (content, ended)
    assert ended.returncode == 0 or ended.stderr.startswith(b"dns: ")
