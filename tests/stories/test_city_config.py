"""Config from the city's command line to a real access point's verdict: plan, push, a bad one taken back, revert, and what is left of it on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.stories.rwctl_city import RealCity
from tests.stories.world import until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
KEY = "planted-wifi-key"
GOOD = f'[ssids.warga]\nssid = "Warga RW 05"\nsecurity = "psk2"\nbands = ["2g"]\nkey = "{KEY}"\n'
# No channel of Indonesia's: the radio could, hostapd must not.
BAD = "[radios.5g]\nchannel = 100\n"


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCity]:
    """A city with a broker and one access point that is there, of two."""
    with ExitStack() as stack:
        city = RealCity(tmp_path_factory.mktemp("config"), stack)
        city.enroll("rw-0501", "rw-0502")
        city.broker()
        city.agent("rw-0501")
        yield city


def lines(text: str) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def file(city: RealCity, name: str, text: str) -> str:
    """Write a layer's file."""
    path: Path = city.folder.parent / name
    path.write_text(text)
    return str(path)


@pytest.mark.long
def test_plan_push_a_bad_one_and_revert(city: RealCity) -> None:
    """Each verb by its exit code and its JSON; the bad one is taken back by the access point, and exit 1 says so. It is on record, and who was away gets it."""
    good = file(city, "good.toml", GOOD)

    def planned() -> dict[str, Any]:
        *_, summary = lines(city.rwctl("plan", "--to", "kelurahan=Jatimulyo", good, "--json"))
        return summary if summary["impacts"].get("bss") else {}

    assert until(planned, "the access point to be there and to plan")["impacts"] == {"bss": 1, "offline": 1}
    *_, summary = lines(city.rwctl("push", "--to", "kelurahan=Jatimulyo", good, "--json", "--note", "a network for the RW"))
    assert (summary["states"], summary["change"]) == ({"waiting": 1, "confirmed": 1}, 1)
    *_, summary = lines(city.rwctl("push", "--to", "rw-0501", file(city, "bad.toml", BAD), "--json", "--confirm-within", "30", fails=True))
    assert (summary["states"], summary["change"]) == ({"rolled_back": 1}, 2)
    *_, summary = lines(city.rwctl("revert", "--to", "rw-0501", "--json"))
    assert (summary["states"], summary["change"]) == ({"unchanged": 1}, 3)
    assert KEY not in (city.logs / "commands.log").read_text()
    assert_on_record(city)
    assert_who_was_away_gets_it(city, good)


def assert_on_record(city: RealCity) -> None:
    """Claim each change, each revision, each use of the key; and that the chain holds."""
    kinds = [(row["kind"], row["to"], row["access_points"]) for row in json.loads(city.rwctl("history", "--json"))]
    assert kinds == [("push", "kelurahan=Jatimulyo", 2), ("push", "ap=rw-0501", 1), ("revert", "ap=rw-0501", 1)]
    assert [row["revision"] for row in json.loads(city.rwctl("history", "rw-0501", "--json"))] == [1, 2, 3]
    assert [entry["what"] for entry in lines(city.rwctl("audit", "--json"))][-6:] == ["push", "sign", "push", "sign", "revert", "sign"]
    assert "lines hold" in city.rwctl("audit", "verify")


def assert_who_was_away_gets_it(city: RealCity, good: str) -> None:
    """Claim that the push of before it came is taken; the same layer again finds it there."""
    city.agent("rw-0502")

    def is_confirmed() -> bool:
        *_, summary = lines(city.rwctl("push", "--to", "rw-0502", good, "--all", "--json", "--wait", "20"))
        return summary["states"] in ({"unchanged": 1}, {"confirmed": 1})

    assert until(is_confirmed, "its verdict", 60)
