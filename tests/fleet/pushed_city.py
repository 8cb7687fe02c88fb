"""For tests of pushes: a city with access points and a signing key, and a broker with simulated access points in place of the wire."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from agent.wire import jws, topics
from agent.wire.messages import encode
from fleet import changes, document, pushing, selector, sign, store
from fleet.city import City
from fleet.delivery import Delivery, MakeWish, Options
from fleet.draft import Wish
from fleet.pushing import Act
from fleet.secrets import Secrets
from fleet.selector import Node
from fleet.verdicts import Screen
from tests.fleet import cities

KEY = sign.SecretKey("9e1f04c2b7d35a68", bytes(range(32)))
WIFI_KEY = "planted-wifi-key"
PUBLIC: dict[str, Any] = {"ssids": {"public": {"ssid": "Malang", "security": "open", "bands": ["2g"]}}}
KANTOR: dict[str, Any] = {"ssids": {"kantor": {"ssid": "Kantor", "security": "psk2", "bands": ["5g"], "key": WIFI_KEY}}}
BOTH: dict[str, Any] = {"ssids": PUBLIC["ssids"] | KANTOR["ssids"]}


class Heard(NamedTuple):
    topic: str
    payload: bytes
    is_retained: bool


class Killed(BaseException):
    """The process died here."""


class Air:
    """The broker and behind it the access points, which answer at once. `answers`: what one says to a push or a plan, by id; `offline`: who is away."""

    def __init__(self, city: City, ids: Iterable[str]) -> None:
        self.city, self.ids = city, list(ids)
        self.offline: set[str] = set()
        self.retained: dict[str, bytes] = {}
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.lost: set[str] = set()  # whose push the broker does not take
        self.dies_after: int | None = None
        self._queue: list[Heard] = []
        self._mids: dict[int, str] = {}
        self.connections = 0

    def connect(self) -> Air:
        self.connections += 1
        self._queue.clear()
        return self

    def close(self) -> None:
        pass

    def subscribe(self, filters: Iterable[str]) -> None:
        wanted = [tuple(one.split("/")) for one in filters]
        for ap in self.ids:
            self.say(ap, "presence", {"v": 1, "state": "offline" if ap in self.offline else "online"}, wanted)
        for topic, payload in self.retained.items():
            if topic.endswith("config/reported") and _fits(topic, wanted):
                self._queue.append(Heard(topic, payload, True))

    def say(self, ap: str, below: str, message: dict[str, Any], wanted: list[tuple[str, ...]] | None = None) -> None:
        topic = f"{topics.root(self.city.name, ap)}/{below}"
        if wanted is None or _fits(topic, wanted):
            self._queue.append(Heard(topic, encode(message), wanted is not None))

    def reports(self, ap: str, **message: Any) -> None:
        """Let the broker have a config/reported of it."""
        self.retained[f"{topics.root(self.city.name, ap)}/config/reported"] = encode({"v": 1, "state": "confirmed"} | message)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> int:
        if self.dies_after == 0:
            raise Killed
        self.dies_after = None if self.dies_after is None else self.dies_after - 1
        parts = topics.parse(topic)
        assert parts is not None
        assert qos == 1
        _, ap, below = parts
        self._mids[len(self._mids) + 1] = ap
        if ap in self.lost:
            return len(self._mids)
        self.published.append((below, {**jws.parse(payload).payload, "retain": retain}))
        if retain:
            self.retained[topic] = payload
        if ap not in self.offline:
            self.answer(ap, below, jws.parse(payload).payload)
        return len(self._mids)

    def answer(self, ap: str, below: str, claims: dict[str, Any]) -> None:
        """Let an access point say what it says to a push."""
        usual = [{"state": "received"}, {"state": "testing"}, {"state": "confirmed"}] if below == topics.CONFIG_DESIRED else [{"state": "planned"}]
        where = topics.CONFIG_REPORTED if below == topics.CONFIG_DESIRED else topics.CONFIG_PLAN_RESULT
        for message in self.answers.get(ap, usual):
            self.say(ap, where, {"v": 1, "revision": claims["revision"]} | message)

    def wait_published(self, mids: Iterable[int], _within_s: float) -> set[int]:
        return {mid for mid in mids if self._mids[mid] in self.lost}

    def messages(self, most: int, _within_s: float) -> list[Heard]:
        found, self._queue[:most] = self._queue[:most], []
        return found

    def told(self, below: str = topics.CONFIG_DESIRED) -> dict[str, int]:
        """Give who was told which revision last."""
        return {claims["ap"]: claims["revision"] for where, claims in self.published if where == below}


class Town:
    """A city `malang`: rw-0001 and rw-0006 in Lowokwaru (kelurahan Lowokwaru), rw-0002 in Oro-oro Dowo …, rw-0010 tagged market and school."""

    def __init__(self, folder: Path, numbers: Iterable[int] = (1, 2, 6, 10)) -> None:
        self.city = cities.make_city(folder)
        sign.write_pair(str(self.city.keys), self.city.name, KEY, b"")
        for number in numbers:
            cities.enroll(self.city, number)
        self.air = Air(self.city, [f"rw-{number:04d}" for number in numbers])
        self.out = io.StringIO()

    def push(self, layer: dict[str, Any] | MakeWish, to: str = "city", *, act: Act | None = None, options: Options | None = None, **more: Any) -> int:
        """Push a layer as the verb does; give the exit code."""
        make = layer if callable(layer) else wish(layer, **more)
        return self.delivery(make, to, act or Act(pushing.PUSH, "siti"), options or Options(wait_s=0.1)).run()

    def delivery(self, make: MakeWish, to: str, act: Act, options: Options) -> Delivery:
        self.out = io.StringIO()
        screen = Screen(False, Console(file=self.out, width=200, highlight=False, markup=False))
        return Delivery(self.city, to, make, act, options, self.air.connect, screen)

    def killed_while(self, layer: dict[str, Any], after: int, to: str = "city") -> None:
        """Push, and die when so many were published."""
        self.air.dies_after = after
        with contextlib.suppress(Killed):
            self.push(layer, to)
            raise AssertionError("it was not killed")
        self.air.dies_after = None

    def store(self) -> contextlib.closing[Any]:
        return contextlib.closing(store.open_city(self.city))

    def revisions(self, ap: str) -> list[changes.Revision]:
        with self.store() as connection:
            number = next(point.number for point in selector.points(connection) if point.id == ap)
            return changes.of(connection, number)

    def audit(self) -> list[tuple[str, dict[str, Any]]]:
        return [(entry["what"], entry["data"]) for entry in map(json.loads, self.city.audit.read_text().splitlines())] if self.city.audit.exists() else []


def wish(layer: dict[str, Any] | None, **more: Any) -> Callable[[Any, Node, Secrets], Wish]:
    """Make the wish for a layer as its file would."""
    if layer is not None:
        document.refuse("test", document.layer_faults(layer))
    return lambda _connection, node, secrets: Wish(node, None if layer is None else secrets.taken_out(layer), **more)


def _fits(topic: str, wanted: list[tuple[str, ...]]) -> bool:
    levels = topic.split("/")
    return any(len(one) == len(levels) and all(want in ("+", level) for want, level in zip(one, levels, strict=True)) for one in wanted)
