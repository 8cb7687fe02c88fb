"""What an access point's credentials open: its own topics, and nothing of another's.

Claimed by delivery: a refused SUBSCRIBE is answered "granted" all the same.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.wire import topics
from agent.wire.topics import Topic
from fleet.authority import Authority, Issued
from tests import pki
from tests.stories.points import PATIENCE_S, V3, V5, Denied, Files, Point, Will, context_of, denied, resumed, version
from tests.stories.rwctl_city import HOST, NAME, Program, RealCity, make_city, topic
from tests.stories.world import until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
THIEF, VICTIM, LEAVER = "rw-0501", "rw-0502", "rw-0503"
WITHIN_S = 5.0
UP = [row for row in topics.TOPICS if row.direction != "down"]
# What an access point has to hear of its own: all that comes down, its echo, its presence (a late will) and what it reported (the confirm of a push).
HEARS = [row for row in topics.TOPICS if row.direction != "up"] + [row for row in topics.TOPICS if row.name in (topics.PRESENCE, topics.CONFIG_REPORTED)]
OTHER_ROOTS = (f"wifi/v1/surabaya/{VICTIM}", f"wifi/v1/surabaya/{THIEF}", f"wifi/v1/{NAME}/_ingest", f"wifi/v2/{NAME}/{VICTIM}", f"wifi/v1/{NAME}")

every_topic = pytest.mark.parametrize("row", topics.TOPICS, ids=lambda row: row.name)
every_protocol = pytest.mark.parametrize("protocol", (V3, V5), ids=version)
every_id = pytest.mark.parametrize("client_id", (THIEF, VICTIM), ids=("own-id", "others-id"))
_numbers = itertools.count(1)


class Stage(NamedTuple):
    """One city for all of it, with those who see what got through: the operator, the ingester's credentials, and the victim."""

    city: RealCity
    broker: Program
    operator: Point
    ingester: Point
    victim: Point

    def say(self, row: Topic, ap: str, payload: bytes) -> None:
        """Publish on one of an access point's topics as the one who may: its own client upwards, the city downwards."""
        who = self.victim if row.direction != "down" else self.ingester if row.name == topics.ACK else self.operator
        who.publish(topic(ap, row.name), payload, retain=row.retained, qos=row.qos)

    def settle(self) -> None:
        """Wait until both who look have heard all that the broker had let through by now."""
        mark = fresh("settled")
        self.operator.publish(topic(VICTIM, "command/settle"), mark)
        self.victim.wait(topic(VICTIM, "command/settle"), mark)
        self.operator.wait(topic(VICTIM, "command/settle"), mark)

    def seen(self) -> set[bytes]:
        """Give every payload that got to somebody else than the thief."""
        self.settle()
        return self.operator.payloads() | self.victim.payloads()

    def retained(self, full: str) -> set[bytes]:
        """Give what lies retained on a topic, as a newcomer gets it."""
        with self.city.operator() as newcomer:
            newcomer.subscribe(full, topic(VICTIM, "command/newcomer"))
            mark = fresh("newcomer")
            newcomer.publish(topic(VICTIM, "command/newcomer"), mark)
            newcomer.wait(topic(VICTIM, "command/newcomer"), mark)
            return {each.payload for each in newcomer.heard if each.topic == full and each.is_retained}


def fresh(word: str) -> bytes:
    """Make a payload that was never there before."""
    return f"{word}-{os.getpid()}-{next(_numbers)}-{os.urandom(6).hex()}".encode()


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    """Make a city in which an operator and the ingester hear everything, and the victim what is its own."""
    with make_city(THIEF, VICTIM, LEAVER) as city:
        broker = city.broker()
        with city.operator() as operator, city.operator("_ingest") as ingester, city.point(VICTIM) as victim:
            operator.subscribe("#")
            victim.subscribe(f"{topics.root(NAME, VICTIM)}/#")
            yield Stage(city, broker, operator, ingester, victim)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with staged() as made:
        yield made


# Another's topics.


