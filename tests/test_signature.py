"""Signatures: a directory of keys is read whatever lies in it, and a push counts only when its key signed exactly these bytes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent import signature
from agent.errors import Unavailable
from agent.wire import jws, keyfile
from agent.wire.jws import Jws
from agent.wire.keyfile import PublicKey
from tests.signing import CLAIMS, KEY, OTHER, respelled, signed

PUSH = jws.parse(signed(CLAIMS))
LARGEST = jws.parse(signed(CLAIMS | {"config": {"x": "a" * 44_000}}))
SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin"
# signify-openbsd as installed, and the cryptography package where no program is found.
WAYS = [pytest.param(SYSTEM, marks=pytest.mark.needs("signify-openbsd"), id="signify-openbsd"), pytest.param("", id="cryptography")]


def put(directory: Path, name: str, key: PublicKey = KEY.public) -> Path:
    path = directory / name
    path.write_bytes(keyfile.public_key(key, f"{name} public key"))
    return path


def tool(directory: Path, body: str, name: str = "usign") -> str:
    """Put a program of a shell script where verify looks, and give that place."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return f"{directory}:/usr/bin:/bin"


@pytest.fixture
def ram(tmp_path: Path) -> Path:
    """The applier's own directory."""
    directory = tmp_path / "apply"
    directory.mkdir(mode=0o700)
    return directory


# The keys


def test_each_file_is_one_key_whatever_its_name(tmp_path: Path) -> None:
    """File names mean nothing; hidden files are no keys."""
    put(tmp_path, "malang.pub")
    put(tmp_path, "0123", OTHER.public)
    (tmp_path / ".malang.pub.swp").write_bytes(b"x")
    assert signature.load(str(tmp_path)) == ({KEY.kid: KEY.public, OTHER.kid: OTHER.public}, ())


def test_a_bad_file_costs_itself_only_and_is_named(tmp_path: Path) -> None:
    """A secret key, a link, a FIFO, a directory, an empty and an endless file beside a good key: one key, and a sentence for each other."""
    put(tmp_path, "good")
    (tmp_path / "secret").write_bytes(keyfile.wrap("secret key", b"Ed" + bytes(102)))
    (tmp_path / "link").symlink_to(put(tmp_path.parent, "elsewhere", OTHER.public))
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "endless").write_bytes(b"untrusted comment: " + b"x" * 5_000_000)
    keys = signature.load(str(tmp_path))
    assert dict(keys.by_kid) == {KEY.kid: KEY.public}
    assert [Path(error.split(": ")[0]).name for error in keys.errors] == ["directory", "empty", "endless", "fifo", "link", "secret"]


def test_two_files_with_one_number_refuse_both(tmp_path: Path) -> None:
    """Which of them the city means cannot be known; a third key stays."""
    put(tmp_path, "a")
    put(tmp_path, "b", PublicKey(KEY.kid, OTHER.public.public))
    put(tmp_path, "c", OTHER.public)
    keys = signature.load(str(tmp_path))
    assert dict(keys.by_kid) == {OTHER.kid: OTHER.public}
    (error,) = keys.errors
    assert "/b: has the key number 9e1f04c2b7d35a68 of" in error and "/a; neither is taken" in error


def test_a_third_file_does_not_bring_a_number_back(tmp_path: Path) -> None:
    """Refused stays refused, however many have it."""
    for name in "abc":
        put(tmp_path, name)
    keys = signature.load(str(tmp_path))
    assert not keys.by_kid and len(keys.errors) == 2


def test_there_is_a_bound_of_files(tmp_path: Path) -> None:
    """At most 32 are read, and that is said."""
    for number in range(40):
        put(tmp_path, f"{number:02}", PublicKey(f"{number:016x}", KEY.public.public))
    keys = signature.load(str(tmp_path))
    assert len(keys.by_kid) == 32
    assert "more than 32 files" in keys.errors[0]


def test_no_directory_is_no_key_and_one_sentence(tmp_path: Path) -> None:
    """Every push is rejected then, and the reason is known."""
    keys = signature.load(str(tmp_path / "keys"))
    assert not keys.by_kid
    assert keys.errors == (f"{tmp_path}/keys: cannot be read (No such file or directory), expected a directory of public keys",)


