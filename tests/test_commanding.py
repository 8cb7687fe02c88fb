"""Root's half of commands, over a box and a clock that the test plays: each way one is refused, that nothing is done twice, and who waits for whom."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent import commanding, commands, said
from agent.commanding import Commander, Limits
from agent.errors import Unavailable
from agent.router.hands import Log
from agent.wire import schemas_command, shapes
from tests.orders import FakeHands, ordered, without
from tests.pushes import KEY, OTHER_KEY, Jump, Place, place, signed
from tests.stories.world import until

pytestmark = pytest.mark.needs("busybox")
STATUS = Draft202012Validator(shapes.strict(schemas_command.STATUS_COMMAND))
QUICK = Limits(verify_every_s=0.0, quiet_every_s=0.0, refuse_every_s=0.0, poll_s=0.02, soon_s=0.005)


class Bench:
    """A Commander over a simulated access point's directories; `at` is a clock that stands still."""

    def __init__(self, folder: Path, limits: Limits = QUICK) -> None:
        self.there: Place = place(folder)
        self.at = Jump()
        self.hands = FakeHands()
        self.alone = threading.Lock()
        self.limits = limits
        self.start()

    def start(self, **changed: float) -> None:
        """Begin another run of the program; `changed`: what is otherwise in each command's file."""

        def load(name: str) -> ModuleType:
            module = ModuleType(name)
            module.__dict__.update(vars(commands.load(name)) | changed)
            return module

        box: Any = lambda: self.hands  # noqa: E731  # a fake
        self.commander = Commander(self.there.settings, self.at.clock, self.limits, self.alone, box, load)

    def order(self, name: str, args: dict[str, Any] | None = None, *, ahead: float = 60, **more: Any) -> bytes:
        """Sign a command that is good for so many seconds more."""
        return ordered(name, args, until=self.at.uptime + ahead, **({"boot": self.at.clock.boot} | more))

    def put(self, raw: bytes, group: str = "ask") -> None:
        self.there.put(f"command.{group}", raw)

    def said(self) -> dict[str, Any]:
        found = self.there.status("command")
        STATUS.validate(found)
        return found

    def answer(self, raw: bytes, group: str = "ask") -> dict[str, Any]:
        """Put it in, turn until it has ended or is the daemon's to do; give what is said of it."""
        self.put(raw, group)
        of = hashlib.sha256(raw).hexdigest()

        def ended() -> dict[str, Any] | None:
            self.commander.turn()
            found = [one for one in self.said()["results"] if one["of"] == of]
            return found[-1] if found and found[-1]["state"] != "running" else None

        found: dict[str, Any] = until(ended, "an answer", 20, 0.005)
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """One that waits for nothing."""
    return Bench(tmp_path)


def claimed(raw: bytes) -> dict[str, Any]:
    """Give what a command says."""
    from agent.wire import jws

    return jws.parse(raw).payload


# What is done.


def test_a_command_is_done_and_answered(bench: Bench) -> None:
    """By root, with its arguments; the answer names it."""
    raw = bench.order("kick", {"station": "0123456789ab", "ban_s": 60})
    told = bench.answer(raw, "act")
    assert bench.hands.done == [("kick", "0123456789ab", 60)]
    output = {"ssids": ["Malang RW 05"], "ban_s": 60}
    assert without(told, "took_ms", "of") == {"state": "succeeded", "id": claimed(raw)["id"], "name": "kick", "output": output}
    assert told["took_ms"] >= 0


def test_what_the_daemon_does_is_passed_on_to_it(bench: Bench) -> None:
    """Verified, with its arguments; root does nothing itself."""
    raw = bench.order("stations", {"ssid": "Malang RW 05"})
    assert bench.answer(raw)["state"] == "accepted" and bench.hands.done == []
    claims = claimed(raw)
    assert bench.said()["todo"] == [{name: claims[name] for name in ("id", "name", "args", "until_uptime_s")}]