@every_id
@every_protocol
@every_topic
def test_nothing_published_to_another_arrives(stage: Stage, row: Topic, protocol: int, client_id: str) -> None:
    """Neither who looks sees it, nor does it lie there retained; what the same client says of itself just after is seen."""
    stolen, own = fresh("stolen"), fresh("own")
    with stage.city.point(THIEF, protocol=protocol, client_id=client_id) as thief:
        for qos, retain in ((1, True), (0, False), (1, False)):
            thief.publish(topic(VICTIM, row.name), stolen, qos=qos, retain=retain)
        thief.publish(topic(THIEF, topics.EVENT), own)
        stage.operator.wait(topic(THIEF, topics.EVENT), own)
    assert stolen not in stage.seen()
    assert stolen not in stage.retained(topic(VICTIM, row.name))


@every_id
@every_protocol
@every_topic
def test_nothing_of_another_is_received(stage: Stage, row: Topic, protocol: int, client_id: str) -> None:
    """By no filter: exact, with wildcards, shared, of the whole tree; while the one it is for, or the operator, hears it."""
    before, after, mark = fresh("before"), fresh("after"), fresh("mark")
    full, root = topic(VICTIM, row.name), topics.root(NAME, VICTIM)
    filters = (
        full,
        "#",
        "+/#",
        "+/+/+/+/#",
        "+",
        f"{root}/#",
        f"{root}/+",
        f"wifi/v1/{NAME}/+/{row.name.split('/')[0]}/#",
        "$SYS/#",
        "$share/g/#",
        f"$share/g/{full}",
    )
    filters += (f"$share/h/{root}/#", f"$share/{VICTIM}/wifi/#", *(f"{other}/#" for other in OTHER_ROOTS))
    stage.say(row, VICTIM, before)
    with stage.city.point(THIEF, protocol=protocol, client_id=client_id) as thief:
        thief.subscribe(*filters)
        stage.say(row, VICTIM, after)
        stage.operator.wait(full, after)
        if row in HEARS:
            stage.victim.wait(full, after)
        stage.operator.publish(topic(THIEF, "command/mark"), mark)
        thief.wait(topic(THIEF, "command/mark"), mark)
        assert not thief.payloads() & {before, after}
        assert all(each.topic.startswith(f"{topics.root(NAME, THIEF)}/") for each in thief.heard), thief.heard


@pytest.mark.parametrize("retain", (False, True), ids=("plain", "retained"))
@every_protocol
@every_topic
def test_a_will_on_anothers_topic_is_not_said(stage: Stage, row: Topic, protocol: int, retain: bool) -> None:
    """A connection that ends without a goodbye says nothing on another's topic; one whose will is on its own does."""
    stolen, own = fresh("will"), fresh("own-will")
    for full, will in ((topic(VICTIM, row.name), stolen), (topic(THIEF, topics.PRESENCE), own)):
        point = stage.city.point(THIEF, protocol=protocol, will=Will(full, will, retain))
        if full.startswith(topics.root(NAME, VICTIM)):
            # A broker may also refuse a connection with such a will.
            try:
                point.connect()
            except Denied:
                continue
        else:
            point.connect()
        point.drop()
    # The second's end is known to the broker after the first's: both are of one client id.
    stage.operator.wait(topic(THIEF, topics.PRESENCE), own)
    assert stolen not in stage.seen()
    assert stolen not in stage.retained(topic(VICTIM, row.name))


@every_protocol
def test_what_is_retained_of_another_cannot_be_cleared(stage: Stage, protocol: int) -> None:
    """An empty retained message clears only its own topics."""
    rows = [row for row in topics.TOPICS if row.retained]
    kept = {row: fresh("kept") for row in rows}
    own, mark = fresh("own"), fresh("mark")
    for row, payload in kept.items():
        stage.say(row, VICTIM, payload)
    with stage.city.point(THIEF, protocol=protocol) as thief:
        for row in rows:
            thief.publish(topic(VICTIM, row.name), b"", retain=True)
        thief.publish(topic(THIEF, topics.INFO), own, retain=True)
        thief.publish(topic(THIEF, topics.EVENT), mark)
        stage.operator.wait(topic(THIEF, topics.EVENT), mark)
        assert stage.retained(topic(THIEF, topics.INFO)) == {own}
        thief.publish(topic(THIEF, topics.INFO), b"", retain=True)
        thief.publish(topic(THIEF, topics.EVENT), mark + b"2")
        stage.operator.wait(topic(THIEF, topics.EVENT), mark + b"2")
    assert stage.retained(topic(THIEF, topics.INFO)) == set()
    for row, payload in kept.items():
        assert stage.retained(topic(VICTIM, row.name)) == {payload}


