"""Signing: key files are signify's and usign's, a secret stays where it is, and what is signed is what an access point takes."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.wire import claims, jws, keyfile
from agent.wire.claims import CommandClaims, ConfigClaims
from agent.wire.messages import Malformed
from fleet import sign
from fleet.sign import Refused, SecretKey
from tests.signing import AP, CITY, CONFIG, KEY

ROOT = Path(__file__).parents[2]
PASSPHRASE = b"kata sandi kota"
# Written by `usign -G` (openwrt/usign c4c72b1) for this test, and used for nothing else.
USIGN_SECRET = (
    b"untrusted comment: private key 53dec45d15b15765\n"
    b"RWRCSwAAAADhK0OBv0I4m+vdJF8WibDC/8+Fn6sE6TRT3sRdFbFXZTB+UmB+mDVd+3A8sCZb2nn6F9vV+wdHcurkrmTcjoZD8W0u5Mb8SuLW1WqvX7AgWLnJM0/IsYHYIv6sFcEcS4Y=\n"
)
USIGN_PUBLIC = b"untrusted comment: public key 53dec45d15b15765\nRWRT3sRdFbFXZfFtLuTG/Eri1tVqr1+wIFi5yTNPyLGB2CL+rBXBHEuG\n"
DOCUMENT = '[ssids.public]\nssid = "Malang RW 05"\nsecurity = "psk2"\nkey = "rahasia-sekali"\nbands = ["2g"]\n'


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fleet.sign", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def signify(directory: Path, *arguments: str, phrase: bytes = b"") -> None:
    subprocess.run(["signify-openbsd", *arguments], cwd=directory, input=phrase + b"\n", check=True, timeout=60, capture_output=True)


def private(path: Path, text: bytes | str) -> Path:
    """Write a file that is its owner's alone."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o600)
    return path


def said(**members: Any) -> ConfigClaims:
    return ConfigClaims(CITY, AP, 7, 1790000000, "Sri Wahyuni", CONFIG)._replace(**members)


# The files


@pytest.mark.parametrize("phrase", [b"", PASSPHRASE])
def test_a_secret_key_survives_its_file(phrase: bytes) -> None:
    """With a passphrase and without; the file says which."""
    text = sign.secret_file(KEY, phrase, "city secret key")
    assert sign.is_locked(text) == bool(phrase)
    assert sign.parse_secret(text, phrase) == KEY
    assert (KEY.seed in keyfile.unwrap(text, 104)) == (not phrase)


def test_each_key_is_its_own() -> None:
    """Number and key are random."""
    one, two = sign.make_key(), sign.make_key()
    assert one.kid != two.kid and one.seed != two.seed and jws.is_kid(one.kid)


def test_a_secret_key_shows_no_secret() -> None:
    """Neither as text nor inside another text."""
    assert str(KEY) == repr(KEY) == "SecretKey(kid='9e1f04c2b7d35a68', seed=***)"
    assert KEY.seed.hex() not in f"{[KEY]}"


def test_a_key_of_usign_is_read_and_written() -> None:
    """Its secret file gives the key of its public file; ours without a passphrase is laid out as usign's, byte for byte but for the salt."""
    key = sign.parse_secret(USIGN_SECRET, b"")
    assert keyfile.public_key(key.public, f"public key {key.kid}") == USIGN_PUBLIC
    ours = keyfile.unwrap(sign.secret_file(key, b"", f"private key {key.kid}"), 104)
    theirs = keyfile.unwrap(USIGN_SECRET, 104)
    assert (ours[:8], ours[24:]) == (theirs[:8], theirs[24:])


@pytest.mark.needs("signify-openbsd")
@pytest.mark.parametrize("phrase", [b"", PASSPHRASE])
def test_signify_signs_with_our_key(phrase: bytes, tmp_path: Path) -> None:
    """signify unlocks our secret file, signs, and our public key and ours alone verifies; the signature is the one that we make."""
    sign.write_pair(str(tmp_path), "city", KEY, phrase)
    (tmp_path / "m").write_bytes(b"message")
    signify(tmp_path, "-S", "-s", "city.sec", "-m", "m", "-x", "m.sig", phrase=phrase)
    assert keyfile.unwrap((tmp_path / "m.sig").read_bytes(), 74)[10:] == KEY.sign(b"message")
    signify(tmp_path, "-V", "-p", "city.pub", "-m", "m", "-x", "m.sig")