def test_what_this_box_cannot_do_is_not_offered(bench: Bench) -> None:
    """And refused with the reason."""
    bench.hands.missing = {"scan": "there is no iw"}
    told = bench.answer(bench.order("scan"))
    assert (told["state"], told["code"], "there is no iw" in told["message"]) == ("rejected", "unsupported", True)
    assert "scan" not in bench.said()["commands"] and "locate" in bench.said()["commands"]


def test_what_the_box_cannot_give_is_failed_and_names_nobody(bench: Bench) -> None:
    """The sentence is the box's; an address in it has stars."""
    told = bench.answer(bench.order("kick", {"station": "0" * 12}), "act")
    assert (told["state"], told["code"]) == ("failed", "unavailable") and "**:**" in told["message"] and "de:ad" not in json.dumps(told)


def test_a_bug_costs_its_own_result_only(bench: Bench) -> None:
    """And quotes nothing."""
    bench.hands.fault = lambda: {}["de:ad:be:ef:00:01"]
    told = bench.answer(bench.order("logs"))
    assert (told["state"], told["code"], told["message"]) == ("failed", "internal", "logs ended with KeyError")
    bench.hands.fault = lambda: None
    bench.at.uptime += 10
    assert bench.answer(bench.order("logs"))["state"] == "succeeded"


# What is refused.


def refusals(bench: Bench) -> list[tuple[str, bytes, str]]:
    """Give a command that is refused for each reason there is."""
    good = bench.order("scan")
    return [
        ("no command", b"no command", "malformed"),
        ("too long", b"x" * 60_001, "oversize"),
        ("a stranger's", bench.order("scan", key=OTHER_KEY), "unknown_key"),
        ("another's signature", good[:-8] + bench.order("scan")[-8:], "bad_signature"),
        ("another access point's", bench.order("scan", ap="rw-0502"), "wrong_ap"),
        ("another city's", bench.order("scan", city="bandung"), "wrong_city"),
        ("a push", signed(9), "wrong_kind"),
        ("of another boot", bench.order("scan", boot="0123456789abcdef"), "wrong_boot"),
        ("too late", bench.order("scan", ahead=-1), "expired"),
        ("too far ahead", bench.order("scan", ahead=3602), "jump"),
        ("in no table", bench.order("format-flash"), "unknown_command"),
        ("with an argument too many", bench.order("scan", {"also": 1}), "bad_arguments"),
        ("with a bad argument", bench.order("locate", {"seconds": 601}), "bad_arguments"),
    ]


@pytest.mark.parametrize("number", range(13))
def test_each_refusal_says_its_reason_and_does_nothing(bench: Bench, number: int) -> None:
    """By code and in a sentence; only what no signature vouches for is told as such."""
    _, raw, code = refusals(bench)[number]
    told = bench.answer(raw)
    assert (told["state"], told["code"]) == ("expired" if code == "expired" else "rejected", code) and told["message"]
    assert (told.get("verified") is False) == (code in ("malformed", "oversize", "unknown_key", "bad_signature"))
    assert bench.hands.done == [] and not bench.commander.is_busy


def test_a_repeated_id_gets_the_first_result_and_is_done_once(bench: Bench) -> None:
    """The same bytes after others, the same id signed anew with other content, in another run, and after its time."""
    first = bench.order("locate", {"seconds": 5})
    told = bench.answer(first, "act")
    bench.at.uptime += 5
    assert bench.answer(bench.order("kick", {"station": "0123456789ab"}), "act")["state"] == "succeeded"
    other = bench.order("reboot", id=claimed(first)["id"])
    for again in (first, other, first):
        bench.start()
        assert without(bench.answer(again, "act"), "of") == without(told, "of")
        bench.at.uptime += 100
    assert [what[0] for what in bench.hands.done] == ["locate", "kick"]


def test_a_refusal_is_a_first_result_too(bench: Bench) -> None:
    """What came too soon is not done when the same comes later."""
    assert bench.answer(bench.order("scan"))["state"] == "succeeded"
    soon = bench.order("scan")
    told = bench.answer(soon)
    assert told["code"] == "too_soon"
    bench.at.uptime += 20
    bench.answer(bench.order("logs"))
    assert without(bench.answer(soon), "of") == without(told, "of") and len(bench.hands.done) == 2