@every_protocol
def test_what_was_refused_is_not_kept_by_the_broker(stage: Stage, protocol: int) -> None:
    """Nothing that was published outside of its own topics lies in the broker's own file: another's, another city's, the city's clients', $SYS, $CONTROL."""
    stolen, own = fresh("kept-stolen"), fresh("kept-own")
    with stage.city.point(THIEF, protocol=protocol) as thief:
        for row in topics.TOPICS:
            thief.publish(topic(VICTIM, row.name), stolen, retain=True)
        for full in (
            *OTHER_ROOTS,
            *(f"{root}/report" for root in OTHER_ROOTS),
            topics.root(NAME, THIEF),
            "elsewhere",
            "$SYS/broker/clients",
            "$CONTROL/dynamic-security/v1",
        ):
            if thief.is_connected:
                thief.publish(full, stolen, retain=True)
        assert thief.is_connected
        thief.publish(topic(THIEF, topics.INFO), own, retain=True)
    file = stage.city.folder / "broker/data/mosquitto.db"
    os.kill(mosquitto_pid(stage), signal.SIGUSR1)
    until(lambda: file.exists() and own in file.read_bytes(), "the broker writes what it keeps", PATIENCE_S)
    assert stolen not in file.read_bytes()


def mosquitto_pid(stage: Stage) -> int:
    """Give the pid of the city's mosquitto, as its own file says."""
    return int((stage.city.folder / "broker/mosquitto.pid").read_text())


# Its own.


@every_protocol
@pytest.mark.parametrize("row", UP, ids=lambda row: row.name)
def test_its_own_topics_go_up(stage: Stage, row: Topic, protocol: int) -> None:
    """Everything that the contract sends up is heard in the city, and retained where it is to be."""
    payload = fresh("up")
    with stage.city.point(THIEF, protocol=protocol) as point:
        point.publish(topic(THIEF, row.name), payload, retain=row.retained, qos=row.qos)
        stage.operator.wait(topic(THIEF, row.name), payload)
    assert stage.retained(topic(THIEF, row.name)) == ({payload} if row.retained else set())


@every_protocol
@pytest.mark.parametrize("row", HEARS, ids=lambda row: row.name)
def test_its_own_topics_come_down(stage: Stage, row: Topic, protocol: int) -> None:
    """It hears what the city sends to it, its echo, its presence and what it reported of its config."""
    payload = fresh("down")
    with stage.city.point(THIEF, protocol=protocol) as point:
        point.subscribe(topic(THIEF, row.name))
        sender = point if row.direction != "down" else stage.ingester if row.name == topics.ACK else stage.operator
        sender.publish(topic(THIEF, row.name), payload, retain=row.retained, qos=row.qos)
        point.wait(topic(THIEF, row.name), payload)


@pytest.mark.parametrize("row", [row for row in topics.TOPICS if row.direction == "down"], ids=lambda row: row.name)
def test_what_comes_down_only_the_city_says(stage: Stage, row: Topic) -> None:
    """An access point cannot leave itself a push or an ack that the city never sent."""
    forged, mark = fresh("forged"), fresh("mark")
    with stage.city.point(THIEF) as point:
        point.subscribe(topic(THIEF, row.name))
        point.publish(topic(THIEF, row.name), forged, retain=True)
        point.publish(topic(THIEF, topics.EVENT), mark)
        stage.operator.wait(topic(THIEF, topics.EVENT), mark)
        assert forged not in point.payloads() | stage.seen()
    assert forged not in stage.retained(topic(THIEF, row.name))


