"""The city's directory: where everything in it lies, and what `city.toml` says.

Reads only; `rwctl init` makes it. All faults of `city.toml` are told at once.
"""

from __future__ import annotations

import re
import sys
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from agent.wire import topics
from fleet.errors import BadInput, Refused

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "city.toml"
INGEST, OPERATOR = "_ingest", "_rwctl"  # the city's own clients; no access point can have such a name
THROWN_AWAY = "rwctl-"  # how the names of throw-away access points begin (fleet/guests.py), and none else's
HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")


class Broker(NamedTuple):
    """Where the broker is: `host` and `port` for access points, `city_host` and `city_port` for the city's own clients.

    `listen` is the address of our own mosquitto's listener for access points; with `is_own` false somebody else runs the broker.
    """

    host: str = "localhost"
    port: int = 8883
    names: tuple[str, ...] = ()
    listen: str = "0.0.0.0"
    city_host: str = "127.0.0.1"
    city_port: int = 8884
    is_own: bool = True


class Limits(NamedTuple):
    """What the broker's queues are made for, and how long telemetry is kept."""

    access_points: int = 600
    away_minutes: int = 60
    raw_months: int = 2
    hours_months: int = 14


class Report(NamedTuple):
    """What the bundles' agent.toml says of reports."""

    interval_s: int = 60
    sample_s: int = 10


class City(NamedTuple):
    """One city: its directory and its settings."""

    folder: Path
    name: str
    zone: str = "Asia/Jakarta"
    places: str = "kota-malang"
    key: str = ""
    broker: Broker = Broker()
    limits: Limits = Limits()
    report: Report = Report()

    # The one list of what lies where.

    @property
    def ca(self) -> Path:
        """Where the two private authorities lie: ca.pem ca.key (access points and the broker), operators.pem operators.key, crl.pem."""
        return self.folder / "ca"

    @property
    def broker_folder(self) -> Path:
        """Where mosquitto's files lie: mosquitto.conf, acl, ca.pem, operators.pem, crl.pem, server.pem, server.key, data/, mosquitto.pid."""
        return self.folder / "broker"

    @property
    def clients(self) -> Path:
        """Where the city's own clients have their certificates: _ingest.pem, _ingest.key, _rwctl.pem, _rwctl.key."""
        return self.folder / "clients"

    @property
    def keys(self) -> Path:
        """Where the signing keys lie: NAME.sec, NAME.pub."""
        return self.folder / "keys"

    @property
    def secrets(self) -> Path:
        """Where the Wi-Fi keys of pushed documents lie, one file each; the store has only their names."""
        return self.folder / "secrets"

    @property
    def bundles(self) -> Path:
        """Where enrolment puts ID.tar.gz."""
        return self.folder / "bundles"

    @property
    def store(self) -> Path:
        """Where city.db, live.db and the months' raw-YYYY-MM.db lie."""
        return self.folder / "store"

    @property
    def audit(self) -> Path:
        """The audit log."""
        return self.folder / "audit.jsonl"

    @property
    def signing_key(self) -> Path:
        """The secret key that pushes are signed with."""
        return self.keys / f"{self.key or self.name}.sec"


def load(folder: Path) -> City:
    """Read a city's directory; Refused when it is none, BadInput with every fault of its city.toml."""
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Refused(f"{folder}: is no city's directory (it has no {FILE}); make one:  rwctl init {folder} --name NAME") from None
    except (OSError, ValueError) as error:
        raise Refused(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return parse(folder, text)


def parse(folder: Path, text: str) -> City:
    """Understand what a city.toml in that directory says; BadInput with every fault."""
    path = folder / FILE
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: cannot be understood as TOML ({error})") from None
    return _Reader(path).city(folder, tables)


class _Reader:
    """Takes the tables apart, collecting faults."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._faults: list[str] = []

    def city(self, folder: Path, tables: Mapping[str, object]) -> City:
        own, broker, limits, report, store = (self._table(tables, name) for name in ("city", "broker", "fleet", "report", "store"))
        self._unknown("", tables, ("city", "broker", "fleet", "report", "store"))
        self._unknown("city", own, ("name", "zone", "places", "key"))
        self._unknown("broker", broker, ("host", "port", "names", "listen", "city_host", "city_port", "own"))
        self._unknown("fleet", limits, ("access_points", "away_minutes"))
        self._unknown("report", report, ("interval_s", "sample_s"))
        self._unknown("store", store, ("raw_months", "hours_months"))
        name = self._text(own, "city.name", "")
        if not topics.is_name(name):
            self._fault("city.name", name, f"1 to {topics.LONGEST_NAME} of a-z, 0-9 and -")
        zone = self._text(own, "city.zone", "Asia/Jakarta")
        try:
            zoneinfo.ZoneInfo(zone)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            self._fault("city.zone", zone, "a time zone as in Asia/Jakarta")
        names = broker.get("names", [])
        if not isinstance(names, list) or not all(isinstance(one, str) and HOST.fullmatch(one) for one in names):
            self._fault("broker.names", names, "a list of host names and addresses")
            names = []
        is_own = broker.get("own", True)
        if not isinstance(is_own, bool):
            self._fault("broker.own", is_own, "true or false")
        interval = self._whole(report, "report.interval_s", 60, 1, 3600)
        made = City(
            folder=folder,
            name=name,
            zone=zone,
            places=self._text(own, "city.places", "kota-malang"),
            key=self._text(own, "city.key", ""),
            broker=Broker(
                self._host(broker, "broker.host", "localhost"),
                self._whole(broker, "broker.port", 8883, 1, 65535),
                tuple(names),
                self._host(broker, "broker.listen", "0.0.0.0"),
                self._host(broker, "broker.city_host", "127.0.0.1"),
                self._whole(broker, "broker.city_port", 8884, 1, 65535),
                bool(is_own),
            ),
            limits=Limits(
                self._whole(limits, "fleet.access_points", 600, 1, 1_000_000),
                self._whole(limits, "fleet.away_minutes", 60, 1, 100_000),
                self._whole(store, "store.raw_months", 2, 1, 120),
                self._whole(store, "store.hours_months", 14, 1, 1200),
            ),
            report=Report(interval, self._whole(report, "report.sample_s", min(10, interval), 1, interval)),
        )
        if self._faults:
            raise BadInput("\n".join(self._faults))
        return made

    def _table(self, tables: Mapping[str, object], name: str) -> Mapping[str, object]:
        value = tables.get(name, {})
        if not isinstance(value, dict):
            self._fault(name, value, "a table")
            return {}
        return value

    def _unknown(self, table: str, found: Mapping[str, object], known: tuple[str, ...]) -> None:
        for key in found:
            if key not in known:
                self._faults.append(f"{self._path}: {f'{table}.' if table else ''}{key} is not known, expected one of {', '.join(known)}")

    def _text(self, table: Mapping[str, object], path: str, default: str) -> str:
        value = table.get(path.partition(".")[2], default)
        if not isinstance(value, str):
            self._fault(path, value, "a text")
            return default
        return value

    def _host(self, table: Mapping[str, object], path: str, default: str) -> str:
        value = self._text(table, path, default)
        if not HOST.fullmatch(value):
            self._fault(path, value, "a host name or an address")
        return value

    def _whole(self, table: Mapping[str, object], path: str, default: int, lowest: int, highest: int) -> int:
        value = table.get(path.partition(".")[2], default)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            self._fault(path, value, f"a whole number from {lowest} to {highest}")
            return default
        return value

    def _fault(self, path: str, value: object, expected: str) -> None:
        self._faults.append(f"{self._path}: {path} is {value!r}, expected {expected}")
