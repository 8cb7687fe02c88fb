"""Revocation with a real broker: a live connection ends, the next is refused, and what was retained for it is gone."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.wire import bundle as form
from fleet import audit, authority, bundle, enrolling, inventory, revoking, store
from fleet.city import OPERATOR, City
from fleet.errors import BadInput, Refused
from fleet.mqtt import Away, Client
from tests.bundles import ROW
from tests.fleet.broker_city import BrokerCity, founded

IDS = ("rw-0501", "rw-0502", "rw-0503")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCity]:
    """A city with three access points and its broker."""
    at = founded(tmp_path_factory.mktemp("revoking") / "malang")
    enroll(at)
    with BrokerCity(at) as broker:
        yield broker


def enroll(at: City, *ids: str, is_replace: bool = False) -> None:
    with contextlib.closing(store.open_city(at)) as connection:
        rows = [(0, ROW._replace(id=ap)) for ap in ids or IDS]
        chosen, faults = enrolling.plan(inventory.known(connection), rows, is_replace)
        assert faults == []
        assert enrolling.take_back(at, connection, enrolling.carry_out(at, connection, chosen).replaced) == []


def revoke(at: City, ap: str) -> revoking.Revoked:
    with contextlib.closing(store.open_city(at)) as connection:
        return revoking.revoke(at, connection, ap)


Content = dict[str, bytes]


def content_of(at: City, ap: str) -> Content:
    found = bundle.read(bundle.path_of(at, ap))
    assert found is not None
    return found


@contextlib.contextmanager
def being(running: BrokerCity, ap: str, content: Content) -> Iterator[Client]:
    """Be the access point, with the certificate and key of a bundle; not yet connected."""
    with running.guests() as guests:
        for name, kind in ((form.CERTIFICATE, "pem"), (form.KEY, "key")):
            (guests.city.clients / f"{ap}.{kind}").write_bytes(content[name])
        client = guests.client(ap)
        try:
            yield client
        finally:
            client.close()


def is_refused(running: BrokerCity, ap: str, content: Content) -> bool:
    """Say whether TLS refuses the certificate; any other reason is a fault."""
    with being(running, ap, content) as client:
        try:
            client.start(5)
        except Away:
            raise
        except Refused:
            return True
    return False


def until(is_so: Callable[[], bool], seconds: float = 5.0) -> float:
    """Wait until a claim is true; give how long it took."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds
        select.select([], [], [], 0.02)
    return time.monotonic() - began


@pytest.mark.needs("mosquitto")
def test_a_live_connection_ends_and_the_next_is_refused_within_five_seconds(running: BrokerCity) -> None:
    """The others stay; a replacement of the same id gets in, the old one never again."""
    old, others = (content_of(running.city, ap) for ap in ("rw-0501", "rw-0502"))
    with being(running, "rw-0501", old) as client, being(running, "rw-0502", others) as other:
        client.start(5)
        other.start(5)
        done = revoke(running.city, "rw-0501")
        assert done.is_out and done.left == "" and done.took_s < 5 and done.certificates == 1
        until(lambda: not client.is_connected)
        assert other.connects == 1 and other.is_connected
    assert is_refused(running, "rw-0501", old)
    enroll(running.city, "rw-0501", is_replace=True)
    with being(running, "rw-0501", content_of(running.city, "rw-0501")) as new:
        new.start(5)
        assert is_refused(running, "rw-0501", old)
        assert new.is_connected and new.connects == 1


@pytest.mark.needs("mosquitto")
def test_what_waits_for_it_on_the_broker_is_cleared(running: BrokerCity) -> None:
    """Its own config only."""
    topics = {ap: f"wifi/v1/malang/{ap}/config/desired" for ap in ("rw-0502", "rw-0503")}
    city = Client(running.city, OPERATOR)
    city.start(5)
    try:
        assert not city.wait_published([city.publish(topic, b"signed", retain=True) for topic in topics.values()], 5)
        assert revoke(running.city, "rw-0503").left == ""
        city.subscribe(topics.values())
        heard = {one.topic for _ in range(10) for one in city.messages(10, 0.1)}
        assert heard == {topics["rw-0502"]}
    finally:
        city.close()


@pytest.mark.needs("mosquitto")
def test_nothing_that_it_said_is_left_on_the_broker(running: BrokerCity) -> None:
    """Else the next `rwctl serve` would hear a revoked access point as if it were there. The others' stays."""
    root = "wifi/v1/malang/rw-"
    said = [f"{root}{number}/{name}" for number in ("0501", "0502") for name in ("presence", "info", "alert/flash-full", "config/reported")]
    enroll(running.city, "rw-0501", is_replace=True)
    for ap in ("rw-0501", "rw-0502"):
        with being(running, ap, content_of(running.city, ap)) as client:
            client.start(5)
            assert not client.wait_published([client.publish(topic, b"{}", retain=True) for topic in said if ap in topic], 5)
    revoke(running.city, "rw-0501")
    city = Client(running.city, OPERATOR)
    city.start(5)
    try:
        city.subscribe(said)
        assert {one.topic for _ in range(10) for one in city.messages(10, 0.1)} == {topic for topic in said if "rw-0502" in topic}
    finally:
        city.close()


