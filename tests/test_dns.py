"""agent/dns.py: the file that the script of that name goes by; and the way of a push that changes it, on a simulated access point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent import dns
from agent.change import Section, Tree
from agent.derived import DERIVED
from agent.router.store_simulated import SimulatedStore
from agent.sections.dns import FILTERS
from tests import pushes
from tests.pushes import Jump, Place


def tree(**options: str) -> Tree:
    return {"rwagent": {"dns": Section("dns", "dns", {name: (value,) for name, value in options.items()})}}


def test_the_file_names_the_device_and_each_resolver() -> None:
    """It is made of the tree alone and the public network's device, the same each time."""
    assert dns.text(tree(filter="x", servers="1.1.1.3 2606:4700:4700::1113"), "br-guest") == (
        b"v 1\nnetwork br-guest\nserver 1.1.1.3\nserver 2606:4700:4700::1113\n"
    )


def test_a_tree_without_resolvers_wants_no_file() -> None:
    """What is empty and what is not there mean the same to the script."""
    assert dns.text({}, "br-guest") == dns.text({"rwagent": {}}, "br-guest") == b""


@pytest.mark.parametrize("device", ["", "br guest", "br-guest\nserver 8.8.8.8", '"; flush ruleset; "', "-x" * 9, "..", ".", "eth0*", "br-gäst"])
def test_what_is_no_device_makes_no_file(device: str) -> None:
    """No name of a device becomes a line of its own, or a word that nft or a shell would take for something else."""
    assert not dns.is_device(device)
    assert dns.text(tree(servers="1.1.1.3"), device) == b""


@pytest.mark.parametrize("server", ["8.8.8.8;", "$(reboot)", "one.one", "1.1.1.3,1.0.0.3", "fe80::1%br", "0x1.1.1.1", "g::1", "1" * 50])
def test_what_is_no_address_does_not_come_into_the_file(server: str) -> None:
    """Whatever somebody wrote into our section, the file holds addresses; without any of them it is empty."""
    assert dns.text(tree(servers=server), "br-guest") == b""
    assert dns.text(tree(servers=f"{server} 1.1.1.3"), "br-guest") == b"v 1\nnetwork br-guest\nserver 1.1.1.3\n"


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_can_be_written_down(name: str) -> None:
    """All addresses of the closed list are such as the file takes."""
    assert DERIVED["dns"].text(tree(servers=" ".join(FILTERS[name])), "br-guest").count(b"server ") == 4


# 192.0.2.0/24 is nobody's (RFC 5737): a simulated access point gets no answer from there.
SILENT = {"dns": {"servers": ["192.0.2.53"]}}
FAMILY = {"dns": {"filter": "adguard-family"}}


def pushed(place: Place, jump: Jump, revision: int, config: dict[str, Any]) -> dict[str, Any]:
    place.push(revision, config, confirm_within_s=180)
    place.run_confirmed(jump)
    return place.reported()


def file(place: Place) -> bytes:
    path = place.folder / "state/simulated/dns"
    return path.read_bytes() if path.exists() else b""


def test_a_push_makes_the_file_and_its_removal_empties_it(tmp_path: Path) -> None:
    """The file is put in place with the packages, told as a change that nobody notices, and goes as it came."""
    place, jump = pushes.place(tmp_path), Jump()
    said = pushed(place, jump, 1, FAMILY)
    assert said["state"] == "confirmed"
    assert said["changes"] == [{"path": "dns.filter", "to": "adguard-family", "impact": "live"}]
    assert file(place).startswith(b"v 1\nnetwork br-public\nserver 94.140.14.15\n")
    assert pushed(place, jump, 2, FAMILY)["state"] == "unchanged"
    assert pushed(place, jump, 3, {})["state"] == "confirmed"
    assert file(place) == b""


def test_a_resolver_that_does_not_answer_is_taken_back_soon(tmp_path: Path) -> None:
    """Nobody waits for the whole deadline of a push while no name is answered; what was there before is there again."""
    place, jump = pushes.place(tmp_path), Jump()
    pushed(place, jump, 1, FAMILY)
    before, slept_s = file(place), jump.slept_s
    said = pushed(place, jump, 2, SILENT)
    assert (said["state"], said["reason"], said["current"]) == ("rolled_back", "not_resolving", 1)
    assert file(place) == before
    assert DERIVED["dns"].patience_s is not None
    assert DERIVED["dns"].patience_s <= jump.slept_s - slept_s < 60


class Stuttering(SimulatedStore):
    """A box whose resolvers answer every second time, from the end of `until_s` on each time."""

    asked, until_s, jump = 0, 0.0, Jump()

    def standing(self, name: str) -> str | None:
        self.asked += name == "dns"
        is_lost = name == "dns" and self.asked % 2 and self.jump.slept_s < self.until_s
        return "a resolver gives no answer" if is_lost else None


def test_an_answer_that_was_lost_long_ago_costs_no_push(tmp_path: Path) -> None:
    """The patience begins anew with each answer: the first look comes before the rules stand, and one answer may be lost at the last."""
    place, jump = pushes.place(tmp_path), Jump()
    store = place.store()
    store.__class__ = Stuttering
    patience_s = DERIVED["dns"].patience_s
    assert isinstance(store, Stuttering) and patience_s is not None
    store.jump, store.until_s = jump, jump.slept_s + 2 * patience_s
    place.push(1, FAMILY, confirm_within_s=180)
    place.run_confirmed(jump, store)
    assert place.reported()["state"] == "confirmed" and jump.slept_s >= store.until_s


class Fading(SimulatedStore):
    """A box whose resolvers answer once more, and then no longer."""

    is_asked = False

    def standing(self, name: str) -> str | None:
        was, self.is_asked = self.is_asked, self.is_asked or name == "dns"
        return "a resolver gives no answer" if name == "dns" and was else None


def test_no_other_push_is_to_blame_for_a_resolver(tmp_path: Path) -> None:
    """A push that leaves the resolvers alone stays, whether they go on answering or not."""
    place, jump = pushes.place(tmp_path), Jump()
    pushed(place, jump, 1, FAMILY)
    store = place.store()
    store.__class__ = Fading
    place.push(2, {**FAMILY, **pushes.DOCUMENT})
    place.run_confirmed(jump, store)
    assert place.reported()["state"] == "confirmed"


def test_a_plan_says_what_is_pushed(tmp_path: Path) -> None:
    """A push is planned like any other, with everything that is wrong with it."""
    place, jump = pushes.place(tmp_path), Jump()
    place.push(1, {"dns": {"servers": ["127.0.0.1"]}}, name="plan")
    place.run_confirmed(jump)
    said = place.status("plan")["result"]
    assert (said["state"], said["reason"], said["errors"][0]["path"]) == ("rejected", "invalid", "dns.servers[0]")
