"""Root's writer: whom it asks, when it asks again, and that its file goes nowhere else."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from agent import redact
from agent.errors import Rejected, Unavailable
from agent.router import facts
from agent.router.uci import Absent, Section, parse
from tests.fakes.openwrt.board import Board
from tests.fakes.openwrt.ubusd import Ubusd
from tests.fakes.ubus import FakeUbus

ROOT = Path(__file__).parent.parent
IN_STEP = "wireless.radio0=wifi-device\nwireless.a=wifi-iface\nwireless.a.device='radio0'\nwireless.a.mode='ap'\nwireless.a.ssid='s'\n"


class FakeUci:
    """UCI's text by configuration; what is not there does not exist, and what is in `slow` does not answer so many times."""

    def __init__(self, texts: Mapping[str, str | None] | None = None, **slow: int) -> None:
        self.texts = dict(texts or {})
        self.slow = slow

    def show(self, config: str) -> dict[str, Section]:
        if self.slow.get(config, 0):
            self.slow[config] -= 1
            raise Unavailable(f"uci -X show {config}: no answer within 10 s")
        text = self.texts.get(config)
        if text is None:
            raise Absent(f"uci -X show {config}: exit status 1")
        return parse(text)


def netifd(**state: object) -> dict[str, object]:
    """netifd's answer with one radio and network, in step with IN_STEP."""
    interface = {"section": "a", "ifname": "phy0-ap0", "config": {"mode": "ap", "ssid": "s"}}
    return {"radio0": {"up": True, "pending": False, "config": {}, "interfaces": [interface]} | state}


def asked(status: Mapping[str, object] | Exception | None, **texts: str) -> redact.Told:
    return redact.ask(bus(status), FakeUci(texts))


def bus(status: Mapping[str, object] | Exception | None) -> FakeUbus:
    return FakeUbus({} if status is None else {"network.wireless": {"status": status}})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory as the package makes it."""
    (tmp_path / "status").mkdir(mode=0o755)
    (tmp_path / "status").chmod(0o755)
    return tmp_path / "status"


def names(directory: Path) -> list[str]:
    return sorted(one.name for one in directory.iterdir())


# Whom it asks.


def test_both_tell() -> None:
    """netifd's answer and the four configurations."""
    told = asked(netifd(), wireless=IN_STEP, dhcp="")
    assert told.status == netifd() and told.configs.keys() == {"wireless", "dhcp", "firewall", "network"}
    assert told.configs["dhcp"] == {} and told.configs["network"] is None


def test_either_is_enough() -> None:
    """Without the one, the other tells what it knows."""
    assert asked(None, network="network.lan=interface\n").status is None
    assert asked({}).configs == dict.fromkeys(redact.CONFIGS)


def test_who_does_not_answer_is_told_from_what_is_not_there() -> None:
    """A configuration that uci could not show is not among those asked for; one that does not exist is, as None."""
    told = redact.ask(bus(netifd()), FakeUci({"wireless": IN_STEP, "dhcp": ""}, dhcp=1))
    assert told.configs.keys() == {"wireless", "firewall", "network"} and told.configs["network"] is None


def test_nobody_is_not() -> None:
    """Who did not answer is said, and nothing is written in place of what was."""
    with pytest.raises(Unavailable, match=r"ubus network\.wireless status: not found; uci -X show wireless"):
        asked(None)


# The file.


def test_file_is_for_all_to_read(directory: Path) -> None:
    """It is written whole, and readable whatever the umask is."""
    before = os.umask(0o077)
    try:
        redact.write(str(directory / "wireless.json"), b"{}\n")
    finally:
        os.umask(before)
    assert (directory / "wireless.json").read_bytes() == b"{}\n"
    assert stat.S_IMODE((directory / "wireless.json").stat().st_mode) == 0o644
    assert names(directory) == ["wireless.json"]


def test_same_content_is_not_written_again(directory: Path) -> None:
    """The daemon reads a file again only when it is another one."""
    path = directory / "wireless.json"
    redact.write(str(path), b"{}\n")
    first = path.stat()
    redact.write(str(path), b"{}\n")
    assert path.stat() == first
    redact.write(str(path), b"{ }\n")
    assert path.stat().st_ino != first.st_ino


