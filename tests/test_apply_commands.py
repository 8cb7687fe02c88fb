"""Commands and pushes in one run of rwagent-apply, over the simulated access point: neither keeps the other waiting."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent import apply, commanding
from agent.confirm import system_clock
from agent.router.clock import boot
from tests.orders import FakeHands, ordered
from tests.pushes import FAST, Place, place
from tests.stories.world import until

pytestmark = pytest.mark.needs("busybox")
COMMANDS = commanding.Limits(verify_every_s=0.0, refuse_every_s=0.0, poll_s=0.02, soon_s=0.01)
LIMITS = FAST._replace(commands=COMMANDS)


@pytest.fixture
def there(tmp_path: Path) -> Place:
    """A simulated access point that boots with this machine."""
    return place(tmp_path)


@pytest.fixture
def hands() -> Iterator[FakeHands]:
    """A box that the test plays."""
    found = FakeHands()
    yield found
    found.hold.set()


@contextmanager
def running(there: Place, hands: FakeHands, mode: apply.Mode = "once", limits: apply.Limits = LIMITS) -> Iterator[threading.Thread]:
    """Have a run of the program, by this machine's time; give its thread, and wait for its end."""
    codes: list[int] = []
    clock = system_clock(boot())
    box: Any = lambda: hands  # noqa: E731  # a fake
    thread = threading.Thread(target=lambda: codes.append(apply.run(there.settings, there.store(), limits, there.scripts, clock, mode, box)))
    thread.start()
    yield thread
    thread.join(60)
    assert codes == [apply.DONE]


def state(there: Place) -> object:
    """Give how far a push is, None as long as nothing was said of it."""
    try:
        return there.reported().get("state")
    except (OSError, json.JSONDecodeError):
        return None


def is_asked(there: Place) -> bool:
    """Say whether root asks for a confirm."""
    return state(there) == "testing" and "test" in there.status()


def order(name: str, **args: Any) -> bytes:
    return ordered(name, args, until=time.clock_gettime(time.CLOCK_BOOTTIME) + 60)


def ended(there: Place, name: str) -> dict[str, Any]:
    """Wait for what is said of a command at its end."""

    def look() -> dict[str, Any] | None:
        try:
            results = there.status("command")["results"]
        except (OSError, json.JSONDecodeError):
            return None
        return next((one for one in results if one.get("name") == name and one["state"] not in ("accepted", "running")), None)

    found: dict[str, Any] = until(look, f"the end of {name}", 30, 0.02)
    return found


def test_a_command_alone_is_done_before_the_run_ends(there: Place, hands: FakeHands) -> None:
    """However long it takes."""
    hands.hold.clear()
    there.put("command.act", order("reload-wifi"))
    with running(there, hands) as run:
        assert hands.begun.wait(20) and run.is_alive()
        time.sleep(0.3)
        assert run.is_alive()
        hands.hold.set()
    assert ended(there, "reload-wifi")["state"] == "succeeded"


def test_at_the_boot_it_is_said_what_this_box_can_do(there: Place, hands: FakeHands) -> None:
    """By the run that only settles; it takes no command."""
    hands.missing = {"locate": "no LED"}
    there.put("command.act", order("reboot"))
    with running(there, hands, "settle"):
        pass
    said = there.status("command")
    assert "reboot" in said["commands"] and "locate" not in said["commands"] and not said["results"] and not hands.done


def test_commands_are_answered_while_a_push_is_tried(there: Place, hands: FakeHands) -> None:
    """In the middle of its wait; what would set the Wi-Fi up anew is refused, and the push is none the worse for it."""
    there.push(7)
    with running(there, hands):
        until(lambda: is_asked(there), "the test", 30, 0.02)
        there.put("command.act", order("locate"))
        there.put("command.ask", order("logs"))
        assert ended(there, "locate")["state"] == ended(there, "logs")["state"] == "succeeded"
        there.put("command.act", order("reload-wifi"))
        assert ended(there, "reload-wifi")["code"] == "busy"
        assert state(there) == "testing"
        there.confirm()
    assert state(there) == "confirmed"


def test_a_push_is_tried_while_a_command_runs(there: Place, hands: FakeHands) -> None:
    """A slow scan costs it nothing."""
    hands.hold.clear()
    there.put("command.ask", order("scan"))
    with running(there, hands):
        assert hands.begun.wait(20)
        there.push(7)
        until(lambda: is_asked(there), "the test", 30, 0.02)
        there.confirm()
        until(lambda: state(there) == "confirmed", "the verdict", 30, 0.02)
        hands.hold.set()
    assert ended(there, "scan")["state"] == "succeeded"


def test_a_push_waits_for_a_reload_and_then_begins(there: Place, hands: FakeHands) -> None:
    """The two never run together."""
    hands.hold.clear()
    there.put("command.act", order("reload-wifi"))
    with running(there, hands):
        assert hands.begun.wait(20)
        there.push(7)
        until(lambda: state(there) == "received", "the push", 30, 0.02)
        time.sleep(0.3)
        assert not there.pending.exists() and state(there) == "received"
        hands.hold.set()
        until(lambda: is_asked(there), "the test", 30, 0.02)
        there.confirm()
    assert state(there) == "confirmed" and ended(there, "reload-wifi")["state"] == "succeeded"


def test_a_reload_that_hangs_makes_a_push_busy_and_nothing_worse(there: Place, hands: FakeHands) -> None:
    """Said with its reason, and tried again soon."""
    hands.hold.clear()
    there.put("command.act", order("reload-wifi"))
    with running(there, hands, limits=LIMITS._replace(alone_s=0.2)):
        assert hands.begun.wait(20)
        there.push(7)
        until(lambda: state(there) == "rejected", "a refusal", 30, 0.02)
        assert there.reported()["reason"] == "busy" and not there.pending.exists() and there.status()["retry_in_s"] > 0
        hands.hold.set()
