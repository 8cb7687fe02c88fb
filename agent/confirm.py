"""Whether what a push put in place may stay: first what is on air, then the daemon's word that the broker still hears it.

All waiting goes by the uptime, which no clock jump moves, and ends at the deadline.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from agent import derived
from agent.change import OnAir, Plan, Section, Tree
from agent.errors import Unavailable

LOG = logging.getLogger(__name__)

NONCE_BYTES = 16
TEND_EVERY_S = 1.0
Reason = Literal["not_on_air", "wrong_channel", "broker_unreachable", derived.Reason]


class Air(Protocol):
    """Who can say what is on air."""

    def on_air(self) -> list[OnAir]:
        """Read what is on air now; Unavailable when that cannot be known."""


class Mail(Protocol):
    """Where the daemon's word arrives."""

    def read(self, name: str, most: int) -> bytes | None:
        """Give a file's bytes, None when there is none."""


class Clock(NamedTuple):
    """The times that the way of a push goes by: `uptime` in seconds since boot, suspend included; `wall` only to be shown."""

    uptime: Callable[[], float]
    wall: Callable[[], float]
    sleep: Callable[[float], None]
    boot: str


def system_clock(boot: str) -> Clock:
    """Give this machine's."""
    return Clock(lambda: time.clock_gettime(time.CLOCK_BOOTTIME), time.time, time.sleep, boot)


def tended(clock: Clock, tend: Callable[[], None]) -> Clock:
    """Give a clock by which nobody sleeps longer than TEND_EVERY_S without `tend`: a push waits for minutes, a network made anew must not."""

    def sleep(seconds: float) -> None:
        left = seconds
        while left > TEND_EVERY_S:
            clock.sleep(TEND_EVERY_S)
            tend()
            left -= TEND_EVERY_S
        clock.sleep(left)
        tend()

    return clock._replace(sleep=sleep)


class Confirm:
    """One push's time of trial, from the reload to `keep` or not; its nonce makes an earlier confirm worthless.

    `stands`: says why what is no matter of the air (derived files) is not so yet.
    """

    def __init__(
        self,
        air: Air,
        mail: Mail,
        plan: Plan,
        deadline: float,
        clock: Clock,
        gap_s: float,
        poll_s: float,
        stands: Callable[[], Reason | None] = lambda: None,
    ) -> None:
        self.nonce = secrets.token_hex(NONCE_BYTES)
        self._air = air
        self._mail = mail
        self._plan = plan
        self._deadline = deadline
        self._clock = clock
        self._gap_s = gap_s
        self._poll_s = poll_s
        self._stands = stands
        self._told = ""

    def test_live(self) -> Reason | None:
        """Wait until two readings `gap_s` apart show all as it should be; give the reason when the deadline comes first."""
        good_since: float | None = None
        reason: Reason | None = "not_on_air"
        while True:
            reason = self._look()
            now = self._clock.uptime()
            good_since = None if reason else now if good_since is None else good_since
            if good_since is not None and now - good_since >= self._gap_s:
                return None
            if now >= self._deadline:
                return reason or "not_on_air"
            self._clock.sleep(min(self._gap_s if good_since is not None else self._poll_s, max(0.0, self._deadline - now)))

    def wait(self) -> Reason | None:
        """Wait for the daemon's word, and then see once more that all is on air; give the reason when the deadline comes first."""
        reason: Reason | None = "broker_unreachable"
        while self._clock.uptime() < self._deadline:
            if self._is_confirmed():
                reason = self._look()
                # Under the deadline to the last moment: after it the guard is free to roll back.
                if reason is None and self._clock.uptime() < self._deadline:
                    return None
            self._clock.sleep(self._poll_s)
        return reason or "broker_unreachable"

    def _is_confirmed(self) -> bool:
        return (self._mail.read("confirm", 2 * NONCE_BYTES + 1) or b"").strip() == self.nonce.encode()

    def _look(self) -> Reason | None:
        try:
            seen = self._air.on_air()
        except Unavailable as error:
            if self._told != str(error):
                LOG.info("what is on air is not known yet: %s", error)
                self._told = str(error)
            return "not_on_air"
        return fault_of(seen, self._plan) or self._stands()


def required(plan: Plan, tree: Tree, before: Sequence[OnAir]) -> Plan:
    """Give the plan without those networks that it does not touch and that were not on air before either: no push is to blame for them."""
    touched = {edit.section for edit in plan.edits if edit.package == "wireless"}
    idle = [one for one in tree.get("wireless", {}).values() if one.type == "wifi-iface" and not touched & {one.name, one.value("device")}]
    sending = {(one.ifname, one.ssid) for one in before if one.state == "enabled"}
    dead = {(one.value("ifname") or "", one.value("ssid") or "") for one in idle}
    dead -= {(one.value("ifname") or "", one.value("ssid") or "") for one in idle if _is_among(one, sending)}
    expect, somewhere = (tuple(one for one in wanted if (one.ifname, one.ssid) not in dead) for wanted in (plan.expect, plan.somewhere))
    return plan._replace(expect=expect, somewhere=somewhere)


def _is_among(section: Section, sending: set[tuple[str, str]]) -> bool:
    ifname, ssid = section.value("ifname"), section.value("ssid") or ""
    return (ifname, ssid) in sending if ifname else any(ssid == name for _, name in sending)


def fault_of(seen: Sequence[OnAir], plan: Plan) -> Reason | None:
    """Say what is wrong with what is on air: a network missing, under another name, not sending yet, still there, or on another channel."""
    if any(one.ifname in plan.gone and one.state != "down" for one in seen):
        return "not_on_air"
    reasons = [_fault([one for one in seen if one.ifname == wanted.ifname], wanted) for wanted in plan.expect]
    # Which interface each of these has, only the box knows; two with the same name must both be there.
    named = {wanted.ifname for wanted in plan.expect}
    others = [one for one in seen if one.ifname not in named]
    for wanted in plan.somewhere:
        reasons.append(_fault(others, wanted))
        fits = [one for one in others if _fault([one], wanted) is None]
        others = [one for one in others if one not in fits[:1]]
    return "not_on_air" if "not_on_air" in reasons else "wrong_channel" if "wrong_channel" in reasons else None


def _fault(candidates: Sequence[OnAir], wanted: OnAir) -> Reason | None:
    sending = [one for one in candidates if one.ssid == wanted.ssid and one.state == wanted.state]
    if not sending:
        return "not_on_air"
    return None if wanted.channel is None or any(one.channel == wanted.channel for one in sending) else "wrong_channel"
