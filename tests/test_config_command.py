"""`rwagent config`: what is desired and what is so, in words; a plan of a document, or all its faults; the last pushes as a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import config_command, said
from agent.errors import Rejected
from agent.inbox import DESIRED, Inbox, sha256
from agent.settings import Faults, Settings, load
from tests.settings_of import settings, simulated_file
from tests.unsigned import unsigned

REPO = Path(__file__).parent.parent
GOOD = '[ssids.public]\nssid = "Malang RW 05"\nsecurity = "open"\nbands = ["2g"]\n'


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    """Settings of a simulated access point, all of it below one directory."""
    file = simulated_file(tmp_path)
    file.write_text(file.read_text() + f'state_dir = "{tmp_path}/state"\n')
    (tmp_path / "run/status").mkdir(parents=True)
    return load(str(file))


def root_says(chosen: Settings, name: str = said.CONFIG, **members: Any) -> None:
    Path(chosen.paths.run_dir, "status", name).write_text(json.dumps({"v": 1} | members))


def test_nothing_said_is_said(chosen: Settings) -> None:
    """Without a word of root there is no state to show, and that is a failure."""
    text, is_well = config_command.show(chosen)
    assert (is_well, "root has said nothing yet" in text, "no push lies in the inbox" in text) == (False, True, True)


def test_what_is_desired_reported_and_in_force(chosen: Settings) -> None:
    """A push that root has looked at, how it ended and why, what it changed, and what is in force."""
    Inbox(chosen.paths.run_dir).put(DESIRED, unsigned(8))
    change = {"path": "ssids.public.ssid", "from": "A", "to": "B", "impact": "bss"}
    reported = {"v": 1, "state": "rolled_back", "revision": 8, "reason": "not_on_air", "current": 7, "changes": [change], "foreign_edit": True}
    root_says(chosen, handled=sha256(unsigned(8)), reported=reported, agent={"report_interval_s": 30}, keys=["00112233aabbccdd"])
    text, is_well = config_command.show(chosen)
    lines = text.splitlines()
    assert is_well
    assert lines[0].startswith("desired  revision 8 by a test, issued ") and lines[0].endswith("; root has looked at it")
    assert lines[1] == "reported revision 8 rolled_back (not_on_air): tried and taken back"
    assert "that edit was kept" in lines[2]
    assert lines[3].strip() == 'ssids.public.ssid: from "A", to "B" (bss)'
    assert lines[4:] == ["in force revision 7", "agent    report every 30 s", "keys     00112233aabbccdd", "drift    none"]


def test_a_push_that_waits_says_so(chosen: Settings) -> None:
    """Root's word is about another file."""
    Inbox(chosen.paths.run_dir).put(DESIRED, unsigned(8))
    root_says(chosen, handled=sha256(b"another"), reported={"state": "confirmed", "revision": 7})
    assert "root has not looked at it yet" in config_command.show(chosen).text


def test_faults_drift_and_later_tries_are_listed(chosen: Settings) -> None:
    """Each fault and each difference in a line of its own, and when it is tried again or that it is not."""
    errors = [{"path": "radios.2g.channel", "code": "range", "message": "is 99"}, {"path": "", "code": "x", "message": "whole"}]
    drift = [{"path": "ssids.public.ssid", "expected": "A", "found": None}]
    reported = {"state": "rejected", "revision": 8, "reason": "invalid", "errors": errors, "drift": drift, "verified": False, "held": True}
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    root_says(chosen, reported=reported, retry_in_s=600, at_uptime_s=uptime)
    text, _ = config_command.show(chosen)
    assert "radios.2g.channel: is 99" in text and "push: whole" in text
    assert 'ssids.public.ssid: expected "A", found not set' in text
    assert "1 of the box's settings" in text
    assert "no trusted signature vouches for it" in text
    assert "tried again in 9 min 5" in text or "tried again in 10 min 0 s" in text
    assert "push a higher revision" in text
    assert "none is trusted" in text


def test_hostile_words_stay_in_their_line(chosen: Settings) -> None:
    """What a document says moves no terminal's cursor."""
    change = {"path": "ssids.x\x1b[2J", "from": "a\nOK b", "to": ["\x07"], "impact": "\x1b"}
    root_says(chosen, reported={"state": "confirmed", "revision": 7, "changes": [change, 7], "current": 7, "reason": "a\rb"})
    text, _ = config_command.show(chosen)
    assert "\x1b" not in text and "\r" not in text and "\x07" not in text
    assert len(text.splitlines()) == 7