def test_a_file_closed_to_the_daemon_is_opened(directory: Path) -> None:
    """The same content under another mode is written again."""
    path = directory / "wireless.json"
    redact.write(str(path), b"{}\n")
    path.chmod(0o600)
    redact.write(str(path), b"{}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_write_that_fails_leaves_the_older_file(directory: Path) -> None:
    """The daemon never finds half a file, or none, because memory ran out."""
    path = directory / "wireless.json"
    redact.write(str(path), b"{}\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        with pytest.raises(Rejected, match="cannot be written"):
            redact.write(str(path), b" " * 4096)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"{}\n" and names(directory) == ["wireless.json"]


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize("name", ["wireless.json", "wireless.json.{pid}"])
def test_a_planted_link_is_not_followed(plant: Callable[[Path, Path], None], name: str, directory: Path, tmp_path: Path) -> None:
    """What a link in the place of the file or of its draft points to stays as it is."""
    (tmp_path / "shadow").write_text("root")
    (tmp_path / "shadow").chmod(0o600)
    plant(directory / name.format(pid=os.getpid()), tmp_path / "shadow")
    redact.write(str(directory / "wireless.json"), b"{}\n")
    assert (tmp_path / "shadow").read_text() == "root" and stat.S_IMODE((tmp_path / "shadow").stat().st_mode) == 0o600
    assert not (directory / "wireless.json").is_symlink() and (directory / "wireless.json").read_bytes() == b"{}\n"
    assert names(directory) == ["wireless.json"]


def test_a_pipe_in_its_place_does_not_hold(directory: Path) -> None:
    """It is replaced like any other."""
    os.mkfifo(directory / "wireless.json")
    redact.write(str(directory / "wireless.json"), b"{}\n")
    assert (directory / "wireless.json").is_file()


def test_a_directory_that_is_a_link_is_refused(directory: Path, tmp_path: Path) -> None:
    """Whoever owns the directory above could point it anywhere."""
    (tmp_path / "link").symlink_to(directory)
    with pytest.raises(Rejected, match="no link"):
        redact.write(str(tmp_path / "link" / "wireless.json"), b"{}\n")
    assert names(directory) == []


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_directory_others_may_write_to_is_refused(mode: int, directory: Path) -> None:
    """The sentence says what it must be."""
    directory.chmod(mode)
    with pytest.raises(Rejected, match=r"status: owner .*, mode d.*; make it a directory of root that nobody else may write to"):
        redact.write(str(directory / "wireless.json"), b"{}\n")
    assert names(directory) == []


@pytest.mark.needs("root")
def test_anothers_directory_is_refused(directory: Path) -> None:
    """The daemon's user could have put its own in the place of root's."""
    os.chown(directory, 65534, 65534)
    with pytest.raises(Rejected, match="owner 65534"):
        redact.write(str(directory / "wireless.json"), b"{}\n")
    assert names(directory) == []


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    """In the daemon's own, for all to read whatever the umask is."""
    before = os.umask(0o077)
    try:
        redact.write(str(tmp_path / "status" / "wireless.json"), b"{}\n")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "status").stat().st_mode) == 0o755
    assert (tmp_path / "status" / "wireless.json").read_bytes() == b"{}\n"


@pytest.mark.needs("root")
def test_a_missing_directory_is_made_roots_in_the_daemons(tmp_path: Path) -> None:
    """The run directory stays the daemon's, or it would not start there."""
    os.chown(tmp_path, 65534, 65534)
    redact.write(str(tmp_path / "status" / "wireless.json"), b"{}\n")
    assert (tmp_path.stat().st_uid, (tmp_path / "status").stat().st_uid) == (65534, 0)


def test_a_missing_run_directory_is_refused_with_the_commands(tmp_path: Path) -> None:
    """It is the daemon's: root's own would keep the daemon from starting."""
    with pytest.raises(Rejected, match=r"No such file or directory; .*/run && chown rwagent:rwagent .*/run$"):
        redact.write(str(tmp_path / "run" / "status" / "wireless.json"), b"{}\n")
    assert names(tmp_path) == []


