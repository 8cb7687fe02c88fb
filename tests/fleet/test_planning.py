"""What access points say a push would do."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agent.wire import claims
from fleet import planning, pushing, store
from fleet.delivery import Options
from fleet.errors import BadInput
from fleet.planning import Explained
from fleet.pushing import Act
from fleet.secrets import Secrets
from fleet.verdicts import Screen
from tests.fleet.pushed_city import BOTH, KANTOR, KEY, PUBLIC, WIFI_KEY, Town, wish

CHANGES: list[dict[str, Any]] = [{"path": "ssids.public", "to": "Malang", "impact": "bss"}]


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def planned(town: Town, layer: dict[str, Any], to: str = "city") -> tuple[int, str]:
    """Plan as the verb does; give the exit code and what is shown."""
    out, secrets = io.StringIO(), Secrets(town.city)
    with contextlib.closing(store.open_city(town.city)) as connection:
        drafted = planning.prepare(connection, to, wish(layer), secrets)
    screen = Screen(False, Console(file=out, width=200, highlight=False, markup=False))
    code = planning.run(town.city, drafted, secrets, Act(pushing.PUSH, "siti"), Options(wait_s=0.1), town.air.connect, screen)
    return code, out.getvalue()


def test_a_plan_is_signed_as_one_and_never_retained(town: Town) -> None:
    planned(town, BOTH)
    assert {(below, told["kind"], told["retain"], told["revision"]) for below, told in town.air.published} == {("config/plan", claims.PLAN_KIND, False, 1)}
    assert town.air.published[0][1]["config"] == BOTH


def test_nothing_is_stored_but_the_use_of_the_key(town: Town) -> None:
    planned(town, KANTOR)
    assert not town.city.secrets.exists()
    with town.store() as connection:
        assert [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("changes", "revisions")] == [(0,), (0,)]
    ((what, entry),) = town.audit()
    assert (what, entry["kid"], entry["kind"], entry["to"]) == ("plan", KEY.kid, "plan", "city")
    assert WIFI_KEY not in town.city.audit.read_text()


def test_what_it_costs_is_summed_up_and_shown_once_for_all_alike(town: Town) -> None:
    town.air.offline = {"rw-0010"}
    for ap in ("rw-0001", "rw-0002"):
        town.air.answers[ap] = [{"state": "planned", "impact": "bss", "changes": CHANGES}]
    code, text = planned(town, PUBLIC)
    assert code == 0
    assert "2 × rw-0001, rw-0002: bss" in text
    assert text.count('ssids.public: not set → "Malang" (bss)') == 1
    assert "bss 2 (the stations of that network reconnect), unchanged 1, offline 1" in text
    assert "rw-0010" not in town.air.told("config/plan")


def test_one_that_would_refuse_it_is_exit_1_with_its_faults(town: Town) -> None:
    town.air.answers["rw-0001"] = [{"state": "rejected", "reason": "invalid", "errors": [{"message": "radios.5g is not there"}]}]
    code, text = planned(town, PUBLIC)
    assert code == 1
    assert "1 × rw-0001: rejected invalid" in text
    assert "radios.5g is not there" in text


def test_who_is_there_and_does_not_answer_is_exit_1(town: Town) -> None:
    town.air.answers["rw-0001"] = []
    code, text = planned(town, PUBLIC)
    assert (code, "silent 1, unchanged 3" in text) == (1, True)


def test_each_value_is_explained_by_its_level_and_change(town: Town) -> None:
    town.push(BOTH)
    town.push({"ssids": {"public": {"hidden": True}}}, "tag=market")
    with town.store() as connection:
        rows = planning.explain(connection, "rw-0010", None)
    assert Explained(("ssids", "public", "hidden"), True, "tag", "market", 2) in rows
    assert Explained(("ssids", "public", "ssid"), "Malang", "city", "", 1) in rows
    assert Explained(("ssids", "kantor", "key"), "***", "city", "", 1) in rows


def test_a_plan_explains_with_what_is_not_pushed_yet(town: Town) -> None:
    town.push(PUBLIC)
    with town.store() as connection:
        drafted = planning.prepare(connection, "tag=market", wish({"ssids": {"public": {"hidden": True}}}), Secrets(town.city))
        rows = planning.explain(connection, "rw-0010", drafted)
        assert Explained(("ssids", "public", "hidden"), True, "tag", "market", 0) in rows
        with pytest.raises(BadInput, match="'rw-0001', which is not below tag=market; expected one of rw-0010"):
            planning.explain(connection, "rw-0001", drafted)


def test_a_cap_is_shown_value_by_value(town: Town) -> None:
    """It is one change to the access point, a table; people want its figures."""
    before = {"down_mbps": 30, "up_mbps": 10}
    after = {"down_mbps": 20, "up_mbps": 10, "per_station": {"down_mbps": 5}}
    for ap, old, new in (("rw-0001", before, after), ("rw-0002", None, before), ("rw-0006", after, None)):
        values = {name: value for name, value in (("from", old), ("to", new)) if value is not None}
        town.air.answers[ap] = [{"state": "planned", "impact": "live", "changes": [{"path": "ssids.public.cap", "impact": "live"} | values]}]
    code, text = planned(town, PUBLIC)
    assert code == 0
    for line in (
        "  ssids.public.cap.down_mbps: 30 → 20 Mbit/s (live)\n  ssids.public.cap.per_station.down_mbps: not set → 5 Mbit/s (live)\n",
        "  ssids.public.cap.down_mbps: not set → 30 Mbit/s (live)\n  ssids.public.cap.up_mbps: not set → 10 Mbit/s (live)\n",
        "  ssids.public.cap.per_station.down_mbps: 5 → not set (live)\n",
    ):
        assert line in text
    assert "live 3 (nobody notices)" in text