def test_another_boot_knows_nothing_and_takes_nothing_of_the_last(bench: Bench) -> None:
    """What was remembered is of no use, and the commands of then are dead."""
    raw = bench.order("locate")
    assert bench.answer(raw, "act")["state"] == "succeeded"
    bench.at = Jump(boot="fedcba9876543210")
    bench.start()
    assert bench.answer(raw, "act")["code"] == "wrong_boot"
    assert bench.answer(bench.order("locate"), "act")["state"] == "succeeded" and len(bench.hands.done) == 2


def test_a_wall_clock_changes_nothing(bench: Bench) -> None:
    """In 1970 and in 2106 alike: only the uptime is looked at."""
    for wall_s in (0.0, 4_294_967_296.0):
        bench.at.wall_s = wall_s
        bench.at.uptime += 60
        assert bench.answer(bench.order("locate"), "act")["state"] == "succeeded"
        assert bench.answer(bench.order("locate", ahead=-1), "act")["state"] == "expired"


@pytest.mark.parametrize("name", ["locate", "kick", "logs", "scan", "report", "stations"])
def test_each_has_its_own_pause(bench: Bench, name: str) -> None:
    """Too soon after the last, also in another run; not one moment later than its pause."""
    every = commands.load(name).EVERY_S
    args = {"station": "0123456789ab"} if name == "kick" else {}
    group = commands.COMMANDS[name]
    assert bench.answer(bench.order(name, args), group)["state"] in ("succeeded", "accepted")
    bench.at.uptime += every - 0.1
    bench.start()
    assert bench.answer(bench.order(name, args), group)["code"] == "too_soon"
    bench.at.uptime += 0.2
    assert bench.answer(bench.order(name, args), group)["state"] in ("succeeded", "accepted")


# Signatures are dear.


def test_signatures_are_checked_apart_from_those_of_pushes(bench: Bench) -> None:
    """Both may be at it at the same time, and the files that the tool reads have fixed names."""
    bench.answer(bench.order("locate"), "act")
    apart = bench.there.folder / "apply/commands"
    assert (apart / "verified").exists() and apart.stat().st_mode & 0o777 == 0o700 and not (bench.there.folder / "apply/verified").exists()


def test_five_may_come_at_once_and_then_one_in_two_seconds(tmp_path: Path) -> None:
    """Whoever starts the program anew buys nothing."""
    bench = Bench(tmp_path, Limits(refuse_every_s=0.0))
    taken = 0
    for _ in range(40):
        bench.put(bench.order("report"))
        bench.start()
        taken += bench.commander.turn()
        bench.at.uptime += 0.25
    assert taken == 5 + int(39 * 0.25 / 2)


def test_three_bad_signatures_in_a_row_make_it_quiet(tmp_path: Path) -> None:
    """For ten minutes only one in a minute is looked at; a good one ends that."""
    bench = Bench(tmp_path, Limits(refuse_every_s=0.0))
    for _ in range(3):
        bench.put(bench.order("report")[:-8] + bench.order("report")[-8:])
        assert bench.commander.turn()
        bench.at.uptime += 2
    assert bench.said()["refusals"] == 3
    bench.put(bench.order("report", ahead=600))
    assert not bench.commander.turn() and bench.commander.is_busy
    bench.at.uptime += 59
    assert bench.commander.turn() and bench.said()["refusals"] == 0


def test_what_costs_nothing_to_send_is_held_up(tmp_path: Path) -> None:
    """One in two seconds of what is refused before its signature is looked at."""
    bench = Bench(tmp_path, Limits())
    taken = 0
    for number in range(20):
        bench.put(b"no command %d" % number)
        taken += bench.commander.turn()
        bench.at.uptime += 0.5
    assert taken == 5


# What is remembered.