@pytest.mark.needs("mosquitto")
def test_one_certificate_is_refused_and_another_of_the_same_id_is_not(running: BrokerCity) -> None:
    """By its file: the row stays as it is."""
    enroll(running.city, "rw-0501", is_replace=True)
    old = content_of(running.city, "rw-0501")
    bundle.path_of(running.city, "rw-0501").unlink()
    enroll(running.city, "rw-0501")
    with contextlib.closing(store.open_city(running.city)) as connection:
        done = revoking.revoke_one(running.city, connection, old[form.CERTIFICATE])
        assert (done.ap, done.certificates, done.is_out) == ("rw-0501", 1, True)
        assert inventory.known(connection)["rw-0501"].revoked_at is None
    assert is_refused(running, "rw-0501", old) and not is_refused(running, "rw-0501", content_of(running.city, "rw-0501"))


@pytest.mark.needs("mosquitto")
def test_again_it_does_what_is_left_and_says_since_when(running: BrokerCity) -> None:
    """Idempotent: no further entry in the audit log, the first moment stays; the bundle is gone."""
    enroll(running.city, "rw-0503", is_replace=True)
    first = revoke(running.city, "rw-0503")
    lines = running.city.audit.read_bytes()
    again = revoke(running.city, "rw-0503")
    assert again[:4] == first[:4] and running.city.audit.read_bytes() == lines
    assert not bundle.path_of(running.city, "rw-0503").exists()


def test_without_a_broker_it_is_revoked_all_the_same(tmp_path: Path) -> None:
    """The list is written; what could not be cleared is told, with what to do."""
    at = founded(tmp_path / "malang")
    enroll(at)
    with contextlib.closing(store.open_city(at)) as connection:
        (serial,) = connection.execute("SELECT serial FROM certificates WHERE ap = 'rw-0501'").fetchone()
        done = revoke(at, "rw-0501")
        assert inventory.known(connection)["rw-0501"].revoked_at == done.since
    assert done.is_out and "does not run" in done.broker and "run the same again when the broker can be reached" in done.left
    assert serial in authority.revoked((at.broker_folder / "crl.pem").read_bytes())


def test_a_certificate_that_only_the_audit_log_knows_is_refused_too(tmp_path: Path) -> None:
    """A store that was lost, or is older: without a row (status says pending), and with one."""
    at = founded(tmp_path / "malang")
    enroll(at)
    with contextlib.closing(store.open_city(at)) as connection:
        serials = dict(connection.execute("SELECT ap, serial FROM certificates"))
        connection.execute("DELETE FROM certificates")
        connection.execute("INSERT INTO certificates (serial, ap, made_at, expires_at) VALUES (?, 'rw-0502', 5, 6)", ("7b" * 16,))
        connection.execute("DELETE FROM inventory WHERE id = 'rw-0501'")
        lines = audit.verify(at).lines
        for ap, count in (("rw-0501", 1), ("rw-0502", 2), ("rw-0501", 1)):
            assert revoking.revoke(at, connection, ap).certificates == count
    refused = authority.revoked((at.ca / "crl.pem").read_bytes())
    assert {serials["rw-0501"], serials["rw-0502"]} <= refused and serials["rw-0503"] not in refused
    assert audit.verify(at).lines == lines + 2


def test_what_is_no_access_points_certificate_is_told(tmp_path: Path) -> None:
    """Another city's, the broker's own, and what is none at all."""
    at, other = founded(tmp_path / "malang"), founded(tmp_path / "other")
    enroll(other)
    with contextlib.closing(store.open_city(at)) as connection:
        for certificate in (content_of(other, "rw-0501")[form.CERTIFICATE], (at.broker_folder / "server.pem").read_bytes(), b"no certificate"):
            with pytest.raises(BadInput, match=r"expected an access point's client.pem"):
                revoking.revoke_one(at, connection, certificate)


def test_an_unknown_id_is_told_with_close_ones(tmp_path: Path) -> None:
    """Nothing is written."""
    at = founded(tmp_path / "malang")
    enroll(at)
    before = (at.ca / "crl.pem").read_bytes()
    with pytest.raises(BadInput, match=r"'rw-501' is not enrolled; did you mean rw-0501.*--certificate FILE"):
        revoke(at, "rw-501")
    assert (at.ca / "crl.pem").read_bytes() == before
