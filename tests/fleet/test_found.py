"""What fleet/found.py promises: a city's directory whole after any number of runs, cut short anywhere, and no key ever replaced."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.wire import keyfile
from fleet import audit, authority, city, files, found, sign, store
from fleet.city import City
from fleet.errors import BadInput, Refused
from fleet.found import KEPT, MADE, MENDED, Step, Wishes

NOTHING, NAME = Wishes(), Wishes("malang")
DAY = 86_400
KEYS = ("ca/ca.key", "ca/operators.key", "clients/_ingest.key", "clients/_rwctl.key", "broker/server.key", "keys/malang.sec")


def init(folder: Path, wishes: Wishes = NOTHING, phrase: Path | None = None, later: float = 0) -> dict[str, Step]:
    """One run; its steps by what they are about."""
    now = authority.time.time() + later
    return {step.what: step for step in found.found(folder, wishes, str(phrase) if phrase else None, lambda: now)}


def mended(steps: dict[str, Step]) -> dict[str, str]:
    """What was not as it should be, and why."""
    assert all(step.done in (KEPT, MENDED) for step in steps.values())
    return {what: step.why for what, step in steps.items() if step.done == MENDED}


def faults(at: City) -> list[str]:
    """Everything that a whole directory has, and this one has not."""
    problems = [name for name in KEYS if stat.S_IMODE((at.folder / name).stat().st_mode) != 0o600]
    for stem in ("ca/ca", "ca/operators", "clients/_ingest", "clients/_rwctl", "broker/server"):
        if not authority.is_pair((at.folder / f"{stem}.pem").read_bytes(), (at.folder / f"{stem}.key").read_bytes()):
            problems.append(f"{stem} is no pair")
    ca, operators = authority.open_authority(at), authority.open_authority(at, authority.OPERATORS)
    signed = [ca.has_signed((at.broker_folder / "server.pem").read_bytes())]
    signed += [operators.has_signed((at.clients / f"{name}.pem").read_bytes()) for name in (city.INGEST, city.OPERATOR)]
    problems += [] if all(signed) else ["a certificate is not ours"]
    problems += [name for name in ("ca.pem", "operators.pem", "crl.pem") if (at.ca / name).read_bytes() != (at.broker_folder / name).read_bytes()]
    key = sign.unlocked(str(at.signing_key), None)
    problems += [] if key.public == keyfile.parse_public_key((at.keys / "malang.pub").read_bytes()) else ["the signing key is no pair"]
    problems += [] if [entry["what"] for entry in audit.entries(at)][:1] == ["init"] else ["the log does not say init"]
    problems += [str(path) for path in at.folder.rglob("*.new")]
    return problems


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> City:
    """One city that tests only look at."""
    folder = tmp_path_factory.mktemp("whole") / "malang"
    init(folder, NAME)
    return city.load(folder)


# Made


def test_a_city_is_made_whole(whole: City) -> None:
    """Every file, each pair a pair, secrets for their owner alone, and the log says so."""
    assert faults(whole) == []
    assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in (whole.folder, *(path for path in whole.folder.iterdir() if path.is_dir())))
    (entry,) = audit.entries(whole)
    assert "the signing key keys/malang.sec" in entry["data"]["made"] and entry["data"]["mended"] == []


def test_the_store_is_there(whole: City) -> None:
    """With its tables."""
    connection = store.open_city(whole)
    assert connection.execute("SELECT count(*) FROM inventory").fetchone() == (0,)
    connection.close()


def test_what_was_asked_for_stands_in_city_toml(tmp_path: Path) -> None:
    """And is read back as it was asked for; all else has the defaults that city.toml has without a line."""
    wishes = Wishes("surabaya", "mqtt.example", 18883, "192.0.2.1", 18884, 700, 5, "Asia/Makassar", False)
    init(tmp_path / "city", wishes)
    at = city.load(tmp_path / "city")
    assert (at.name, at.zone, at.limits.access_points, at.report) == ("surabaya", "Asia/Makassar", 700, (5, 5))
    assert at.broker == city.Broker("mqtt.example", 18883, (), "192.0.2.1", "127.0.0.1", 18884, False)


def test_the_defaults_written_down_are_the_defaults(whole: City) -> None:
    """So that a line that is taken out changes nothing."""
    assert whole == City(whole.folder, "malang")


def test_the_brokers_certificate_is_for_inside_and_outside(tmp_path: Path) -> None:
    """The host's name, every further name, the loopback address of the city's own listener; no address that means all."""
    at = City(tmp_path, "malang", broker=city.Broker("mqtt.example", names=("192.0.2.9",), city_host="192.0.2.8"))
    assert found.server_names(at) == ("mqtt.example", "192.0.2.9", "192.0.2.8", "localhost", "127.0.0.1")


@pytest.mark.needs("root")
def test_the_broker_folder_is_mosquittos(whole: City) -> None:
    """Made by root: all in it is for the user that mosquitto becomes, where there is one."""
    owner = found._broker_owner() or (0, 0)
    assert {path.stat().st_uid for path in (whole.broker_folder, *whole.broker_folder.rglob("*"))} == {owner[0]}
    assert whole.folder.stat().st_uid == 0


def test_the_signing_key_is_locked_with_the_passphrase(tmp_path: Path) -> None:
    """From a file, and the key opens with it."""
    files.put(tmp_path / "phrase", b"kata sandi\n", files.PRIVATE)
    init(tmp_path / "city", NAME, tmp_path / "phrase")
    secret = tmp_path / "city/keys/malang.sec"
    assert sign.is_locked(secret.read_bytes())
    assert sign.unlocked(str(secret), str(tmp_path / "phrase")).kid == keyfile.parse_public_key((tmp_path / "city/keys/malang.pub").read_bytes()).kid


# Run again


def test_a_second_run_changes_nothing(whole: City) -> None:
    """Not a byte of any file, and the log has no further entry."""
    before = {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()}
    assert mended(init(whole.folder)) == {}
    assert {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()} == before


def test_the_same_wishes_are_no_contradiction(whole: City) -> None:
    """The first command typed again is a repair."""
    assert mended(init(whole.folder, Wishes("malang", host="localhost", port=8883, own=True))) == {}


def test_a_wish_that_city_toml_does_not_say_is_refused(whole: City) -> None:
    """All at once, with what it says; the file is the operator's."""
    with pytest.raises(BadInput) as caught:
        init(whole.folder, Wishes("surabaya", port=1, own=False))
    lines = str(caught.value).splitlines()
    assert len(lines) == 3 and f"{whole.folder}/city.toml: city.name is 'malang', not 'surabaya'; change it there" in lines[0]


