"""Station MACs, Wi-Fi keys and passwords, planted wherever somebody could put them: the city keeps none of them, but in the key files and the signed pushes."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import signal
import sqlite3
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.wire import topics
from fleet import exporting
from tests.reports import report
from tests.stories import planted
from tests.stories.planted import find
from tests.stories.points import Point
from tests.stories.rwctl_city import COLUMNS, NAME, ROWS, RealCity, make_city, topic
from tests.stories.test_secrets import PEAK, SEED, macs
from tests.stories.world import until

pytestmark = [pytest.mark.story]
MAC, OTHER = "02:ab:cd:ef:01:23", "02:00:00:00:00:99"
WIFI_KEY, NEXT_KEY = "kunci-rahasia-RW05", "kunci-Kedua-77-Zq"
PASSPHRASE, PASSWORD = "frasa-sandi-operator-9x", "sandi-broker-Zz9-korek"
HONEST, HOSTILE = "rw-0501", "rw-0502"
START = "2026-08-17T06:00:00+07:00"
EXPORTS = (*(("export", "--what", what) for what in exporting.WHAT), ("export", "--what", "events", "--format", "csv"))

wraps: dict[str, Callable[[str], bytes]] = {
    "plain": lambda text: text.encode(),
    "upper case": lambda text: text.upper().encode(),
    "without colons": lambda text: text.replace(":", "").encode(),
    "json escapes": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text).encode(),
    "json slashes": lambda text: json.dumps(json.dumps({"a": text})).encode(),
    "url escapes": lambda text: "".join(f"%{ord(letter):02X}" for letter in text).encode(),
    "utf-16 le": lambda text: text.encode("utf-16-le"),
    "utf-16 be": lambda text: text.encode("utf-16-be"),
    "hex": lambda text: text.encode().hex().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64url": lambda text: base64.urlsafe_b64encode(b"xy" + text.encode()),
    "deflate": lambda text: zlib.compress(text.encode()),
    "gzip": lambda text: gzip.compress(text.encode()),
    "base64 in deflate": lambda text: zlib.compress(json.dumps({"a": base64.b64encode(text.encode()).decode()}).encode()),
    "deflate in base64": lambda text: base64.b64encode(zlib.compress(text.encode())),
    "json escapes in gzip": lambda text: gzip.compress("".join(f"\\u{ord(letter):04x}" for letter in text).encode()),
    "utf-16 in deflate": lambda text: zlib.compress(text.encode("utf-16-le")),
}


@pytest.mark.parametrize("wrap", wraps.values(), ids=wraps)
def test_the_search_finds_what_is_planted(wrap: Callable[[str], bytes]) -> None:
    """In the midst of other bytes, and not what was not planted."""
    for text in (MAC, WIFI_KEY, PASSPHRASE):
        assert find(b'\x00\x07{"v":1,"x":"' + wrap(text) + b'"} and more', {text, OTHER}) == {text}


def test_the_search_blots_out_pushes_only() -> None:
    """A signed push and its pieces are not searched; the same key beside it, and in base64 of its own, is found."""
    push = (
        base64.urlsafe_b64encode(b'{"alg":"EdDSA","typ":"rw+jws"}').rstrip(b"=")
        + b"."
        + base64.urlsafe_b64encode(f'{{"key":"{WIFI_KEY}"}}'.encode()).rstrip(b"=")
        + b"."
        + b"A" * 86
    )
    pages = b"xx" + push[:70] + b"\x00\x00\x00\x09" + push[70:] + b"yy"
    assert not find(planted.without_pushes(b"a" + push + b"b", []), {WIFI_KEY})
    assert not find(planted.without_pushes(pages, [push]), {WIFI_KEY})
    for beside in (WIFI_KEY.encode(), base64.b64encode(b"z" + WIFI_KEY.encode())):
        assert find(planted.without_pushes(pages + b" " + beside, [push]), {WIFI_KEY})


def test_the_search_reads_databases(tmp_path: Path) -> None:
    """A value longer than a page, one only in the WAL, and one that was deleted: found."""
    file = tmp_path / "x.db"
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (a TEXT)")
    for text in ("x" * (4096 - 30) + MAC + "x" * 4096, WIFI_KEY):
        connection.execute("INSERT INTO t VALUES (?)", (text,))
    connection.execute("INSERT INTO t VALUES (?)", (PASSWORD,))
    connection.execute("DELETE FROM t WHERE a = ?", (PASSWORD,))
    found = set().union(*(find(data, {MAC, WIFI_KEY, PASSWORD, OTHER}) for _, data in planted.everything(tmp_path)))
    connection.close()
    assert found == {MAC, WIFI_KEY, PASSWORD}


# The city.


def leaks(city: RealCity, texts: set[str], pushes: list[bytes], is_skipped: Callable[[str], bool], clean: set[bytes] | None = None) -> dict[str, set[str]]:
    """Give where planted texts stand in the city's directory and its logs, but in what is skipped and in the pushes.

    `clean` remembers, for a further look with the same texts and pushes, which bytes have nothing in them: most are the same then.
    """
    found: dict[str, set[str]] = {}
    clean = set() if clean is None else clean
    for root in (city.folder, city.logs):
        for name, data in planted.everything(root):
            if is_skipped(name) or (digest := hashlib.blake2b(data).digest()) in clean:
                continue
            if here := find(planted.without_pushes(data, pushes), texts):
                found[name] = here
            else:
                clean.add(digest)
    return found


def is_key_file(name: str) -> bool:
    """Say whether a file is where a key belongs: the Wi-Fi keys' own directory, private keys, and the bundles that carry these."""
    return name.startswith(("secrets/", "bundles/")) or name.endswith((".sec", ".key"))