@pytest.mark.parametrize("name", ("_ingest", "_rwctl"))
def test_the_citys_clients_say_only_what_is_theirs(stage: Stage, name: str) -> None:
    """The ingester acknowledges and the operator pushes; neither can speak as an access point, nor one do the other's work."""
    client = {"_ingest": stage.ingester, "_rwctl": stage.operator}[name]
    for row in topics.TOPICS:
        payload, mark = fresh("city"), fresh("mark")
        is_theirs = row.direction == "down" and (row.name == topics.ACK) == (name == "_ingest")
        client.publish(topic(VICTIM, row.name), payload, qos=1)
        client.publish(topic(VICTIM, topics.ACK if name == "_ingest" else "command/mark"), mark)
        stage.operator.wait(topic(VICTIM, topics.ACK if name == "_ingest" else "command/mark"), mark)
        assert (payload in stage.operator.payloads()) == is_theirs, row.name


# Another's id.


@every_protocol
def test_using_anothers_id_leaves_it_connected(stage: Stage, protocol: int) -> None:
    """The broker goes by the certificate: whoever calls itself by another's id ends nobody's connection, and is known by its own."""
    mark = fresh("still-here")
    for _ in range(3):
        stage.city.point(THIEF, protocol=protocol, client_id=VICTIM).connect().drop()
    with stage.city.point(THIEF, protocol=protocol, client_id=VICTIM, user=VICTIM) as thief:
        thief.publish(topic(THIEF, topics.EVENT), mark)
        stage.operator.wait(topic(THIEF, topics.EVENT), mark)
        stage.settle()
        assert stage.victim.is_connected


@every_protocol
def test_anothers_queue_is_neither_taken_nor_emptied(stage: Stage, protocol: int) -> None:
    """What waits for an access point that is away is still there after another came by under its id, with a clean start and without."""
    waiting = fresh("waiting")
    full = topic(LEAVER, topics.CONFIG_PLAN)
    stage.city.point(LEAVER, clean=False).connect().subscribe(full).leave()
    stage.operator.publish(full, waiting)
    for clean in (False, True, False):
        with stage.city.point(THIEF, protocol=protocol, client_id=LEAVER, clean=clean) as thief:
            thief.subscribe(full)
            assert waiting not in thief.payloads()
    with stage.city.point(LEAVER, clean=False) as owner:
        owner.wait(full, waiting)
    stage.city.point(LEAVER, clean=True).connect().leave()
    stage.city.point(THIEF, clean=True).connect().leave()


@every_protocol
@pytest.mark.parametrize("user", (VICTIM, "_rwctl", "_ingest"))
def test_a_user_name_does_not_count(stage: Stage, user: str, protocol: int) -> None:
    """Whatever stands as user name in CONNECT: the certificate is who it is."""
    stolen, own = fresh("user"), fresh("own")
    with stage.city.point(THIEF, protocol=protocol, user=user, client_id=user) as thief:
        for full in (topic(VICTIM, topics.REPORT), topic(VICTIM, topics.ACK), topic(VICTIM, topics.CONFIG_DESIRED)):
            thief.publish(full, stolen)
        thief.publish(topic(THIEF, topics.EVENT), own)
        stage.operator.wait(topic(THIEF, topics.EVENT), own)
    assert stolen not in stage.seen()


# The doors.


def test_an_access_points_certificate_opens_nothing_on_the_citys_listener(stage: Stage) -> None:
    """The listener of the city's own clients has another authority: TLS itself turns an access point away, and lets the operator in."""
    for client_id in (THIEF, "_rwctl", ""):
        print(denied(Point(HOST, stage.city.city_port, context_of(stage.city.files(THIEF)), client_id)))
    stage.city.operator().connect().leave()


@pytest.mark.parametrize("name", ("_ingest", "_rwctl"))
def test_the_citys_certificates_open_nothing_on_the_access_points_listener(stage: Stage, name: str) -> None:
    """A name such as `_rwctl` does not exist where access points connect."""
    print(denied(Point(HOST, stage.city.port, context_of(stage.city.own(name)), name)))


