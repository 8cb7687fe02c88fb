"""The kelurahan and kecamatan that an inventory may name, so that a typing error does not become a place of its own.

Reads only. The list of Kota Malang is derived from npm's idn-area-data 4.0.1 (ODbL 1.0; the notice stands in the file): of its data/districts.csv
the rows with regency_code 35.73, and of data/villages.csv the rows of those districts, names only, as JSON: {"notice": …, "kecamatan": {name: [kelurahan, …]}}.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from fleet.city import City
from fleet.errors import BadInput

KOTA_MALANG = "kota-malang"
DATA = Path(__file__).parent / "data"
MAX_FILE_BYTES = 16 << 20
MOST_NAMED = 12
LONGEST_NAME = 64
COLUMNS = ("kecamatan", "kelurahan")


class Fault(NamedTuple):
    """One thing wrong with a value: its column, the value, and what is allowed."""

    column: str
    value: str
    allowed: str


class Place(NamedTuple):
    """A kelurahan in its kecamatan, spelled as the list spells them."""

    kelurahan: str
    kecamatan: str


class Places(NamedTuple):
    """The kelurahan of each kecamatan; without any, every name is allowed."""

    kecamatan: Mapping[str, tuple[str, ...]]
    spelled: Mapping[str, str]  # the kecamatan by `_key`
    homes: Mapping[str, Mapping[str, str]]  # by `_key` of a kelurahan: its spelling in each kecamatan that has one

    def check(self, kelurahan: str, kecamatan: str) -> tuple[Place, list[Fault]]:
        """Give the two names in the list's spelling, and what is wrong with them. Case and blanks do not count."""
        place = Place(" ".join(kelurahan.split()), " ".join(kecamatan.split()))
        named = list(zip(Place._fields, place, strict=True))
        faults = [Fault(column, name, "a name of at most 64 characters, none of them a control character") for column, name in named if not _is_name(name)]
        if not self.kecamatan:
            return place, faults
        bad = {fault.column for fault in faults}
        around, homes = self.spelled.get(_key(place.kecamatan)), self.homes.get(_key(place.kelurahan), {})
        if around is not None and around in homes:
            return Place(homes[around], around), []
        if around is None and "kecamatan" not in bad:
            faults.append(Fault("kecamatan", place.kecamatan, _near(place.kecamatan, self.kecamatan)))
        elif around is not None and homes:
            faults.append(Fault("kecamatan", place.kecamatan, f"{' or '.join(homes)}, where kelurahan {next(iter(homes.values()))} is"))
        if not homes and "kelurahan" not in bad:
            faults.append(Fault("kelurahan", place.kelurahan, _near(place.kelurahan, [name for inside in self.kecamatan.values() for name in inside])))
        return place, faults

    def home(self, kelurahan: str) -> str:
        """Give the kecamatan of a kelurahan; "" when the list has none or several."""
        homes = list(self.homes.get(_key(kelurahan), {}))
        return homes[0] if len(homes) == 1 else ""


def make(kecamatan: Mapping[str, tuple[str, ...]]) -> Places:
    """Make places of the kelurahan of each kecamatan; {} is a city without a list."""
    homes: dict[str, dict[str, str]] = {}
    for name, inside in kecamatan.items():
        for one in inside:
            homes.setdefault(_key(one), {})[name] = one
    return Places(kecamatan, {_key(name): name for name in kecamatan}, homes)


def load(city: City) -> Places:
    """Read the list that city.toml names: "kota-malang", a JSON or CSV file (seen from the city's directory), or "" for none; BadInput when it is none."""
    if not city.places:
        return make({})
    path = DATA / f"{KOTA_MALANG}.json" if city.places == KOTA_MALANG else city.folder / city.places
    try:
        raw = path.read_bytes()
    except OSError as error:
        expected = f'expected "{KOTA_MALANG}", the path of a JSON or CSV list of places, or "" for none'
        raise BadInput(f"city.places is {city.places!r}: {path} cannot be read ({error.strerror}); {expected}") from None
    try:
        if len(raw) > MAX_FILE_BYTES:
            raise ValueError(f"more than {MAX_FILE_BYTES} bytes")
        text = raw.decode("utf-8-sig")
        return make(_from_csv(text) if path.suffix.lower() == ".csv" else _from_json(text))
    except ValueError as error:
        raise BadInput(f"{path}: is no list of places ({error})") from None


def _from_json(text: str) -> dict[str, tuple[str, ...]]:
    document = json.loads(text)
    found = document.get("kecamatan") if isinstance(document, dict) else None
    if not isinstance(found, dict) or not all(isinstance(inside, list) and all(isinstance(name, str) for name in inside) for inside in found.values()):
        raise ValueError('expected {"kecamatan": {"Lowokwaru": ["Jatimulyo", …], …}}')
    return _checked((name, one) for name, inside in found.items() for one in inside)


def _from_csv(text: str) -> dict[str, tuple[str, ...]]:
    lines = text.splitlines()
    delimiter = ";" if lines and ";" in lines[0] else ","
    rows = csv.DictReader(lines, delimiter=delimiter)
    if not set(COLUMNS) <= set(rows.fieldnames or ()):
        raise ValueError(f"its header is {','.join(rows.fieldnames or ())}, expected {','.join(COLUMNS)}")
    return _checked((row["kecamatan"] or "", row["kelurahan"] or "") for row in rows)


def _checked(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Collect (kecamatan, kelurahan); ValueError for an empty name, a name twice, or no name at all."""
    found: dict[str, dict[str, str]] = {}
    spelled: dict[str, str] = {}
    for pair in pairs:
        kecamatan, kelurahan = (" ".join(name.split()) for name in pair)
        if not kecamatan or not kelurahan:
            raise ValueError(f"a name is empty: kecamatan {kecamatan!r}, kelurahan {kelurahan!r}")
        inside = found.setdefault(spelled.setdefault(_key(kecamatan), kecamatan), {})
        if _key(kelurahan) in inside:
            raise ValueError(f"kelurahan {kelurahan} of {kecamatan} stands in it twice")
        inside[_key(kelurahan)] = kelurahan
    if not found:
        raise ValueError("there is no kelurahan in it")
    return {kecamatan: tuple(inside.values()) for kecamatan, inside in found.items()}


def _key(name: str) -> str:
    """Make what two spellings of one name have in common: "Tasikmadu" is "Tasik Madu"."""
    return "".join(name.split()).casefold()


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def _near(name: str, among: Iterable[str]) -> str:
    """Say what is allowed: the close names, or all where they are few."""
    by_key = {_key(one): one for one in among}
    if close := difflib.get_close_matches(_key(name), by_key, 3, 0.6):
        return f"a name of the list; did you mean {' or '.join(by_key[one] for one in close)}?"
    if len(by_key) <= MOST_NAMED:
        return f"one of {', '.join(by_key.values())}"
    return f"one of the {len(by_key)} names of the list"
