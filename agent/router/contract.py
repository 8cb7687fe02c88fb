"""What every router backend gives, so that nothing above it knows which box it runs on.

Each method but `ring` and `pace` reads once, never changes the router, starts no process unless its backend's page says so,
and raises `Unavailable` with a sentence when the router cannot give the value.

Any method may be interrupted anywhere: when a collector is over its time, a BaseException (sensing's Overrun) is raised out of it,
between any two instructions. The next call must then work as if the interrupted one had never been: nothing half read may be taken
for its answer (drop such a connection, or match each answer to its question by number), and no child or descriptor may be left over.
"""

from __future__ import annotations

from typing import Literal, Protocol

from agent.records import Association, Board, Bss, Caps, ClockState, Dhcp, Host, Interface, Path, Radio, Reach, Station

# What root is rung for: something new in the inbox, stations that came to a network whose stations are capped, or caps that do not stand.
Errand = Literal["push", "stations", "caps"]


class Clock(Protocol):
    """The box's time. A simulated router may run faster than the world; nothing else may."""

    def monotonic(self) -> float:
        """Seconds of a clock that never jumps; for intervals."""

    def uptime(self) -> float:
        """Seconds since the box booted, suspend included."""

    def wall(self) -> float:
        """Unix seconds, right or wrong; see `state`."""

    def state(self) -> ClockState:
        """Say whether `wall` may be trusted: ntp (yes), floor (set from a file's date), none (unset)."""

    def real_seconds(self, seconds: float) -> float:
        """Say how long the loop must wait in the world for `seconds` of this clock; a clock that need not wait moves on by `seconds` and says 0."""


class Probe(Protocol):
    """One layered probe of the uplink under way; never blocks."""

    def fds(self) -> dict[int, int]:
        """File descriptors to poll, each with its poll(2) event mask."""

    def advance(self, now: float) -> Reach | None:
        """Do what can be done without waiting; give the outcome once it is known (`now`: monotonic seconds)."""

    def deadline(self) -> float:
        """The moment (monotonic seconds) by which `advance` must be called again."""

    def close(self) -> None:
        """Give up and close every socket."""


class Router(Protocol):
    """One box."""

    @property
    def clock(self) -> Clock:
        """The box's time."""

    def boot(self) -> str:
        """The first 16 hex digits of the kernel's boot_id."""

    def board(self) -> Board:
        """What box this is."""

    def radios(self) -> list[Radio]:
        """Every radio, dead ones too. [] when the box has no Wi-Fi."""

    def bss(self) -> list[Bss]:
        """Every BSS that is or should be on air. [] when the box has no Wi-Fi."""

    def stations(self, ifname: str) -> list[Station]:
        """Every station entry of one BSS, unauthorised and lingering ones too."""

    def associations(self, ifname: str) -> dict[str, Association]:
        """How each station of one BSS is connected, by its address, for a command; may start a process. {} when the box cannot tell."""

    def interfaces(self) -> list[Interface]:
        """Every network device worth reporting (loopback left out), uplink first."""

    def host(self) -> Host:
        """The box's own health."""

    def path(self) -> Path:
        """The way out as configured now."""

    def probe(self, path: Path, dns_name: str, internet: tuple[tuple[str, int], ...], now: float) -> Probe:
        """Start a layered probe: gateway, DNS query for `dns_name`, TCP connect to one of `internet` (host, port)."""

    def dhcp(self) -> Dhcp:
        """Leases and pool; Unavailable when this box serves no DHCP."""

    def caps(self) -> Caps:
        """The bandwidth caps wanted, and what the kernel has of them; dearer than the rest, so read once per report."""

    def ring(self, errand: Errand = "push") -> None:
        """Tell root what there is to do, without waiting for it to look; Unavailable when nobody can be told."""

    def pace(self, report_s: float, sample_s: float) -> None:
        """Take note that from now on a report is due every `report_s` seconds and a sample every `sample_s`; touches nothing."""
