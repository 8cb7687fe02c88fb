"""A ubus made of answers: what the client's side sees of a real one, without a socket. The stand-in for ubusd itself is in `tests/fakes/openwrt/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from agent.errors import Unavailable
from agent.router.ubus import Call, Refused

NOT_FOUND, PERMISSION_DENIED = 4, 6


class FakeUbus:
    """`answers["hostapd.phy0-ap0"]["get_status"] = {...}`; an exception is raised; `is_away`: ubusd is dead; `lives` counts them."""

    def __init__(self, answers: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.answers: dict[str, dict[str, Any]] = {name: dict(methods) for name, methods in (answers or {}).items()}
        self.lives = 1
        self.is_away = False
        self.asked: list[tuple[str, str]] = []
        self.known: set[str] = set()
        self.exchanges = 0
        self.denied: set[str] = set()
        self.takes: Callable[[], None] = lambda: None

    def lookup(self, pattern: str) -> dict[str, int]:
        self._expect_alive()
        return {name: number for number, name in enumerate(self.answers) if fnmatchcase(name, pattern)}

    def call(self, name: str, method: str, arguments: Mapping[str, object] | None = None, timeout_s: float | None = None) -> dict[str, object]:
        (answer,) = self.call_all([Call(name, method, arguments or {})])
        if isinstance(answer, Refused):
            raise answer
        return answer

    def call_all(self, calls: Sequence[Call]) -> list[dict[str, object] | Refused]:
        self._expect_alive()
        self.asked += [(call.name, call.method) for call in calls]
        return [self._answer(call) for call in calls]

    def lookup_and_call(self, pattern: str, calls: Sequence[Call]) -> tuple[dict[str, int], list[dict[str, object] | Refused | None]]:
        found = self.lookup(pattern)
        known = [call for call in calls if call.name in self.known]
        self.asked += [(call.name, call.method) for call in known]
        told = {id(call): self._answer(call) for call in known}
        self.known |= set(found) | {call.name for call in calls if call.name in self.answers}
        answers = [told.get(id(call)) for call in calls]
        return found, [None if isinstance(answer, Refused) and answer.status == NOT_FOUND else answer for answer in answers]

    def _answer(self, call: Call) -> dict[str, object] | Refused:
        if call.name in self.denied:
            return Refused(f"ubus {call.name} {call.method}: permission denied", PERMISSION_DENIED)
        answer = self.answers.get(call.name, {}).get(call.method)
        if isinstance(answer, Refused):
            return answer
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            return Refused(f"ubus {call.name} {call.method}: not found", NOT_FOUND)
        return dict(answer)

    def _expect_alive(self) -> None:
        self.exchanges += 1
        self.takes()
        if self.is_away:
            raise Unavailable("ubus: no socket")