@pytest.mark.needs("signify-openbsd")
@pytest.mark.parametrize("phrase", [b"", PASSPHRASE])
def test_we_sign_with_signifys_key(phrase: bytes, tmp_path: Path) -> None:
    """A key that signify made and locked signs here, and signify verifies it."""
    signify(tmp_path, "-G", *([] if phrase else ["-n"]), "-p", "city.pub", "-s", "city.sec", phrase=phrase)
    key = sign.parse_secret((tmp_path / "city.sec").read_bytes(), phrase)
    assert keyfile.parse_public_key((tmp_path / "city.pub").read_bytes()) == key.public
    (tmp_path / "m").write_bytes(b"message")
    (tmp_path / "m.sig").write_bytes(keyfile.signature(key.kid, key.sign(b"message"), "ours"))
    signify(tmp_path, "-V", "-p", "city.pub", "-m", "m", "-x", "m.sig")


def test_a_wrong_or_missing_passphrase_is_told() -> None:
    """Each in its own words, and none of them the passphrase."""
    text = sign.secret_file(KEY, PASSPHRASE, "x", rounds=1)
    with pytest.raises(Refused, match="the key is locked"):
        sign.parse_secret(text, b"")
    with pytest.raises(Refused, match="is not this key's") as caught:
        sign.parse_secret(text, b"kata sandi lain")
    assert "lain" not in str(caught.value)


def blob(place: int, value: bytes) -> bytes:
    """Our secret key's file with some bytes changed."""
    changed = bytearray(keyfile.unwrap(sign.secret_file(KEY, b"", "x"), 104))
    changed[place : place + len(value)] = value
    return keyfile.wrap("x", bytes(changed))


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        (blob(2, b"XX"), Malformed, "not known"),
        (blob(4, b"\xff\xff\xff\xff"), Malformed, "at most 10000 rounds"),
        (blob(0, b"XX"), Malformed, "algorithm"),
        (blob(40, b"\x01"), Refused, "damaged"),
        (USIGN_PUBLIC, Malformed, "104 bytes"),
        (b"", Malformed, "first line"),
    ],
)
def test_what_is_no_secret_key_is_refused(text: bytes, kind: type[Exception], reason: str) -> None:
    """Another algorithm, another way of locking, endless rounds, damage, or a public key."""
    with pytest.raises(kind, match=reason):
        sign.parse_secret(text, PASSPHRASE)


def test_two_halves_that_do_not_belong_together_are_refused() -> None:
    """A public half of another key would make signatures that tell the secret half."""
    secret = KEY.seed + bytes(32)
    checksum = hashlib.sha512(secret).digest()[:8]
    text = keyfile.wrap("x", b"EdBK" + bytes(4) + bytes(16) + checksum + bytes.fromhex(KEY.kid) + secret)
    with pytest.raises(Malformed, match="belong together"):
        sign.parse_secret(text, b"")


def test_a_pair_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    """The secret half is mode 600, whatever the umask, in a directory of mode 700."""
    before = os.umask(0)
    try:
        secret, public = sign.write_pair(str(tmp_path / "keys"), "city", KEY, b"")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (tmp_path / "keys", secret, public)] == [0o700, 0o600, 0o644]


@pytest.mark.parametrize("there", ["city.sec", "city.pub"])
def test_no_key_is_ever_replaced(there: str, tmp_path: Path) -> None:
    """When either half is there, both stay as they are, and nothing is left half done."""
    (tmp_path / there).write_bytes(b"old")
    with pytest.raises(Refused, match="is there already"):
        sign.write_pair(str(tmp_path), "city", KEY, b"")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(there, b"old")]


