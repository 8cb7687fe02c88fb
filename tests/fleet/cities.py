"""A city's directory with a store as a working `rwctl serve` leaves it: access points of every state, to be looked at."""

from __future__ import annotations

import json
import random
from pathlib import Path

from fleet import store
from fleet.city import City, load
from tests.reports import report

NOW = 1_790_000_000
PLACES = (("Lowokwaru", "Jatimulyo"), ("Lowokwaru", "Lowokwaru"), ("Klojen", "Oro-oro Dowo"), ("Kedungkandang", "Kotalama"), ("Sukun", "Bandungrejosari"))
PROVIDERS = ("Awinet", "Indibiz", "Biznet Metronet")
MODELS = ("GL.iNet GL-MT3000", "Xiaomi AX3000T", "Cudy WR3000")
BOOT = "b1946ac92492d234"


def make_city(folder: Path, name: str = "malang") -> City:
    """Make a directory with a city.toml and an empty store."""
    (folder / "store").mkdir(parents=True)
    (folder / "city.toml").write_text(f'[city]\nname = "{name}"\n', encoding="utf-8")
    city = load(folder)
    store.open_live(city).close()
    return city


def enroll(city: City, number: int, ap: str | None = None, **columns: object) -> None:
    """Write one row of the inventory."""
    kecamatan, kelurahan = PLACES[number % len(PLACES)]
    row = {
        **{"id": ap or f"rw-{number:04d}", "number": number, "rw": f"{number % 20 + 1:02d}", "kelurahan": kelurahan, "kecamatan": kecamatan},
        **{"provider": PROVIDERS[number % len(PROVIDERS)], "contract_mbps": 50.0, "rupiah_month": 500_000, "lat": -7.95, "lon": 112.61},
        **{"tags": " market school " if number % 10 == 0 else "", "enrolled_at": NOW - 86_400 * 30, "revoked_at": None, **columns},
    }
    write(city, "city.inventory", row)


def write(city: City, table: str, row: dict[str, object]) -> None:
    """Put one row into a table of live.db, or of city.db as `city.<table>`; the old one of that key goes. What must be there and is not given is 0 or empty."""
    live = store.open_live(city, is_writer=True)
    schema, _, name = table.rpartition(".")
    try:
        for _, column, kind, is_needed, default, key in live.execute(f"PRAGMA {schema or 'main'}.table_info({name})").fetchall():
            if is_needed and default is None and not key:
                row = {column: "" if kind == "TEXT" else 0} | row
        live.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    finally:
        live.close()


def listen(city: City, began_at: int = NOW - 86_400, ended_at: int = NOW) -> None:
    """Say that this end listened."""
    write(city, "listening", {"began_at": began_at, "ended_at": ended_at})


def hear(city: City, number: int, *, ago_s: int = 5, **columns: object) -> None:
    """Write what one access point said last: a birth a day ago, and a report as long ago as `ago_s`."""
    write(city, "state", state_row(number, ago_s) | columns)


def enrich(city: City, number: int) -> None:
    """Give one access point what else a store may have of it: an alert, a certificate, two boots, events, two hours."""
    ap = f"rw-{number:04d}"
    write(city, "alerts", {"ap": number, "code": "flash-full", "since": NOW - 4000, "data": '{"free_bytes": 1024}'})
    write(city, "city.certificates", {"serial": "0a", "ap": ap, "made_at": NOW - 86_400, "expires_at": NOW + 86_400 * 3650})
    for boot, received, gone_below in (("00" * 8, "1-9,11-20", 21), (BOOT, "3-40", 3)):
        write(city, "boots", {"ap": number, "boot": boot, "received": received, "gone_below": gone_below, "first_at": NOW - 90_000, "last_at": NOW})
    for ago_s, kind, data in ((86_400, "boot", {"cause": "power"}), (600, "uplink", {"from": "ok", "to": "dns", "for_s": 12})):
        write(city, "events", {"ts": NOW - ago_s, "ap": number, "boot": 1, "seq": ago_s, "kind": kind, "data": json.dumps(data), "uptime_s": 1.0})
    for ago_s, up_s, down_s, unknown_s in ((7200, 3600, 0, 0), (86_400, 1800, 900, 900), (86_400 * 8, 0, 3600, 0)):
        write(city, "hours", {"hr": (NOW - ago_s) // 3600 * 3600, "ap": number, "up_s": up_s, "down_s": down_s, "unknown_s": unknown_s})


def state_row(number: int, ago_s: int = 5) -> dict[str, object]:
    """Make the state of an access point that is well."""
    said = report(number, 86_000.0, at=NOW - ago_s) | {"ap": f"rw-{number:04d}", "alerts": []}
    said["uplink"]["state"] = "ok"
    info = {"v": 1, "model": MODELS[number % len(MODELS)], "agent": "0.1.0", "os": "OpenWrt 25.12.1", "certificate_expires_at": NOW + 86_400 * 3650}
    return {
        **{"ap": number, "presence": "online", "session": f"{number:016x}", "presence_at": NOW - 86_400},
        **{"boot": BOOT, "seq": number, "report_at": NOW - ago_s, "span_s": 60.0, "report": json.dumps(said), "info": json.dumps(info)},
        **{"reported": json.dumps({"v": 1, "revision": 7, "state": "confirmed", "current": 7}), "reported_at": NOW - 3600, "plan": None, "plan_at": None},
    }


def fill(city: City, count: int) -> None:
    """Enrol so many, and let most of them be well: some lost, late, with alerts, never heard of."""
    rng = random.Random(count)
    live = store.open_live(city, is_writer=True)
    live.execute("BEGIN")
    for number in range(1, count + 1):
        kecamatan, kelurahan = PLACES[number % len(PLACES)]
        inventory = (f"rw-{number:04d}", number, f"{number % 20 + 1:02d}", kelurahan, kecamatan, PROVIDERS[number % 3], 50.0, 500_000, -7.95, 112.61)
        live.execute(f"INSERT INTO city.inventory VALUES ({', '.join('?' * 13)})", (*inventory, " market " if number % 10 == 0 else "", NOW - 86_400, None))
        row = state_row(number, rng.randint(0, 59))
        fate = rng.random()
        if fate < 0.02:
            continue
        if fate < 0.05:
            row |= {"presence": "lost", "presence_at": NOW - 600, "report_at": NOW - 700}
        elif fate < 0.07:
            row |= {"report_at": NOW - 400}
        elif fate < 0.08:
            row |= {"presence": "offline", "presence_at": NOW - 7200, "report_at": NOW - 7210}
        elif fate < 0.12:
            said = json.loads(str(row["report"])) | {"alerts": [rng.choice(("flash-full", "radio-down", "dhcp-pool-full", "conntrack-full"))]}
            row["report"] = json.dumps(said)
        elif fate < 0.13:
            row["reported"] = json.dumps({"v": 1, "revision": 8, "state": "rolled_back", "reason": "broker_unreachable", "current": 7})
        live.execute(f"INSERT INTO state ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    live.execute("INSERT OR REPLACE INTO listening VALUES (?, ?)", (NOW - 86_400, NOW))
    live.execute("COMMIT")
    live.close()