@pytest.mark.parametrize("target", ["elsewhere", "nothing"])
def test_nothing_is_made_through_a_link(target: str, tmp_path: Path) -> None:
    """Neither where a run directory points that is a link, nor where a planted status points."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / target)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "status").symlink_to(tmp_path / target / "made")
    for directory in ("run", "own"):
        with pytest.raises(Rejected, match="no link"):
            redact.write(str(tmp_path / directory / "status" / "wireless.json"), b"{}\n")
    assert names(tmp_path / "elsewhere") == [] and not (tmp_path / "nothing").exists()


# What the older file keeps.


def recorded(path: Path, told: redact.Told) -> dict[str, object]:
    """The file after what was told is written down."""
    redact.record(str(path), told, "/nowhere")
    written: dict[str, object] = json.loads(path.read_bytes())
    return written


ALL = {"wireless": IN_STEP, "dhcp": "dhcp.lan=dhcp\ndhcp.lan.interface='lan'\ndhcp.lan.limit='20'\n", "firewall": "", "network": "network.lan=interface\n"}


@pytest.mark.parametrize(("config", "member"), [("dhcp", "dhcp"), ("firewall", "offload"), ("network", "networks")])
def test_what_nobody_told_stays(config: str, member: str, directory: Path) -> None:
    """One uci that waits for a lock does not take away what is known."""
    before = recorded(directory / "w", asked(netifd(), **ALL))
    now = recorded(directory / "w", redact.ask(bus(netifd()), FakeUci(ALL, **{config: 1})))
    assert now == before and member in now


def test_what_is_gone_goes(directory: Path) -> None:
    """A configuration that is not there any more says nothing any more."""
    recorded(directory / "w", asked(netifd(), **ALL))
    assert "dhcp" not in recorded(directory / "w", asked(netifd(), **{config: text for config, text in ALL.items() if config != "dhcp"}))


def test_without_any_word_of_the_wireless_the_radios_stay(directory: Path) -> None:
    """Neither netifd nor UCI told of them."""
    before = recorded(directory / "w", asked(netifd(), **ALL))
    assert recorded(directory / "w", redact.ask(bus(None), FakeUci(ALL, wireless=1))) == before


def test_a_netifd_that_does_not_answer_leaves_the_interfaces_known(directory: Path) -> None:
    """Of the same networks; what else netifd said is not claimed again."""
    before = recorded(directory / "w", asked(netifd(), **ALL))
    assert facts.parse(json.dumps(before)).radios[0].networks[0].ifname == "phy0-ap0"
    (radio,) = facts.parse(json.dumps(recorded(directory / "w", asked(None, **ALL)))).radios
    assert (radio.networks[0].ifname, radio.is_up) == ("phy0-ap0", None)
    (radio,) = facts.parse(json.dumps(recorded(directory / "w", asked(None, **ALL | {"wireless": IN_STEP.replace("'s'", "'another'")})))).radios
    assert (radio.networks[0].ifname, radio.networks[0].ssid) == (None, "another")


@pytest.mark.parametrize(
    "older", [b"", b"{", b"[]", b'{"v":2,"dhcp":{}}', b'{"dhcp":{}}', b"\xff", b'{"v":1,"radios":[5]}', b'{"v":1,"radios":{"radio0":{"networks":[7]}}}']
)
def test_an_older_file_that_says_nothing_is_no_hindrance(older: bytes, directory: Path) -> None:
    """Damaged or of another version: nothing is taken from it."""
    (directory / "w").write_bytes(older)
    assert "dhcp" not in recorded(directory / "w", redact.ask(bus(None), FakeUci(ALL, dhcp=1)))


@pytest.mark.parametrize("name", ["", ".", "..", "taken"])
def test_what_cannot_be_a_file_is_refused(name: str, directory: Path) -> None:
    """A sentence, and nothing left behind."""
    (directory / "taken").mkdir()
    with pytest.raises(Rejected, match="cannot be written"):
        redact.write(f"{directory}/{name}", b"{}\n")
    assert names(directory) == ["taken"]


def test_what_the_daemon_would_not_read_is_refused(directory: Path) -> None:
    """A file over the reader's bound is not written at all."""
    with pytest.raises(Rejected, match="expected at most"):
        redact.write(str(directory / "wireless.json"), b" " * (facts.FILE_BYTES + 1))
    assert names(directory) == []


