"""Commands from the city's command line to simulated access points and back: mosquitto, `rwctl serve`, the agent's own code and its real applier."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from agent.wire import topics
from agent.wire.claims import CommandClaims
from agent.wire.command import ENDINGS
from fleet import city as cities
from fleet import cli, commanding, sign
from tests.stories.rwctl_city import NAME, Program, RealCity, make_city
from tests.stories.world import until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
THERE, AWAY = ("rw-0501", "rw-0502"), "rw-0503"
broker: list[Program] = []  # the newest is the one that runs
HEX = set("0123456789abcdef")


@pytest.fixture(scope="module")
def city() -> Iterator[RealCity]:
    """A city in which two of three access points are there: one of the simulated fleet, and a real daemon over a simulated box."""
    with make_city(*THERE, AWAY) as made:
        broker.append(made.broker())
        made.serve()
        words = [sys.executable, "-m", "fleet.simulate", str(made.folder), "--moods", "calm", "--start", str(evening()), "--but", f"{THERE[1]},{AWAY}"]
        fleet = Program(words, made.logs / "fleet.log", made.environment)
        try:
            daemon = made.agent(THERE[1])
            until(lambda: all(boot(made, ap) for ap in THERE), lambda: fleet.log()[-2000:] + daemon.log()[-2000:], 40, 0.2)
            yield made
        finally:
            fleet.kill()


def evening() -> int:
    """Give 19:00 in Malang (UTC+7) of the day that it is at noon UTC: somebody is there then."""
    return int(time.time()) // 86400 * 86400 + 12 * 3600


def boot(city: RealCity, ap: str) -> str:
    """Give the boot of an access point's newest report; "" when there is none."""
    at = cities.load(city.folder)
    known = commanding.known(at, commanding.targets(at, ap)[1])
    return known[ap].boot if ap in known else ""


def command(city: RealCity, name: str, *words: str, to: str = THERE[0], fails: bool | None = False) -> dict[str, dict[str, Any]]:
    """Do `rwctl command NAME --json`, here and not in a process of its own, which would cost more than all else; give each access point's last result."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = cli.main(["--dir", str(city.folder), "command", name, "--to", to, "--json", *words])
    assert fails is None or code == int(fails), out.getvalue()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines[-1]["event"] == "summary"
    return {line["ap"]: line for line in lines if line["event"] == "result"}


def signed(city: RealCity, ap: str, name: str = "locate", **members: Any) -> tuple[bytes, str]:
    """Sign a command as the city would, with some claims of our own; give it with its id."""
    at = cities.load(city.folder)
    _, points = commanding.targets(at, ap)
    known = commanding.known(at, points)[ap]
    claims = CommandClaims(NAME, ap, str(uuid.uuid4()), known.boot, int(known.uptime_s) + 60, name, {}, 1_790_000_000)._replace(**members)
    return sign.command(sign.unlocked(str(at.signing_key), None), claims), claims.id


def said(city: RealCity, ap: str, payload: bytes, name: str = "locate") -> dict[str, Any]:
    """Put bytes onto a command's topic as whoever runs the broker could; give what the access point says to it in the end."""
    topic = f"{topics.root(NAME, ap)}/{topics.command(name)}"
    with city.operator() as operator:
        operator.subscribe(f"{topic}/result")
        operator.publish(topic, payload)

        def found() -> list[dict[str, Any]]:
            return [one for one in (json.loads(each.payload) for each in operator.heard) if one["state"] in ENDINGS]

        return until(found, lambda: f"{name} of {ap}: {operator.heard}", 40)[0]


def test_every_access_point_that_is_there_does_it_and_who_is_away_is_named(city: RealCity) -> None:
    """Exit 1, because one was not there; nothing waits for it."""
    found = command(city, "locate", "--seconds", "3", to="city", fails=True)
    assert {ap: row["state"] for ap, row in found.items()} == dict.fromkeys(THERE, "succeeded") | {AWAY: "offline"}
    assert found[THERE[0]]["output"]["seconds"] == 3
    assert [line["what"] for line in map(json.loads, city.rwctl("audit", "--json").splitlines())][-1] == "command"
    city.rwctl("audit", "verify")


