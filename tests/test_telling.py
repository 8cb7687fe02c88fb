"""What is told besides the samples: who this is, once and again when that is new; what happened, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent import __version__
from agent.outbox import Outbox
from agent.post import Post
from agent.records import Radio
from agent.telling import Telling
from tests.fakes.broker import FakeBroker
from tests.fakes.router import FakeRouter
from tests.settings_of import settings

RADIO = Radio("radio0", "phy0", "2g", 6, 20, 20.0, -95, 0, 0, 0, True)
KEYS, SECTIONS = ("00112233aabbccdd",), ("ssids", "agent")
REPORT: dict[str, object] = {"uplink": {"state": "ok"}, "radios": [{"radio": "radio0", "up": True, "band": "2g"}]}


class Mouth:
    """A Telling, and what comes out of it."""

    def __init__(self, folder: Path) -> None:
        self.broker, self.router = FakeBroker(), FakeRouter(radios=[RADIO])
        self.outbox = Outbox(str(folder), self.router.boot(), 524288)
        self.post = Post(self.broker, self.outbox, self.router.clock, 60, "json")  # type: ignore[arg-type]  # a fake
        self.telling = Telling(settings(), self.router, self.outbox, self.post, ["radios"])  # type: ignore[arg-type]  # a fake
        self.broker.connect()

    def infos(self) -> list[dict[str, Any]]:
        self.post.take_events()
        self.post.hand_over()
        return [json.loads(sent.payload) for sent in self.broker.on("info")]

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        held = [json.loads(self.outbox.render(entry, uptime=entry.uptime_s, wall=None, interval_s=1e9)) for entry in self.outbox.held()]
        return [(message["kind"], message["data"]) for message in held]

    def changes(self, report: dict[str, object] | None = None, **new: Any) -> None:
        told = {"uptime_s": 1000.0, "uplink": "wan", "keys": KEYS, "sections": SECTIONS} | new
        self.telling.changes(REPORT | (report or {}), **told)


@pytest.fixture
def mouth(tmp_path: Path) -> Mouth:
    made = Mouth(tmp_path)
    made.telling.greet(KEYS, SECTIONS)
    return made


def test_the_start_tells_who_it_is(mouth: Mouth) -> None:
    """The first start of a boot, with the keys it trusts and the sections it can carry out, as root told them."""
    (info,) = mouth.infos()
    assert (info["keys"], info["sections"], info["radios"]) == (list(KEYS), list(SECTIONS), [{"radio": "radio0", "band": "2g"}])
    assert [kind for kind, _ in mouth.events()] == ["boot"]


def test_a_second_start_in_the_same_boot_is_a_restart(mouth: Mouth) -> None:
    """The outbox knows that somebody told before."""
    mouth.telling.greet(KEYS, SECTIONS)
    assert [(kind, data.get("state")) for kind, data in mouth.events()] == [("boot", None), ("agent", "restart")]


@pytest.mark.parametrize(
    "new",
    [
        {"keys": ("ffffffffffffffff",)},
        {"sections": ("ssids",)},
        {"uplink": "wwan0"},
        {"report": {"radios": [{"radio": "radio0", "up": True}, {"radio": "radio1", "up": True, "band": "5g"}]}},
    ],
)
def test_who_it_is_is_told_again_only_when_that_is_new(mouth: Mouth, new: dict[str, Any]) -> None:
    """The same report twice: one info more at the first, with what the second needs no other."""
    mouth.changes()
    before = len(mouth.infos())
    mouth.changes()
    assert len(mouth.infos()) == before
    mouth.changes(**new)
    mouth.changes(**new)
    assert len(mouth.infos()) == before + 1


def test_a_radio_that_is_down_keeps_its_band_and_an_uplink_that_is_away_its_name(mouth: Mouth) -> None:
    """What was known stays: no info is made poorer by a dead radio or a pulled cable."""
    mouth.changes()
    before = len(mouth.infos())
    mouth.changes({"radios": [{"radio": "radio0", "up": False}]}, uplink=None)
    assert len(mouth.infos()) == before
    assert mouth.infos()[-1]["radios"] == [{"radio": "radio0", "band": "2g"}]
    assert mouth.infos()[-1]["uplink"] == "wan"


def test_what_happened_is_an_event_once(mouth: Mouth) -> None:
    """A radio and the way out, each change once."""
    mouth.changes()
    for _ in range(2):
        mouth.changes({"uplink": {"state": "dns"}, "radios": [{"radio": "radio0", "up": False}]})
    kinds = [kind for kind, _ in mouth.events()]
    assert (kinds.count("uplink"), kinds.count("radio")) == (1, 1)


def test_that_safe_mode_is_over_is_told_after_the_restart(mouth: Mouth) -> None:
    """How long it was, and after how many crashes."""
    mouth.telling.safe_mode = (1830.0, 6)
    mouth.telling.greet(KEYS, SECTIONS)
    assert mouth.events()[1:] == [
        ("agent", {"state": "restart", "agent": __version__}),
        ("agent", {"state": "safe-mode", "safe_mode_for_s": 1830.0, "crashes": 6}),
    ]
