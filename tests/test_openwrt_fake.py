"""The stand-in for ubusd against the recordings of the real one, and the boards that feed it."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.errors import Unavailable
from agent.router import ubus_message as wire
from agent.router.blobmsg import Int16, Int64
from agent.router.ubus import GONE, Call, Refused, Ubus
from tests.fakes.openwrt.board import BOARDS, Board
from tests.fakes.openwrt.ubusd import Allow, Ubusd
from tests.replayed import counted

RECORDINGS = sorted((Path(__file__).parent / "captures" / "ubus-wire").glob("*.json"))
STATUS_OF_EXIT = {252: 4, 253: 3}
MAC = re.compile(r"(?<![:\w])[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}(?![:\w])")
LIKE_A_KEY = re.compile(r"(?:key|password|secret|psk|passphrase)['\"]?\s*[:=]\s*[\[\s]*['\"]([^'\"]+)['\"]", re.I)


class Piece(NamedTuple):
    """One recorded message, by whom."""

    is_client: bool
    raw: bytes

    @property
    def head(self) -> tuple[int, int, int]:
        """Its type, number and peer."""
        _, kind, seq, peer = struct.unpack(">BBHI", self.raw[:8])
        return kind, seq, peer


# Read without our own codec: an error that both ends share must not hide here.


def pieces(recording: dict[str, Any]) -> Iterator[Piece]:
    """Cut a recorded conversation into messages, in the order in which they were complete."""
    rest = {"client": b"", "ubusd": b""}
    for read in recording["bytes"]:
        whom = read["from"]
        rest[whom] += bytes.fromhex(read["hex"])
        while len(rest[whom]) >= 12:
            end = 8 + (int.from_bytes(rest[whom][8:12], "big") & 0xFFFFFF)
            if len(rest[whom]) < end:
                break
            yield Piece(whom == "client", rest[whom][:end])
            rest[whom] = rest[whom][end:]
    assert not any(rest.values()), "the recording ends within a message"


def attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut a blob into its attributes."""
    at = 0
    while at < len(raw):
        head = int.from_bytes(raw[at : at + 4], "big")
        yield head >> 24 & 0x7F, raw[at + 4 : at + (head & 0xFFFFFF)]
        at += (head & 0xFFFFFF) + 3 & ~3


def fields(raw: bytes) -> Iterator[tuple[str, Any]]:
    """Read a blobmsg table with the widths of its numbers."""
    for kind, value in attributes(raw):
        length = int.from_bytes(value[:2], "big")
        name, payload = value[2 : 2 + length].decode(), value[2 + length + 4 & ~3 :]
        if kind in (1, 2):
            inner = list(fields(payload))
            yield name, dict(inner) if kind == 2 else [one for _, one in inner]
        elif kind == 3:
            yield name, payload[:-1].decode()
        elif kind == 7:
            yield name, payload != b"\0"
        elif kind == 8:
            yield name, struct.unpack(">d", payload)[0]
        else:
            number = int.from_bytes(payload, "big", signed=True)
            yield name, {4: Int64, 5: int, 6: Int16}[kind](number)


def read(path: Path) -> dict[str, Any]:
    """Read a recording."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def recorded_ids() -> dict[str, tuple[int, int]]:
    """Give the objects' ids and types as the real ubusd listed them; they are the same in all recordings."""
    found = {}
    for piece in pieces(read(RECORDINGS[0].with_name("list.json"))):
        told = dict(attributes(piece.raw[12:]))
        if 6 in told:
            found[told[2][:-1].decode()] = int.from_bytes(told[3], "big"), int.from_bytes(told[5], "big")
    return found


def drawn_ids(conversation: list[Piece]) -> list[int]:
    """Give the ids that ubusd drew during a conversation, in that order."""
    drawn = []
    for piece in conversation:
        kind, _, peer = piece.head
        told = dict(attributes(piece.raw[12:]))
        if kind == wire.HELLO and not piece.is_client:
            drawn.append(peer)
        elif kind == wire.DATA and set(told) == {3}:
            drawn.append(int.from_bytes(told[3], "big"))
        elif told.get(4) == b"ubus.object.add\0":
            drawn += [dict(fields(told[7]))["id"] & 0xFFFFFFFF, 1]
    return drawn