@pytest.mark.parametrize("door", ("port", "city_port"))
def test_nobody_gets_in_without_a_certificate_of_the_city(stage: Stage, door: str, tmp_path: Path) -> None:
    """Plain text, no certificate, one of another authority, one that an access point signed itself with its own: all turned away, on both listeners."""
    port = getattr(stage.city, door)
    ca = stage.city.files(THIEF).ca
    strange = pki.Authority(tmp_path, "strange").client("_rwctl")
    contexts = {
        "plain text": None,
        "no certificate": context_of(None),
        "another authority": context_of(Files(ca, Path(strange.cert), Path(strange.key))),
        "signed by an access point": context_of(signed_by_a_leaf(stage.city.files(THIEF), tmp_path)),
    }
    for what, context in contexts.items():
        for protocol in (V3, V5):
            print(what, denied(Point(HOST, port, context, VICTIM, protocol=protocol)))


def signed_by_a_leaf(files: Files, folder: Path) -> Files:
    """Make a certificate for the victim's name that an access point's key signed, with that access point's certificate behind it."""
    made = saved(Authority(files.cert.read_bytes(), files.key.read_bytes()).client(VICTIM), files.ca, folder)
    with made.cert.open("ab") as chain:
        chain.write(files.cert.read_bytes())
    return made


def saved(made: Issued, ca: Path, folder: Path) -> Files:
    """Put a certificate and its key where a client finds them."""
    files = Files(ca, folder / f"{made.serial}.pem", folder / f"{made.serial}.key")
    files.cert.write_bytes(made.certificate)
    files.key.write_bytes(made.key)
    return files


# A certificate that is taken back.


@pytest.fixture
def revoking() -> Iterator[Stage]:
    with staged() as made:
        yield made


def test_revoked_is_out_within_five_seconds(revoking: Stage) -> None:
    """The live connection ends, the next is refused, also over a remembered TLS session; everybody else stays; a replacement with the same id works."""
    city = revoking.city
    old = city.files(LEAVER)
    point = city.point(LEAVER, files=old, clean=False).connect()
    contexts = {newest: context_of(old, newest=newest) for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)}
    sessions = {newest: session_of(city, context) for newest, context in contexts.items()}
    point = city.point(LEAVER, files=old, clean=False).connect()
    began = time.monotonic()
    city.rwctl("revoke", LEAVER, "--yes")
    ended = point.wait_ended(WITHIN_S) - began
    reason = denied(city.point(LEAVER, files=old))
    refused = time.monotonic() - began
    print(f"revoked: live connection ended after {ended:.2f} s, the next refused after {refused:.2f} s ({reason})")
    assert max(ended, refused) <= WITHIN_S
    for newest, context in contexts.items():
        is_reused, is_granted, _ = resumed(HOST, city.port, context, sessions[newest], LEAVER)
        print(f"{newest.name}: session offered, taken up {is_reused}, granted {is_granted}")
        assert not is_granted
    revoking.settle()
    assert revoking.victim.is_connected and revoking.operator.is_connected
    replaced(revoking, old)


def replaced(stage: Stage, old: Files) -> None:
    """Claim that a new certificate opens the id again, and the old one still does not."""
    stage.city.rwctl("enroll", LEAVER, "--replace")
    mark = fresh("replacement")
    with stage.city.point(LEAVER) as again:
        again.publish(topic(LEAVER, topics.EVENT), mark)
        stage.operator.wait(topic(LEAVER, topics.EVENT), mark)
        denied(stage.city.point(LEAVER, files=old))
        assert again.is_connected


def session_of(city: RealCity, context: ssl.SSLContext) -> ssl.SSLSession | None:
    """Get a TLS session to take up later, and prove that this broker does take one up where it gives any."""
    _, is_granted, session = resumed(HOST, city.port, context, None, LEAVER)
    assert is_granted
    is_reused, is_granted, again = resumed(HOST, city.port, context, session, LEAVER)
    assert is_granted
    print(f"sessions are taken up: {is_reused}")
    return again or session


