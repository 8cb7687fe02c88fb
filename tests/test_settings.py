"""agent.toml as a whole: reading it, refusing it, and handing it to the next process image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent import settings as door
from agent.errors import Rejected
from agent.settings import Faults
from agent.settings_rules import TABLES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
SMALL = '[agent]\nid = "rw-0501"\ncity = "malang"\n[broker]\nhost = "localhost"\ntls = false\n'


def write(folder: Path, text: str | bytes) -> str:
    file = folder / "agent.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


@contextmanager
def nobody() -> Iterator[None]:
    """Be an ordinary user for a moment, where the tests run as root, who may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def refused(path: str) -> list[str]:
    with pytest.raises(Faults) as caught:
        door.load(path)
    return str(caught.value).splitlines()


def test_a_small_file_is_filled_with_the_documented_defaults(tmp_path: Path) -> None:
    """What the file leaves out has the defaults of the design."""
    loaded = door.load(write(tmp_path, SMALL))
    assert (loaded.report.interval_s, loaded.report.sample_s, loaded.report.encoding, loaded.report.peaks) == (60.0, 10.0, "json", False)
    assert (loaded.outbox.max_bytes, loaded.paths.run_dir, loaded.push.keys_dir) == (524288, "/var/run/rwagent", "/etc/rwagent/keys")
    assert loaded.paths.apply_dir == "/var/run/rwagent-apply"
    assert (loaded.router.contract_mbps, loaded.router.uplink, loaded.broker.keepalive_s) == (50.0, "auto", 30)


def test_the_documented_example_names_every_key() -> None:
    """docs/agent.toml shows each table and key there is, and none else."""
    documented = tomllib.loads((ROOT / "docs/agent.toml").read_text(encoding="utf-8"))
    assert {table: list(keys) for table, keys in documented.items()} == {table: list(rules) for table, rules in TABLES.items()}


def test_the_documented_example_is_allowed_but_for_its_files() -> None:
    """Nothing in docs/agent.toml is refused, except that this machine has not the files it names."""
    faults = [line for line in refused(str(ROOT / "docs/agent.toml")) if "expected a file that can be read" not in line]
    assert faults == []


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    """Each value of docs/agent.toml is the default, apart from those that no default can be given for."""
    own = {"agent.id", "agent.city", "broker.host", "broker.port", "broker.ca_file", "broker.cert_file", "broker.key_file", "report.sample_s"}
    documented = tomllib.loads((ROOT / "docs/agent.toml").read_text(encoding="utf-8"))
    shown = {f"{t}.{k}": v for t, keys in documented.items() for k, v in keys.items() if f"{t}.{k}" not in own}
    defaults = {f"{t}.{k}": rule.default if rule.default is not None else "" for t, rules in TABLES.items() for k, rule in rules.items()}
    assert shown == {name: list(default) if isinstance(default := defaults[name], tuple) else default for name in shown}


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    """One reading names all that is wrong, in the order of the example, each with file, key, value and what is allowed."""
    path = write(
        tmp_path,
        """
        [agent]
        id = "RW 0501"
        [broker]
        host = "mqtt.example"
        port = 70000
        tls = false
        prot = 8883
        password_file = "/nowhere/password"
        [report]
        interval_s = 5
        sample_s = 10
        encoding = "xml"
        [wlan]
        """,
    )
    assert refused(path) == [
        f'{path}: agent.id is "RW 0501", expected 1 to 48 of a-z, 0-9 and -',
        f"{path}: agent.city is missing, expected 1 to 48 of a-z, 0-9 and -",
        f"{path}: broker.port is 70000, expected a whole number from 1 to 65535",
        f"{path}: broker.tls is false, expected true: mqtt.example is not a loopback address (or set broker.allow_plaintext = true)",
        f'{path}: broker.password_file is "/nowhere/password", expected a file that can be read (No such file or directory)',
        f"{path}: broker.prot is no key of this version, did you mean broker.port?",
        f"{path}: report.sample_s is 10, expected at most report.interval_s, which is 5",
        f'{path}: report.encoding is "xml", expected "json" or "deflate"',
        f"{path}: wlan is no table of this version, expected one of agent, broker, report, probe, router, simulated, push, outbox, paths",
    ]


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """No file: its name, and where to take one from."""
    path = str(tmp_path / "agent.toml")
    assert refused(path) == [f"{path}: there is no such file, copy docs/agent.toml there, or name another with --config FILE"]