def everything_said(city: RealCity, *names: str) -> None:
    """Let rwctl say all that it says; what it prints is searched with the logs."""
    said: list[tuple[str, ...]] = [("status",), ("status", "--json"), ("history",), ("history", "--json"), ("audit",), ("audit", "--json"), ("audit", "verify")]
    said += [("status", "--quarantine"), ("status", "--quarantine", "--json")]
    said += [("status", name, *more) for name in names for more in ((), ("--json",))]
    city.rwctl_says(*said, *EXPORTS)


def saved_by_the_broker(city: RealCity) -> None:
    """Let mosquitto write what it keeps: retained messages, sessions, queues."""
    file = city.folder / "broker/data/mosquitto.db"
    before = file.stat().st_mtime_ns if file.exists() else 0
    os.kill(int((city.folder / "broker/mosquitto.pid").read_text()), signal.SIGUSR1)
    until(lambda: file.exists() and file.stat().st_mtime_ns != before, "the broker writes what it keeps", 10)


@pytest.mark.needs("mosquitto")
@pytest.mark.long
def test_a_city_at_work_keeps_no_mac_and_no_key() -> None:
    """A busy access point, two Wi-Fi keys pushed, planned, taken back and refused, a locked signing key, a CSV with passwords: all of it leaves nothing."""
    with make_city() as city:
        phrase = city.folder.parent / "phrase"
        phrase.write_text(PASSPHRASE + "\n")
        phrase.chmod(0o600)
        lock_signing_key(city, phrase)
        bad_files(city)
        city.enroll(HONEST)
        city.broker()
        serve = city.serve()
        tail = city.start("tail", "tail")
        agent = city.agent(HONEST, simulated={"seed": SEED, "stations_peak": PEAK, "start": START})
        with city.operator() as operator:
            operator.subscribe("#")
            pushed(city, phrase)
            until(lambda: (city.status()[HONEST]["clients"] or 0) > 0, lambda: str(city.status()), 30)
            everything_said(city, HONEST)
            saved_by_the_broker(city)
            pushes = [each.payload for each in operator.heard if each.topic.endswith(topics.PUSHES)]
            assert agent.stop() == 0
            assert "warga" in tail.log()
            tail.kill()
            saved_by_the_broker(city)
        texts = macs() | {WIFI_KEY, NEXT_KEY, PASSPHRASE, PASSWORD}
        assert len(texts) > 50
        # The search would see them: the keys are in the pushes, and where keys belong.
        assert pushes and find(b" ".join(pushes), {WIFI_KEY, NEXT_KEY}) == {WIFI_KEY, NEXT_KEY}
        assert find(b" ".join(data for name, data in planted.everything(city.folder) if name.startswith("secrets/")), texts) == {WIFI_KEY, NEXT_KEY}
        # While it runs, with its WAL, and after its end.
        clean: set[bytes] = set()
        assert leaks(city, texts, pushes, is_key_file, clean) == {}
        assert serve.stop() == 0
        assert leaks(city, texts, pushes, is_key_file, clean) == {}


