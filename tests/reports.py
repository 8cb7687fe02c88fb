"""Realistic reports for the tests of what stores and merges them: 2 BSSs, 2 radios, 4 interfaces, values that vary."""

from __future__ import annotations

import random
from typing import Any

BOOT = "b1946ac92492d234"


def report(seq: int, uptime_s: float, *, boot: str = BOOT, clock: str = "ntp", at: int | None = None, span_s: float = 60) -> dict[str, Any]:
    """Make a report with every field, different for each seq."""
    rng = random.Random(seq)
    made: dict[str, Any] = {"v": 1, "ap": "rw-0501", "boot": boot, "seq": seq}
    if clock != "none":
        made["at"] = int(1_790_000_000 + uptime_s) if at is None else at
    made |= {
        "uptime_s": round(uptime_s, 1),
        "clock": clock,
        "span_s": span_s,
        "late": False,
        "stations": {"now": rng.randint(0, 40), "max": rng.randint(40, 60), "joins": rng.randint(0, 9), "leaves": rng.randint(0, 9), "weak_ratio": _ratio(rng)},
        "bss": [_bss(rng, 0), _bss(rng, 1)],
        "radios": [_radio(rng, 0), _radio(rng, 1)],
        "interfaces": [_interface(rng, name, role, seq) for name, role in (("wan", "uplink"), ("br-lan", "lan"), ("phy0-ap0", "bss"), ("phy1-ap0", "bss"))],
        "uplink": {
            "state": rng.choice(("ok", "ok", "ok", "internet", "dns")),
            "gateway_ms": _ms(rng, 2),
            "dns_ms": _ms(rng, 12),
            "internet_ms": _ms(rng, 30),
            "loss_ratio": rng.choice((0.0, 0.0, 0.05)),
            "address": "100.64.3.17",
            "gateway": "100.64.0.1",
        },
        "dhcp": {"leases": rng.randint(0, 150), "pool": 150},
        "host": {
            "cpu_ratio": _ratio(rng),
            "softirq_ratio": _ratio(rng),
            "load1": round(rng.random(), 2),
            "memory_total_bytes": 255_000_576,
            "memory_available_bytes": rng.randint(10**8, 15 * 10**7),
            "flash_free_bytes": rng.randint(10**6, 2 * 10**6),
            "flash_total_bytes": 9_437_184,
            "tmp_free_bytes": rng.randint(10**8, 12 * 10**7),
            "temperature_c": round(40 + 20 * rng.random(), 1),
            "conntrack": rng.randint(100, 4000),
            "conntrack_max": 16384,
            "processes": rng.randint(60, 80),
        },
        "alerts": rng.choice(([], [], ["offload-bypasses-caps"])),
        "agent": {
            "rss_bytes": rng.randint(18 * 10**6, 20 * 10**6),
            "cpu_s": round(seq * 0.05, 2),
            "loop_lag_ms": rng.randint(0, 9),
            "outbox": 0,
            "outbox_bytes": 0,
            "oldest_seq": seq,
            "dropped": 0,
            "thinned": 0,
            "reconnects": 1,
            "ack_p95_ms": rng.randint(5, 80),
            "flash_writes": 0,
            "collectors": {name: {"ms": _ms(rng, 9)} for name in ("stations", "radios", "traffic", "uplink", "dhcp", "host")},
        },
    }
    return made


def event(seq: int, uptime_s: float, *, boot: str = BOOT) -> dict[str, Any]:
    """Make an event."""
    data = {"from": "ok", "to": "dns", "for_s": 12.5}
    return {"v": 1, "ap": "rw-0501", "boot": boot, "seq": seq, "at": int(1_790_000_000 + uptime_s), "uptime_s": uptime_s, "kind": "uplink", "data": data}


def _ratio(rng: random.Random) -> float:
    return round(rng.random(), 4)


def _ms(rng: random.Random, most: float) -> float:
    return round(most * rng.random(), 1)


def _bss(rng: random.Random, radio: int) -> dict[str, Any]:
    return {
        "ifname": f"phy{radio}-ap0",
        "radio": f"radio{radio}",
        "band": ("2g", "5g")[radio],
        "ssid": "Malang RW 05",
        "bssid": f"02:00:00:00:0{radio}:01",
        "up": True,
        "stations": rng.randint(0, 20),
        "stations_max": rng.randint(20, 30),
        "signal_p50_dbm": rng.randint(-70, -50),
        "signal_p10_dbm": rng.randint(-90, -70),
        "rx_bps": rng.randint(0, 5 * 10**6),
        "tx_bps": rng.randint(0, 3 * 10**7),
        "tx_retry_ratio": _ratio(rng),
    }


def _radio(rng: random.Random, radio: int) -> dict[str, Any]:
    return {
        "radio": f"radio{radio}",
        "phy": f"phy{radio}",
        "band": ("2g", "5g")[radio],
        "channel": (6, 36)[radio],
        "width_mhz": (20, 80)[radio],
        "tx_power_dbm": 20,
        "noise_dbm": rng.randint(-98, -90),
        "airtime_busy_ratio": _ratio(rng),
        "airtime_tx_ratio": _ratio(rng),
        "up": True,
    }


def _interface(rng: random.Random, name: str, role: str, seq: int) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "role": role, "up": True}
    if role == "uplink":
        made |= {"link_mbps": 1000, "duplex": "full"}
    return made | {
        "rx_bytes_total": 9_876_543_210 + seq * 12_345_678 + rng.randint(0, 10**7),
        "tx_bytes_total": 123_456_789 + seq * 2_345_678 + rng.randint(0, 10**6),
        "rx_bps": rng.randint(0, 3 * 10**7),
        "tx_bps": rng.randint(0, 10**7),
        "rx_peak_bps": rng.randint(3 * 10**7, 6 * 10**7),
        "tx_peak_bps": rng.randint(10**7, 2 * 10**7),
        "rx_errors_total": 0,
        "rx_dropped_total": seq,
        "tx_errors_total": 0,
        "tx_dropped_total": 0,
        "reset": False,
    }
