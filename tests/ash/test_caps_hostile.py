"""agent/ash/caps with what a damaged flash, a hostile station or a strange network device could hand it: it ends as data or as a refusal, never as a command.

The kernel is this machine's own, in a network namespace of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent import caps
from agent.change import Section, Tree
from tests.capped_box import SCRIPT

pytestmark = pytest.mark.needs("busybox", "netns", "tc")

GOOD = b"v 1\nssid public 30000 10000 5000 2000 w0\nuplink 45000 20000 w1\n"
# What none of these may leave behind, wherever it is run.
MARK = "RW_RAN"
NO_EXAMPLES_LIMIT = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Box:
    """A namespace with two network devices, a directory of root's and the daemon's status directory, both with a name that no shell likes."""

    def __init__(self, here: Path, namespace: str) -> None:
        self.here, self.namespace = here, namespace
        self.ram, self.status = here / "root's $(id) ram", here / "a `status` *"
        for folder in (self.ram, self.status):
            folder.mkdir()
        self.file = here / "the caps"
        self.file.write_bytes(GOOD)

    def run(self, verb: str, *words: str, before: str = "", more: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run the script; `before`: functions that stand in for programs, because PATH is the script's own."""
        script = SCRIPT
        if before:
            script = self.here / "scripts" / "caps"
            shutil.copytree(SCRIPT.parent, script.parent, dirs_exist_ok=True)
            script.write_text(f"{before}\n{SCRIPT.read_text()}")
        command = ["ip", "netns", "exec", self.namespace, "busybox", "sh", str(script), verb, str(self.file), str(self.ram), *words]
        environment = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "STATUS": str(self.status)} | (more or {})
        return subprocess.run(command, capture_output=True, env=environment, cwd=self.here, text=True, timeout=60, check=False)

    def reads(self, content: bytes) -> subprocess.CompletedProcess[str]:
        """Let it read a file and do nothing else: no device of this name is there."""
        self.file.write_bytes(content)
        command = ["busybox", "sh", str(SCRIPT), "hotplug", str(self.file), str(self.ram), ""]
        return subprocess.run(command, capture_output=True, cwd=self.here, text=True, timeout=60, check=False)

    def kernel(self) -> str:
        """Give what the kernel holds: devices, qdiscs, and of those that the good file is about classes and filters."""
        names = self.ip("-o", "link").splitlines()
        found = [re.sub(r" (state|qlen) \S+", "", name) for name in names]
        found.append(self.tc("qdisc", "show"))
        for ifname in ("rwd-public", "rwu-uplink"):
            found += [self.tc("class", "show", "dev", ifname), self.tc("filter", "show", "dev", ifname)]
        found += [self.tc("filter", "show", "dev", ifname, hook) for ifname in ("w0", "w1") for hook in ("egress", "ingress")]
        return "\n".join(found)

    def ip(self, *words: str) -> str:
        return _output("ip", "-n", self.namespace, *words)

    def tc(self, *words: str) -> str:
        return _output("tc", "-n", self.namespace, *words)

    def said(self) -> dict[str, object]:
        found = json.loads((self.status / "caps.json").read_text())
        assert isinstance(found, dict)
        return found

    def ran(self) -> bool:
        """Say whether somebody's words were run as a command."""
        return any(MARK in name for _, _, names in os.walk(self.here) for name in names)


def _output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}).stdout


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    name = f"rw-hostile-{os.getpid()}"
    _output("ip", "netns", "add", name)
    for number in (0, 1):
        _output("ip", "-n", name, "link", "add", f"w{number}", "type", "veth", "peer", "name", f"far{number}")
        _output("ip", "-n", name, "link", "set", f"w{number}", "up")
    yield name
    _output("ip", "netns", "del", name)


@pytest.fixture
def box(tmp_path: Path, namespace: str) -> Iterator[Box]:
    """A box without caps; what a test made stand is taken away after it."""
    made = Box(tmp_path, namespace)
    yield made
    if not os.listdir(made.ram):
        # Nothing was so much as tried.
        return
    assert made.run("remove").returncode == 0
    # Where a test spoilt the note that it is ours, it stays.
    for ifname in ("w0", "w1"):
        made.tc("qdisc", "del", "dev", ifname, "clsact")