def test_drafts_of_killed_runs_are_removed(directory: Path) -> None:
    """Only those, and none of a run that lives."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True).stdout.strip()
    for name in (f"wireless.json.{ended}", "wireless.json.1", "wireless.json.bak", f"other.{ended}"):
        (directory / name).write_text("")
    redact.write(str(directory / "wireless.json"), b"{}\n")
    assert names(directory) == sorted(["wireless.json", "wireless.json.1", "wireless.json.bak", f"other.{ended}"])


# When netifd has what UCI has.


def test_settled_when_both_say_the_same() -> None:
    """netifd is done, and each network has its interface."""
    assert redact.is_settled(asked(netifd(), wireless=IN_STEP), "/nowhere")


@pytest.mark.parametrize("config", redact.CONFIGS)
def test_not_settled_while_uci_does_not_answer(config: str) -> None:
    """Somebody who commits holds the lock for a moment."""
    assert not redact.is_settled(redact.ask(bus(netifd()), FakeUci(ALL, **{config: 1})), "/nowhere")


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (netifd(pending=True), IN_STEP),
        (netifd(interfaces=[]), IN_STEP),
        (netifd(interfaces=[{"section": "a", "config": {"mode": "ap", "ssid": "s"}}]), IN_STEP),
        (netifd(), IN_STEP.replace("'s'", "'another'")),
        (netifd(), IN_STEP + "wireless.b=wifi-iface\nwireless.b.device='radio0'\n"),
        (netifd(), "wireless.radio0=wifi-device\n"),
        (None, IN_STEP),
        (netifd(up=False, autostart=True), IN_STEP),
        (netifd(up=False, autostart=True, interfaces=[{"section": "a", "config": {"mode": "ap", "ssid": "s"}}]), IN_STEP),
    ],
)
def test_not_settled_while_they_differ(status: dict[str, object] | None, text: str) -> None:
    """A radio at work or to be started, an interface to come, an SSID, a network more or less, and a netifd that does not answer."""
    assert not redact.is_settled(asked(status, wireless=text), "/nowhere")


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (netifd(), IN_STEP + "wireless.b=wifi-iface\nwireless.b.device='radio0'\nwireless.b.disabled='1'\n"),
        (netifd(up=False, interfaces=[{"section": "a", "config": {"mode": "ap", "ssid": "s"}}]), IN_STEP),
        (netifd(up=False, disabled=True, interfaces=[]), IN_STEP + "wireless.radio0.disabled='1'\n"),
        (netifd(up=False, autostart=True, retry_setup_failed=True), IN_STEP),
        (netifd(up=False, autostart=True, disabled=True, interfaces=[]), IN_STEP + "wireless.radio0.disabled='1'\n"),
        (netifd(up=False, autostart=True, interfaces=[]), IN_STEP + "wireless.a.disabled='1'\n"),
        ({}, None),
    ],
)
def test_what_stays_as_it_is_is_settled(status: dict[str, object], text: str | None) -> None:
    """Disabled networks and radios, a radio that is down for good or has no network, and a box without Wi-Fi are not waited for."""
    assert redact.is_settled(asked(status, **({"wireless": text} if text else {})), "/nowhere")


# The whole, over ubus.


@pytest.fixture(params=["rig-x86", "mt7621-dsa-24.10", "ipq50xx-25.12.2"])
def board(request: pytest.FixtureRequest) -> Board:
    """Boards of three kinds."""
    return Board(request.param)


@pytest.fixture
def socket(board: Board, tmp_path: Path) -> Iterator[str]:
    """The board's ubus."""
    with Ubusd(board, str(tmp_path / "ubus.sock")):
        yield str(tmp_path / "ubus.sock")


def uci_of(board: Board) -> FakeUci:
    return FakeUci({config: board.text(f"uci/{config}.txt") for config in redact.CONFIGS})


def without_phys(text: str) -> list[object]:
    """The radios without what /sys tells."""
    return [radio._replace(phy=None) for radio in facts.parse(text).radios]


def test_a_board_is_written_down(board: Board, socket: str, directory: Path) -> None:
    """From the socket's bytes to the file, at the first asking."""
    naps: list[float] = []
    out = directory / "wireless.json"
    assert redact.main(["--out", str(out), "--socket", socket], uci_of(board), "/nowhere", naps.append) == 0
    assert without_phys(out.read_text()) == without_phys(json.dumps(board.json("expected-wireless.json")))
    assert "planted" not in out.read_text() and naps == []


