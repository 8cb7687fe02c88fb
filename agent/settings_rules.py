"""What each key of agent.toml may be, its default, and what the keys must be to each other.

Used once at start and by the short-lived commands, never by the running daemon. Looks at the files
the settings name, changes nothing, and shows no value that could be a secret.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from agent import settings_files
from agent.identity import certificate_ends
from agent.settings import (
    BrokerSettings,
    Fault,
    OutboxSettings,
    PathSettings,
    ProbeSettings,
    PushSettings,
    ReportSettings,
    RouterSettings,
    Settings,
    SimulatedSettings,
)
from agent.wire.topics import is_name

SHOWN_CHARACTERS = 60
CA_FILE, CERT_FILE, KEY_FILE = "/etc/rwagent/ca.pem", "/etc/rwagent/client.pem", "/etc/rwagent/client.key"
TLS_PORT, PLAIN_PORT = 8883, 1883
OPENWRT_RELEASE = "/etc/openwrt_release"  # derivatives have it too
# A package for one platform leaves the others' files out.
_FILES, _SUFFIX = os.path.join(os.path.dirname(os.path.abspath(__file__)), "router"), os.path.splitext(__file__)[1]
BACKENDS = tuple(name for name in ("openwrt", "linux", "simulated") if os.path.exists(os.path.join(_FILES, name + _SUFFIX)))
NO_KEY = "no key of this version"
NOT_SHOWN = "not shown here"

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_UCI_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_PLACE_NAME = re.compile(r"cfg[0-9a-f]{6}")
_BRIDGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", re.ASCII)
_IFNAME = re.compile(r"(?!\.\.?$)[^\s/:\x00-\x1f\x7f]+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")
_USERNAME = re.compile(r"[^\x00-\x1f\x7f]{1,256}")


Kind = Literal["text", "flag", "whole", "number", "list"]


class Rule(NamedTuple):
    """What one key may be: a default (REQUIRED: none), what is allowed in words, and a test that gives the value or raises ValueError.

    `kind`: what it is made of where settings are but texts (agent/uci_settings.py); the test judges it all the same.
    """

    default: object
    allowed: str
    accept: Callable[[Any], object]
    is_shown: bool = True
    kind: Kind = "text"


class Required(NamedTuple):
    """Stands where a default would, for a key that must be given."""


REQUIRED = Required()


def check(value: Any, is_allowed: bool) -> Any:
    """Give the value when it is allowed, else raise ValueError."""
    if not is_allowed:
        raise ValueError
    return value


def _flag(default: bool) -> Rule:
    return Rule(default, "expected true or false", lambda value: check(value, isinstance(value, bool)), kind="flag")


def _whole(default: int | None, low: int, high: int) -> Rule:
    def accept(value: Any) -> object:
        return check(value, type(value) is int and low <= value <= high)

    return Rule(default, f"expected a whole number from {low} to {high}", accept, kind="whole")


def _number(default: float | None, low: float, high: float, also_zero: bool = False) -> Rule:
    def accept(value: Any) -> float:
        check(value, type(value) in (int, float) and (low <= value <= high or (also_zero and value == 0)))
        return float(value)

    return Rule(default, f"expected a number from {low:g} to {high:g}" + (", or 0 for off" if also_zero else ""), accept, kind="number")


def _choice(default: str, *words: str) -> Rule:
    return Rule(default, f"expected {' or '.join(json.dumps(word) for word in words)}", lambda value: check(value, value in words))


def _text(default: object, allowed: str, is_allowed: Callable[[str], bool], is_shown: bool = True) -> Rule:
    return Rule(default, f"expected {allowed}", lambda value: check(value, isinstance(value, str) and is_allowed(value)), is_shown)


def _path(default: str | None, may_be_empty: bool = False, is_shown: bool = True) -> Rule:
    def is_path(text: str) -> bool:
        return (text.startswith("/") and text.isprintable() and len(text) <= 4096) or (may_be_empty and not text)

    return _text(default, 'an absolute path such as "/etc/rwagent/…"' + (' or ""' if may_be_empty else ""), is_path, is_shown)


def is_host(text: str) -> bool:
    """Say whether `text` is a host name or an IP address without brackets."""
    if (":" in text or text[-1:].isdigit()) and _is_address(text):
        return True
    labels = text.removesuffix(".").split(".")
    return len(text) <= 253 and not labels[-1].isdigit() and all(_LABEL.fullmatch(label) for label in labels)


def _is_address(text: str) -> bool:
    # Imported here because most brokers have a name, and their start must not pay for it.
    import socket

    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def is_loopback(host: str) -> bool:
    """Say whether a connection to `host` stays in this box: 127.0.0.0/8, ::1 or localhost."""
    return host in ("localhost", "::1") or (host.startswith("127.") and host.count(".") == 3 and is_host(host))


def endpoint(text: str) -> tuple[str, int]:
    """Split "host:port" or "[v6]:port"; ValueError when it is neither."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = check(host[1:-1], ":" in host)
    elif ":" in host:
        raise ValueError
    check(port, bool(colon) and port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535 and is_host(host))
    return host, int(port)


