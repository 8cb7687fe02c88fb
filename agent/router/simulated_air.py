"""What a hostapd would send by the simulated access point's own wireless file. Reads that file and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.errors import Unavailable
from agent.records import Association

# Indonesia's: hostapd refuses any other, and the radio stays down.
CHANNELS = {"2g": frozenset(range(1, 14)), "5g": frozenset((36, 40, 44, 48, 52, 56, 60, 64, 149, 153, 157, 161))}
# What the radios can be tuned to; that Indonesia keeps 5.47 to 5.73 GHz from them only hostapd finds out.
TUNABLE = CHANNELS | {"5g": CHANNELS["5g"] | frozenset(range(100, 145, 4))}
CHOSEN = {"2g": 6, "5g": 36}  # what `auto` finds
# One spatial stream of 802.11n at 20 MHz, two of 802.11ac at 80 MHz.
RATES_MBPS = {"2g": (6.5, 13.0, 19.5, 26.0, 39.0, 52.0, 58.5, 65.0), "5g": (58.5, 117.0, 175.5, 234.0, 351.0, 468.0, 526.5, 585.0)}
MOST_BYTES = 1 << 20

Options = Mapping[str, Sequence[str]]


class Row(NamedTuple):
    """One section of the file."""

    type: str
    name: str
    options: Options

    def value(self, option: str) -> str:
        """Give an option as one text, "" when it is not set."""
        return " ".join(self.options.get(option, ()))


class Network(NamedTuple):
    """One network that is configured; `channel` None when its radio cannot come up."""

    ifname: str
    ssid: str
    radio: str
    channel: int | None


class Air(NamedTuple):
    """The networks, and each radio's channel: None when it is off or cannot come up."""

    networks: tuple[Network, ...]
    channels: Mapping[str, int | None]


def encode(rows: Sequence[Row]) -> bytes:
    """Give a package's file."""
    sections = [{"name": row.name, "type": row.type, "options": {option: list(values) for option, values in row.options.items()}} for row in rows]
    return json.dumps({"v": 1, "sections": sections}, ensure_ascii=False, indent=1).encode() + b"\n"


def read_package(path: str) -> list[Row] | None:
    """Read a package's file, None where there is none; Unavailable when it is none of ours."""
    try:
        with open(path, "rb") as file:
            rows = json.loads(file.read(MOST_BYTES))["sections"]
        return [Row(row["type"], row["name"], {option: tuple(values) for option, values in row["options"].items()}) for row in rows]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"{path} is not a package of the simulated access point: {type(error).__name__}") from None


def air(rows: Sequence[Row]) -> Air:
    """Say what comes on air by these sections."""
    radios = {row.name: row for row in rows if row.type == "wifi-device"}
    channels = {name: None if row.value("disabled") == "1" else channel_of(row) for name, row in radios.items()}
    networks = tuple(
        Network(row.value("ifname") or row.name, row.value("ssid"), row.value("device"), channels[row.value("device")])
        for row in rows
        if row.type == "wifi-iface" and row.value("ssid") and row.value("disabled") != "1"
        if row.value("device") in radios and radios[row.value("device")].value("disabled") != "1"
    )
    return Air(networks, channels)


def channel_of(radio: Row) -> int | None:
    """Give the channel a radio comes up on; None when its country does not allow it."""
    band, asked = radio.value("band"), radio.value("channel") or "auto"
    if asked == "auto":
        return CHOSEN.get(band)
    return int(asked) if asked.isdecimal() and len(asked) < 4 and int(asked) in CHANNELS.get(band, ()) else None


def association(band: str, signal_dbm: float, connected_s: int) -> Association:
    """Say how a station with this signal is connected: the access point sends at one step more than the station."""
    rates = RATES_MBPS[band]
    step = max(0, min(len(rates) - 1, round((signal_dbm + 88) / 5)))
    return Association(rates[max(0, step - 1)], rates[step], connected_s)


class Watched:
    """The wireless file of a running access point: looked at once a question, read only when it is another one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._air: Air | None = None

    def now(self) -> Air | None:
        """Give what is on air by the file; None while there is none, and the last good one while it cannot be read."""
        try:
            found = os.stat(self._path)
        except OSError:
            self._seen = self._air = None
            return None
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            self._seen = seen
            try:
                rows = read_package(self._path)
            except Unavailable:
                return self._air
            self._air = air(rows) if rows is not None else None
        return self._air