def test_it_asks_again_until_netifd_is_done(board: Board, socket: str, directory: Path) -> None:
    """What netifd has at first is written, and what it has in the end."""
    done = board.get("network.wireless", "status")
    board.set("network.wireless", "status", {name: radio | {"up": False, "pending": True} for name, radio in done.items()})
    out, naps = directory / "wireless.json", []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        assert facts.parse(out.read_text()).radios[0].is_pending
        if len(naps) == 3:
            board.set("network.wireless", "status", done)

    assert redact.main(["--out", str(out), "--socket", socket], uci_of(board), "/nowhere", nap) == 0
    assert len(naps) == 3 and facts.parse(out.read_text()).radios[0].is_up


def test_it_does_not_ask_for_ever(board: Board, socket: str, directory: Path) -> None:
    """A radio that stays at work is written down as such, and that is all."""
    board.set("network.wireless", "status", {"radio0": {"pending": True}})
    naps: list[float] = []
    assert redact.main(["--out", str(directory / "w"), "--socket", socket, "--settle", "5"], uci_of(board), "/nowhere", naps.append) == 0
    assert naps == [1.0] * 5


def test_it_asks_again_until_uci_answers(board: Board, socket: str, directory: Path) -> None:
    """A lock held once costs a second, not the facts."""
    naps: list[float] = []
    out, uci = directory / "wireless.json", uci_of(board)
    uci.slow = {"dhcp": 2, "firewall": 1}
    assert redact.main(["--out", str(out), "--socket", socket], uci, "/nowhere", naps.append) == 0
    assert naps == [1.0, 1.0] and without_phys(out.read_text()) == without_phys(json.dumps(board.json("expected-wireless.json")))


def test_an_uci_that_never_answers_is_said(board: Board, socket: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1 and whom it concerns; what the others told is written, and the older file's word stays."""
    out, uci = directory / "wireless.json", uci_of(board)
    redact.main(["--out", str(out), "--socket", socket], uci, "/nowhere")
    before = out.read_bytes()
    uci.slow = {"dhcp": 99, "network": 99}
    assert redact.main(["--out", str(out), "--socket", socket, "--settle", "3"], uci, "/nowhere", lambda _: None) == 1
    assert capsys.readouterr().err == "rwagent redact: uci did not show dhcp, network; what the older file says of that stays\n"
    assert json.loads(out.read_bytes())["networks"] == json.loads(before)["networks"]


def test_without_netifd_uci_tells(board: Board, tmp_path: Path, directory: Path) -> None:
    """ubusd is away: what is wanted is still written."""
    out = directory / "wireless.json"
    assert redact.main(["--out", str(out), "--socket", str(tmp_path / "none"), "--settle", "0"], uci_of(board), "/nowhere") == 0
    assert [radio.is_up for radio in facts.parse(out.read_text()).radios] == [None] * len(board.json("expected-wireless.json")["radios"])


def test_could_not_is_said(tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1 and one sentence; the older file stays."""
    (directory / "wireless.json").write_text("older")
    assert redact.main(["--out", str(directory / "wireless.json"), "--socket", str(tmp_path / "none")], FakeUci()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rwagent redact: ubus network.wireless status: ")
    assert (directory / "wireless.json").read_text() == "older"


@pytest.mark.parametrize("arguments", [["--out"], ["--help"], ["--other", "x"], ["file"], ["--settle", "soon"], ["--settle", "-1"]])
def test_usage_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is no option of ours is not guessed."""
    assert redact.main(arguments, FakeUci()) == 1
    assert capsys.readouterr().err == f"{redact.USAGE}\n"


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A Python in which the agent is installed, and nothing else."""
    venv.create(tmp_path / "python", symlinks=True)
    (site,) = (tmp_path / "python").glob("lib/python*/site-packages")
    (site / "rwagent.pth").write_text(f"{ROOT}\n")
    return str(tmp_path / "python" / "bin" / "python3")


@pytest.mark.parametrize("file", [None, "json.py", "agent/__init__.py", "agent/redact.py"])
def test_it_runs_as_the_package_runs_it(file: str | None, python: str, tmp_path: Path) -> None:
    """Where it can only fail, with its exit status and its sentence; nothing that lies in the directory is run as root."""
    here = tmp_path / "here"
    (here / "agent").mkdir(parents=True)
    if file:
        (here / file).write_text("print('planted')")
    command = [python, *redact.USAGE.split()[2:5], "--out", str(tmp_path / "none" / "s" / "w"), "--socket", str(tmp_path / "none"), "--settle", "0"]
    run = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1 and run.stdout == "" and run.stderr.startswith("rwagent redact: ")