def lock_signing_key(city: RealCity, phrase: Path) -> None:
    """Make the signing key anew, with a passphrase, as `init` would have."""
    for kind in ("sec", "pub"):
        (city.folder / f"keys/{NAME}.{kind}").unlink()
    city.rwctl("init", str(city.folder), "--passphrase-file", str(phrase), with_dir=False)


def bad_files(city: RealCity) -> None:
    """Offer inventories and documents that are refused, with passwords in them."""
    extra = city.folder.parent / "extra.csv"
    extra.write_text(f"{COLUMNS},wifi_password\n{ROWS[HONEST]},{PASSWORD}\n")
    broken = city.folder.parent / "broken.csv"
    broken.write_text(f"{COLUMNS}\n{ROWS[HONEST].replace('500000', PASSWORD)}\n{PASSWORD}\n")
    document = city.folder.parent / "bad.toml"
    document.write_text(f'[ssids.public]\nssid = "x"\nsecurity = "psk9"\nbands = ["2g"]\nkey = "{NEXT_KEY}\u00e4"\nkeyy = "{NEXT_KEY}"\n')
    # What these print stays on the operator's own screen; but a key is not shown even there.
    for words in (("--csv", str(extra)), ("--csv", str(broken)), ("--csv", str(broken), "--dry-run")):
        city.rwctl("enroll", *words, fails=True, is_logged=False)
    assert not find(city.rwctl("push", "--to", "city", str(document), fails=True).encode(), {NEXT_KEY})


def pushed(city: RealCity, phrase: Path) -> None:
    """Push a document with a key until it is confirmed, plan one with another, push that too and take it back."""
    locked = ("--passphrase-file", str(phrase))
    documents = []
    for number, key in enumerate((WIFI_KEY, NEXT_KEY)):
        documents.append(str(city.folder.parent / f"wifi-{number}.toml"))
        Path(documents[-1]).write_text(f'[ssids.warga]\nssid = "Warga RW 05"\nsecurity = "psk2"\nbands = ["2g"]\nkey = "{key}"\n')
    assert "confirmed" in city.rwctl("push", "--to", HONEST, *locked, documents[0], within_s=120)
    city.rwctl("plan", "--to", HONEST, *locked, documents[1], within_s=120)
    city.rwctl("plan", "--to", HONEST, "--explain", HONEST, documents[1])
    city.rwctl("push", "--to", HONEST, *locked, "--no-wait", documents[1])
    city.rwctl("revert", "--to", HONEST, *locked, "--no-wait")


# An access point that says what it must not.