def _endpoints(value: Any) -> tuple[tuple[str, int], ...]:
    check(value, isinstance(value, list) and len(value) <= 8 and all(isinstance(item, str) for item in value))
    return tuple(endpoint(item) for item in value)


def _is_network(text: str) -> bool:
    return _UCI_NAME.fullmatch(text) is not None or _BRIDGE.fullmatch(text) is not None


def _sections(value: Any) -> tuple[str, ...]:
    check(value, isinstance(value, list) and len(value) <= 64 and all(isinstance(item, str) and _UCI_NAME.fullmatch(item) for item in value))
    # What uci calls a section without a name of its own by: another one's after the next edit.
    check(value, not any(_PLACE_NAME.fullmatch(item) for item in value))
    return tuple(value)


def _moment(value: Any) -> str:
    """Give Unix seconds as text; "" is now."""
    if value == "":
        return ""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(check(value, isinstance(value, str)).replace("Z", "+00:00"))
    return str(int(check(moment, moment.tzinfo is not None and 2000 <= moment.year < 2100).timestamp()))


def is_ifname(text: str) -> bool:
    """Say whether Linux would take `text` as a network device's name (15 bytes at most)."""
    return len(text.encode(errors="replace")) <= 15 and _IFNAME.fullmatch(text) is not None