def board_of(recording: dict[str, Any]) -> Board:
    """Feed the rig's board with what a recorded call printed."""
    board = Board("rig-x86")
    words = recording["command"]
    if words[1] != "call":
        return board
    if recording["stdout"]:
        board.set(words[2], words[3], json.loads(recording["stdout"]), json.loads(words[4]).get("name") if words[4:] else None)
    elif words[2] in board.objects() and words[3] in board.methods(words[2]):
        board.fail(words[2], words[3], STATUS_OF_EXIT[recording["exit"]])
    return board


def happen(ubusd: Ubusd, piece: Piece) -> None:
    """Let happen what the real ubusd told of in an INVOKE."""
    _, seq, peer = piece.head
    told = dict(attributes(piece.raw[12:]))
    event, table = told[4][:-1].decode(), dict(fields(told[7]))
    ubusd.count_from(seq)
    if peer:
        name = f"hostapd.{table['ifname']}"
        ubusd.as_notifier(name, peer, seq)
        assert ubusd.notify(name, event, table) == 1
    elif event == "ubus.object.remove":
        ubusd.remove(table["path"])
    elif event == "ubus.object.add":
        ubusd.add(table["path"])
    else:
        ubusd.send(event, table)


def until(claim: Callable[[], bool], patience_s: float = 10.0) -> None:
    """Wait until a claim holds."""
    ends = time.monotonic() + patience_s
    while not claim():
        assert time.monotonic() < ends
        time.sleep(0.005)


@pytest.fixture
def ubusd(tmp_path: Path) -> Iterator[Ubusd]:
    """The rig's stand-in."""
    with Ubusd(Board("rig-x86"), tmp_path / "ubus.sock") as running:
        yield running