def test_no_key_is_written_through_a_link(tmp_path: Path) -> None:
    """A link in the place of a key is something that is there already."""
    (tmp_path / "city.sec").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="is there already"):
        sign.write_pair(str(tmp_path), "city", KEY, b"")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["", "../city", "a/b", "-x", ".hidden", "a\nb", "x" * 65])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    """A key's name is one level, and no option."""
    with pytest.raises(Refused, match="the key's name is"):
        sign.write_pair(str(tmp_path), name, KEY, b"")


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_a_public_key_in_the_secret_ones_place_is_called_that(mode: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not "chmod 600", which helps nobody: which file to name instead."""
    secret, public = sign.write_pair(str(tmp_path), "city", KEY, b"")
    os.chmod(public, mode)
    (tmp_path / "c.toml").write_text(DOCUMENT)
    code = sign.main(["sign", "--key", public, "--city", CITY, "--ap", AP, "--revision", "7", str(tmp_path / "c.toml")])
    error = capsys.readouterr().err
    assert code == 1 and f"{public}: is a public key" in error and f"--key {secret}" in error and "chmod" not in error


# The pushes


def test_a_push_is_what_an_access_point_reads() -> None:
    """Frame, claims and signature are the contract's."""
    read = jws.parse(sign.push(KEY, said()))
    assert claims.parse(read.payload, CITY, AP) == said()
    assert (read.kid, read.signature) == (KEY.kid, KEY.sign(read.signing_input))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"revision": 0}, "revision is not"),
        ({"confirm_within_s": 29}, "from 30 to 600"),
        ({"author": ""}, "author is not"),
        ({"config": {"a": 2**53}}, "too large"),
        ({"config": {"a": "x" * 60_000}}, "expected at most 60000"),
        ({"config": {"a": [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}}, "too deeply"),
    ],
)
def test_what_an_access_point_would_refuse_is_not_signed(members: dict[str, Any], reason: str) -> None:
    """Form and length are told here, before it travels."""
    with pytest.raises(Refused, match=reason):
        sign.push(KEY, said(**members))


# The command line


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    sign.write_pair(str(tmp_path / "keys"), "city", KEY, b"")
    (tmp_path / "c.toml").write_text(DOCUMENT, encoding="utf-8")
    return tmp_path


def sign_it(keys: Path, *more: object, file: str = "c.toml", key: str = "keys/city.sec") -> subprocess.CompletedProcess[str]:
    return run("sign", "--key", keys / key, "--city", CITY, "--ap", AP, "--revision", 7, *more, keys / file)


def test_a_command_is_what_an_access_point_reads() -> None:
    asked = CommandClaims(CITY, AP, "9b0e-1", "b1946ac92492d234", 5183, "locate", {"seconds": 3}, 1_790_000_000)
    message = jws.parse(sign.command(KEY, asked))
    assert claims.parse_command(message.payload, CITY, AP, "locate") == asked
    assert message.payload["kind"] == "command"
    assert KEY.sign(message.signing_input) == message.signature


@pytest.mark.parametrize("member", [{"boot": "B1946AC92492D234"}, {"id": "a b"}, {"name": "Locate"}, {"until_uptime_s": -1}, {"ap": "RW 1"}])
def test_a_command_that_an_access_point_would_refuse_is_not_signed(member: dict[str, Any]) -> None:
    asked = CommandClaims(CITY, AP, "9b0e-1", "b1946ac92492d234", 5183, "locate", {}, 1_790_000_000)
    with pytest.raises(Refused):
        sign.command(KEY, asked._replace(**member))


def test_a_key_is_made_and_signs(tmp_path: Path) -> None:
    """`key`, then `sign` with it, locked with a passphrase: the JWS is the whole output, without a line break."""
    phrase = private(tmp_path / "phrase", PASSPHRASE + b"\n")
    (tmp_path / "c.toml").write_text(DOCUMENT, encoding="utf-8")
    made = run("key", tmp_path / "keys", "--name", "malang", "--passphrase-file", phrase)
    assert (made.returncode, made.stderr) == (0, "") and "malang.pub" in made.stdout
    done = sign_it(tmp_path, "--author", "Sri", "--confirm-within", 60, "--passphrase-file", phrase, key="keys/malang.sec")
    assert (done.returncode, done.stderr) == (0, "")
    read = jws.parse(done.stdout.encode())
    public = keyfile.parse_public_key((tmp_path / "keys/malang.pub").read_bytes())
    told = claims.parse(read.payload, CITY, AP)
    assert read.kid == public.kid and (told.author, told.confirm_within_s, told.revision, told.below_contract) == ("Sri", 60, 7, False)
    assert told.config["ssids"] == {"public": {"ssid": "Malang RW 05", "security": "psk2", "key": "rahasia-sekali", "bands": ["2g"]}}


def test_toml_and_json_make_the_same_config(keys: Path) -> None:
    """Both files of one document are one content; an uplink cap below the contract is meant only when that is said."""
    (keys / "c.json").write_text(json.dumps({"ssids": {"public": {"bands": ["2g"], "key": "rahasia-sekali", "security": "psk2", "ssid": "Malang RW 05"}}}))
    one, two = (claims.parse(jws.parse(sign_it(keys, "--below-contract", file=f"c.{kind}").stdout.encode()).payload, CITY, AP) for kind in ("toml", "json"))
    assert claims.digest(one.config) == claims.digest(two.config) and one.below_contract


