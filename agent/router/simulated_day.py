"""The day of a simulated neighbourhood: who is there, what they pull, and when the line fails.

Every answer depends only on the key and the moment (Unix seconds), never on what was asked before; what
is kept is the last hour's work, so weeks cost no more memory than a minute. Touches nothing outside.
"""

from __future__ import annotations

from hashlib import shake_128
from itertools import accumulate
from math import pi
from typing import NamedTuple

from agent.records import Layer

HOUR = 3600
WIB = 7 * HOUR

# The networks of the access point, and the radio each is on: public on 2.4 GHz, public on 5 GHz, the RW's office on 2.4 GHz.
PUBLIC_2G, PUBLIC_5G, OFFICE = range(3)
RADIO_OF = (0, 1, 0)
BSS_COUNT = 3

# Percent of all stations that are there in each hour of the day (WIB). A station changes its mind at a
# moment of its own within the hour, so the curve people see is smooth and lags half an hour behind the table.
WEEKDAY = (18, 7, 5, 5, 5, 12, 28, 34, 30, 30, 32, 38, 46, 40, 37, 43, 50, 58, 80, 94, 95, 91, 64, 36)
WEEKEND = (30, 14, 7, 5, 5, 10, 24, 36, 46, 52, 54, 56, 58, 54, 52, 56, 62, 68, 84, 94, 95, 92, 76, 52)
OFFICE_WEEKDAY = (0, 0, 0, 0, 0, 0, 4, 35, 72, 80, 78, 70, 40, 66, 72, 50, 20, 12, 14, 20, 16, 6, 0, 0)
OFFICE_WEEKEND = (0, 0, 0, 0, 0, 0, 0, 6, 14, 20, 18, 12, 8, 6, 6, 6, 8, 10, 18, 24, 18, 8, 0, 0)
FOOTBALL_HOURS = range(19, 22)

# A resident station reconsiders every so many hours; which of the three is its habit.
HABITS_HOURS = (2, 3, 6)
# No stay is longer than this: each resident is away for one hour of the night (see `_is_resting`).
LONGEST_STAY_HOURS = 26
LINGER_SECONDS = 300
LEASE_HOURS = 2

# What the air carries: ms of airtime per byte follow from these. The ceilings keep one radio's stations from taking all the air.
AIR_BPS = (45_000_000, 400_000_000)
RADIO_CEILING_BPS = (18_000_000, 250_000_000)
NEIGHBOUR_PERMILLE = (150, 35)

STATION_BPS = 750_000
# What one core forwards in software, flat out.
CPU_BPS = 90_000_000
OWN_BYTES_A_MINUTE = (900, 2400)
DNS_ONLY_RATIO = 0.15

# Spread of the traffic around its mean, by one random byte: close to log-normal, from one table instead of a library.
MINUTE_SPREAD = tuple(((b + 0.5) / (255.5 - b)) ** 0.3 / 1.15 for b in range(256))
SECOND_SPREAD = tuple(((b + 0.5) / (255.5 - b)) ** 0.15 for b in range(256))


# Everything that counts up is one flat tuple, so that hours add up cheaply: bytes down and up per BSS, milliseconds of
# busy and own airtime per radio, the box's own bytes down and up, milliseconds of CPU and of softirq.
Totals = tuple[int, ...]
DOWN, UP, BUSY_MS, TX_MS = slice(0, 3), slice(3, 6), slice(6, 8), slice(8, 10)
OWN_DOWN, OWN_UP, CPU_MS, SOFTIRQ_MS = range(10, 14)
NOTHING: Totals = (0,) * 14


def draw(key: bytes, what: str, index: int, size: int) -> bytes:
    """Give `size` random bytes that depend only on the arguments."""
    return shake_128(b"%b/%b/%d" % (key, what.encode(), index)).digest(size)


def plus(some: Totals, more: Totals, sign: int = 1) -> Totals:
    """Give both together; with `sign` -1, what `some` has more."""
    return tuple([a + sign * b for a, b in zip(some, more, strict=True)])


class Character(NamedTuple):
    """What never changes about the place; `appetite` is what a station here pulls against the usual."""

    line_bps: float
    has_bad_line: bool
    is_flapping: bool
    appetite: float