def test_the_nonce_is_not_shown(chosen: Settings) -> None:
    """JSON is root's word, but for what confirms a test."""
    root_says(chosen, reported={"state": "testing"}, test={"run": "0" * 16, "nonce": "f0" * 16, "until_uptime_s": 5})
    assert set(json.loads(config_command.show(chosen, as_json=True).text)) == {"v", "reported"}
    assert "f0f0" not in config_command.show(chosen, as_json=True).text


def test_the_history_is_a_table(chosen: Settings) -> None:
    """Newest first, aligned, a dash for what is not known; nothing yet is said."""
    assert config_command.history(chosen) == ("no push has ended here yet", True)
    entries = [
        {"revision": 12, "state": "rolled_back", "reason": "broker_unreachable", "changes": 3, "author": "dinas\x1b", "issued_at": 0, "at": "never"},
        {"revision": 7, "state": "confirmed"},
    ]
    root_says(chosen, said.HISTORY, entries=entries)
    head, first, second = config_command.history(chosen).text.splitlines()
    assert head.split() == list(config_command.COLUMNS)
    assert first.startswith("12        rolled_back  broker_unreachable  3        dinas?  1970-01-01")
    assert second.split() == ["7", "confirmed", *"-----"]
    assert json.loads(config_command.history(chosen, as_json=True).text)["entries"][0]["revision"] == 12


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.toml", GOOD),
        ("c.json", '{"ssids": {"public": {"ssid": "Malang RW 05", "security": "open", "bands": ["2g"]}}}'),
        ("c.jws", unsigned().decode() + "\n"),
    ],
)
def test_a_plan_of_toml_json_and_a_push(chosen: Settings, tmp_path: Path, name: str, content: str) -> None:
    """Each says the same change; of a push also whose it is, and that its signature is not checked."""
    file = tmp_path / name
    file.write_text(content)
    planned = config_command.plan(chosen, str(file))
    assert planned.is_well
    assert "ssids.public" in planned.text and "Malang RW 05" in planned.text
    assert ("revision 7 by a test" in planned.text and "its signature is not checked here" in planned.text) == (name == "c.jws")
    assert not os.path.exists(tmp_path / "state/simulated"), "a plan changes nothing"


def test_all_faults_of_a_document_are_listed(chosen: Settings, tmp_path: Path) -> None:
    """Three faults are three lines, and no plan."""
    file = tmp_path / "c.toml"
    file.write_text('[ssids.public]\nssid = ""\nsecurity = "wep"\nbands = ["2g"]\n[radios.2g]\nchannel = 99\n')
    planned = config_command.plan(chosen, str(file))
    lines = planned.text.splitlines()
    assert not planned.is_well
    assert [line.split(":")[0] for line in lines] == ["ssids.public.ssid", "ssids.public.security", "radios.2g.channel", "3 faults"]


@pytest.mark.parametrize("content", ["{", '{"a": NaN}', unsigned(ap="rw-0502").decode(), unsigned()[:-9].decode()])
def test_what_is_no_document_is_refused(chosen: Settings, tmp_path: Path, content: str) -> None:
    """Not JSON, a push for another access point, a push that is damaged: with the file's name."""
    file = tmp_path / "c"
    file.write_text(content)
    with pytest.raises(Rejected, match=f"^{file}: "):
        config_command.plan(chosen, str(file))


def test_what_is_no_toml_is_refused_as_bad_input(chosen: Settings, tmp_path: Path) -> None:
    """Neither one thing nor the other, a directory, and no file at all: what a document may be is said, and nothing of agent.toml."""
    (tmp_path / "c").write_text("= nothing")
    for file in (tmp_path / "c", tmp_path, tmp_path / "nowhere"):
        with pytest.raises(Faults, match=f"^{file}: .*, expected a file that this user may read: a config as TOML or JSON, or a signed push") as refused:
            config_command.plan(chosen, str(file))
        assert "agent.toml" not in str(refused.value)