def test_a_replacement_ends_what_it_replaces(revoking: Stage) -> None:
    """`enroll --replace` while the old certificate is connected: it is out within 5 s, the new one is in."""
    city = revoking.city
    old = city.files(LEAVER)
    point = city.point(LEAVER, files=old).connect()
    began = time.monotonic()
    city.rwctl("enroll", LEAVER, "--replace")
    took = point.wait_ended(WITHIN_S) - began
    print(f"replaced: the old connection ended after {took:.2f} s")
    assert took <= WITHIN_S
    denied(city.point(LEAVER, files=old))
    city.point(LEAVER).connect().leave()


def test_revoked_stays_out_after_a_restart_of_the_broker(revoking: Stage) -> None:
    """The list of what was taken back outlives the broker's process, and `init` run again."""
    city = revoking.city
    old = city.files(LEAVER)
    city.rwctl("revoke", LEAVER, "--yes")
    revoking.broker.stop()
    city.rwctl("init", str(city.folder), "--name", NAME, with_dir=False)
    city.broker()
    denied(city.point(LEAVER, files=old))
    city.point(THIEF).connect().leave()


# A stranger with a certificate.


def test_a_certificate_without_a_row_is_pending_and_gets_nothing(revoking: Stage) -> None:
    """Signed by the city's own authority and unknown to its inventory: shown as `pending`; no ack, no config; a known one beside it has both."""
    city = revoking.city
    stranger = "rw-0999"
    authority = Authority((city.folder / "ca/ca.pem").read_bytes(), (city.folder / "ca/ca.key").read_bytes())
    files = saved(authority.client(stranger), city.folder / "ca/ca.pem", city.folder.parent)
    serve = city.serve()
    with city.point(stranger, files=files) as unknown, city.point(THIEF) as known:
        for point, name in ((unknown, stranger), (known, THIEF)):
            point.subscribe(f"{topics.root(NAME, name)}/#")
        until(lambda: is_acknowledged(known, unknown, stranger), lambda: serve.log(), 20, 0.2)
        push = city.folder.parent / "push.toml"
        push.write_text('[system]\nhostname = "rw"\n')
        city.rwctl("push", "--to", "city", "--no-wait", str(push))
        until(lambda: any(each.topic.endswith("/config/desired") for each in known.heard), lambda: str(known.heard), 10)
        shown = until(lambda: pending(city), lambda: city.rwctl("status"), 10, 0.2)
        assert [(row["id"], row["state"]) for row in shown] == [(stranger, "pending")]
        assert stranger in city.rwctl("status")
        assert re.search(rf"{stranger}.*pending", city.rwctl("status", "--where", "state=pending"))
        assert not [each for each in unknown.heard if each.topic.rpartition(f"{stranger}/")[2] in ("ack", "config/desired", "config/plan")]
    assert serve.stop() == 0


def pending(city: RealCity) -> list[dict[str, object]]:
    """Give what `rwctl status` shows as pending."""
    found: list[dict[str, object]] = json.loads(city.rwctl("status", "--where", "state=pending", "--json"))["access_points"]
    return found


def is_acknowledged(known: Point, unknown: Point, stranger: str) -> bool:
    """Let both report, and say whether the known one has got an ack by now: before `serve` has subscribed for the first time nobody hears them."""
    seq = next(_numbers)
    unknown.publish(topic(stranger, topics.REPORT), report_of(stranger, seq))
    known.publish(topic(THIEF, topics.REPORT), report_of(THIEF, seq))
    return any(each.topic == topic(THIEF, topics.ACK) for each in known.heard[:])


def report_of(name: str, seq: int) -> bytes:
    """Make the least that is a report."""
    made = {
        "v": 1,
        "ap": name,
        "boot": "b1946ac92492d234",
        "seq": seq,
        "at": int(time.time()),
        "uptime_s": 60.0 * seq,
        "clock": "ntp",
        "span_s": 60,
        "late": False,
    }
    return json.dumps(made).encode()