def _may_be_empty(is_allowed: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda text: not text or is_allowed(text)


_HOST = "a host name or an IP address, without port or brackets"

TABLES: dict[str, dict[str, Rule]] = {
    "agent": {
        "id": _text(None, settings_files.NAME_ALLOWED, is_name),
        "city": _text(REQUIRED, settings_files.NAME_ALLOWED, is_name),
    },
    "broker": {
        "host": _text(REQUIRED, _HOST, is_host),
        "port": _whole(None, 1, 65535),
        "tls": _flag(True),
        "allow_plaintext": _flag(False),
        "ca_file": _path(None),
        "cert_file": _path(None, may_be_empty=True),
        "key_file": _path(None, may_be_empty=True, is_shown=False),
        "username": _text(None, "1 to 256 characters without control characters", _may_be_empty(lambda text: _USERNAME.fullmatch(text) is not None)),
        "password_file": _path(None, may_be_empty=True, is_shown=False),
        "keepalive_s": _whole(30, 5, 600),
    },
    "report": {
        "interval_s": _number(60.0, 1, 3600),
        "sample_s": _number(None, 1, 3600),
        "encoding": _choice("json", "json", "deflate"),
        "peaks": _flag(False),
    },
    "probe": {
        "interval_s": _number(60.0, 1, 3600, also_zero=True),
        "dns_name": _text("", _HOST, _may_be_empty(is_host)),
        "internet": Rule((), 'expected a list of at most 8 "host:port" or "[address]:port"', _endpoints, kind="list"),
    },
    "router": {
        "backend": _choice("auto", "auto", *BACKENDS),
        "uplink": _text("auto", '"auto" or the name of a network device or of an interface of netifd\'s', is_ifname),
        "public_network": _text("", 'a network of /etc/config/network, on plain Linux a bridge, or ""', _may_be_empty(_is_network)),
        "contract_mbps": _number(50.0, 0.25, 100_000),
        "adopt": Rule(
            (), "expected a list of at most 64 section names of a-z, A-Z, 0-9 and _, not uci's own for one without a name (cfg…)", _sections, kind="list"
        ),
        "hostapd_dir": _path("/var/run/hostapd"),
        "ubus_socket": _path("/var/run/ubus/ubus.sock"),
        "lease_file": _path("", may_be_empty=True),
        "hostapd_config": _path("/etc/hostapd"),
    },
    "simulated": {
        "seed": _whole(0, 0, 2**31 - 1),
        "speed": _number(1.0, 0.01, 1_000_000, also_zero=True)._replace(allowed="expected a number from 0.01 to 1000000, or 0 for as fast as possible"),
        "stations_peak": _whole(40, 0, 1000),
        "start": Rule("", 'expected a moment with its zone such as "2026-08-17T06:00:00+07:00", or ""', _moment),
    },
    "push": {"keys_dir": _path("/etc/rwagent/keys"), "secrets_dir": _path("/etc/rwagent/secrets")},
    "outbox": {"max_bytes": _whole(524288, 65536, 16 * 2**20)},
    "paths": {"state_dir": _path("/etc/rwagent/state"), "run_dir": _path("/var/run/rwagent"), "apply_dir": _path("", may_be_empty=True)},
}


def resolve(document: dict[str, Any]) -> tuple[Settings | None, list[Fault]]:
    """Make settings of a parsed agent.toml, or give every fault in it, in the order of the documented example."""
    values, faults = _take(document)
    bad = frozenset(fault.key for fault in faults)
    identity = ""
    if "broker" not in bad:
        faults += _complete_broker(values["broker"], bad)
        identity, more = settings_files.check_files(values["broker"], values["agent"]["id"], bad)
        faults += more
    if not bad & {"report", "report.interval_s", "report.sample_s"}:
        faults += _complete_report(values["report"])
    if faults:
        return None, sorted(faults, key=_position)
    _complete_rest(values, identity)
    return _settings(values), []


def _take(document: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[Fault]]:
    """Take every known key that is allowed, defaults elsewhere; everything else is a fault."""
    faults = [Fault(_name(name), "no table of this version", _nearest_table(name)) for name in document if name not in TABLES]
    values: dict[str, dict[str, Any]] = {}
    for table, rules in TABLES.items():
        given = document.get(table, {})
        values[table] = {key: rule.default for key, rule in rules.items()}
        if not isinstance(given, dict):
            faults.append(Fault(table, shown(given), f"expected a table that begins with the line [{table}]"))
            continue
        for key, rule in rules.items():
            fault = _fault(f"{table}.{key}", given[key], rule, values[table]) if key in given else None
            if key not in given and rule.default is REQUIRED:
                fault = Fault(f"{table}.{key}", "missing", rule.allowed)
            faults += [fault] if fault else []
        faults += [Fault(f"{table}.{_name(key)}", NO_KEY, _nearest_key(table, key)) for key in given if key not in rules]
    return values, faults


def _fault(name: str, value: Any, rule: Rule, into: dict[str, Any]) -> Fault | None:
    try:
        into[name.partition(".")[2]] = rule.accept(value)
    except ValueError:
        return Fault(name, shown(value) if rule.is_shown else NOT_SHOWN, rule.allowed)
    return None


def _complete_broker(broker: dict[str, Any], bad: frozenset[str]) -> list[Fault]:
    """Fill in what depends on other keys of the broker's table, and refuse plain text on a network."""
    is_tls = broker["tls"] and "broker.tls" not in bad
    if broker["port"] is None:
        broker["port"] = TLS_PORT if is_tls else PLAIN_PORT
    if broker["ca_file"] is None and is_tls and "broker.ca_file" not in bad:
        broker["ca_file"] = CA_FILE
    others = ("cert_file", "key_file", "username", "password_file")
    if is_tls and not any(broker[key] or f"broker.{key}" in bad for key in others):
        broker["cert_file"], broker["key_file"] = CERT_FILE, KEY_FILE
    for key in ("ca_file", *others):
        broker[key] = broker[key] or ""
    if is_tls or broker["allow_plaintext"] or bad & {"broker.tls", "broker.host", "broker.allow_plaintext"} or is_loopback(broker["host"]):
        return []
    return [Fault("broker.tls", "false", f"expected true: {broker['host']} is not a loopback address (or set broker.allow_plaintext = true)")]


def _complete_report(report: dict[str, Any]) -> list[Fault]:
    if report["sample_s"] is None:
        report["sample_s"] = min(10.0, report["interval_s"])
    if report["sample_s"] <= report["interval_s"]:
        return []
    return [Fault("report.sample_s", f"{report['sample_s']:g}", f"expected at most report.interval_s, which is {report['interval_s']:g}")]


def _complete_rest(values: dict[str, dict[str, Any]], identity: str) -> None:
    broker, probe = values["broker"], values["probe"]
    values["agent"]["id"] = identity
    broker["certificate_ends"] = certificate_ends(broker["cert_file"]) if broker["cert_file"] else None
    broker["username"] = broker["username"] or (identity if broker["password_file"] else "")
    probe["dns_name"] = probe["dns_name"] or broker["host"]
    probe["internet"] = probe["internet"] or ((broker["host"], broker["port"]),)
    values["simulated"]["seed"] = values["simulated"]["seed"] or zlib.crc32(identity.encode()) & 0x7FFFFFFF
    paths = values["paths"]
    # Beside the daemon's and not in it: the daemon may do anything in its own.
    paths["apply_dir"] = paths["apply_dir"] or paths["run_dir"].rstrip("/") + "-apply"
    if values["router"]["backend"] == "auto":
        values["router"]["backend"] = "openwrt" if os.path.exists(OPENWRT_RELEASE) or "linux" not in BACKENDS else "linux"


def _settings(values: dict[str, dict[str, Any]]) -> Settings:
    return Settings(
        id=values["agent"]["id"],
        city=values["agent"]["city"],
        broker=BrokerSettings(**values["broker"]),
        report=ReportSettings(**values["report"]),
        probe=ProbeSettings(**values["probe"]),
        router=RouterSettings(**values["router"]),
        simulated=SimulatedSettings(**values["simulated"]),
        push=PushSettings(**values["push"]),
        outbox=OutboxSettings(**values["outbox"]),
        paths=PathSettings(**values["paths"]),
    )


def shown(value: Any) -> str:
    """Show a value as the file has it, shortened; never a table or text that may carry a password."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"[{', '.join(shown(item) for item in value)}]" if len(value) <= 8 else f"a list of {len(value)}"
    text = json.dumps(value) if isinstance(value, (str, bool, int, float)) else str(value)
    if "@" in text or "PRIVATE KEY" in text:
        return NOT_SHOWN
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def _position(fault: Fault) -> tuple[int, int]:
    table, _, key = fault.key.partition(".")
    tables, keys = list(TABLES), list(TABLES.get(table, ()))
    return tables.index(table) if table in tables else len(tables), keys.index(key) if key in keys else len(keys)


def _name(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key)[:SHOWN_CHARACTERS]


def _near(word: str, words: list[str]) -> list[str]:
    # Imported here because a start without a fault must not pay for it.
    import difflib

    return difflib.get_close_matches(word, words, 1)


def _nearest_key(table: str, key: str) -> str:
    near = _near(key, list(TABLES[table]))
    elsewhere = [f"{other}.{key}" for other, rules in TABLES.items() if key in rules]
    if near or elsewhere:
        return f"did you mean {f'{table}.{near[0]}' if near else elsewhere[0]}?"
    return f"expected one of {', '.join(TABLES[table])}"


def _nearest_table(name: str) -> str:
    near = _near(name, list(TABLES))
    keys = [f"{key} in the table [{table}]" for table, rules in TABLES.items() for key in rules if key == name]
    if near or keys:
        return f"did you mean {keys[0] if keys else f'[{near[0]}]'}?"
    return f"expected one of {', '.join(TABLES)}"