class Outage(NamedTuple):
    """Minutes (since 1970, WIB) from `first` up to `end` in which `layer` of the uplink does not work."""

    first: int
    end: int
    layer: Layer


class Day(NamedTuple):
    """What is special about one day: hours of rain, a football evening, outages."""

    is_weekend: bool
    rain: range
    has_football: bool
    outages: tuple[Outage, ...]


class Slot(NamedTuple):
    """A station that may be there: on which BSS, passing by or resident, its signal when nothing fades, its phase, pace and share of retries."""

    bss: int
    is_passer: bool
    signal_dbm: float
    phase: float
    packets_a_second: float
    retry_ratio: float


class Stay(NamedTuple):
    """One slot's presence: since when (Unix seconds), and whether it is only an entry that was not cleaned up."""

    slot: int
    since: float
    is_lingering: bool


class Calendar:
    """The days as they are for everybody at this place, and the line's failures."""

    def __init__(self, key: bytes, character: Character) -> None:
        self._key = key
        self._character = character
        self._days: dict[int, Day] = {}

    def day(self, number: int) -> Day:
        """Give day `number` since 1970 (WIB)."""
        if number not in self._days:
            if len(self._days) > 3:
                self._days.clear()
            self._days[number] = self._make_day(number)
        return self._days[number]

    def occupancy(self, hour: int, bss: int) -> float:
        """Give the share of a BSS's stations that want to be there in `hour` since 1970 (WIB)."""
        day, clock_hour = self.day(hour // 24), hour % 24
        if bss == OFFICE:
            return (OFFICE_WEEKEND if day.is_weekend else OFFICE_WEEKDAY)[clock_hour] / 100
        share = (WEEKEND if day.is_weekend else WEEKDAY)[clock_hour] / 100
        if day.has_football and clock_hour in FOOTBALL_HOURS:
            share = min(0.99, share * 1.08)
        return share * 0.75 if clock_hour in day.rain else share

    def outage(self, minute: int) -> Layer:
        """Give the first layer of the uplink that fails in `minute` since 1970 (WIB), or "ok"."""
        if self._character.is_flapping and minute % 10 in (3, 4, 7):
            return "gateway"
        for outage in self.day(minute // 1440).outages:
            if outage.first <= minute < outage.end:
                return outage.layer
        return "ok"

    def _make_day(self, number: int) -> Day:
        dice = draw(self._key, "day", number, 16)
        is_weekend = (number + 3) % 7 >= 5
        # Malang's wet months are November to April.
        is_wet = not 105 <= number % 365.25 <= 300
        rain = range(13 + dice[1] % 7, 15 + dice[1] % 7 + dice[2] % 4) if dice[0] < (140 if is_wet else 20) else range(0)
        has_football = dice[3] < (56 if is_weekend else 16)
        count = 1 + dice[4] % 4 if self._character.has_bad_line else int(dice[4] < 28)
        return Day(is_weekend, rain, has_football, tuple(self._make_outage(number, dice[5 + 3 * i : 8 + 3 * i]) for i in range(min(count, 3))))

    @staticmethod
    def _make_outage(number: int, dice: bytes) -> Outage:
        layers: tuple[Layer, ...] = ("internet", "gateway", "internet", "dns", "link", "gateway", "address", "internet")
        first = number * 1440 + (dice[0] * 256 + dice[1]) * 1440 // 65536
        return Outage(first, min(first + 2 + dice[2] % 24, (number + 1) * 1440), layers[dice[2] // 32])


class Crowd:
    """The stations around the access point: residents who come and go with the hours, and passers-by for minutes."""

    def __init__(self, key: bytes, calendar: Calendar, stations_peak: int, living_bss: tuple[int, ...]) -> None:
        self._key = key
        self._calendar = calendar
        self.slots = _make_slots(key, stations_peak, living_bss)
        self._of_bss = [[i for i, slot in enumerate(self.slots) if slot.bss == bss] for bss in range(BSS_COUNT)]
        self._flags: dict[int, tuple[bool, ...]] = {}
        self._hour = -1
        self._edges = b""
        self._before: list[float | None] = []
        self._after: list[float | None] = []

    def present(self, at: float, bss: int) -> list[Stay]:
        """Give who is on `bss` at `at`, lingering entries too."""
        hour, second = divmod(at + WIB, HOUR)
        self._turn_to(int(hour))
        stays = []
        for i in self._of_bss[bss]:
            edge = _edge_seconds(self._edges[i], i)
            since = self._after[i] if second >= edge else self._before[i]
            if since is not None:
                if not self.slots[i].is_passer or second < edge + _visit_seconds(self._edges[i]):
                    stays.append(Stay(i, since, False))
            elif self._edges[i] % 8 == 0 and second < edge + LINGER_SECONDS:
                left = self._before[i]
                if left is not None:
                    stays.append(Stay(i, left, True))
        return stays

    def mac(self, stay: Stay) -> str:
        """Give the stay's address: locally administered, a resident's own, a passer's only for this visit."""
        visit = int(stay.since) if self.slots[stay.slot].is_passer else 0
        octets = draw(self._key, f"mac {stay.slot}", visit, 6)
        return f"{octets[0] & 0xF0 | 0x0A:02x}:{octets[1:].hex(':')}"

    def leases(self, at: float) -> int:
        """Give how many hold an address at `at`: those there now or within the last two hours."""
        hour, second = divmod(at + WIB, HOUR)
        self._turn_to(int(hour))
        recent = [self.flags(int(hour) - back) for back in range(LEASE_HOURS + 1)]
        return sum([any(did) or (wants and second >= _edge_seconds(self._edges[i], i)) for i, (wants, *did) in enumerate(zip(*recent, strict=True))])

    def counts(self, hour: int) -> list[list[int]]:
        """Give for each BSS how many stations are there in each minute of `hour`."""
        before, after, edges = self.flags(hour - 1), self.flags(hour), draw(self._key, "edge", hour, len(self.slots))
        changes = [[0] * 61 for _ in range(BSS_COUNT)]
        for i, slot in enumerate(self.slots):
            change, edge = changes[slot.bss], _edge_seconds(edges[i], i)
            if slot.is_passer:
                if after[i]:
                    change[edge // 60] += 1
                    change[min(60, (edge + _visit_seconds(edges[i])) // 60 + 1)] -= 1
                continue
            change[0] += before[i]
            change[edge // 60] += after[i] - before[i]
        return [list(accumulate(change[:60])) for change in changes]

    def flags(self, hour: int) -> tuple[bool, ...]:
        """Give for each slot whether it wants to be there in `hour` since 1970 (WIB)."""
        if hour not in self._flags:
            if len(self._flags) > LONGEST_STAY_HOURS + 4:
                self._flags.clear()
            self._flags[hour] = self._make_flags(hour)
        return self._flags[hour]

    def _make_flags(self, hour: int) -> tuple[bool, ...]:
        size = len(self.slots)
        dice = [draw(self._key, f"stay {habit}", hour // habit, size) for habit in HABITS_HOURS]
        fresh = draw(self._key, "visit", hour, size)
        limits = [self._calendar.occupancy(hour, bss) * 256 for bss in range(BSS_COUNT)]
        wishes = [fresh[i] if slot.is_passer else dice[i % 3][i] for i, slot in enumerate(self.slots)]
        return tuple([wish < limits[slot.bss] and not _is_resting(i, hour) for i, (wish, slot) in enumerate(zip(wishes, self.slots, strict=True))])

    def _turn_to(self, hour: int) -> None:
        """Know for each slot since when it is there, before and after its edge in `hour`."""
        if hour == self._hour:
            return
        if hour != self._hour + 1:
            self._hour = hour - LONGEST_STAY_HOURS
            self._after = [None] * len(self.slots)
        while self._hour < hour:
            self._hour += 1
            wants, start = self.flags(self._hour), self._hour * HOUR - WIB
            self._edges = draw(self._key, "edge", self._hour, len(self.slots))
            self._before = [None if slot.is_passer else since for slot, since in zip(self.slots, self._after, strict=True)]
            self._after = [
                None if not wanted else float(start + _edge_seconds(self._edges[i], i)) if since is None else since
                for i, (wanted, since) in enumerate(zip(wants, self._before, strict=True))
            ]


class Stream(NamedTuple):
    """One hour settled: bytes down per BSS and minutes with an uplink, both summed up to each of the 61 minute edges; what applies to the whole hour."""

    down: list[list[int]]
    minutes_up: list[int]
    up_permille: bytes
    neighbour_permille: list[int]
    loads: list[float]

    def gained(self, down: tuple[int, ...], minutes_up: float, elapsed_ms: int) -> Totals:
        """Give the totals that `down` bytes in the hour's first `elapsed_ms` amount to."""
        up = [count * (80 + share % 96) // 1000 for count, share in zip(down, self.up_permille, strict=True)]
        tx_ms, busy_ms = [0, 0], [0, 0]
        for radio in range(2):
            bits = 8000 * sum([count for bss, count in enumerate(down) if RADIO_OF[bss] == radio])
            bits_up = 8000 * sum([count for bss, count in enumerate(up) if RADIO_OF[bss] == radio])
            tx_ms[radio] = bits // AIR_BPS[radio] + elapsed_ms // 250
            busy_ms[radio] = tx_ms[radio] + bits_up // AIR_BPS[radio] + elapsed_ms * self.neighbour_permille[radio] // 1000
        own_down, own_up = int(OWN_BYTES_A_MINUTE[0] * minutes_up), int(OWN_BYTES_A_MINUTE[1] * minutes_up)
        traffic_ms = 8000 * (sum(down) + sum(up)) // CPU_BPS
        return (*down, *up, *busy_ms, *tx_ms, own_down, own_up, elapsed_ms // 20 + traffic_ms, elapsed_ms // 200 + traffic_ms * 6 // 10)


class Flow:
    """What the stations pull through the uplink, as counters that only rise; counting begins with the hour of `start`."""

    def __init__(self, key: bytes, calendar: Calendar, crowd: Crowd, character: Character, start: float) -> None:
        self._key = key
        self._calendar = calendar
        self._crowd = crowd
        self._character = character
        self._first = self._hour = int((start + WIB) // HOUR)
        self._settled = NOTHING
        self._stream = self._make_stream(self._hour)
        self._minute = -1
        self._shape: list[float] = []

    def totals(self, at: float) -> Totals:
        """Give all counters at `at` (Unix seconds, not before the start)."""
        hour, within = divmod(at + WIB, HOUR)
        self._turn_to(int(hour))
        minute, second = divmod(within, 60)
        share, edge = self._share(int(hour) * 60 + int(minute), second), int(minute)
        stream = self._stream
        down = tuple([sums[edge] + int((sums[edge + 1] - sums[edge]) * share) for sums in stream.down])
        minutes_up = stream.minutes_up[edge] + (stream.minutes_up[edge + 1] - stream.minutes_up[edge]) * second / 60
        return plus(self._settled, stream.gained(down, minutes_up, int(within * 1000)))

    def load(self, at: float) -> float:
        """Give what is asked of the line in the minute of `at` against what it can carry; above 1 it is full."""
        hour, within = divmod(at + WIB, HOUR)
        self._turn_to(int(hour))
        return self._stream.loads[int(within // 60)]

    def _turn_to(self, hour: int) -> None:
        if hour < self._hour:
            self._hour, self._settled = self._first, NOTHING
            self._stream = self._make_stream(self._hour)
        while self._hour < hour:
            ends = tuple([sums[60] for sums in self._stream.down])
            self._settled = plus(self._settled, self._stream.gained(ends, self._stream.minutes_up[60], HOUR * 1000))
            self._hour += 1
            self._stream = self._make_stream(self._hour)

    def _make_stream(self, hour: int) -> Stream:
        dice = draw(self._key, "hour", hour, 64 + BSS_COUNT)
        clock_hour, day = hour % 24, self._calendar.day(hour // 24)
        evening = self._calendar.occupancy(hour, PUBLIC_2G)
        appetite = STATION_BPS * self._character.appetite * MINUTE_SPREAD[64 + dice[60] // 2]
        if day.has_football and clock_hour in FOOTBALL_HOURS:
            appetite *= 1.5
        # A bad provider sells the same evening twice.
        line = self._character.line_bps * (1 - (0.35 if self._character.has_bad_line else 0.04) * evening * dice[61] / 255)
        down: list[list[int]] = [[], [], []]
        loads, minutes_up = [], []
        for minute, counts in enumerate(zip(*self._crowd.counts(hour), strict=True)):
            layer = self._calendar.outage(hour * 60 + minute)
            rates, load = _minute_rates(counts, appetite * MINUTE_SPREAD[dice[minute]], line)
            passing = 1.0 if layer == "ok" else DNS_ONLY_RATIO if layer == "dns" else 0.0
            loads.append(load * passing)
            minutes_up.append(1 if passing else 0)
            for bss, rate in enumerate(rates):
                down[bss].append(int(rate * passing * 7.5))
        neighbours = [int(usual * (0.4 + 1.5 * evening) * (0.7 + dice[62 + radio] / 425)) for radio, usual in enumerate(NEIGHBOUR_PERMILLE)]
        sums = [list(accumulate(minutes, initial=0)) for minutes in (*down, minutes_up)]
        return Stream(sums[:BSS_COUNT], sums[BSS_COUNT], dice[64:], neighbours, loads)

    def _share(self, minute: int, second: float) -> float:
        """Give the part of the minute's bytes that has passed after `second`: in bursts while the line has room, evenly when it is full."""
        if minute != self._minute:
            self._minute = minute
            spread = [SECOND_SPREAD[byte] for byte in draw(self._key, "minute", minute, 60)]
            mean, load = sum(spread) / 60, min(1.0, max(0.02, self._stream.loads[minute % 60]))
            swing = min(1.0, (1 / load - 1) / (max(spread) / mean - 1))
            self._shape = list(accumulate([(1 + swing * (weight / mean - 1)) / 60 for weight in spread], initial=0.0))
            self._shape[60] = 1.0
        whole = int(second)
        return min(1.0, self._shape[whole] + (self._shape[whole + 1] - self._shape[whole]) * (second - whole))


def _make_slots(key: bytes, stations_peak: int, living_bss: tuple[int, ...]) -> list[Slot]:
    slots = []
    for i in range(stations_peak if living_bss else 0):
        dice = draw(key, "slot", i, 8)
        wanted = OFFICE if i % 12 == 5 else PUBLIC_5G if dice[0] < 150 else PUBLIC_2G
        bss = wanted if wanted in living_bss else living_bss[0]
        # Metres from the access point decide the signal; walls cost 5 GHz more.
        distance_ratio = (dice[1] / 255) ** (1.8 if bss == PUBLIC_5G else 1.3)
        signal = -41 - 43 * distance_ratio - (4 if bss == PUBLIC_5G else 0)
        retry_ratio = 0.02 + 0.2 * distance_ratio**2 + (0.05 if RADIO_OF[bss] == 0 else 0.0)
        slots.append(Slot(bss, i % 8 == 7, signal, dice[2] * 2 * pi / 256, 2 + dice[3] / 4, retry_ratio))
    return slots


def _minute_rates(counts: tuple[int, ...], appetite_bps: float, line_bps: float) -> tuple[list[float], float]:
    """Give bit/s down per BSS and the load on the line, for stations that would each like `appetite_bps`."""
    rates = [count * appetite_bps for count in counts]
    for radio, ceiling in enumerate(RADIO_CEILING_BPS):
        wanted = sum([rate for bss, rate in enumerate(rates) if RADIO_OF[bss] == radio])
        if wanted > ceiling:
            rates = [rate * ceiling / wanted if RADIO_OF[bss] == radio else rate for bss, rate in enumerate(rates)]
    load = sum(rates) / line_bps
    return ([rate / load for rate in rates] if load > 1 else rates), load


def _edge_seconds(byte: int, slot: int) -> int:
    """Give the second of the hour in which a slot acts on its wish, 0 to 3583."""
    return byte * 14 + slot % 14


def _visit_seconds(byte: int) -> int:
    """Give how long a passer-by stays, 4 to 20 minutes."""
    return 240 + byte * 37 % 960


def _is_resting(slot: int, hour: int) -> bool:
    """Say whether the slot is switched off in `hour`: one hour a night, so that a stay's beginning is never far back."""
    return hour % 24 == 1 + slot % 4
