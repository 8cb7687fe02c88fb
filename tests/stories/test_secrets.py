"""Station MACs and secrets, planted: they are in no message, no log, no file and nowhere the process shows itself."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.router import simulated
from tests.stories.world import AP, World, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
SEED, PEAK = 4711, 60
PASSWORD = "hunter2-korek-api-Zz9"
MAX_DEPTH = 3
_BETWEEN = b"\n\xff\x00 no text goes on behind this \x00\xff\n"
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){6,}")


def readings(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """Give bytes as they are and as what they may hide: base64 (both alphabets, each offset), hex, zlib and raw deflate at every offset."""
    yield data
    if depth >= MAX_DEPTH:
        return
    for found in _BASE64.finditer(data):
        text = found.group().rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        for start in range(min(4, len(text))):
            part = text[start:]
            # A length of 4n + 1 is no base64: its last character belongs to something else.
            part = part[:-1] if len(part) % 4 == 1 else part
            yield from readings(base64.b64decode(part + b"=" * (-len(part) % 4)), max(depth + 1, MAX_DEPTH - 1))
    for found in _HEX.finditer(data):
        yield binascii.unhexlify(found.group()[: len(found.group()) // 2 * 2])
    for at in [match.start() for match in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", data)]:
        try:
            yield from readings(zlib.decompressobj().decompress(data[at:], 10_000_000), depth + 1)
        except zlib.error:
            continue


def find(data: bytes, planted: set[str]) -> set[str]:
    """Give which of the planted texts stand in the bytes, whatever their case, separators and wrapping."""
    # Of one blob each text is asked once: there are a hundred thousand readings, most of a few bytes.
    blob = _BETWEEN.join(readings(data))
    low, found = blob.lower(), set()
    for text in planted:
        forms = {text.lower().encode(), text.replace(":", "").lower().encode(), text.replace(":", "-").lower().encode()}
        raw = bytes.fromhex(text.replace(":", "")) if re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", text) else None
        if any(form in low for form in forms) or (raw is not None and raw in blob):
            found.add(text)
    return found


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: text.encode(),
        lambda text: text.upper().encode(),
        lambda text: text.replace(":", "").encode(),
        lambda text: text.replace(":", "-").upper().encode(),
        lambda text: base64.b64encode(text.encode()),
        lambda text: base64.urlsafe_b64encode(b"xy" + text.encode()),
        lambda text: text.encode().hex().encode(),
        lambda text: zlib.compress(text.encode()),
        lambda text: base64.b64encode(zlib.compress(text.encode())),
        lambda text: zlib.compress(json.dumps({"a": base64.b64encode(text.encode()).decode()}).encode()),
    ],
)
def test_the_search_finds_what_is_planted(wrap: object) -> None:
    """Plain, upper case, without colons, base64, hex, deflated, and wrapped twice: found in the midst of other bytes."""
    for text in ("02:ab:cd:ef:01:23", PASSWORD):
        assert find(b'{"v":1,"x":"' + wrap(text) + b'"} and more', {text, "02:00:00:00:00:99"}) == {text}  # type: ignore[operator]  # a lambda


def macs() -> set[str]:
    """Give every station's MAC address that the agent's own router shows it, read from a second one of the same seed."""
    router = simulated.open_router(AP, SEED, 0, PEAK, 50.0, 1_786_921_200.0)
    seen: set[str] = set()
    for _ in range(600):
        router.clock.real_seconds(60)
        for bss in router.bss():
            seen |= {station.mac for station in router.stations(bss.ifname)}
    return seen


@pytest.mark.parametrize("encoding", ["json", "deflate"])
@pytest.mark.long
def test_no_station_and_no_secret_gets_out(world: World, encoding: str) -> None:
    """Hours of a busy access point: no planted MAC or password in messages, log, command line, environment, state file or journal."""
    broker = world.broker(passwords={AP: PASSWORD, "_ingest": "x"}, extra="allow_anonymous true")
    city = world.city(broker.port)
    file = world.folder / "password"
    file.write_text(PASSWORD + "\n")
    file.chmod(0o600)
    tables = {
        "broker": {"password_file": str(file)},
        "report": {"interval_s": 60, "sample_s": 30, "encoding": encoding},
        "simulated": {"seed": SEED, "speed": 1200, "stations_peak": PEAK, "start": "2026-08-17T06:00:00+07:00"},
        "probe": {"interval_s": 60},
    }
    wire = world.wire(broker.port)
    agent = world.agent(wire.port, sample_s=30, interval_s=60, tables=tables).start()
    city.wait_for(60)
    wire.is_open = False
    wire.cut()
    until(lambda: len(agent.held()) >= 60, "an hour in the outbox")
    proc = Path(f"/proc/{agent.pid}")
    shown = [proc.joinpath("cmdline").read_bytes(), proc.joinpath("environ").read_bytes()]
    shown += [json.dumps(message, ensure_ascii=False).encode() for message in agent.kept()]
    shown += [each.read_bytes() for each in (agent.run_dir / "outbox").iterdir()]
    shown += [agent.log().encode(), (agent.run_dir / "daemon.json").read_bytes(), (agent.status("--json").stdout).encode()]
    shown += [heard.payload + heard.topic.encode() for heard in city.heard]
    planted = macs()
    assert len(planted) > 50
    assert max(report["stations"]["max"] for report in city.reports() if "stations" in report) > 0
    assert agent.stop() == 0
    for data in shown:
        assert not find(data, planted | {PASSWORD}), data[:200]


@pytest.mark.needs("root")
def test_hostile_lease_host_names_stay_inside(world: World) -> None:
    """The leases of a Linux box are counted; neither a host name nor a MAC address of them is in any message, log or file."""
    broker = world.broker()
    city = world.city(broker.port)
    leases = world.folder / "dhcp.leases"
    names = ["$(reboot)", "a\x1b[31mb", "x" * 200, "rumah-pak-budi", "';--"]
    stations = [f"02:aa:bb:cc:dd:{number:02x}" for number in range(len(names))]
    lines = [f"9999999999 {mac} 10.0.0.{number} {name} *" for number, (mac, name) in enumerate(zip(stations, names, strict=True))]
    leases.write_text("\n".join(lines) + "\n")
    tables = {"router": {"backend": "linux", "lease_file": str(leases)}, "probe": {"interval_s": 0}}
    agent = world.agent(broker.port, tables=tables).start()
    reports = city.wait_for(2)
    assert agent.stop() == 0
    assert reports[-1]["dhcp"]["leases"] == len(names)
    shown = [agent.log().encode(), (agent.run_dir / "daemon.json").read_bytes(), *[heard.payload for heard in city.heard]]
    for data in shown:
        assert not find(data, {*stations, *names})