def standing(box: Box) -> str:
    """Make the good file stand and give what the kernel holds."""
    box.file.write_bytes(GOOD)
    done = box.run("apply")
    assert done.returncode == 0, done.stderr
    return box.kernel()


# --- the file -----------------------------------------------------------------------------------------------------

RUN = f"$(touch${{IFS}}{MARK})"
LINE = "ssid public 30000 10000 5000 2000 w0"
DAMAGED = {
    "no version": f"{LINE}\n",
    "another version": f"v 2\n{LINE}\n",
    "version with more": f"v 1 \n{LINE}\n",
    "half a version": "v",
    "cut within a device's name": f"v 1\n{LINE}"[:-1],
    "cut within a rate": "v 1\nssid public 30000 10000 5000 20",
    "cut within the way out": "v 1\nuplink 45000 20000 w",
    "NUL": f"v 1\n{LINE}\0\n",
    "nothing but NUL": "\0" * 64,
    "carriage returns": f"v 1\r\n{LINE}\r\n",
    "a tab": f"v 1\n{LINE}".replace(" ", "\t") + "\n",
    "two spaces": f"v 1\n{LINE.replace(' 30000', '  30000')}\n",
    "space first": f"v 1\n {LINE}\n",
    "space last": f"v 1\n{LINE} \n",
    "an empty line": f"v 1\n\n{LINE}\n",
    "not ASCII": f"v 1\n{LINE}é\n",
    "an escape": f"v 1\n{LINE}\x1b[2J\n",
    "DEL": f"v 1\n{LINE}\x7f\n",
    "unknown word": f"v 1\n{LINE}\npolicy drop\n",
    "no device": "v 1\nssid public 30000 10000 5000 2000\n",
    "no rate": "v 1\nssid public - - - - w0\n",
    "no rate out": "v 1\nuplink - - w1\n",
    "rate zero": f"v 1\n{LINE.replace('30000', '0')}\n",
    "rate of nine digits": f"v 1\n{LINE.replace('30000', '123456789')}\n",
    "leading zero": f"v 1\n{LINE.replace('30000', '030000')}\n",
    "a fraction": f"v 1\n{LINE.replace('30000', '3.5')}\n",
    "a sign": f"v 1\n{LINE.replace('30000', '-30000')}\n",
    "a unit": f"v 1\n{LINE.replace('30000', '30mbit')}\n",
    "hexadecimal": f"v 1\n{LINE.replace('30000', '0x7530')}\n",
    "an exponent": f"v 1\n{LINE.replace('30000', '3e4')}\n",
    "the same SSID twice": f"v 1\n{LINE}\n{LINE.replace('w0', 'w9')}\n",
    "one device of two": f"v 1\n{LINE}\n{LINE.replace('public', 'other')}\n",
    "one device twice": f"v 1\n{LINE} w0\n",
    "the way out is an SSID's": f"v 1\n{LINE}\nuplink 1 1 w0\n",
    "two ways out": "v 1\nuplink 1 1 w0\nuplink 1 1 w1\n",
    "too many words": "v 1\nuplink 1 1 w0 w1\n",
    "too few words": "v 1\nuplink 1 w1\n",
    "an SSID called like the way out": f"v 1\n{LINE.replace('public', 'uplink')}\n",
    "a long name": f"v 1\n{LINE.replace('public', 'publicity')}\n",
    "upper case": f"v 1\n{LINE.replace('public', 'Public')}\n",
    "a long device": f"v 1\n{LINE.replace('w0', 'w' * 16)}\n",
    "an IFB of ours": f"v 1\n{LINE.replace('w0', 'rwd-public')}\n",
    "a directory": f"v 1\n{LINE.replace('w0', '..')}\n",
    "the version twice": f"v 1\nv 1\n{LINE}\n",
    "many lines": "v 1\n" + "".join(f"ssid n{number} 9 9 - - d{number}\n" for number in range(70)),
    "one long line": f"v 1\n{LINE}{' w0' * 200_000}\n",
}
WORDS = {
    "a command": RUN,
    "backticks": f"`touch${{IFS}}{MARK}`",
    "a semicolon": f";touch${{IFS}}{MARK}",
    "a pipe": f"|touch${{IFS}}{MARK}",
    "ampersands": f"&&touch${{IFS}}{MARK}",
    "a redirection": f">{MARK}",
    "a star": "*",
    "a way up": "../../etc",
    "quotes": "'\"",
    "a backslash": "\\",
    "an option": "--",
    "a comment": "#w0",
    "a brace": "{w0,w1}",
    "a home": "~root",
    "awk": f'"|"touch{MARK}',
    "a format": "%s%n%p",
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_refused(what: str, box: Box) -> None:
    """With exit 2 and one line that says where."""
    done = box.reads(DAMAGED[what].encode())
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(r"caps: [ -~]*(line \d+ of the caps|the caps)[ -~]*\n", done.stderr), done.stderr


@pytest.mark.parametrize("what", WORDS)
def test_a_word_of_the_file_is_never_a_command(what: str, box: Box) -> None:
    """Wherever it stands: refused, and nobody ran it."""
    word = WORDS[what]
    # What it is a line about, its name, a device; a rate.
    for line, place in ((LINE, 0), (LINE, 1), (LINE, 6), ("uplink 45000 20000 w1", 2)):
        words = line.split()
        words[place] = word
        # As a device's name it is in order, and stands nowhere but behind `dev`.
        if (word, place) != ("--", 6):
            assert box.reads(f"v 1\n{' '.join(words)}\n".encode()).returncode == 2, words
    assert not box.ran()


@pytest.mark.parametrize("what", ["unknown word", "cut within a device's name"])
def test_a_damaged_file_leaves_the_kernel_as_it_is(what: str, box: Box) -> None:
    """The caps that stood stand on, whichever verb was asked for; the daemon is told why, in JSON whatever stood in the file."""
    before = standing(box)
    box.file.write_bytes(DAMAGED[what].encode())
    for words in (["apply"], ["hotplug", "w0"], ["stations"]):
        assert box.run(*words).returncode == 2, words
    assert box.kernel() == before
    said = box.said()
    assert re.search(r"the caps", str(said["error"])) and said["wanted"] == []


@pytest.mark.parametrize("kind", ["directory", "fifo", "a link to nowhere"])
def test_what_is_no_file_does_not_hang_it(kind: str, box: Box) -> None:
    """It is refused, or is no file at all; nothing is read that could wait for a writer."""
    box.file.unlink()
    if kind == "directory":
        box.file.mkdir()
    elif kind == "fifo":
        os.mkfifo(box.file)
    else:
        box.file.symlink_to("/nowhere/at/all")
    done = box.run("apply")
    assert done.returncode == (2 if kind == "directory" else 0), done.stderr
    assert "rwd-" not in box.kernel()


def test_no_file_and_an_empty_one_mean_no_caps(box: Box) -> None:
    """A push that took the last cap away leaves none."""
    for content in (None, b""):
        standing(box)
        box.file.unlink()
        if content is not None:
            box.file.write_bytes(content)
        assert box.run("apply").returncode == 0
        assert "rwd-" not in box.kernel() and "clsact" not in box.kernel()


_NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8).filter(lambda name: name != "uplink")
_RATES = st.one_of(st.just("-"), st.integers(1, 99_999_999).map(str))
_IFNAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", fullmatch=True).filter(lambda name: not re.match("rw[du]-", name))


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A file that is in order."""
    names = draw(st.lists(_NAMES, unique=True, max_size=4))
    ifnames = iter(draw(st.lists(_IFNAMES, unique=True, min_size=2 * len(names) + 1, max_size=2 * len(names) + 1)))
    lines = ["v 1"]
    for name in names:
        rates = draw(st.tuples(_RATES, _RATES, _RATES, _RATES).filter(lambda rates: set(rates) != {"-"}))
        lines.append(" ".join(["ssid", name, *rates, next(ifnames), next(ifnames)]))
    if draw(st.booleans()):
        rates2 = draw(st.tuples(_RATES, _RATES).filter(lambda rates: set(rates) != {"-"}))
        lines.append(" ".join(["uplink", *rates2, next(ifnames)]))
    return "".join(f"{line}\n" for line in lines).encode()


@settings(NO_EXAMPLES_LIMIT, max_examples=10)
@given(files())
def test_every_file_in_order_is_taken(box: Box, content: bytes) -> None:
    """By the script and by the agent that reads what it wrote."""
    assert box.reads(content).returncode == 0
    assert len(caps.read(content)) == content.count(b"\n") - 1


@settings(NO_EXAMPLES_LIMIT, max_examples=25)
@given(files(), st.data())
def test_script_and_agent_refuse_the_same_damage(box: Box, content: bytes, data: st.DataObject) -> None:
    """One byte other, missing or too many: what the script takes is what the daemon would say is wanted; nothing stands that nobody reports."""
    at = data.draw(st.integers(0, len(content)))
    size = data.draw(st.integers(0, 1))
    put = data.draw(st.one_of(st.binary(max_size=1), st.sampled_from([b"\n", b" ", b"-", b"0", b"*", b"$", b"\0", b"."])))
    spoilt = content[:at] + put + content[at + size :]
    done = box.reads(spoilt)
    assert done.returncode in (0, 2)
    if done.returncode == 0:
        caps.read(spoilt)


def test_a_file_cut_anywhere_is_refused(box: Box) -> None:
    """But between two lines, where it is the file of fewer caps: at each place of one line, and at its ends."""
    start = GOOD.index(b"uplink")
    places = range(start - 2, len(GOOD))
    taken = [at for at in places if box.reads(GOOD[:at]).returncode == 0]
    assert taken == [start]


# --- what a document or somebody's uci could name -------------------------------------------------------------------

_STRANGE = st.one_of(
    st.sampled_from([*WORDS.values(), "", "public", "uplink", "rw-public-2g", "rwd-public", ".", "..", "30000", "0", "-", "a b", "a\nuplink 1 1 w1", "é"]),
    st.text(max_size=20),
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """What a box's configuration could hold, whoever wrote it: strange names, devices and rates around what a push makes."""
    wireless: dict[str, Section] = {"radio0": Section("wifi-device", "radio0", {"band": ("2g",)})}
    for name in draw(st.lists(st.one_of(st.sampled_from(["rw_public_2g", "rw_public_5g", "rw_b_2g_owe"]), _STRANGE), max_size=4)):
        options = {"device": ("radio0",), "mode": ("ap",), "ifname": (draw(_STRANGE),), "ssid": (draw(_STRANGE),)}
        wireless[name] = Section("wifi-iface", name, options)
    own: dict[str, Section] = {}
    for name in draw(st.lists(st.one_of(st.sampled_from(["cap_public", "cap_b", "cap_uplink"]), _STRANGE.map(lambda text: f"cap_{text}")), max_size=4)):
        own[name] = Section("cap", name, {option: (draw(st.one_of(st.integers(-1, 10**9).map(str), _STRANGE)),) for option in caps.OPTIONS})
    return {"wireless": wireless, "rwagent": own}


