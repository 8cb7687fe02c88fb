"""Shutting an access point out of the broker: its certificate is refused from now on, and a connection that it has ends.

A broker looks at its list of revoked certificates only when somebody connects. So a certificate of the same name, good for minutes, takes the connection over
and leaves; nobody with the old certificate comes back, because our broker is seen to refuse a revoked one before that.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from typing import NamedTuple

from agent.wire import schemas, topics
from fleet import authority, guests, mosquitto
from fleet.city import City
from fleet.errors import Refused
from fleet.guests import Guests
from fleet.mqtt import Away

WITHIN_S = 4.0
RETRY_S = 0.05
# What an access point leaves on the broker, and nobody else may clear.
LEFT_BEHIND = tuple(
    topic.name.replace("<code>", code)
    for topic in topics.TOPICS
    if topic.retained and topic.direction == "up"
    for code in (schemas.ALERT_CODES if "<code>" in topic.name else ("",))
)


class Outcome(NamedTuple):
    """What became of it: `is_out` when nothing with the revoked certificates is connected any more; `text` says it, and what is left to do."""

    is_out: bool
    text: str


def shut_out(city: City, ap: str, serials: Iterable[str], within_s: float = WITHIN_S, *, is_for_good: bool = False) -> Outcome:
    """Revoke an access point's certificates and end its connection. Refused when our broker runs and does not take the new list.

    `is_for_good`: nobody takes its place, so what it left on the broker (presence, alerts …) goes too.
    """
    deadline = time.monotonic() + within_s
    serials, before = set(serials), authority.listed(city)
    authority.revoke(city, serials)
    with Guests(city) as visiting:
        if not city.broker.is_own:
            return _at_a_foreign_broker(city, visiting, ap, serials <= before, is_for_good)
        # Told before the next line, so that a broker that refuses this one refuses the others too.
        canary = guests.name("revoked")
        authority.revoke(city, [visiting.invite(canary).serial], is_brief=True)
        if not mosquitto.reload(city):
            return Outcome(True, "the broker does not run; it refuses the certificate as soon as it does")
        _wait_refused(visiting, canary, deadline)
        _take_over(visiting, ap, is_for_good)
    return Outcome(True, "the broker refuses the certificate, and no connection with it is left")


def _at_a_foreign_broker(city: City, visiting: Guests, ap: str, was_listed: bool, is_for_good: bool) -> Outcome:
    """End the connection. Whether the next is refused is in another's hands: the first time there is something to do, the second it is believed to be done."""
    file = city.ca / "crl.pem"
    remedy = f"give {file} to the broker as its list of revoked certificates and have it read that again, then repeat this"
    try:
        _take_over(visiting, ap, is_for_good)
    except Refused as error:
        return Outcome(False, f"its connection could not be ended ({error}); {remedy}")
    if was_listed:
        return Outcome(True, f"its connection was ended; the broker refuses the next if it has read {file} since the first time")
    return Outcome(False, f"its connection was ended, but it may come back: {remedy}")


def _wait_refused(visiting: Guests, cn: str, deadline: float) -> None:
    while _is_let_in(visiting, cn):
        if time.monotonic() > deadline:
            raise Refused("the broker still lets a revoked certificate in; the list is written, start the broker anew:  rwctl broker run")
        select.select([], [], [], RETRY_S)


def _is_let_in(visiting: Guests, cn: str) -> bool:
    client = visiting.client(cn)
    try:
        client.start(WITHIN_S)
    except Away:
        raise
    except Refused:
        return False
    client.close()
    return True


def _take_over(visiting: Guests, ap: str, is_for_good: bool) -> None:
    visiting.invite(ap)
    client = visiting.client(ap)
    client.start(WITHIN_S)
    if is_for_good:
        root = topics.root(visiting.city.name, ap)
        client.wait_published([client.publish(f"{root}/{name}", b"", retain=True) for name in LEFT_BEHIND], WITHIN_S)
    client.close()