def test_it_is_remembered_before_it_is_begun(bench: Bench) -> None:
    """A run that dies in the middle of a command leaves `interrupted`, and nobody does it again."""
    raw = bench.order("reload-wifi")
    bench.hands.hold.clear()
    bench.put(raw, "act")
    bench.commander.turn()
    assert bench.hands.begun.wait(20)
    before, bench.alone = bench.alone, threading.Lock()
    bench.start()
    told = bench.answer(raw[:-1] + raw[-1:], "act")
    assert (told["state"], told["code"]) == ("failed", "interrupted") and bench.hands.done == [("reload-wifi",)]
    bench.hands.hold.set()
    assert before.locked()


def test_when_nothing_can_be_remembered_nothing_is_done(bench: Bench) -> None:
    """RAM is full: failed, and told so."""
    (bench.there.folder / "apply/commands.json.new").mkdir()
    told = bench.answer(bench.order("reboot"), "act")
    assert (told["state"], told["code"]) == ("failed", "unavailable") and bench.hands.done == [] and not bench.alone.locked()


def test_what_cannot_be_remembered_is_not_passed_on(bench: Bench) -> None:
    """The daemon would do it again whenever it is asked."""
    (bench.there.folder / "apply/commands.json.new").mkdir()
    told = bench.answer(bench.order("restart-agent"), "act")
    assert (told["state"], told["code"]) == ("failed", "unavailable") and bench.said()["todo"] == []


def test_what_is_said_is_never_more_than_the_daemon_reads(bench: Bench) -> None:
    """Whatever alphabet the outputs are in: the daemon would be deaf until others pushed them out."""
    bench.start(EVERY_S=0.0)
    bench.hands.log = lambda lines, match: Log(("\N{CYRILLIC SMALL LETTER ZHE}" * 400,) * 40, 0)  # type: ignore[method-assign]  # a fake
    for _ in range(6):
        assert bench.answer(bench.order("logs"))["state"] == "succeeded"
    assert said.read_object(str(bench.there.folder / "run/status/command.json")) is not None


def test_a_memory_that_cannot_be_read_takes_nothing_for_an_hour(bench: Bench) -> None:
    """For what was done may be sent again; after that every command of then is dead."""
    raw = bench.order("reboot", ahead=3590)
    assert bench.answer(raw, "act")["state"] == "succeeded"
    (bench.there.folder / "apply/commands.json").write_text('{"boot":')
    bench.start()
    assert bench.answer(raw, "act")["code"] == "busy"
    bench.start()
    assert bench.answer(bench.order("locate"), "act")["code"] == "busy"
    bench.at.uptime += 3601
    assert bench.answer(raw, "ask")["state"] == "expired"
    assert bench.answer(bench.order("locate"), "act")["state"] == "succeeded" and len(bench.hands.done) == 2


# Who waits for whom.


def test_one_at_a_time_of_a_class_and_the_other_beside_it(bench: Bench) -> None:
    """A kick waits for the reload before it, a look at the log does not."""
    bench.hands.hold.clear()
    bench.put(bench.order("reload-wifi"), "act")
    bench.commander.turn()
    assert bench.hands.begun.wait(20)
    kick, logs = bench.order("kick", {"station": "0123456789ab"}), bench.order("logs")
    bench.put(kick, "act")
    bench.put(logs, "ask")
    bench.commander.turn()
    until(lambda: len(bench.hands.done) == 2, "the log", 20, 0.005)
    assert [what[0] for what in bench.hands.done] == ["reload-wifi", "logs"] and bench.commander.is_busy
    bench.hands.hold.set()
    assert bench.answer(kick, "act")["state"] == "succeeded" and not bench.commander.is_busy


def test_what_is_judged_while_it_is_asked_counts_as_busy(bench: Bench) -> None:
    """A program that believed otherwise would end in the middle of the command."""

    class Judging(dict[str, str]):
        """What was handled; asked for it, the other thread is a moment faster."""

        def get(self, name: str, default: Any = None) -> Any:
            if not bench.hands.done:
                bench.commander._results.handled = dict(self)
                bench.commander.turn()
                self.update(bench.commander._results.handled)
            return super().get(name, default)

    bench.hands.hold.clear()
    bench.put(bench.order("reload-wifi"), "act")
    bench.commander._results.handled = Judging()
    assert bench.commander.is_busy and bench.hands.begun.wait(20)
    bench.hands.hold.set()
    until(lambda: bench.commander.turn() or not bench.commander.is_busy, "its end", 20, 0.005)