def planted(ifname: str) -> Tree:
    """A tree in which one network has this for its device, and every cap is set."""
    wireless = {"rw_public_2g": Section("wifi-iface", "rw_public_2g", {"device": ("radio0",), "ifname": (ifname,), "ssid": (RUN,)})}
    cap: dict[str, tuple[str, ...]] = dict.fromkeys(caps.OPTIONS, ("1000",))
    return {"wireless": wireless, "rwagent": {name: Section("cap", name, cap) for name in ("cap_public", "cap_uplink")}}


@example(tree=planted("w1"), uplink="w1")
@example(tree=planted("rwd-public"), uplink="rwu-uplink")
@example(tree=planted(".."), uplink=".")
@settings(NO_EXAMPLES_LIMIT, max_examples=25)
@given(tree=trees(), uplink=st.one_of(st.just("w1"), _STRANGE))
def test_the_agent_writes_no_file_that_is_refused(box: Box, tree: Tree, uplink: str) -> None:
    """Whatever the tree holds: hostile SSIDs do not get into the file at all, hostile names are left out."""
    content = caps.text(tree, uplink)
    done = box.reads(content)
    assert done.returncode == 0, (content, done.stderr)
    caps.read(content)
    assert not box.ran()


# --- names of network devices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ifname", [*WORDS.values(), "", "w0\nuplink 1 1 w1", "w0 w1", "../../../etc/passwd", ".", "..", "w0" * 5000])
def test_a_hostile_name_for_hotplug_does_nothing(ifname: str, box: Box) -> None:
    """Hotplug hands over whatever a device is called."""
    before = box.kernel()
    done = box.run("hotplug", ifname)
    assert done.returncode == 0, done.stderr
    assert box.kernel() == before and not box.ran()