def test_an_unreadable_file_says_what_to_do(tmp_path: Path) -> None:
    """A file of root's: the reason, and as whom to run."""
    path = write(tmp_path, SMALL)
    Path(path).chmod(0)
    with nobody():
        lines = refused(path)
    assert lines == [f"{path}: cannot be read (Permission denied), expected a file this user may read: run as root or as the agent's user"]


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """A directory given as file is said to be no file."""
    assert refused(str(tmp_path)) == [f"{tmp_path}: is not a regular file, expected a TOML file"]


def test_a_fifo_does_not_hold_up_the_start(tmp_path: Path) -> None:
    """A FIFO that nobody writes to is refused at once."""
    path = str(tmp_path / "agent.toml")
    os.mkfifo(path)
    assert refused(path) == [f"{path}: is not a regular file, expected a TOML file"]


def test_a_syntax_error_is_given_with_its_line(tmp_path: Path) -> None:
    """What is not TOML is refused with line and column, without the line's text."""
    path = write(tmp_path, '[broker]\nhost = "localhost"\npassword = hunter2\n')
    (line,) = refused(path)
    assert line.startswith(f"{path}: is not TOML: ")
    assert "line 3" in line
    assert "hunter2" not in line


def test_bytes_that_are_not_text_are_given_with_their_line(tmp_path: Path) -> None:
    """A file in another encoding is refused with the first such line."""
    path = write(tmp_path, b"[agent]\n\nid = \"caf\xe9\"\n")
    assert refused(path) == [f"{path}: is not UTF-8 in line 3, expected a TOML file in UTF-8"]


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """A file beyond any settings is not parsed at all."""
    path = write(tmp_path, "#" * (door.MAX_FILE_BYTES + 1))
    assert refused(path) == [f"{path}: has more than 65536 bytes, expected the agent's settings"]


@pytest.mark.parametrize("text", ["x = " + "[" * 30000, "x = " + "1" * 5000, "x = 2026-99-99"])
def test_what_the_parser_chokes_on_is_not_toml(tmp_path: Path, text: str) -> None:
    """Lists too deep, numbers too long and dates that are none are refused as no TOML."""
    (line,) = refused(write(tmp_path, text))
    assert "is not TOML: " in line


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    """A file saved by Notepad is as good as another."""
    plain = door.load(write(tmp_path, SMALL))
    assert door.load(write(tmp_path, b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())) == plain


def test_settings_survive_dump_and_restore(tmp_path: Path) -> None:
    """What the second process image restores is what the first one loaded, types and all."""
    loaded = door.load(write(tmp_path, SMALL + '[probe]\ninternet = ["127.0.0.1:53", "[::1]:80"]\n[router]\nadopt = ["guest"]\n'))
    assert door.restore(door.dump(loaded)) == loaded


def test_settings_survive_the_inherited_memory(tmp_path: Path) -> None:
    """The memory file is inherited by a child and can be read more than once."""
    text = door.dump(door.load(write(tmp_path, SMALL)))
    fd = door.hand_over(text)
    try:
        code = f"from agent import settings; assert settings.read_fd({fd}) == settings.read_fd({fd}); print(settings.restore(settings.read_fd({fd})).id)"
        done = subprocess.run([sys.executable, "-c", code], pass_fds=[fd], cwd=ROOT, capture_output=True, text=True, check=True)
    finally:
        os.close(fd)
    assert done.stdout == "rw-0501\n"


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"probe": 1, "router": 2}'])
def test_settings_of_another_version_are_rejected(damage: str) -> None:
    """What another version of the agent handed over is rejected, never half taken."""
    with pytest.raises(Rejected, match="not of this version"):
        door.restore(damage)