CUT_SHORT = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from fleet import found
import fleet.audit, rich  # whatever is imported late is no step
WRITES = ("os.mkdir", "os.rename", "os.link", "os.chmod", "os.chown", "os.remove", "os.truncate", "sqlite3.connect")
folder, left = Path({folder!r}), int(sys.argv[1])
def hook(event, arguments):
    global left
    is_write = event in WRITES or event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if is_write and str(folder) in str(arguments[0]):
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(hook)
for _ in found.found(folder / sys.argv[1], found.Wishes("malang")):
    pass
"""


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A directory where fsync costs nothing."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(in_memory: Path) -> None:
    """Killed before each single change of the disk, one after the other: the next run makes the city whole, and keeps every key that was there."""
    code = CUT_SHORT.format(root=str(Path(__file__).resolve().parent.parent.parent), folder=str(in_memory))
    # One process for each place, forked from one that has imported everything.
    fork = code.replace(
        "folder, left = ", "sys.argv[1] = next(str(n) for n in range(10_000) if not os.fork() or os.waitstatus_to_exitcode(os.wait()[1]) != 9)\nfolder, left = "
    )
    done = subprocess.run([sys.executable, "-c", fork, "0"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    cut = sorted(in_memory.iterdir(), key=lambda path: int(path.name))
    assert len(cut) > 60
    for folder in cut:
        keys = {name: (folder / name).read_bytes() for name in KEYS if (folder / name).exists()}
        init(folder, NAME)
        assert faults(city.load(folder)) == [], folder.name
        assert {name: (folder / name).read_bytes() for name in keys} == keys, folder.name


@pytest.mark.parametrize("name", [*KEYS[:2], "ca/ca.pem", "ca/operators.pem"])
def test_what_nothing_can_bring_back_is_not_made_anew(name: str, tmp_path: Path) -> None:
    """An authority's key that is gone is refused with what that means. A certificate of its own is made for its key again."""
    init(tmp_path / "city", NAME)
    (tmp_path / "city" / name).unlink()
    if name.endswith(".key"):
        with pytest.raises(Refused, match=rf"{name}: is missing; bring it back from the backup"):
            init(tmp_path / "city")
        assert not (tmp_path / "city" / name).exists()
    else:
        init(tmp_path / "city")
        assert faults(city.load(tmp_path / "city")) == []