NAMES = ("$(touch>RW_RAN)", "`>RW_RAN`", ";>RW_RAN", "a|tee>RW_RAN", "*", '"w0', "\\", "#", "%s%n", "rwd-A;b", "rwu-", "rwd-*")


def test_strange_devices_that_are_there_change_nothing(box: Box) -> None:
    """The kernel allows nearly any name; with hooks of their own and even with a filter where ours stand they are somebody else's data."""
    made = []
    try:
        for number, name in enumerate(NAMES):
            box.ip("link", "add", "name", name, "type", "veth", "peer", f"x{number}")
            if f": {name}@" in box.ip("-o", "link"):
                made.append(name)
            box.tc("qdisc", "add", "dev", name, "clsact")
            box.tc("filter", "add", "dev", name, "egress", "pref", "1", "protocol", "all", "u32", "match", "u32", "0", "0", "action", "ok")
        assert len(made) >= 8, made
        before = standing(box)
        assert box.said()["wanted"] and "error" not in box.said()
        assert [name for name in made if f"dev {name} " not in before] == []
        again = box.run("apply")
        assert (again.returncode, box.kernel()) == (0, before), again.stderr
        assert box.run("remove").returncode == 0
        after = box.kernel()
        assert "rwd-public" not in after and [name for name in made if f"clsact ffff: dev {name} " not in after] == []
        assert not box.ran()
    finally:
        for name in made:
            box.ip("link", "del", "dev", name)