@pytest.mark.needs("root")
def test_only_root_plans_on_a_real_box(tmp_path: Path) -> None:
    """The configuration holds keys: another user is told to be root."""
    pid = os.fork()
    if not pid:
        os.setuid(12345)
        try:
            config_command.plan(settings(router={"backend": "linux"}), str(tmp_path / "c.toml"))
        except Rejected as error:
            os._exit(0 if "run it as root" in str(error) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(("name", "content"), [("c.toml", GOOD), ("c.jws", unsigned().decode())])
def test_a_plan_for_machines(chosen: Settings, tmp_path: Path, name: str, content: str) -> None:
    """Each change as the wire has it, the worst impact, and of a push its revision; or every fault."""
    (tmp_path / name).write_text(content)
    text, is_well = config_command.plan(chosen, str(tmp_path / name), as_json=True)
    found = json.loads(text)
    assert (is_well, found["v"], found["state"], found["impact"], found.get("revision")) == (True, 1, "planned", "bss", 7 if name == "c.jws" else None)
    assert {"path", "from", "to", "impact"} == set(found["changes"][0])
    (tmp_path / name).write_text('[ssids.public]\nssid = ""\nsecurity = "wep"\nbands = ["2g"]\n')
    text, is_well = config_command.plan(chosen, str(tmp_path / name), as_json=True)
    found = json.loads(text)
    assert (is_well, found["state"], "changes" in found) == (False, "rejected", False)
    assert [(fault["path"], set(fault)) for fault in found["errors"]] == [
        (path, {"path", "code", "message"}) for path in ("ssids.public.ssid", "ssids.public.security")
    ]


def as_nobody(claim: Callable[[], object]) -> bool:
    """Say whether something is true for a user who owns nothing."""
    pid = os.fork()
    if not pid:
        is_true = False
        try:
            os.setgroups([])
            os.setgid(12345)
            os.setuid(12345)
            is_true = bool(claim())
        finally:
            os._exit(0 if is_true else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.needs("root")
def test_who_may_not_read_is_told_so(chosen: Settings) -> None:
    """Another user is not told that root has said nothing: each word fails, names the file and says whom to be, also for machines."""
    root_says(chosen, reported={"state": "confirmed", "revision": 7})
    root_says(chosen, said.HISTORY, entries=[{"revision": 7}])
    os.chmod(chosen.paths.run_dir, 0o750)
    for word, file in ((config_command.show, said.CONFIG), (config_command.history, said.HISTORY)):
        why = f"{chosen.paths.run_dir}/status/{file} cannot be read (Permission denied): run as root or as the agent's user"

        def is_told(word: Callable[..., config_command.Answer] = word, why: str = why) -> bool:
            plain, machine = word(chosen), word(chosen, as_json=True)
            return why in plain.text and "nothing" not in plain.text and not plain.is_well and json.loads(machine.text)["why"] == why and not machine.is_well

        assert as_nobody(is_told)
        assert word(chosen).is_well and "why" not in json.loads(word(chosen, as_json=True).text)


@pytest.mark.needs("root")
def test_what_is_another_users_is_not_passed_over(chosen: Settings) -> None:
    """A word that is neither root's nor ours is not believed, and that is said."""
    root_says(chosen, reported={"state": "confirmed", "revision": 7})
    os.chown(Path(chosen.paths.run_dir, "status", said.CONFIG), 12345, 12345)
    text, is_well = config_command.show(chosen)
    assert "is neither root's nor this user's: run as its owner" in text and not is_well


@pytest.mark.needs("root")
def test_who_may_not_plan_is_told_so(chosen: Settings, tmp_path: Path) -> None:
    """A simulated box is its user's: for another one a plan is refused with a sentence."""
    (tmp_path / "c.toml").write_text(GOOD)
    store = Path(chosen.paths.state_dir, "simulated")
    store.mkdir(parents=True)
    store.chmod(0o700)
    document = os.open(tmp_path / "c.toml", os.O_RDONLY)

    def is_refused() -> bool:
        try:
            config_command.plan(chosen, f"/proc/self/fd/{document}")
        except Rejected as error:
            return "cannot be read (Permission denied): run as root or as the agent's user" in str(error)
        return False

    try:
        assert as_nobody(is_refused)
    finally:
        os.close(document)


def test_the_words_of_the_command_line(chosen: Settings, tmp_path: Path) -> None:
    """show fails while root has said nothing; plan fails on faults; history prints; each takes --config."""
    (tmp_path / "good.toml").write_text(GOOD)
    (tmp_path / "bad.toml").write_text("[ssid]\n")

    def rwagent(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "agent", "config", *words, "--config", str(tmp_path / "agent.toml")]
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout

    assert rwagent("show")[0] == 1
    root_says(chosen, reported={"state": "confirmed", "revision": 7})
    assert rwagent("show")[0] == 0
    assert json.loads(rwagent("show", "--json")[1])["reported"]["revision"] == 7
    assert rwagent("plan", str(tmp_path / "good.toml"))[0] == 0
    assert rwagent("plan", str(tmp_path / "bad.toml"))[0] == 1
    for words in (("--json", "plan", "{}"), ("plan", "--json", "{}"), ("plan", "{}", "--json")):
        code, text = rwagent(*(word.format(tmp_path / "good.toml") for word in words))
        assert (code, json.loads(text)["state"]) == (0, "planned"), words
    assert rwagent("plan", "--json", str(tmp_path / "good.toml"), "more") == (2, "")
    assert rwagent("show", "--json", str(tmp_path / "good.toml")) == (2, "")
    assert rwagent("history") == (0, "no push has ended here yet\n")