def odd_reports() -> Iterator[dict[str, Any]]:
    """Give reports that are taken, each with something in a place where nothing of the kind belongs."""
    bare, dashed = MAC.replace(":", ""), MAC.replace(":", "-")
    for number, change in enumerate(
        (
            {"x": {"mac": MAC, "psk": WIFI_KEY}},
            {"stations": {"now": 1, "max": 1, "list": [MAC, bare, dashed], "key": WIFI_KEY}},
            {
                "bss": [
                    {"ifname": "phy0-ap0", "ssid": f"near {MAC}", "bssid": "02:00:00:00:00:01", "up": True, "key": WIFI_KEY, "assoc": {bare: {"psk": NEXT_KEY}}}
                ]
            },
            {"alerts": [dashed, bare, MAC]},
            {"uplink": {"state": "ok", "address": MAC, "pppoe": {"user": "x", "password": PASSWORD}}},
            {"agent": {"oldest_seq": 1, "outbox": 0, "collectors": {"stations": {"ms": 1.0, "error": f"timed out: {MAC} key={WIFI_KEY}"}, bare: {"ms": 1}}}},
            {"host": {"cpu_ratio": 0.1, "hostname": f"phone-{bare}", "environment": f"PASSWORD={PASSWORD}"}},
            {"interfaces": [{"name": "wan", "role": "uplink", "up": True, "neighbours": [MAC], "peer": bare}]},
            {"radios": [{"radio": "radio0", "phy": MAC, "band": "2g", "config": {"key": WIFI_KEY}}]},
            {"dhcp": {"leases": 1, "pool": 150, "hosts": {MAC: PASSWORD, bare: dashed}}},
        ),
        1,
    ):
        yield report(number, 60.0 * number, at=int(time.time())) | change | {"ap": HOSTILE}


def odd_messages() -> Iterator[tuple[str, bytes, bool]]:
    """Give everything else: below which topic, what, and whether retained."""
    bare, dashed, boot, now = MAC.replace(":", ""), MAC.replace(":", "-"), "b1946ac92492d234", int(time.time())
    event = {"v": 1, "ap": HOSTILE, "boot": boot, "uptime_s": 9.0, "at": now}
    yield "event", json.dumps(event | {"seq": 11, "kind": "uplink", "data": {"mac": MAC, bare: 1, "key": WIFI_KEY, "list": [dashed]}}).encode(), False
    yield "event", json.dumps(event | {"seq": 12, "kind": dashed, "data": {}}).encode(), False
    yield "event", json.dumps(event | {"seq": 13, "kind": bare, "data": {}}).encode(), False
    for code in (dashed, bare, "flash-full"):
        yield f"alert/{code}", json.dumps({"v": 1, "code": code, "since": now, "data": {"mac": MAC, "bare": bare, "password": PASSWORD}}).encode(), True
    info = {
        "v": 1,
        "ap": HOSTILE,
        "model": f"box of {MAC}",
        "board": bare,
        "psk": WIFI_KEY,
        "radios": [{"radio": "radio0", "band": "2g", "key": WIFI_KEY}],
        "commands": [MAC],
    }
    yield "info", json.dumps(info).encode(), True
    changes = [
        {"path": "ssids.public.key", "from": NEXT_KEY, "to": WIFI_KEY, "impact": "bss"},
        {"path": "x", "from": MAC, "to": {"key": WIFI_KEY}, "impact": "bss"},
    ]
    verdict = {
        "v": 1,
        "revision": 3,
        "hash": "sha256:" + "0" * 64,
        "errors": [{"path": MAC, "code": bare, "message": f"no {MAC}"}],
        "changes": changes,
        "psk": WIFI_KEY,
    }
    drift = [{"path": "ssids.public.key", "expected": NEXT_KEY, "found": WIFI_KEY}, {"path": "y", "expected": dashed, "found": MAC}]
    yield "config/reported", json.dumps(verdict | {"state": "confirmed", "drift": drift, "config": {"key": WIFI_KEY}}).encode(), True
    yield "config/plan/result", json.dumps(verdict | {"state": "planned", "impact": "bss"}).encode(), False
    yield "presence", json.dumps({"v": 1, "state": "online", "boot": boot, "session": "0123456789abcdef", "agent": MAC, "key": WIFI_KEY}).encode(), True
    yield "sla", json.dumps({"mac": MAC, "key": WIFI_KEY}).encode(), False
    yield "command/reboot/result", json.dumps({"v": 1, "id": bare, "output": {"stations": [MAC], "password": PASSWORD}}).encode(), False


