"""What fleet/broker_check.py promises: a good broker passes, each fault of a bad one is found by what is delivered, and nothing is left behind."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import authority, broker_check
from fleet.broker_check import Finding
from fleet.city import OPERATOR, City
from fleet.errors import Refused
from fleet.guests import Guests
from fleet.mqtt import Away, Client
from tests.fleet.broker_city import BrokerCity, founded

pytestmark = pytest.mark.needs("mosquitto")

FEW = 1100  # beyond mosquitto's own limit of 1000 and the 20 in flight


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCity]:
    """A broker whose configuration a test may change."""
    broker = BrokerCity(founded(tmp_path_factory.mktemp("city") / "malang"))
    with broker:
        yield broker


@contextlib.contextmanager
def foreign(running: BrokerCity, *changes: tuple[str, str], acl: tuple[str, str] | None = None) -> Iterator[City]:
    """Run the broker on our configuration with some lines changed, as somebody else's."""
    folder = running.city.broker_folder
    text, rules = (folder / "mosquitto.conf").read_text(), (folder / "acl").read_text()
    for line, instead in changes:
        assert re.search(line, text, flags=re.M), line
        text = re.sub(line, instead, text, count=1, flags=re.M)
    if acl is not None:
        assert acl[0] in rules
        (folder / "acl").write_text(rules.replace(*acl))
    running.stop()
    running.start(text)
    try:
        yield running.city._replace(broker=running.city.broker._replace(is_own=False))
    finally:
        running.stop()
        (folder / "acl").write_text(rules)
        running.start()


def wrong(city: City, messages: int = 30) -> Finding:
    """The first thing that is not as it must be; the rest is not tried."""
    findings = broker_check.check(city, messages=messages, wait_s=2.0)
    with contextlib.closing(findings):  # type: ignore[type-var]  # a generator
        return next(finding for finding in findings if not finding.is_good)


