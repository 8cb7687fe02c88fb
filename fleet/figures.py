"""The figures of one report, each read leniently: what is not as the contract says is None, and counted.

Pure. Nothing here ever raises, whatever stands in a report.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.wire import messages, schemas, topics
from fleet import quarantine

MOST = messages.MAX_INTEGER
MOST_ALERTS = 64
_CODES, _LAYERS = frozenset(schemas.ALERT_CODES), frozenset(schemas.LAYERS)


def is_word(text: str) -> bool:
    """Say whether an alert's code or an event's kind is one, known or of a later version: a name that is no address."""
    return text in _CODES or (topics.is_name(text) and not quarantine.is_address(text))


class Figures:
    """Reads the figures of one report leniently; `odd` counts what was there and not as promised."""

    __slots__ = ("odd",)

    def __init__(self) -> None:
        self.odd = 0

    def reach(self, uplink: object) -> int | None:
        """1: the way out is whole, 0: it is not, None: not said."""
        state = self._table(uplink).get("state")
        if state == "ok":
            return 1
        if type(state) is str and state in _LAYERS:
            return 0
        self.odd += state is not None
        return None

    def stations(self, value: object) -> tuple[int | None, int | None, float | None]:
        """Stations now and at most, and the share with a weak signal. In a merged report the first is a mean."""
        table = self._table(value)
        now, most, weak = self._number(table, "now", MOST), self._number(table, "max", MOST), self._number(table, "weak_ratio", 1)
        return None if now is None else round(now), None if most is None else round(most), weak

    def rates(self, value: object) -> tuple[float | None, float | None, float | None, float | None]:
        """The uplink's rates and peaks."""
        for row in value if type(value) is list else ():
            if type(row) is dict and row.get("role") == "uplink":
                return (
                    *(self._number(row, "rx_bps", MOST), self._number(row, "tx_bps", MOST)),
                    *(self._number(row, "rx_peak_bps", MOST), self._number(row, "tx_peak_bps", MOST)),
                )
        self.odd += value is not None and type(value) is not list
        return (None, None, None, None)

    def way_out(self, value: object) -> tuple[float | None, float | None]:
        """The latency of the furthest layer that was measured, and the loss."""
        table = value if type(value) is dict else {}
        for name in ("internet_ms", "dns_ms", "gateway_ms"):
            if name in table:
                return self._number(table, name, MOST), self._number(table, "loss_ratio", 1)
        return None, self._number(table, "loss_ratio", 1)

    def airtime(self, value: object) -> float | None:
        """How busy the busiest radio's channel was."""
        busiest = None
        for row in value if type(value) is list else ():
            busy = self._number(row, "airtime_busy_ratio", 1) if type(row) is dict else None
            if busy is not None and (busiest is None or busy > busiest):
                busiest = busy
        self.odd += value is not None and type(value) is not list
        return busiest

    def host(self, value: object) -> tuple[float | None, float | None]:
        """The share of the processor that is busy, and of the memory that is free."""
        table = self._table(value)
        total, free = self._number(table, "memory_total_bytes", MOST), self._number(table, "memory_available_bytes", MOST)
        return self._number(table, "cpu_ratio", 1), free / total if total and free is not None and free <= total else None

    def alerts(self, value: object) -> str | None:
        """The codes of the open alerts; None when there is none."""
        if not value:
            return None
        codes = [code for code in value if type(code) is str and is_word(code)] if type(value) is list else []
        self.odd += type(value) is not list or len(codes) != len(value)
        return " ".join(dict.fromkeys(codes[:MOST_ALERTS])) or None

    def oldest(self, value: object, seq: int) -> int | None:
        """The oldest seq that is still held: what is older and never came is gone."""
        oldest = self._table(value).get("oldest_seq")
        if type(oldest) is int and 1 <= oldest <= seq:
            return oldest
        self.odd += oldest is not None
        return None

    def _table(self, value: object) -> messages.Payload:
        if type(value) is dict:
            return value
        self.odd += value is not None
        return {}

    def _number(self, table: Mapping[str, object], name: str, most: int) -> float | None:
        value = table.get(name)
        if (type(value) is float or type(value) is int) and 0 <= value <= most:
            return value
        self.odd += value is not None
        return None
