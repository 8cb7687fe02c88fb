"""One push from the command line to its last verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet import pushing, store
from fleet.delivery import Options
from fleet.draft import Wish
from fleet.errors import BadInput, Refused
from tests.fleet.pushed_city import KANTOR, PUBLIC, WIFI_KEY, Heard, Town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def test_all_confirmed_is_exit_0_and_says_how_many_and_how_long(town: Town) -> None:
    assert town.push(PUBLIC) == 0
    text = town.out.getvalue()
    assert "change 1: 4 pushed in" in text
    assert "confirmed 4" in text


@pytest.mark.parametrize("state", ["rejected", "rolled_back", "failed"])
def test_one_that_went_wrong_is_exit_1_with_its_reason(town: Town, state: str) -> None:
    town.air.answers["rw-0002"] = [{"state": "received"}, {"state": state, "reason": "not_on_air", "errors": [{"message": "ssids.a is bad"}]}]
    assert town.push(PUBLIC) == 1
    text = town.out.getvalue()
    assert f"{state} 1, confirmed 3" in text
    assert "not_on_air; ssids.a is bad" in text


def test_an_unchanged_one_is_fine(town: Town) -> None:
    town.air.answers["rw-0002"] = [{"state": "unchanged"}]
    assert town.push(PUBLIC) == 0


def test_who_is_offline_waits_and_that_is_no_failure(town: Town) -> None:
    """Its push is retained, and the next one for it goes on from there."""
    town.air.offline = {"rw-0002", "rw-0006"}
    assert town.push(PUBLIC) == 0
    assert "waiting 2, confirmed 2" in town.out.getvalue()
    assert "offline, gets it on its return" in town.out.getvalue()
    assert "wifi/v1/malang/rw-0002/config/desired" in town.air.retained


def test_who_is_there_and_says_nothing_is_a_failure(town: Town) -> None:
    town.air.answers["rw-0002"] = [{"state": "testing"}]
    assert town.push(PUBLIC) == 1
    assert "silent 1, confirmed 3" in town.out.getvalue()


def test_who_is_interrupted_is_told_that_it_goes_on(town: Town) -> None:
    """Nothing that was sent is taken back; nobody knows how it ended, which is exit 1."""
    real = town.air.messages

    def interrupted(most: int, within_s: float) -> list[Heard]:
        if town.air.published:
            raise KeyboardInterrupt
        return real(most, within_s)

    town.air.messages = interrupted  # type: ignore[method-assign]  # Ctrl-C while listening
    assert town.push(PUBLIC) == 1
    assert "what was sent goes on" in town.out.getvalue()


def test_who_does_not_wait_gets_exit_0_with_all_on_their_way(town: Town) -> None:
    town.air.answers["rw-0002"] = [{"state": "failed"}]
    assert town.push(PUBLIC, options=Options(wait_s=0)) == 0
    assert "sent 4" in town.out.getvalue()


def test_a_dry_run_shows_each_change_once_and_touches_nothing(town: Town) -> None:
    """Neither broker, store nor audit log; keys are stars."""
    town.push(PUBLIC)
    before = (len(town.air.published), town.audit(), town.air.connections, sorted(town.city.folder.rglob("*")))
    layer = {"ssids": {"public": PUBLIC["ssids"]["public"] | {"ssid": "Baru"}, **KANTOR["ssids"]}}
    assert town.push(layer, options=Options(is_dry_run=True)) == 0
    assert (len(town.air.published), town.audit(), town.air.connections, sorted(town.city.folder.rglob("*"))) == before
    text = town.out.getvalue()
    assert text.count('ssids.public.ssid: "Malang" → "Baru"') == 1
    assert "4 × rw-0001, rw-0002, rw-0006, rw-0010" in text
    assert 'ssids.kantor.key: not set → "***"' in text
    assert WIFI_KEY not in text
    assert "secret:" not in text
    assert "would be told: 4, same: 0; nothing was sent" in text


def test_a_changed_key_shows_as_a_change_without_the_key(town: Town) -> None:
    town.push(KANTOR)
    town.push({"ssids": {"kantor": KANTOR["ssids"]["kantor"] | {"key": "another planted key"}}}, options=Options(is_dry_run=True))
    assert 'ssids.kantor.key: another "***"' in town.out.getvalue()


def test_only_the_nodes_own_access_points_are_told(town: Town) -> None:
    town.push(PUBLIC, "tag=market")
    assert town.air.told() == {"rw-0010": 1}
    assert "same" not in town.out.getvalue()


def test_who_is_the_same_is_counted(town: Town) -> None:
    town.push(PUBLIC, "rw-0001")
    town.push(PUBLIC)
    assert "3 pushed in" in town.out.getvalue()
    assert "same: 1" in town.out.getvalue()


def test_what_is_wrong_is_told_before_anything_is_done(town: Town) -> None:
    with pytest.raises(BadInput, match=r"ssids\.public\.ssid is missing"):
        town.push({"ssids": {"public": {"security": "open", "bands": ["2g"]}}})
    with pytest.raises(BadInput, match="matches no access point"):
        town.push(PUBLIC, "rw-9999")
    assert (town.air.connections, town.audit()) == (0, [])


def test_a_push_that_came_between_is_merged(town: Town) -> None:
    """What is signed is made of the layers as they are when it has its turn, not when it was typed."""
    rival = Town.delivery(town, lambda *_: Wish(_[1], {"agent": {"report_interval_s": 30}}), "rw-0001", pushing.Act(pushing.PUSH, "budi"), Options(wait_s=0))
    real = town.air.connect
    state = {"is_first": True}

    def connect() -> object:
        if state["is_first"]:
            state["is_first"] = False
            rival.run()
        return real()

    town.air.connect = connect  # type: ignore[assignment,method-assign]  # between the first look and the lock
    assert town.push(PUBLIC) == 0
    assert town.revisions("rw-0001")[-1].document == PUBLIC | {"agent": {"report_interval_s": 30}}
    assert [revision.revision for revision in town.revisions("rw-0001")] == [1, 2]


def heard(town: Town, number: int, **reported: object) -> None:
    """Let `rwctl serve` have heard a config/reported."""
    live = store.open_live(town.city, is_writer=True)
    live.execute("INSERT OR REPLACE INTO state (ap, reported) VALUES (?, ?)", (number, json.dumps({"v": 1} | reported)))
    live.close()


def test_the_same_again_is_no_success_for_who_refused_it(town: Town) -> None:
    """Nothing is new, and still the access point does not have it: exit 1, with the verdict that stands."""
    assert town.push(PUBLIC, "rw-0001") == 0
    heard(town, 1, revision=1, state="rolled_back", reason="not_on_air")
    assert town.push(PUBLIC, "rw-0001") == 1
    text = town.out.getvalue()
    assert "nothing is new: same 1" in text and "rolled_back" in text and "not_on_air" in text and "--all signs it anew" in text


def test_who_refused_the_same_is_told_beside_who_is_told_anew(town: Town) -> None:
    """From the broker, which knows it though nobody ran `rwctl serve`."""
    town.push(PUBLIC, "rw-0001")
    town.air.reports("rw-0001", revision=1, state="rejected", reason="invalid")
    assert town.push(PUBLIC) == 1
    assert "went wrong there before" in town.out.getvalue() and "confirmed 3" in town.out.getvalue()


@pytest.mark.parametrize("reported", [{"revision": 1, "state": "confirmed"}, {"revision": 9, "state": "failed"}, {"state": "failed"}, {}])
def test_another_verdict_does_not_stand_in_the_way(town: Town, reported: dict[str, object]) -> None:
    town.push(PUBLIC, "rw-0001")
    heard(town, 1, **reported)
    assert town.push(PUBLIC, "rw-0001") == 0


def test_what_a_killed_push_left_is_followed_to_its_verdict(town: Town) -> None:
    """The push that goes on says how it ended, not only that it was sent."""
    town.killed_while(PUBLIC, 2)
    town.air.answers["rw-0010"] = [{"state": "rejected", "reason": "invalid"}]
    assert town.push(PUBLIC) == 1
    assert "of an earlier push that was cut short" in town.out.getvalue() and "rejected 1" in town.out.getvalue()


def test_interrupted_before_all_was_sent_says_that_it_is_recorded(town: Town) -> None:
    """Ctrl-C is no way back: the next push, or `rwctl serve`, sends what is signed."""
    real = town.air.publish

    def interrupted(topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> int:
        if len(town.air.published) == 2:
            raise KeyboardInterrupt
        return real(topic, payload, retain=retain, qos=qos)

    town.air.publish = interrupted  # type: ignore[method-assign]  # Ctrl-C between two of them
    with pytest.raises(KeyboardInterrupt):
        town.push(PUBLIC)
    assert "cut short: 4 not sent yet; rwctl serve or the next push sends them" in town.out.getvalue()


def test_who_is_heard_of_late_is_not_taken_for_offline(town: Town) -> None:
    """A busy broker says who is there only after it took the push: what came by then counts."""
    held: list[Heard] = []
    real = town.air.messages

    def late(most: int, within_s: float) -> list[Heard]:
        held.extend(real(most, within_s))
        found, held[:] = (list(held), []) if town.air.published else ([], held)
        return found

    town.air.messages = late  # type: ignore[method-assign]  # nothing arrives before the push
    assert town.push(PUBLIC) == 0
    assert "confirmed 4" in town.out.getvalue()


def test_what_the_broker_did_not_take_is_named_whoever_it_is(town: Town) -> None:
    """Also an access point of an earlier push, which this one has no row for."""
    town.air.lost = {"rw-0006"}
    assert town.push(PUBLIC, "rw-0006") == 1
    assert town.push(KANTOR, "rw-0001") == 1
    assert "not taken by the broker: rw-0006" in town.out.getvalue()


def test_a_lost_key_comes_back_with_the_push_of_its_layer(town: Town) -> None:
    """As the refusal says; also while another layer's key is missing too, or no push could ever be the first."""
    outer, inner = KANTOR, {"ssids": {"kantor": {"key": "planted-inner-key"}, "warga": {**KANTOR["ssids"]["kantor"], "key": "planted-warga"}}}
    town.push(outer)
    town.push(inner, "rw-0001")
    files = {path: path.read_bytes() for path in town.city.secrets.iterdir() if path.name != "salt"}
    for path in files:
        path.unlink()
    with pytest.raises(Refused, match="push that layer anew"):
        town.push(outer)
    town.push(inner, "rw-0001")
    assert {path: path.read_bytes() for path in files if path.exists()} == files
    assert town.push(outer, options=Options(wait_s=0.1), is_all=True) == 0


def test_a_dry_run_brings_no_key_back(town: Town) -> None:
    """It writes nothing."""
    town.push(KANTOR)
    (lost,) = (path for path in town.city.secrets.iterdir() if path.name != "salt")
    lost.unlink()
    town.push(KANTOR, options=Options(is_dry_run=True))
    assert not lost.exists()