# --- stations ---------------------------------------------------------------------------------------------------------


def dump(*macs: str) -> str:
    return "\n".join(f"Station {mac} (on w0)\n\tinactive time:\t4 ms\n\tauthorized:\tyes" for mac in macs)


def iw(text: str, box: Box) -> str:
    """Give a stand-in that says this for the first device."""
    (box.here / "dump").write_text(text)
    return f'iw() {{ [ "$2" != w0 ] || cat "{box.here}/dump"; }}'


def leaves(box: Box) -> list[str]:
    """Name the classes of stations that are known."""
    return re.findall(r"class htb (1:1[0-9a-f]{3}) ", box.tc("class", "show", "dev", "rwd-public"))


HOSTILE_MACS = (
    *WORDS.values(),
    "02:00:00:00:00",
    "02:00:00:00:00:0",
    "02:00:00:00:00:0g",
    "02:00:00:00:00:00:00",
    "02-00-00-00-00-00",
    "020000000000",
    "known",
    "failed",
    "",
    "0" * 100_000,
)


def test_only_what_is_a_station_s_address_becomes_a_leaf(box: Box) -> None:
    """What iw prints passes a pattern, whole: one good address among all the others is the one that gets a leaf."""
    standing(box)
    text = dump(*HOSTILE_MACS, "02:00:00:00:00:aa") + "\nknown public 9\nfailedish\nqdisc del dev w0 clsact\n\x1b[2J\0"
    done = box.run("stations", before=iw(text, box))
    assert done.returncode == 0, done.stderr
    assert len(leaves(box)) == 1 and not box.ran()
    assert "clsact ffff: dev w0" in box.tc("qdisc", "show")