@pytest.mark.parametrize("name", KEYS)
def test_a_damaged_key_is_not_replaced(name: str, tmp_path: Path) -> None:
    """Somebody may have a copy: it stays as it is, and is named."""
    init(tmp_path / "city", NAME)
    path = tmp_path / "city" / name
    path.write_bytes(b"damaged")
    if name.startswith("keys/"):
        path.with_suffix(".pub").unlink()
    with pytest.raises(Refused, match=path.name.partition(".")[0]):
        init(tmp_path / "city")
    assert path.read_bytes() == b"damaged"


@pytest.mark.parametrize(
    ("name", "what", "why"),
    [
        ("clients/_ingest.key", "the certificate of _ingest", "its key was missing"),
        ("broker/server.key", "the broker's certificate", "its key was missing"),
        ("keys/malang.pub", "the signing key keys/malang.sec", "its public half keys/malang.pub was missing"),
        ("broker/acl", "the broker's configuration", "acl"),
        ("ca/crl.pem", "the list of revoked certificates", ""),
    ],
)
def test_what_is_missing_is_made(name: str, what: str, why: str, tmp_path: Path) -> None:
    """And told."""
    init(tmp_path / "city", NAME)
    (tmp_path / "city" / name).unlink()
    steps = init(tmp_path / "city")
    assert steps[what].done in (MADE, MENDED) and steps[what].why == why
    assert faults(city.load(tmp_path / "city")) == []


def test_a_signing_key_that_is_kept_elsewhere_is_not_missed(tmp_path: Path) -> None:
    """Its public half is enough here."""
    init(tmp_path / "city", NAME)
    (tmp_path / "city/keys/malang.sec").unlink()
    assert mended(init(tmp_path / "city")) == {} and not (tmp_path / "city/keys/malang.sec").exists()


def test_what_others_could_read_is_closed_and_told(tmp_path: Path) -> None:
    """Keys, bundles, the log, directories: with the mode they had, and the log of acts says so too."""
    init(tmp_path / "city", NAME)
    at = city.load(tmp_path / "city")
    (at.bundles / "rw-1.tar.gz").touch()
    opened = {"ca/ca.key": 0o644, "keys/malang.sec": 0o640, "bundles/rw-1.tar.gz": 0o644, "audit.jsonl": 0o604, "secrets": 0o755}
    for name, mode in opened.items():
        (at.folder / name).chmod(mode)
    told = mended(init(at.folder))
    assert {what.removeprefix(f"{at.folder}/"): why for what, why in told.items()} == {
        name: f"others could get at it (mode {mode:o}), now {'700' if name == 'secrets' else '600'}" for name, mode in opened.items()
    }
    assert all(stat.S_IMODE((at.folder / name).stat().st_mode) & 0o077 == 0 for name in opened)
    assert len([*audit.entries(at)][-1]["data"]["mended"]) == len(opened)


def test_the_brokers_certificate_follows_its_names(tmp_path: Path) -> None:
    """A host that is changed in city.toml has a certificate after the next run; the key stays."""
    init(tmp_path / "city", NAME)
    file = tmp_path / "city/city.toml"
    key = (tmp_path / "city/broker/server.key").read_bytes()
    file.write_text(file.read_text().replace('host = "localhost" ', 'host = "mqtt.malang.example" '))
    assert mended(init(tmp_path / "city")) == {"the broker's certificate": "was for other names"}
    assert "mqtt.malang.example" in authority.read((tmp_path / "city/broker/server.pem").read_bytes()).names
    assert (tmp_path / "city/broker/server.key").read_bytes() == key and faults(city.load(tmp_path / "city")) == []


@pytest.mark.parametrize(("days", "renewed"), [(authority.SERVER_DAYS - 61, 0), (authority.SERVER_DAYS - 59, 3)])
def test_certificates_that_end_soon_are_renewed(days: int, renewed: int, tmp_path: Path) -> None:
    """Sixty days before, the broker's and the city's own; not earlier."""
    init(tmp_path / "city", NAME)
    told = mended(init(tmp_path / "city", later=days * DAY))
    assert list(told.values()) == ["ended within 60 days"] * renewed
    assert mended(init(tmp_path / "city", later=days * DAY)) == {}