def test_what_does_not_end_is_told_timed_out(bench: Bench) -> None:
    """Its class is busy as long as it hangs, and what it gives at last is nobody's."""
    bench.start(LIMIT_S=0.5)
    bench.hands.hold.clear()
    told = bench.answer(bench.order("scan"))
    assert (told["state"], told["code"]) == ("timed_out", "timed_out")
    bench.at.uptime += 20
    assert bench.answer(bench.order("logs"))["code"] == "busy"
    bench.hands.hold.set()
    until(lambda: not bench.commander.is_busy, "its end", 20, 0.005)
    bench.at.uptime += 20
    assert bench.answer(bench.order("logs"))["state"] == "succeeded"


@pytest.mark.parametrize("name", ["reboot", "reload-wifi"])
@pytest.mark.parametrize("how", ["held", "journal", "withdrawn"])
def test_nothing_sets_the_box_up_anew_beside_a_push(bench: Bench, name: str, how: str) -> None:
    """Neither in this run, nor over a journal that another left, nor before an upgrade; and anything else goes on."""
    if how == "held":
        bench.alone.acquire()
    elif how == "journal":
        bench.there.pending.mkdir()
    else:
        (bench.there.folder / "apply/withdrawn").touch()
    assert bench.answer(bench.order(name), "act")["code"] == "busy"
    assert bench.answer(bench.order("locate"), "act")["state"] == "succeeded" and [what[0] for what in bench.hands.done] == ["locate"]


def test_a_push_may_begin_once_the_reload_has_ended(bench: Bench) -> None:
    """As well when it failed as when it did not come to its end."""
    bench.hands.fault = lambda: (_ for _ in ()).throw(Unavailable("no radio"))
    assert bench.answer(bench.order("reload-wifi"), "act")["state"] == "failed" and bench.alone.acquire(blocking=False)


def served(bench: Bench, then: Callable[[], object]) -> None:
    """Do something while the thread serves."""
    with bench.commander.serving():
        then()
        assert bench.commander.rest(20) and not bench.commander.is_lost


def test_the_thread_takes_what_comes(bench: Bench) -> None:
    """Without anybody turning, and ends when it is told to."""

    def both() -> None:
        bench.put(bench.order("locate"), "act")
        until(lambda: bench.hands.done == [("locate", 30)], "a light", 20, 0.005)
        bench.put(bench.order("logs"), "ask")
        until(lambda: len(bench.hands.done) == 2, "a log", 20, 0.005)

    served(bench, both)
    assert [one["state"] for one in bench.said()["results"]] == ["succeeded", "succeeded"]
    assert "commands" not in {thread.name for thread in threading.enumerate()}


def test_the_thread_outlives_a_status_that_is_not_roots(bench: Bench) -> None:
    """It says so, and goes on when the directory is its own again."""
    status = bench.there.folder / "run/status"
    status.mkdir(exist_ok=True)
    status.chmod(0o777)

    def mend() -> None:
        time.sleep(0.05)
        status.chmod(0o755)
        bench.put(bench.order("locate"), "act")
        until(lambda: bench.hands.done, "a light", 20, 0.005)

    served(bench, mend)


def test_a_thread_has_room_for_what_is_nested(bench: Bench) -> None:
    """Hostile JSON is refused by Python's own limit, not by the end of a small stack."""
    import base64

    deep = base64.urlsafe_b64encode(b'{"a":' * 8_000).rstrip(b"=")
    head, _, _ = bench.order("scan").split(b".")
    served(bench, lambda: bench.put(head + b"." + deep + b"." + base64.urlsafe_b64encode(KEY.sign(b"")).rstrip(b"=")))
    assert bench.said()["results"][-1]["code"] == "malformed" and commanding.STACK_BYTES >= 1 << 20