# The signature, by each way there is


@pytest.mark.parametrize("search", WAYS)
@pytest.mark.parametrize("push", [PUSH, LARGEST], ids=["usual", "largest"])
def test_a_push_of_the_key_is_verified(search: str, push: Jws, ram: Path) -> None:
    """What the city signs with cryptography, every checker takes; nothing is left behind."""
    assert signature.verify(push, KEY.public, str(ram), search)
    assert list(ram.iterdir()) == []


@pytest.mark.parametrize("search", WAYS)
@pytest.mark.parametrize("place", [0, 31, 32, 62])
def test_one_bit_of_the_signature_is_enough(search: str, place: int, ram: Path) -> None:
    """A signature changed anywhere is none."""
    changed = bytearray(PUSH.signature)
    changed[place] ^= 1
    assert not signature.verify(PUSH._replace(signature=bytes(changed)), KEY.public, str(ram), search)
    assert list(ram.iterdir()) == []


@pytest.mark.parametrize("search", WAYS)
@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_bit_of_the_message_is_enough(search: str, place: int, ram: Path) -> None:
    """Header and payload are both signed."""
    changed = bytearray(PUSH.signing_input)
    changed[place] ^= 1
    assert not signature.verify(PUSH._replace(signing_input=bytes(changed)), KEY.public, str(ram), search)


@pytest.mark.parametrize("search", WAYS)
def test_another_key_with_the_same_number_is_not_the_key(search: str, ram: Path) -> None:
    """The number is a name; the key decides."""
    assert not signature.verify(PUSH, PublicKey(KEY.kid, OTHER.public.public), str(ram), search)


def test_the_number_is_compared_by_us(tmp_path: Path, ram: Path) -> None:
    """usign does not look at it: the right key under another number is refused without asking anybody."""
    search = tool(tmp_path, "exit 0")
    assert signature.verify(PUSH, KEY.public, str(ram), search)
    assert not signature.verify(PUSH, PublicKey(OTHER.kid, KEY.public.public), str(ram), search)


@pytest.mark.needs("signify-openbsd")
@pytest.mark.parametrize("times", [1, 15])
def test_why_the_frame_takes_one_spelling_of_a_signature_only(times: int, ram: Path) -> None:
    """signify (and usign) verify a signature with the group's order added to its S; the frame refuses it before."""
    second = respelled(PUSH.signature, times)
    assert second != PUSH.signature
    assert signature.verify(PUSH._replace(signature=second), KEY.public, str(ram), SYSTEM)
    with pytest.raises(jws.Refused, match="one spelling"):
        jws.parse(jws.compact(PUSH.signing_input, second))


@pytest.mark.needs("signify-openbsd")
def test_signify_signs_what_we_verify_and_verifies_what_we_sign(tmp_path: Path, ram: Path) -> None:
    """signify's own key signs our signing input; signify, cryptography and we agree on it."""
    subprocess.run(["signify-openbsd", "-G", "-n", "-p", "city.pub", "-s", "city.sec"], cwd=tmp_path, check=True, timeout=30)
    (tmp_path / "secret").mkdir()
    (tmp_path / "city.sec").rename(tmp_path / "secret/city.sec")
    (key,) = signature.load(str(tmp_path)).by_kid.values()
    message = jws.signing_input(key.kid, CLAIMS)
    (tmp_path / "secret/m").write_bytes(message)
    subprocess.run(["signify-openbsd", "-S", "-s", "city.sec", "-m", "m", "-x", "m.sig"], cwd=tmp_path / "secret", check=True, timeout=30)
    made = keyfile.unwrap((tmp_path / "secret/m.sig").read_bytes(), 74)
    assert made[2:10].hex() == key.kid
    push = jws.parse(jws.compact(message, made[10:]))
    for search in (SYSTEM, ""):
        assert signature.verify(push, key, str(ram), search)
        assert not signature.verify(push._replace(signing_input=message + b"x"), key, str(ram), search)