def test_stations_have_pseudonyms_by_which_one_is_kicked(city: RealCity) -> None:
    rows = command(city, "stations")[THERE[0]]["output"]["stations"]
    assert rows and all(len(row["station"]) == 12 and HEX.issuperset(row["station"]) for row in rows)
    unknown = command(city, "kick", "--station", "0" * 12, fails=True)[THERE[0]]
    assert (unknown["state"], unknown["code"]) == ("failed", "unavailable")

    def kicked() -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Give a station and what became of it; None when it left before it could be sent away, or when it was too soon to ask."""
        there = command(city, "stations", fails=None)[THERE[0]].get("output", {}).get("stations", [])
        found = command(city, "kick", "--station", there[0]["station"], "--ban-s", "5", fails=None)[THERE[0]] if there else {}
        return (there[0], found) if found.get("state") == "succeeded" else None

    row, found = until(kicked, "a station sent away", 60, 1.0)
    assert found["output"]["ssids"] == [row["ssid"]]


def test_what_reads_gives_its_output(city: RealCity) -> None:
    logs = command(city, "logs", "--lines", "5", "--match", "rwagent")[THERE[0]]["output"]
    assert logs["lines"] and all("rwagent" in line for line in logs["lines"])
    assert command(city, "scan", "--band", "2g")[THERE[0]]["output"]["networks"]
    seq = command(city, "report")[THERE[0]]["output"]["seq"]
    until(lambda: seq in city.received().get(THERE[0], set()), "the report that was asked for", 20, 0.1)


def test_too_soon_is_refused_in_words(city: RealCity) -> None:
    """On the screen, as an operator sees it."""
    command(city, "reload-wifi")
    text = city.rwctl("command", "reload-wifi", "--to", THERE[0], fails=True)
    assert "rejected" in text and "too_soon; reload-wifi was begun" in text and "at least 30 s" in text


def test_a_replayed_one_gets_its_first_result_again(city: RealCity) -> None:
    payload, own_id = signed(city, THERE[1], args={"seconds": 7})
    first = said(city, THERE[1], payload)
    again = said(city, THERE[1], payload)
    assert (first["id"], first["state"]) == (own_id, "succeeded")
    assert again == first


@pytest.mark.parametrize(
    ("spoilt", "state", "code"),
    [
        ({"boot": "0123456789abcdef"}, "rejected", "wrong_boot"),
        ({"until_uptime_s": 1}, "expired", "expired"),
        ({"until_uptime_s": 2**40}, "rejected", "jump"),
        ({"args": {"secnds": 6}}, "rejected", "bad_arguments"),
    ],
)
def test_what_is_not_of_this_moment_or_not_in_the_table_is_refused_with_the_reason(city: RealCity, spoilt: dict[str, Any], state: str, code: str) -> None:
    payload, own_id = signed(city, THERE[1], **spoilt)
    told = said(city, THERE[1], payload)
    assert (told["id"], told["state"], told["code"]) == (own_id, state, code), told


def test_an_unknown_command_is_refused_with_those_that_there_are(city: RealCity) -> None:
    payload, _ = signed(city, THERE[1], "self-destruct")
    told = said(city, THERE[1], payload, "self-destruct")
    assert (told["state"], told["code"]) == ("rejected", "unknown_command") and "locate" in told["message"]


def test_another_access_points_command_and_one_under_another_name_are_refused(city: RealCity) -> None:
    """Whoever runs the broker can hand a command on: that buys nothing."""
    payload, _ = signed(city, THERE[0])
    assert said(city, THERE[1], payload)["code"] == "wrong_ap"
    payload, _ = signed(city, THERE[1])
    assert said(city, THERE[1], payload, "scan")["code"] == "malformed"


def test_a_rebooted_one_is_asked_again_after_its_next_report(city: RealCity) -> None:
    """Its boot is another one then; until `serve` has heard it, nothing is signed for it."""
    before = boot(city, THERE[0])
    assert command(city, "reboot", "--delay-s", "0")[THERE[0]]["state"] == "succeeded"
    until(lambda: boot(city, THERE[0]) != before, "its first report", 40, 0.2)

    assert command(city, "locate", "--seconds", "1")[THERE[0]]["state"] == "succeeded"


def test_a_broker_that_begins_anew_midway_costs_no_result(city: RealCity) -> None:
    """Its end is no end of the command: what nobody heard is asked again, and told again."""
    words = [sys.executable, "-m", "fleet.cli", "--dir", str(city.folder), "command", "scan", "--to", THERE[1], "--json", "--timeout", "90"]
    with subprocess.Popen(words, env=city.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        assert json.loads(asking.stdout.readline())["event"] == "sent"
        broker[-1].kill()
        broker.append(city.broker())
        lines = [json.loads(line) for line in asking.stdout]
    assert lines[-1] == {"event": "summary", "states": {"succeeded": 1}}, lines
    assert asking.returncode == 0


def test_an_agent_that_began_anew_says_how_that_ended_and_does_nothing_that_is_retained(city: RealCity) -> None:
    """What a broker keeps comes with each connection: it is refused, and was done once."""
    before = boot(city, THERE[1])
    payload, own_id = signed(city, THERE[1])
    topic = f"{topics.root(NAME, THERE[1])}/{topics.command('locate')}"
    with city.operator() as operator:
        operator.subscribe(f"{topic}/result")
        operator.publish(topic, payload, retain=True)

        def told(code: str | None) -> bool:
            heard = [json.loads(each.payload) for each in operator.heard]
            return any(one["state"] in ENDINGS and one.get("code") == code and one.get("id", own_id) == own_id for one in heard)

        until(lambda: told(None), "the one that came while it was there", 40)
        assert command(city, "restart-agent", to=THERE[1])[THERE[1]]["state"] == "succeeded"
        until(lambda: told("retained"), "the refusal of what the broker kept", 40)
        operator.publish(topic, b"", retain=True)
    assert boot(city, THERE[1]) == before