def poison() -> Iterator[bytes]:
    """Give what is no message at all, in every wrapping that somebody could have put a MAC address or a key into."""
    texts = (
        f"station {MAC} key={WIFI_KEY}",
        f'{{"mac":"{MAC}","key":"{WIFI_KEY}","password":"{PASSWORD}"}}',
        f'{{"a":["{MAC.replace(":", "")}"],"psk":"{NEXT_KEY}"}}',
    )
    for text in texts:
        yield text.encode()
        yield text.encode("utf-16-le")
        yield text.encode("utf-16-be")
        yield base64.b64encode(text.encode())
        yield text.encode().hex().encode()
        yield zlib.compress(text.encode())
        yield gzip.compress(text.encode())
        yield urllib.parse.quote(text, safe="").encode()
        yield "".join(f"\\u{ord(letter):04x}" for letter in text).encode()
        yield "".join(f"%{ord(letter):02X}" for letter in text).encode()
        yield b'{"v":1,"ap":"' + text.encode() + b'"'
    yield bytes.fromhex(MAC.replace(":", "")) * 3


def batches(items: list[bytes], size: int) -> Iterator[list[bytes]]:
    """Give a list in parts."""
    return (items[at : at + size] for at in range(0, len(items), size))


def heard_by_the_city(point: Point, seq: int) -> bool:
    """Report, and say whether that was acknowledged by now."""
    point.publish(topic(HONEST, topics.REPORT), json.dumps(report(seq, 60.0 * seq, at=int(time.time())) | {"ap": HONEST}).encode())
    return any(json.loads(each.payload)["through"] >= seq for each in point.heard[:])


@pytest.mark.needs("mosquitto")
def test_what_an_access_point_should_not_have_said_is_not_kept() -> None:
    """A broken one, or one not ours any more, puts addresses and keys into every message and every place of one: none gets into store, logs or exports."""
    with make_city(HONEST, HOSTILE) as city:
        city.broker()
        serve = city.serve()
        with city.point(HOSTILE) as point, city.point(HONEST) as other:
            other.subscribe(topic(HONEST, topics.ACK))
            point.subscribe(topic(HOSTILE, topics.ACK))
            until(lambda: heard_by_the_city(other, 1), lambda: serve.log()[-2000:], 30, 0.2)
            for message in odd_reports():
                point.publish(topic(HOSTILE, topics.REPORT), json.dumps(message).encode())
            for below, payload, is_retained in odd_messages():
                point.publish(f"{topics.root(NAME, HOSTILE)}/{below}", payload, retain=is_retained)
            # Of one access point ten are kept of a batch: so few at a time, each batch ended by an acknowledgement.
            for seq, some in enumerate(batches(list(poison()), 8), 2):
                for payload in some:
                    point.publish(topic(HOSTILE, topics.REPORT), payload)
                until(lambda seq=seq: heard_by_the_city(other, seq), lambda: serve.log()[-2000:], 30, 0.2)
            for below in (topics.EVENT, topics.INFO, topics.PRESENCE, topics.CONFIG_REPORTED, topics.CONFIG_PLAN_RESULT, "alert/flash-full"):
                point.publish(f"{topics.root(NAME, HOSTILE)}/{below}", next(poison()))
            # What comes after all of that is still taken.
            until(lambda: heard_by_the_city(other, 99), lambda: serve.log()[-2000:], 30, 0.2)
            acks = until(lambda: [json.loads(each.payload) for each in point.heard], lambda: serve.log()[-2000:], 30)
            assert acks[-1]["through"] >= 10
        everything_said(city, HONEST, HOSTILE)
        # The broker keeps, retained, what it was given: it looks into nothing.
        kept = {MAC, WIFI_KEY, NEXT_KEY, PASSWORD}
        is_skipped = lambda name: is_key_file(name) or name.startswith("broker/data/")  # noqa: E731
        assert leaks(city, kept, [], is_skipped) == {}
        assert serve.stop() == 0
        assert leaks(city, kept, [], is_skipped) == {}
