"""agent/router/ruleset.py: whether any rules have changed; and that flushed ones of ours come back (agent/router/carried.py), in a kernel of a test's own."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router import ruleset
from tests.fakes.netns import Netns

FILE = "v 1\nnetwork br-pub\nserver 1.1.1.3\n"
# Each step of somebody else's, and of ours ten seconds later each time: what ran, and whether our rules stand.
WATCHED = """
import json, subprocess
from agent.router.carried import Carried, Places
ran, now, found = [], [0.0], []
class Watched(Carried):
    def _run(self, name, *words):
        ran.append(words[0])
        super()._run(name, *words)
watcher = Watched(Places({"dns": FOLDER + "/dns"}, FOLDER + "/apply"), lambda: now[0])
def nft(*words):
    return subprocess.run(["nft", *words], capture_output=True, text=True).stdout
for step, later_s in ((), 10), ((), 10), ((), 10), (("flush", "ruleset"), 1), ((), 10), (("add", "table", "inet", "theirs"), 10), ((), 10):
    step and nft(*step)
    now[0] += later_s
    ran.clear()
    watcher.tend()
    found.append([*ran, "dnat" in nft("list", "ruleset")])
print(json.dumps(found))
"""


@pytest.mark.needs("netns", "nft")
def test_every_change_of_any_rules_is_seen() -> None:
    """The number is another after each, and the same while nothing happens."""
    source = (
        "import json, subprocess; from agent.router.ruleset import generation\n"
        "seen = [generation(), generation()]\n"
        "for words in (['add', 'table', 'inet', 'x'], ['flush', 'ruleset']):\n"
        "    subprocess.run(['nft', *words], check=True); seen.append(generation())\n"
        "print(json.dumps(seen))"
    )
    with Netns() as netns:
        first, again, added, flushed = netns.python(source)
    assert isinstance(first, int) and first == again and len({first, added, flushed}) == 3


@pytest.mark.needs("netns", "nft")
def test_flushed_rules_come_back_and_nothing_runs_while_none_change(tmp_path: Path) -> None:
    """They are made anew ten seconds after the last look at most; somebody else's change costs one look, and no change none."""
    (tmp_path / "dns").write_text(FILE)
    (tmp_path / "apply").mkdir()
    with Netns() as netns:
        found = netns.python(WATCHED.replace("FOLDER", repr(str(tmp_path))))
    assert found == [["apply", True], ["standing", True], [True], [False], ["standing", "apply", True], ["standing", True], [True]]


@pytest.mark.parametrize("raw", [b"", b"\x10", struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -1), struct.pack("=IHHII", 16, 10 << 8 | 15, 0, 1, 0)])
def test_an_answer_that_is_none_is_no_number(raw: bytes) -> None:
    """Cut short, a refusal, or without what was asked for."""
    assert ruleset.parse(raw) is None


def test_a_broken_answer_is_told() -> None:
    """A message that is longer than what came is not read on."""
    with pytest.raises(Unavailable):
        ruleset.parse(struct.pack("=IHHII", 4000, 10 << 8 | 15, 0, 1, 0))