def test_a_crowd_gets_256_leaves_and_the_rest_share(box: Box) -> None:
    """However many addresses one radio makes up."""
    standing(box)
    crowd = [f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}" for number in range(600)]
    done = box.run("stations", before=iw(dump(*crowd), box))
    assert done.returncode == 0, done.stderr
    assert len(leaves(box)) == 256
    # They left, and nothing is kept of them.
    (box.ram / "looked").write_text("1")
    done = box.run("stations", before=iw("", box))
    assert done.returncode == 0, done.stderr
    assert leaves(box) == []


def test_addresses_that_share_all_but_a_byte_get_a_leaf_each(box: Box) -> None:
    """Everybody's, nobody's and somebody's with the same last byte; said twice is there once."""
    standing(box)
    macs = ("ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "01:00:5e:00:00:ff", "02:aa:00:00:00:ff", "02:bb:00:00:00:ff")
    done = box.run("stations", before=iw(dump(*macs, *macs), box))
    assert done.returncode == 0, done.stderr
    assert len(leaves(box)) == len(macs) == len(set(leaves(box)))


# --- what lies in RAM, and the environment ------------------------------------------------------------------------------

GARBAGE = f"known {RUN} 7\nknown 02:00:00:00:00:01 $(touch {MARK})\nknown 02:00:00:00:00:02 99999\n;touch {MARK}\n\0\xff{'x' * 5000}"


@pytest.mark.parametrize("name", ["looked", "known.public", "kind", "clsact.w0", "lock"])
def test_garbage_in_ram_heals(name: str, box: Box) -> None:
    """A stamp that is none of ours is not believed and not run; what is wanted stands after it, and stations are seated."""
    before = standing(box)
    (box.ram / name).write_text(GARBAGE)
    assert box.run("apply").returncode == 0
    assert box.kernel() == before
    box.run("stations", before=iw(dump("02:00:00:00:00:aa"), box))
    (box.ram / "looked").write_text("1")
    done = box.run("stations", before=iw(dump("02:00:00:00:00:aa", "02:00:00:00:00:bb"), box))
    assert done.returncode == 0, done.stderr
    assert len(leaves(box)) == 2 and not box.ran()


def test_the_caller_s_environment_is_not_believed(box: Box) -> None:
    """Every name that the script itself uses, and those that a shell obeys, set to something hostile."""
    names = set(re.findall(r"^ *([a-z_]+)=", SCRIPT.read_text(), re.MULTILINE)) | {"IFS", "ENV", "CDPATH", "PS4", "AWKPATH", "POSIXLY_CORRECT"}
    before = standing(box)
    done = box.run("apply", more=dict.fromkeys(names, RUN))
    assert (done.returncode, box.kernel()) == (0, before), done.stderr
    box.run("remove")
    assert box.run("apply", more=dict.fromkeys(names, RUN)).returncode == 0
    assert re.sub(r"\b\d+: ", "", box.kernel()).count("rwd-public") == re.sub(r"\b\d+: ", "", before).count("rwd-public")
    assert not box.ran()


@pytest.mark.parametrize("missing", ["caps_file.awk", "caps_plan.awk", "caps_shape.awk"])
def test_half_an_installation_takes_no_cap_away(missing: str, box: Box) -> None:
    """What the script needs beside it is not there: that is told, and is not taken for a file without caps."""
    before = standing(box)
    scripts = box.here / "half"
    shutil.copytree(SCRIPT.parent, scripts)
    (scripts / missing).unlink()
    command = ["ip", "netns", "exec", box.namespace, "busybox", "sh", str(scripts / "caps"), "apply", str(box.file), str(box.ram)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=box.here, timeout=20, check=False)
    assert done.returncode == 1 and "cannot be read" in done.stderr
    assert box.kernel() == before


@pytest.mark.parametrize("words", [[], ["apply"], ["apply", "f"], ["apply", "f", "relative"], ["drop", "f", "/r"], ["hotplug", "f", "/r"], [RUN, "f", "/r"]])
def test_wrong_words_are_refused(words: list[str], box: Box) -> None:
    """With what is expected, and nothing done."""
    command = ["ip", "netns", "exec", box.namespace, "busybox", "sh", str(SCRIPT), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=box.here, timeout=20, check=False)
    assert done.returncode == 1 and "expected" in done.stderr
    assert not box.ran() and not (box.here / "relative").exists()
