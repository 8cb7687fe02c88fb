"""A made-up inventory for shows and stories: Malang's 57 kelurahan with 551 access points, the same in every run.

The names of the places are real (fleet/data/kota-malang.json); all else is not: numbers, providers, prices, positions and tags are dice.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from pathlib import Path

from fleet import places
from fleet.city import City
from fleet.inventory import COLUMNS, Row

POINTS = 551
PROVIDERS = ("Awinet", "Brawijaya Net", "Indra Fiber", "Semeru Link", "Tugu Media")
TAGS = ("market", "mosque", "school", "park", "clinic", "hall")
TAGGED_RATIO = 0.4
CONTRACTS_MBPS = (50.0, 50.0, 50.0, 100.0)
PRICES = (450_000, 475_000, 500_000, 525_000)
MIDDLE, KELURAHAN_DEGREES, RW_DEGREES = (-7.9777, 112.6340), 0.045, 0.006


def rows(count: int = POINTS) -> list[Row]:
    """Give `count` access points, spread evenly over the kelurahan: rw-0501 is RW 05 of the first of them, in the list's order."""
    named = [(kelurahan, kecamatan) for kecamatan, all_of_it in places.load(City(Path(), "malang")).kecamatan.items() for kelurahan in all_of_it]
    dice = random.Random("malang")
    found: list[Row] = []
    for place, (kelurahan, kecamatan) in enumerate(named):
        provider, price, contract = dice.choice(PROVIDERS), dice.choice(PRICES), dice.choice(CONTRACTS_MBPS)
        lat, lon = (middle + dice.uniform(-KELURAHAN_DEGREES, KELURAHAN_DEGREES) for middle in MIDDLE)
        for number in range(1, count * (place + 1) // len(named) - count * place // len(named) + 1):
            tags = tuple(sorted({dice.choice(TAGS) for _ in range(dice.randint(1, 2))})) if dice.random() < TAGGED_RATIO else ()
            at = (round(lat + dice.uniform(-RW_DEGREES, RW_DEGREES), 5), round(lon + dice.uniform(-RW_DEGREES, RW_DEGREES), 5))
            found.append(Row(f"rw-{number:02d}{place + 1:02d}", f"{number:02d}", kelurahan, kecamatan, provider, contract, price, *at, tags))
    return found


def csv_text(inventory: Sequence[Row]) -> str:
    """Write rows as the file that `rwctl enroll --csv` takes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([*row[:9], " ".join(row.tags)] for row in inventory)
    return text.getvalue()