# The programs


def test_usign_is_asked_with_its_own_words_and_files(tmp_path: Path, ram: Path) -> None:
    """-V -q -m -p -x; the files are in usign's format, this user's alone, and nothing of the push is in the arguments."""
    search = tool(
        tmp_path,
        f'printf "%s\\n" "$@" >{tmp_path}/words; cp "$4" {tmp_path}/m; cp "$6" {tmp_path}/p; cp "$8" {tmp_path}/x; stat -c %a "$4" "$6" "$8" >{tmp_path}/modes',
    )
    assert signature.verify(PUSH, KEY.public, str(ram), search)
    words = (tmp_path / "words").read_text().split()
    assert words == ["-V", "-q", "-m", f"{ram}/verify.message", "-p", f"{ram}/verify.pub", "-x", f"{ram}/verify.sig"]
    assert (tmp_path / "m").read_bytes() == PUSH.signing_input
    assert keyfile.parse_public_key((tmp_path / "p").read_bytes()) == KEY.public
    assert keyfile.unwrap((tmp_path / "x").read_bytes(), 74) == b"Ed" + bytes.fromhex(KEY.kid) + PUSH.signature
    assert (tmp_path / "modes").read_text().split() == ["600", "600", "600"]


def test_usign_goes_before_signify_and_both_before_the_package(tmp_path: Path, ram: Path) -> None:
    """The box's own tool decides, also against the others."""
    tool(tmp_path, "exit 0", "signify-openbsd")
    assert not signature.verify(PUSH, KEY.public, str(ram), tool(tmp_path, "exit 1"))
    (tmp_path / "usign").unlink()
    changed = PUSH._replace(signature=bytes(64))
    assert signature.verify(changed, KEY.public, str(ram), str(tmp_path))
    assert not signature.verify(changed, KEY.public, str(ram), "")


@pytest.mark.parametrize("body", ["exit 2", "exit 127", "kill -9 $$", "kill -11 $$"])
def test_a_checker_that_breaks_says_nothing_about_the_push(body: str, tmp_path: Path, ram: Path) -> None:
    """Only exit status 1 is a no; everything else cannot tell, and is neither taken nor counted as a forgery."""
    with pytest.raises(Unavailable, match="usign -V -q -m"):
        signature.verify(PUSH, KEY.public, str(ram), tool(tmp_path, body))
    assert list(ram.iterdir()) == []


def test_nothing_that_can_check_is_unavailable_with_what_to_install(ram: Path) -> None:
    """No program, no package: no push is taken, and what is missing is said."""
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from agent import signature\nfrom agent.errors import Unavailable\nfrom agent.wire.jws import Jws\nfrom agent.wire.keyfile import PublicKey\n"
        "try:\n    print(signature.verify(Jws('0' * 16, b'x', {}, bytes(64)), PublicKey('0' * 16, bytes(32)), '.', ''))\n"
        "except Unavailable as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert said == "nothing here can check a signature: install usign (OpenWrt), signify-openbsd (Debian, Ubuntu) or Python's cryptography\n"


def test_no_room_is_unavailable(tmp_path: Path) -> None:
    """Without its directory in RAM a push is not judged."""
    with pytest.raises(Unavailable, match="no room for checking"):
        signature.verify(PUSH, KEY.public, str(tmp_path / "gone"), tool(tmp_path, "exit 0"))


@pytest.mark.needs("signify-openbsd")
def test_what_lies_there_already_is_not_used_or_followed(tmp_path: Path, ram: Path) -> None:
    """Files left by a power cut, or links put there, are replaced, not written through."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"old")
    for name in ("verify.message", "verify.pub"):
        (ram / name).symlink_to(victim)
    (ram / "verify.sig").write_bytes(keyfile.signature(KEY.kid, bytes(64), "old"))
    assert signature.verify(PUSH, KEY.public, str(ram), SYSTEM)
    assert victim.read_bytes() == b"old" and stat.S_IMODE(ram.stat().st_mode) == 0o700
    assert list(ram.iterdir()) == []