@pytest.fixture
def dial() -> Iterator[Callable[..., Ubus]]:
    """Make clients that are closed in the end."""
    made: list[Ubus] = []

    def client(ubusd: Ubusd, timeout_s: float = 10.0) -> Ubus:
        made.append(Ubus(ubusd.path, timeout_s))
        return made[-1]

    yield client
    for each in made:
        each.close()


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_it_answers_as_the_real_ubusd_did(path: Path, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Fed with what was printed and asked with the recorded bytes, it answers with the recorded bytes, ids and all."""
    recording = read(path)
    conversation = list(pieces(recording))
    ids = recorded_ids(), drawn_ids(conversation)
    with Ubusd(board_of(recording), tmp_path / "ubus.sock", None, *ids) as ubusd, socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(ubusd.path)
        for piece in conversation:
            if piece.is_client:
                link.sendall(piece.raw)
                continue
            if piece.head[0] == wire.INVOKE:
                happen(ubusd, piece)
            assert link.recv(len(piece.raw), socket.MSG_WAITALL) == piece.raw
    record_property(counted("ubus recordings replayed against the stand-in"), 1)


def test_every_recording_is_replayed() -> None:
    """None of the recorded conversations is left out."""
    assert len(RECORDINGS) == 21


def test_a_name_with_an_asterisk_finds_by_its_beginning(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """`hostapd.*` gives the BSSs and not `hostapd` itself."""
    assert sorted(dial(ubusd).lookup("hostapd.*")) == ["hostapd.phy0-ap0", "hostapd.phy0-ap1", "hostapd.phy1-ap0"]


def test_it_counts_calls(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """What was called and looked up, and over how many connections, is counted."""
    client = dial(ubusd)
    for _ in range(3):
        client.call("system", "info")
    assert (dict(ubusd.calls), dict(ubusd.lookups), ubusd.connections) == ({("system", "info"): 3}, {"system": 1}, 1)


def test_one_device_comes_out_of_all(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """`network.device status` answers for one device, and refuses an unknown one, as netifd does."""
    client = dial(ubusd)
    assert client.call("network.device", "status", {"name": "lo"})["mtu"] == 65536
    with pytest.raises(Refused) as refused:
        client.call("network.device", "status", {"name": "nosuch"})
    assert refused.value.status == wire.INVALID_ARGUMENT


def test_one_interface_comes_out_of_the_dump(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """`network.interface.lan status` is the dump's entry without its name."""
    client = dial(ubusd)
    both = client.call_all([Call("network.interface.lan", "status"), Call("network.interface", "status", {"interface": "lan"})])
    entry = Board("rig-x86").json("ubus/network.interface.dump.json")["interface"][1]
    assert entry.pop("interface") == "lan"
    assert both == [entry, entry]


def test_a_changed_reply_is_given_at_once(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """`board.set` holds from the next call on."""
    ubusd.board.set("system", "info", {"uptime": 7})
    assert dial(ubusd).call("system", "info") == {"uptime": 7}


ALLOW = Allow({"hostapd.*": ("get_status",), "system": ("board",)}, subscribe=("hostapd.phy0-ap0",), listen=("ubus.object.*",))


def test_others_than_root_do_not_see_what_they_may_not_call(tmp_path: Path, dial: Callable[..., Ubus]) -> None:
    """An object none of whose methods is allowed is left out of a list, as is a method; one without methods is shown."""
    with Ubusd(Board("rig-x86"), tmp_path / "s", ALLOW) as ubusd:
        assert sorted(dial(ubusd).lookup()) == ["dnsmasq.dns", "hostapd-auth", "hostapd.phy0-ap0", "hostapd.phy0-ap1", "hostapd.phy1-ap0", "system"]


def test_others_than_root_are_refused(tmp_path: Path, dial: Callable[..., Ubus]) -> None:
    """A method that is not allowed gives 6 where the object's id is known."""
    with Ubusd(Board("rig-x86"), tmp_path / "s", ALLOW) as ubusd:
        with pytest.raises(Refused) as refused:
            dial(ubusd).call("hostapd.phy0-ap0", "del_client", {"addr": "02:00:00:00:02:00"})
        assert refused.value.status == wire.PERMISSION_DENIED


@pytest.mark.parametrize(("name", "status"), [("hostapd.phy0-ap0", 0), ("hostapd.phy0-ap1", 4)])
def test_others_than_root_subscribe_to_what_they_may(tmp_path: Path, name: str, status: int, dial: Callable[..., Ubus]) -> None:
    """A subscription that is not allowed is "not found"."""
    with Ubusd(Board("rig-x86"), tmp_path / "s", ALLOW) as ubusd:
        client = dial(ubusd)
        try:
            client.subscribe([name])
            assert status == 0
        except Refused as refused:
            assert refused.status == status


def test_an_acl_file_is_read_as_ubusd_reads_it(tmp_path: Path) -> None:
    """The access list of a package can be tried."""
    (tmp_path / "acl.json").write_text(json.dumps({"user": "rwagent", "access": {"system": {"methods": ["board"]}}, "listen": ["ubus.*"]}))
    assert Allow.read(tmp_path / "acl.json") == Allow({"system": ("board",)}, (), ("ubus.*",))


def test_objects_that_come_back_have_other_ids(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """hostapd killed and back: who listens is told of both, and the id is another."""
    client = dial(ubusd)
    client.listen(["ubus.object.*"])
    before = ubusd.number("hostapd.phy1-ap0")
    ubusd.remove("hostapd.phy1-ap0")
    assert client.lookup("hostapd.phy1-ap0") == {}
    ubusd.add("hostapd.phy1-ap0")
    assert client.lookup("hostapd.phy1-ap0") == {"hostapd.phy1-ap0": ubusd.number("hostapd.phy1-ap0")} != {"hostapd.phy1-ap0": before}
    assert [(event.name, event.table["path"]) for event in client.drain()] == [
        ("ubus.object.remove", "hostapd.phy1-ap0"),
        ("ubus.object.add", "hostapd.phy1-ap0"),
    ]


def test_a_subscriber_is_told_when_its_object_goes(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """What is taken away unsubscribes its subscribers."""
    client = dial(ubusd)
    client.subscribe(["hostapd.phy0-ap0"])
    assert ubusd.notify("hostapd.phy0-ap0", "deauth", {"address": "02:00:00:00:02:00"}) == 1
    ubusd.remove("hostapd.phy0-ap0")
    client.lookup("system")
    assert [event.name for event in client.drain()] == ["deauth", GONE]


def test_killed_it_is_gone_and_back_with_other_ids(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """A killed ubusd refuses connections; after its restart rpcd's objects are missing and all ids are other ones."""
    client = dial(ubusd)
    before = client.lookup()
    ubusd.kill()
    with pytest.raises(Unavailable, match="refused"):
        client.lookup()
    ubusd.start(without=("uci", "session", "file"))
    after = client.lookup()
    assert before.keys() - after.keys() == {"uci", "session", "file"}
    assert not set(before.values()) & set(after.values())


def test_frozen_it_answers_nobody(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """A stopped ubusd lets connect and never answers; going on, it answers."""
    ubusd.freeze()
    with pytest.raises(Unavailable):
        dial(ubusd, 0.1).lookup()
    ubusd.thaw()
    assert dial(ubusd).lookup("system")


def test_a_held_object_never_answers_and_others_do(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """A stopped daemon's object is found, its calls stay without an answer."""
    ubusd.hold("network.interface")
    results = dial(ubusd).call_all([Call("network.interface", "dump"), Call("system", "board")], 0.3)
    assert isinstance(results[0], Refused)
    assert results[0].status == wire.TIMEOUT
    assert not isinstance(results[1], Refused)


def test_a_slow_drip_is_the_same_in_the_end(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """Bytes that come few at a time make the same reply."""
    told = dial(ubusd).call("network.interface", "dump")
    ubusd.drip = (7, 0.0001)
    assert dial(ubusd, 20).call("network.interface", "dump") == told


def test_an_object_of_a_client_is_called_through(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """What a client registers can be looked up and called by another, and its answer comes back."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(ubusd.path)
        stream = wire.Stream()
        link.sendall(wire.pack(wire.ADD_OBJECT, 1, 0, [(wire.Attribute.PATH, "rw.test"), (wire.Attribute.SIGNATURE, b"")]))
        until(lambda: "rw.test" in ubusd.names())
        client = dial(ubusd, 0.2)
        with pytest.raises(Refused):
            client.call("rw.test", "hello")
        invoked = None
        while invoked is None:
            invoked = next((each for each in stream.feed(link.recv(4096)) if each.type == wire.INVOKE), None)
        assert wire.unpack(invoked.body).method == "hello"


def test_a_radio_waits_for_radar(ubusd: Ubusd, dial: Callable[..., Ubus]) -> None:
    """A board's radio can be switched into its radar check and back."""
    ubusd.board.start_cac("phy1-ap0", 42)
    client = dial(ubusd)
    told = client.call("hostapd.phy1-ap0", "get_status")
    assert (told["status"], told["dfs"]) == ("DFS", {"cac_seconds": 60, "cac_active": True, "cac_seconds_left": 42})
    ubusd.board.end_cac("phy1-ap0")
    assert client.call("hostapd.phy1-ap0", "get_status")["status"] == "ENABLED"


# The boards.


def test_there_are_six_boards() -> None:
    """24.10 and 25.12, two and three radios, none, and a vendor's derivative."""
    boards = [Board(name) for name in BOARDS]
    assert len(boards) >= 6
    assert {len(board.phys) for board in boards} >= {0, 2, 3}
    assert {board.release[:5] for board in boards} >= {"24.10", "25.12"}


@pytest.mark.parametrize("name", BOARDS)
def test_every_file_of_a_board_says_where_it_came_from(name: str) -> None:
    """board.json names a source for each file, and no file that is not there."""
    board = Board(name)
    there = {str(path.relative_to(board.directory)) for path in board.directory.rglob("*") if path.is_file()}
    assert set(board.source) == there


@pytest.mark.parametrize("name", BOARDS)
def test_no_board_knows_anybodys_device(name: str) -> None:
    """Every MAC address is locally administered (or the rig's virtual one)."""
    for path in Board(name).directory.rglob("*.*"):
        assert [mac for mac in MAC.findall(path.read_text()) if not int(mac[:2], 16) & 2 and mac != "00:00:00:00:00:00"] == [], path


@pytest.mark.parametrize("name", BOARDS)
def test_every_key_of_a_board_is_a_planted_one(name: str) -> None:
    """No board holds a key of anybody's; those that are there say what they are."""
    for path in Board(name).directory.rglob("*.*"):
        assert [key for key in LIKE_A_KEY.findall(path.read_text()) if not key.startswith("planted-")] == [], path


def test_boards_with_networks_have_planted_keys() -> None:
    """A search for secrets can prove itself on the boards that have some."""
    planted = {name for name in BOARDS if "planted-wifi-key-1" in (Board(name).text("ubus/network.wireless.status.json") or "")}
    assert planted == set(BOARDS) - {"x86-24.10.8"}


@pytest.mark.parametrize("name", BOARDS)
def test_every_reply_of_a_board_comes_as_it_stands(name: str, tmp_path: Path, dial: Callable[..., Ubus]) -> None:
    """Over the socket each reply is what its file says."""
    board = Board(name)
    with Ubusd(board, tmp_path / "s") as ubusd:
        client = dial(ubusd)
        for path in sorted((board.directory / "ubus").glob("*.json")):
            target, method = path.stem.rsplit(".", 1)
            assert client.call(target, method) == json.loads(path.read_text()), path.name
