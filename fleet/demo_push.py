"""The pushes that `./scripts/run` shows: a plan, a config that a whole kelurahan confirms, and a bad one that is taken back.

Each is one of rwctl's commands, as an operator types it. Never waits: each step is taken when it is asked for one.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fleet.demo_stage import Child, Stage
from fleet.inventory import Row

TRIED_S = 30
STEP_WITHIN_S = 150.0
SHOW_WITHIN_S = 300.0
# No channel of Indonesia's: the radio could, hostapd must not.
BAD_CHANNEL = 100
LISTED = 2

GOOD = """\
[ssids.public]
ssid = "Wi-Fi Warga {kelurahan}"
security = "open"
bands = ["2g", "5g"]
isolate = true
"""
BAD = f"""\
[radios.5g]
channel = {BAD_CHANNEL}
"""


class Step(NamedTuple):
    """One command of the show: its words, how all of its access points should end, its exit status."""

    words: tuple[str, ...]
    ending: str
    status: int


class Pushes:
    """The show from its first push to its last verdict; `lines` is what there is to say so far."""

    def __init__(self, stage: Stage, inventory: Sequence[Row]) -> None:
        self.lines: list[str] = []
        self.has_failed = False
        self._stage = stage
        few = chosen(inventory)
        good, bad = stage.folder / "warga.toml", stage.folder / "channel-100.toml"
        good.write_text(GOOD.format(kelurahan=few[0].kelurahan), encoding="utf-8")
        bad.write_text(BAD, encoding="utf-8")
        node, tried = f"kelurahan={few[0].kelurahan}", ("--confirm-within", str(TRIED_S))
        self.kelurahan, self.bad = few[0].kelurahan, few[-1].id
        self._steps = [
            Step(("plan", "--to", few[0].id, str(good)), "planned", 0),
            Step(("push", "--to", node, *tried, str(good)), "confirmed", 0),
            Step(("push", "--to", self.bad, *tried, str(bad)), "rolled_back", 1),
        ]
        self._count = len(few)
        self._number = -1
        self._child: Child | None = None
        self._until = self._began = 0.0
        self._is_over = False

    @property
    def has_begun(self) -> bool:
        """Say whether the first command was started."""
        return self._number >= 0

    @property
    def is_showing(self) -> bool:
        """Say whether it has begun and has not ended, for as long as a show may take."""
        return self.has_begun and not self._is_over and time.monotonic() < self._began + SHOW_WITHIN_S

    def advance(self) -> None:
        """Take the next step when the one before has ended; call it a few times a second, once all access points are online."""
        if self._is_over:
            return
        if self._child is None:
            self._began = time.monotonic()
            self._begin(0)
            return
        step, events = self._steps[self._number], list(_events(self._child.log))
        if self._child.process.poll() is None and time.monotonic() < self._until:
            self._tell(f"▶ {self._typed(step)}   {_states(events)}")
        elif self._child.process.returncode == step.status and _is_as_wanted(events, step.ending):
            self._tell(f"▶ {self._typed(step)}")
            self.lines.append(_told(events, step.ending))
            self._begin(self._number + 1)
        else:
            self._is_over = self.has_failed = True
            self.lines.append(
                f"✖ not {step.ending.replace('_', ' ')} (exit status {self._child.process.returncode}): {_states(events) or ' '.join(self._child.last(1))}"
            )

    def close(self) -> None:
        """End the command that runs."""
        if self._child is not None and self._child.process.poll() is None:
            self._child.process.terminate()
            self._child.process.wait()

    def _begin(self, number: int) -> None:
        if number == len(self._steps):
            self._is_over = True
            return
        self._number, self._until = number, time.monotonic() + STEP_WITHIN_S
        words = self._steps[number].words
        self._child = self._stage.start(f"push-{number + 1}", self._stage.command(*words, "--json", "--author", "scripts/run"), is_told=False)
        self.lines.append(f"▶ {self._typed(self._steps[number])}")

    def _tell(self, line: str) -> None:
        self.lines[-1] = line.rstrip()

    def _typed(self, step: Step) -> str:
        return " ".join(["rwctl", *(Path(word).name if word.startswith("/") else word for word in step.words)])


def chosen(inventory: Sequence[Row]) -> list[Row]:
    """Choose the kelurahan of the fewest simulated access points, at least two, the first in the list of several such."""
    of: dict[str, list[Row]] = {}
    for row in inventory[:-1]:
        of.setdefault(row.kelurahan, []).append(row)
    del of[inventory[-1].kelurahan]  # there is this machine, which has no Wi-Fi to be pushed to
    return min((rows for rows in of.values() if len(rows) > 1), key=len, default=list(inventory[:1]))


def _events(log: Path) -> Iterator[dict[str, Any]]:
    """Give what a command has said so far, whole lines of JSON."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # it is being written
        if isinstance(event, dict):
            yield event


def _states(events: Sequence[dict[str, Any]]) -> str:
    """Say how many stand how, from what was said of each last."""
    last = {event["ap"]: event["state"] for event in events if event.get("event") == "state"}
    return ", ".join(f"{state.replace('_', ' ')} {count}" for state, count in sorted(Counter(last.values()).items()))


def _is_as_wanted(events: Sequence[dict[str, Any]], ending: str) -> bool:
    if ending == "planned":
        return any(event.get("event") == "plan" and event.get("changes") for event in events)
    return any(event.get("event") == "summary" and set(event.get("states", {})) == {ending} for event in events)


def _told(events: Sequence[dict[str, Any]], ending: str) -> str:
    if ending == "planned":
        plan = next(event for event in events if event.get("event") == "plan")
        shown = ", ".join(f"{change['path']}: {_value(change.get('from'))} → {_value(change.get('to'))}" for change in plan["changes"][:LISTED])
        return f"● planned ({plan.get('result')}): {shown}"
    count = sum(event.get("states", {}).get(ending, 0) for event in events if event.get("event") == "summary")
    if ending == "confirmed":
        published = next((event for event in events if event.get("event") == "published"), {})
        return f"● confirmed by {count} of {count}, each over a new connection through the change; published in {published.get('seconds', 0) * 1000:.0f} ms"
    state = next(event for event in reversed(events) if event.get("state") == ending)
    return f"▲ rolled back ({state.get('reason')}): revision {state.get('revision')} is not in force, what was before is on air"


def _value(value: object) -> str:
    value = value.get("ssid", "…") if isinstance(value, dict) else value
    return "not set" if value is None else str(value)