def test_our_own_broker_passes_and_nothing_is_left(running: BrokerCity) -> None:
    """All of it; then no message is retained, and no certificate of it is valid."""
    progress: list[int] = []
    crl = running.city.broker_folder / "crl.pem"
    before = authority.revoked(crl.read_bytes())
    findings = list(broker_check.check(running.city, messages=FEW, progress=lambda done, of: progress.append(done * 100 // of)))
    assert [finding for finding in findings if not finding.is_good] == []
    assert {"another's topics, with its client id, MQTT 5", "retained messages", "a revoked certificate"} <= {finding.what for finding in findings}
    assert progress == sorted(progress) and progress[-1] == 100
    client = Client(running.city, OPERATOR)
    client.start()
    client.subscribe(["wifi/v1/malang/#"])
    client.publish("wifi/v1/malang/fence/config/plan", b"end")
    assert [heard.payload for heard in client.messages(100, 5)] == [b"end"]
    client.close()
    assert len(authority.revoked(crl.read_bytes()) - before) == 2


def test_a_check_that_is_broken_off_leaves_no_session(running: BrokerCity) -> None:
    """Else all that waits in it would stay in the broker's memory for weeks."""

    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(broker_check.check(running.city, messages=FEW, progress=interrupt))
    absent = re.findall(r"as (rwctl-check-\S+) \(p2, c0, k30, u'_rwctl'\)", running.log())[-1]
    assert re.search(rf"as {absent} \(p2, c1, k30, u'_rwctl'\)", running.log())


def test_what_the_city_hears_meanwhile_does_not_fill_its_connection(running: BrokerCity) -> None:
    """One that is full answers no more, and what was retained could not be cleared: with the default of 72,000 messages it was not."""
    with Guests(running.city) as visiting, contextlib.ExitStack() as stack:
        trial = broker_check._Trial(running.city, visiting, stack, FEW, lambda _done, _of: None, 5.0)
        assert all(finding.is_good for finding in trial.findings())
        assert trial._operator.waiting() < FEW


def test_a_queue_that_is_too_short_is_found(running: BrokerCity) -> None:
    """mosquitto's own: more is published than it keeps, all of it acknowledged; the number that came is told."""
    with foreign(running, ("^max_queued_messages .*", ""), ("^max_inflight_messages .*", "")) as city:
        finding = wrong(city, FEW)
    assert finding.what == "messages that wait for an absent ingester" and finding.needed == str(FEW)
    came = re.fullmatch(r"(\d+) came, (\d+) were lost", finding.found)
    assert came is not None and int(came[1]) + int(came[2]) == FEW and 900 < int(came[1]) < FEW
    assert f"max_queued_messages {FEW}" in finding.remedy


def test_access_to_anothers_topics_is_found_both_ways(running: BrokerCity) -> None:
    """Though every SUBSCRIBE is granted by a good broker too: what counts is what was delivered."""
    with foreign(running, acl=("pattern write     wifi/v1/malang/%u/event", "pattern readwrite wifi/v1/malang/+/event")) as city:
        finding = wrong(city)
    assert (finding.what, finding.found) == ("another's topics, own client id, MQTT 3.1.1", "published: event; heard: event")


def test_a_topic_that_is_missing_is_named(running: BrokerCity) -> None:
    """One that the access list forgot."""
    with foreign(running, acl=("pattern write     wifi/v1/malang/%u/sla\n", "")) as city:
        finding = wrong(city)
    assert (finding.what, finding.found) == ("its own topics", "13 of 14 topics arrive, not: sla")


def test_a_client_id_that_anybody_may_choose_is_found(running: BrokerCity) -> None:
    """Whoever takes another's ends its connection."""
    with foreign(running, ("^use_username_as_clientid true", "")) as city:
        finding = wrong(city)
    assert finding.what == "another's topics, with its client id, MQTT 3.1.1" and "the other's connection was ended" in finding.found


def test_an_open_door_is_found(running: BrokerCity) -> None:
    """A broker that lets in whoever has no certificate."""
    options = ("require_certificate", "use_identity_as_username", "use_username_as_clientid")
    changes = (("^allow_anonymous false", "allow_anonymous true"), *((f"^{option} true", f"{option} false") for option in options))
    with foreign(running, *changes) as city:
        finding = wrong(city)
    assert (finding.what, finding.found, finding.needed) == ("without a certificate", "let in", "refused")


def test_a_listener_for_all_is_found(running: BrokerCity) -> None:
    """The city's own must not take what an access point has."""
    folder = running.city.broker_folder
    (folder / "both.pem").write_bytes((folder / "ca.pem").read_bytes() + (folder / "operators.pem").read_bytes())
    (folder / "both.pem").chmod(0o644)
    with foreign(running, ("^cafile operators.pem", "cafile both.pem")) as city:
        assert wrong(city).what == "an access point at the city's listener"


@pytest.mark.parametrize(
    ("change", "what", "found"),
    [
        (("^max_packet_size .*", "max_packet_size 100000"), "a packet of 128 KiB", "does not pass up and down"),
        (("^max_inflight_messages .*", "max_inflight_messages 10"), "messages in flight", "10"),
        (("^persistence true", "retain_available false"), "retained messages", "not kept"),
    ],
)
def test_a_limit_that_is_too_small_is_found(change: tuple[str, str], what: str, found: str, running: BrokerCity) -> None:
    """With what was found."""
    with foreign(running, change) as city:
        finding = wrong(city)
    assert (finding.what, finding.found) == (what, found)


def test_a_broker_that_does_not_run_is_told(tmp_path: Path) -> None:
    """With the command that starts it."""
    with pytest.raises(Away, match=r"no broker is there; start it:  rwctl --dir \S+/malang broker run"):
        list(broker_check.check(founded(tmp_path / "malang")))


def test_a_broker_that_does_not_know_the_city_is_told(running: BrokerCity) -> None:
    """Its own clients are refused: nothing can be tried."""
    stranger = founded(running.city.folder.parent / "stranger", port=running.city.broker.port, city_port=running.city.broker.city_port)
    with pytest.raises(Refused, match="certificate"):
        list(broker_check.check(stranger))