@pytest.mark.parametrize("change", [("broker", "extra"), ("extra", None)])
def test_settings_with_an_unknown_part_are_rejected(tmp_path: Path, change: tuple[str, str | None]) -> None:
    """A key or a table that this version has not makes the hand-over another version's."""
    saved = json.loads(door.dump(door.load(write(tmp_path, SMALL))))
    table, key = change
    if key is None:
        saved[table] = "x"
    else:
        saved[table][key] = "x"
    with pytest.raises(Rejected, match="not of this version"):
        door.restore(json.dumps(saved))


def test_a_descriptor_without_settings_is_rejected() -> None:
    """A number that is no open file is rejected in words."""
    with pytest.raises(Rejected, match="file descriptor 987 holds no settings"):
        door.read_fd(987)


def test_the_parser_and_the_rules_are_not_loaded_with_the_settings() -> None:
    """The daemon, which only restores, carries neither a TOML parser nor the rules."""
    code = "import sys; from agent import settings; print([m for m in sys.modules if 'toml' in m or m.startswith('agent.settings_')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("flags", [[], ["-I"], ["-E", "-s"], ["-B", "-O"], ["-OO"], ["-X", "dev"], ["-W", "error"], ["-X", "importtime"]])
def test_the_interpreter_is_started_again_as_it_was(flags: list[str]) -> None:
    """The flags that decide what is imported, and how, are those of this process; none is added."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from agent import settings; print(settings.interpreter())"
    done = subprocess.run([sys.executable, *flags, "-c", code], cwd="/", env={}, capture_output=True, text=True, check=True)
    argv = eval(done.stdout)
    code = "import sys; print([list(sys.flags), sys._xoptions, sys.warnoptions])"
    outcomes = [subprocess.run([*start, "-c", code], env={}, capture_output=True, text=True, check=True).stdout for start in ([sys.executable, *flags], argv)]
    assert outcomes[0] == outcomes[1]


VALUES = ("1", '"a"', "true", "[]", "-3.5e9", "nan", "{a=1}", "2026-01-01", '["::1"]')
KEYS = [f"{key} = {value}" for rules in TABLES.values() for key in rules for value in VALUES]
ODD = ["[[broker]]", "[agent.id]", "broker = 5", '"\\u0000" = 1', "x.y.z = 1"]
SHUFFLED = st.lists(st.sampled_from([*(f"[{table}]" for table in TABLES), *ODD, *KEYS]), max_size=12).map(lambda lines: "\n".join(lines).encode())
ANY_TEXT = st.text(max_size=200).map(lambda text: text.encode(errors="replace"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.binary(max_size=200), ANY_TEXT, SHUFFLED))
@example(b'[agent]\n"\\u0000" = 1')
@example(b"[broker]\nhost = inf")
@example(b"[[agent]]")
@example('[broker]\nhost = "é․\u202e"'.encode())
@example(b'[broker]\nca_file = "/\\u0000"\nkey_file = "/dev/zero"\ncert_file = "/proc/self/mem"')
def test_any_text_is_settings_or_a_list_of_faults(tmp_path: Path, text: bytes) -> None:
    """Random bytes, random text and shuffled lines of settings give settings or Faults, each one printable line."""
    path = write(tmp_path, text)
    try:
        loaded = door.load(path)
    except Faults as error:
        assert len(str(error).splitlines()) == len(error.faults) > 0
        assert all(line.isprintable() and line.startswith(f"{path}: ") for line in str(error).split("\n"))
    else:
        assert door.restore(door.dump(loaded)) == loaded


def test_the_daemons_environment_keeps_what_the_operator_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The heap's settings are defaults, nothing else is added."""
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    kept = door.environment()
    assert kept["MALLOC_ARENA_MAX"] == "4"
    assert kept.items() - os.environ.items() <= door.MALLOC.items()