def test_show_stars_the_keys_and_says_that_nothing_was_checked(keys: Path) -> None:
    """The claims are printed, the Wi-Fi key is not; a line break at the end of the file does no harm."""
    push = keys / "push.jws"
    push.write_text(sign_it(keys).stdout + "\n")
    shown = run("show", push)
    assert shown.returncode == 0
    told = json.loads(shown.stdout)
    assert (told["kid"], told["signature"], told["claims"]["config"]["ssids"]["public"]["key"]) == (KEY.kid, "not checked here", "***")
    assert "rahasia" not in shown.stdout


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("c.toml", "ssids = [", "cannot be understood as TOML"),
        ("c.toml", "when = 2026-01-01", "holds what JSON has not"),
        ("c.toml", "power = nan", "holds what JSON has not"),
        ("c.toml", f"a = {'[' * 20}{']' * 20}", "nested too deeply"),
        ("c.json", "{", "cannot be understood as JSON"),
        ("c.json", "[]", "not a JSON object"),
        ("c.json", '{"ssids":{},"ssids":{}}', "twice"),
        ("c.json", '{"a":"\\ud800"}', "not UTF-8"),
    ],
)
def test_a_config_that_is_none_is_named_with_the_reason(name: str, text: str, reason: str, keys: Path) -> None:
    """Nothing is signed, exit 1, one line."""
    (keys / name).write_text(text, encoding="utf-8")
    done = sign_it(keys, file=name)
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_secret_that_others_may_read_is_refused_with_the_chmod(keys: Path) -> None:
    """The key's file and the passphrase's."""
    (keys / "keys/city.sec").chmod(0o640)
    done = sign_it(keys)
    assert done.returncode == 1 and f"chmod 600 {keys}/keys/city.sec" in done.stderr
    (keys / "keys/city.sec").chmod(0o600)
    (keys / "phrase").write_bytes(PASSPHRASE)
    done = sign_it(keys, "--passphrase-file", keys / "phrase")
    assert done.returncode == 1 and "chmod 600" in done.stderr


@pytest.mark.parametrize("text", ["", "\nsecond line", "a\0b", "x" * 1_024])
def test_a_passphrase_that_is_none_makes_no_key(text: str, tmp_path: Path) -> None:
    """An empty first line is not taken for no passphrase."""
    done = run("key", tmp_path / "keys", "--passphrase-file", private(tmp_path / "phrase", text))
    assert done.returncode == 1 and "is no passphrase" in done.stderr
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("missing", ["key", "config", "show"])
def test_a_file_that_is_not_there_is_named(missing: str, keys: Path) -> None:
    """One line, exit 1, no trace."""
    ways = {"key": lambda: sign_it(keys, key="nowhere"), "config": lambda: sign_it(keys, file="nowhere"), "show": lambda: run("show", keys / "nowhere")}
    done = ways[missing]()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"fleet.sign: {keys}/nowhere: cannot be read (No such file or directory)\n"


@pytest.mark.parametrize("arguments", [(), ("sign",), ("sign", "--key", "k", "--city", "Malang", "--ap", AP, "--revision", "7", "c"), ("key",), ("unknown",)])
def test_wrong_usage_is_exit_2(arguments: tuple[str, ...]) -> None:
    """With a sentence, and never a trace."""
    done = run(*arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "fleet.sign" in done.stderr


def test_help_shows_an_example() -> None:
    """Of the whole way, ready to be typed."""
    done = run("--help")
    assert done.returncode == 0 and "python -m fleet.sign sign --key keys/malang.sec" in done.stdout
    assert all(f"{word} " in done.stdout for word in ("key", "sign", "show"))


def test_no_secret_is_printed(keys: Path) -> None:
    """Neither by signing nor by its errors: not the key's file, not the Wi-Fi key outside the JWS."""
    done = sign_it(keys, "--author", "a\nb")
    assert done.returncode == 1 and "author is not" in done.stderr
    everything = done.stdout + done.stderr
    line = (keys / "keys/city.sec").read_text().splitlines()[1]
    assert "rahasia" not in everything and line[-40:] not in everything


def test_the_module_needs_no_screen() -> None:
    """Importing it draws in neither rich nor the agent's daemon."""
    said_ = subprocess.run(
        [sys.executable, "-c", "import sys, fleet.sign; print([name for name in sys.modules if name.split('.')[0] == 'rich' or name == 'agent.daemon'])"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert said_.stdout.strip() == "[]"


def test_keys_are_equal_by_value() -> None:
    """What was read from a file is the key that was written."""
    assert SecretKey(KEY.kid, KEY.seed) == KEY