def test_a_strangers_certificate_is_replaced(tmp_path: Path) -> None:
    """One that this city's authority did not make, though it belongs to the key."""
    init(tmp_path / "city", NAME)
    at = city.load(tmp_path / "city")
    key = (at.clients / "_rwctl.key").read_bytes()
    (at.clients / "_rwctl.pem").write_bytes(authority.self_signed(key, "_rwctl", authority.time.time()))
    assert mended(init(at.folder)) == {"the certificate of _rwctl": "was not this city's"}


def test_what_the_store_calls_revoked_comes_onto_the_list(tmp_path: Path) -> None:
    """Of a revocation that was cut short, and of a list that is lost or damaged."""
    init(tmp_path / "city", NAME)
    at = city.load(tmp_path / "city")
    serial = authority.issue_client(at, "rw-1").serial
    connection = store.open_city(at)
    connection.execute("INSERT INTO certificates VALUES (?, 'rw-1', 1, 2, 3, 0)", (serial,))
    connection.close()
    assert mended(init(at.folder)) == {"the list of revoked certificates": "1 were missing on it", "the broker's configuration": "crl.pem"}
    for path in (at.ca / "crl.pem", at.broker_folder / "crl.pem"):
        path.write_bytes(b"damaged")
    assert "the list of revoked certificates" in mended(init(at.folder))
    assert authority.revoked((at.broker_folder / "crl.pem").read_bytes()) == {serial}


def test_a_lost_list_comes_back_from_the_brokers_copy(tmp_path: Path) -> None:
    """With what only it knew."""
    init(tmp_path / "city", NAME)
    at = city.load(tmp_path / "city")
    authority.revoke(at, ["ab"])
    (at.ca / "crl.pem").unlink()
    init(at.folder)
    assert authority.revoked((at.ca / "crl.pem").read_bytes()) == {f"{0xAB:032x}"}


def test_what_a_killed_enrolment_left_is_taken_away(tmp_path: Path) -> None:
    """A private key is in it."""
    init(tmp_path / "city", NAME)
    (tmp_path / "city/bundles/.rw-0501.tar.gz.new").write_bytes(b"half")
    assert "bundles/.rw-0501.tar.gz.new" in mended(init(tmp_path / "city")) and os.listdir(tmp_path / "city/bundles") == []


# Not made


def test_a_new_city_needs_a_name(tmp_path: Path) -> None:
    """And nothing is made; an empty directory is no obstacle."""
    with pytest.raises(BadInput, match=r"say its name:  rwctl init .* --name malang"):
        init(tmp_path / "city")
    assert not (tmp_path / "city").exists()
    (tmp_path / "city").mkdir()
    init(tmp_path / "city", NAME)
    assert faults(city.load(tmp_path / "city")) == []


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    """Its mode too."""
    (tmp_path / "letters").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(Refused, match=r"is no city's directory and not empty \(letters\)"):
        init(tmp_path, NAME)
    assert os.listdir(tmp_path) == ["letters"] and stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.parametrize("wishes", [Wishes("malang", zone="Asia/Nowhere"), Wishes("malang", host="a b"), Wishes("Malang"), Wishes('a"\nb')])
def test_what_city_toml_would_refuse_is_not_written(wishes: Wishes, tmp_path: Path) -> None:
    """The fault is told as the file's would be."""
    with pytest.raises(BadInput, match=r"^\S+/city\.toml: (city|broker)\.|cannot be understood"):
        init(tmp_path / "city", wishes)
    assert os.listdir(tmp_path / "city") == []


@pytest.mark.needs("root")
def test_anothers_directory_is_the_others_to_mend(tmp_path: Path) -> None:
    """Root's files in it would shut its owner out."""
    init(tmp_path / "city", NAME)
    os.chown(tmp_path / "city", 12345, 12345)
    with pytest.raises(Refused, match="belongs to 12345; run this as 12345"):
        init(tmp_path / "city")


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    """And the next run finishes, once there is room."""
    code = "import resource, sys, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024));"
    code += f"from fleet.cli import main; sys.exit(main(['init', {str(tmp_path / 'city')!r}, '--name', 'malang']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "city.toml: cannot be written (File too large)" in done.stderr
    init(tmp_path / "city", NAME)
    assert faults(city.load(tmp_path / "city")) == []


def test_the_log_has_no_secret(whole: City) -> None:
    """Not a line of any key."""
    log = whole.audit.read_text()
    assert json.loads(log)["what"] == "init"
    assert not any(line in log for name in KEYS for line in (whole.folder / name).read_text().splitlines() if len(line) > 30 and not line.startswith("-"))
