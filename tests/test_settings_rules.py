"""Each key of agent.toml: what is allowed, what is refused, and in which words."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from agent.settings import Fault, Settings
from agent.settings_rules import TABLES, is_host, is_ifname, is_loopback, resolve, shown

CITY = {"id": "rw-0501", "city": "malang"}
LOCAL = {"host": "localhost", "tls": False}


def document(**tables: dict[str, Any]) -> dict[str, Any]:
    """A document without faults, with some keys changed."""
    plain: dict[str, Any] = {"agent": CITY, "broker": LOCAL}
    return plain | {table: plain.get(table, {}) | keys for table, keys in tables.items()}


def settings(**tables: dict[str, Any]) -> Settings:
    found, faults = resolve(document(**tables))
    assert found is not None, faults
    return found


def faults(**tables: dict[str, Any]) -> list[Fault]:
    found, wrong = resolve(document(**tables))
    assert found is None
    return wrong


def sentences(**tables: dict[str, Any]) -> list[str]:
    return [fault.sentence() for fault in faults(**tables)]


ADOPTABLE = "expected a list of at most 64 section names of a-z, A-Z, 0-9 and _, not uci's own for one without a name (cfg…)"
REFUSED = [
    ("agent.id", "", '""', "expected 1 to 48 of a-z, 0-9 and -"),
    ("agent.id", "x" * 49, f'"{"x" * 49}"', "expected 1 to 48 of a-z, 0-9 and -"),
    ("agent.id", "rw\n", '"rw\\n"', "expected 1 to 48 of a-z, 0-9 and -"),
    ("agent.id", 501, "501", "expected 1 to 48 of a-z, 0-9 and -"),
    ("agent.city", "a/b", '"a/b"', "expected 1 to 48 of a-z, 0-9 and -"),
    ("agent.city", "+", '"+"', "expected 1 to 48 of a-z, 0-9 and -"),
    ("broker.host", "", '""', "expected a host name or an IP address, without port or brackets"),
    ("broker.host", "mqtt.example:8883", '"mqtt.example:8883"', "expected a host name or an IP address, without port or brackets"),
    ("broker.host", "mqtts://a:b@c", "not shown here", "expected a host name or an IP address, without port or brackets"),
    ("broker.host", {"password": "x"}, "a table", "expected a host name or an IP address, without port or brackets"),
    ("broker.port", 0, "0", "expected a whole number from 1 to 65535"),
    ("broker.port", True, "true", "expected a whole number from 1 to 65535"),
    ("broker.port", 8883.0, "8883.0", "expected a whole number from 1 to 65535"),
    ("broker.tls", "no", '"no"', "expected true or false"),
    ("broker.allow_plaintext", 1, "1", "expected true or false"),
    ("broker.ca_file", "ca.pem", '"ca.pem"', 'expected an absolute path such as "/etc/rwagent/…"'),
    ("broker.cert_file", "client.pem", '"client.pem"', 'expected an absolute path such as "/etc/rwagent/…" or ""'),
    ("broker.key_file", "-----BEGIN PRIVATE KEY-----", "not shown here", 'expected an absolute path such as "/etc/rwagent/…" or ""'),
    ("broker.password_file", "hunter2", "not shown here", 'expected an absolute path such as "/etc/rwagent/…" or ""'),
    ("broker.username", "a\nb", '"a\\nb"', "expected 1 to 256 characters without control characters"),
    ("broker.keepalive_s", 4, "4", "expected a whole number from 5 to 600"),
    ("report.interval_s", 0, "0", "expected a number from 1 to 3600"),
    ("report.interval_s", float("nan"), "NaN", "expected a number from 1 to 3600"),
    ("report.interval_s", float("inf"), "Infinity", "expected a number from 1 to 3600"),
    ("report.sample_s", 0.5, "0.5", "expected a number from 1 to 3600"),
    ("report.encoding", "gzip", '"gzip"', 'expected "json" or "deflate"'),
    ("report.peaks", 0, "0", "expected true or false"),
    ("probe.interval_s", 0.5, "0.5", "expected a number from 1 to 3600, or 0 for off"),
    ("probe.dns_name", "a b", '"a b"', "expected a host name or an IP address, without port or brackets"),
    ("probe.internet", "1.1.1.1:53", '"1.1.1.1:53"', 'expected a list of at most 8 "host:port" or "[address]:port"'),
    ("probe.internet", ["1.1.1.1"], '["1.1.1.1"]', 'expected a list of at most 8 "host:port" or "[address]:port"'),
    ("probe.internet", ["::1:53"], '["::1:53"]', 'expected a list of at most 8 "host:port" or "[address]:port"'),
    ("probe.internet", ["a:0"], '["a:0"]', 'expected a list of at most 8 "host:port" or "[address]:port"'),
    ("probe.internet", ["a:1"] * 9, "a list of 9", 'expected a list of at most 8 "host:port" or "[address]:port"'),
    ("router.backend", "windows", '"windows"', 'expected "auto" or "openwrt" or "linux" or "simulated"'),
    ("router.uplink", "a/b", '"a/b"', 'expected "auto" or the name of a network device or of an interface of netifd\'s'),
    ("router.uplink", "x" * 16, f'"{"x" * 16}"', 'expected "auto" or the name of a network device or of an interface of netifd\'s'),
    ("router.public_network", "a b", '"a b"', 'expected a network of /etc/config/network, on plain Linux a bridge, or ""'),
    ("router.public_network", "-br", '"-br"', 'expected a network of /etc/config/network, on plain Linux a bridge, or ""'),
    ("router.contract_mbps", 0, "0", "expected a number from 0.25 to 100000"),
    ("router.adopt", ["a", 1], '["a", 1]', ADOPTABLE),
    ("router.adopt", ["a", "cfg033579"], '["a", "cfg033579"]', ADOPTABLE),
    ("router.ubus_socket", "", '""', 'expected an absolute path such as "/etc/rwagent/…"'),
    ("router.hostapd_dir", "", '""', 'expected an absolute path such as "/etc/rwagent/…"'),
    ("router.lease_file", "leases", '"leases"', 'expected an absolute path such as "/etc/rwagent/…" or ""'),
    ("router.hostapd_config", "", '""', 'expected an absolute path such as "/etc/rwagent/…"'),
    ("simulated.seed", -1, "-1", "expected a whole number from 0 to 2147483647"),
    ("simulated.speed", -1, "-1", "expected a number from 0.01 to 1000000, or 0 for as fast as possible"),
    ("simulated.stations_peak", 1001, "1001", "expected a whole number from 0 to 1000"),
    ("simulated.start", "yesterday", '"yesterday"', 'expected a moment with its zone such as "2026-08-17T06:00:00+07:00", or ""'),
    ("simulated.start", "2026-08-17T06:00:00", '"2026-08-17T06:00:00"', 'expected a moment with its zone such as "2026-08-17T06:00:00+07:00", or ""'),
    ("push.keys_dir", "keys", '"keys"', 'expected an absolute path such as "/etc/rwagent/…"'),
    ("push.secrets_dir", "secrets", '"secrets"', 'expected an absolute path such as "/etc/rwagent/…"'),
    ("outbox.max_bytes", 65535, "65535", "expected a whole number from 65536 to 16777216"),
    ("paths.state_dir", "/a\x00b", '"/a\\u0000b"', 'expected an absolute path such as "/etc/rwagent/…"'),
    ("paths.run_dir", 5, "5", 'expected an absolute path such as "/etc/rwagent/…"'),
    ("paths.apply_dir", "apply", '"apply"', 'expected an absolute path such as "/etc/rwagent/…" or ""'),
]


@pytest.mark.parametrize(("name", "value", "said", "allowed"), REFUSED)
def test_a_value_that_is_not_allowed_is_one_fault(name: str, value: object, said: str, allowed: str) -> None:
    """A wrong value is exactly one fault, with key, value and what is allowed."""
    table, key = name.split(".")
    assert faults(**{table: {key: value}}) == [Fault(name, said, allowed)]


def test_every_key_has_a_refused_value() -> None:
    """No key of the table of rules takes just anything: each has a case above."""
    assert {name for name, *_ in REFUSED} == {f"{table}.{key}" for table, rules in TABLES.items() for key in rules}


@pytest.mark.parametrize(("table", "value", "said"), [("broker", 5, "5"), ("report", [{}], "[a table]"), ("agent", "x", '"x"')])
def test_a_table_must_be_a_table(table: str, value: object, said: str) -> None:
    """Something else in a table's place is one fault, and its keys are not called missing."""
    _, wrong = resolve(document() | {table: value})
    assert wrong == [Fault(table, said, f"expected a table that begins with the line [{table}]")]


@pytest.mark.parametrize("missing", ["agent.city", "broker.host"])
def test_what_has_no_default_must_be_given(missing: str) -> None:
    """City and broker have no default."""
    table, key = missing.split(".")
    given = document()
    given[table] = {name: value for name, value in given[table].items() if name != key}
    _, wrong = resolve(given)
    assert [(fault.key, fault.value) for fault in wrong] == [(missing, "missing")]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"broker": {"hots": "x"}}, "broker.hots is no key of this version, did you mean broker.host?"),
        ({"report": {"keepalive_s": 5}}, "report.keepalive_s is no key of this version, did you mean broker.keepalive_s?"),
        ({"outbox": {"zzz": 5}}, "outbox.zzz is no key of this version, expected one of max_bytes"),
        ({"reprot": {}}, "reprot is no table of this version, did you mean [report]?"),
        ({"host": {}}, "host is no table of this version, did you mean host in the table [broker]?"),
        ({"outbox": {"\x1b[2J": 5}}, 'outbox."\\u001b[2J" is no key of this version, expected one of max_bytes'),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_known(tables: dict[str, dict[str, Any]], said: str) -> None:
    """A key or table that does not exist is a fault, and the likeliest one meant is named."""
    assert sentences(**tables) == [said]


@pytest.mark.parametrize("key", ["password", "passwrd", "secret", "key", "x"])
def test_the_value_of_an_unknown_key_is_not_shown(key: str) -> None:
    """Whatever stands behind an unknown key stays unsaid: it may be a password, also under a mistyped name."""
    assert "hunter2" not in " ".join(sentences(broker={key: "hunter2"}, wifi={key: "hunter2"}, agent={key: {"a": ["hunter2"]}}))


@pytest.mark.parametrize("value", ["user:hunter2@host", ["user:hunter2@host"], {"a": "hunter2"}, [{"a": "hunter2"}], "-----BEGIN PRIVATE KEY-----hunter2"])
def test_a_value_that_may_carry_a_secret_is_not_shown(value: object) -> None:
    """Tables, addresses with a user in them and keys are not repeated."""
    assert "hunter2" not in shown(value)


def test_a_long_value_is_cut() -> None:
    """A fault stays a line."""
    assert len(shown("x" * 10_000)) <= 61


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "::1"])
def test_plain_text_is_allowed_to_this_box(host: str) -> None:
    """Without TLS the broker may be on a loopback address."""
    assert settings(broker={"host": host}).broker.port == 1883


@pytest.mark.parametrize("host", ["mqtt.example", "10.0.0.1", "::2", "127.example", "localhost.example", "0.0.0.0", "::ffff:10.0.0.1"])
def test_plain_text_is_refused_on_a_network(host: str) -> None:
    """Without TLS any other broker is refused, and the way out is named."""
    assert sentences(broker={"host": host}) == [f"broker.tls is false, expected true: {host} is not a loopback address (or set broker.allow_plaintext = true)"]


def test_plain_text_on_a_network_must_be_asked_for() -> None:
    """allow_plaintext = true is the operator's word for it."""
    assert settings(broker={"host": "mqtt.example", "allow_plaintext": True}).broker.tls is False


def test_a_sample_is_not_longer_than_a_report() -> None:
    """sample_s may be interval_s at most."""
    assert sentences(report={"interval_s": 30, "sample_s": 31}) == ["report.sample_s is 31, expected at most report.interval_s, which is 30"]


@pytest.mark.parametrize(("interval", "sample"), [(5, 5.0), (10, 10.0), (60, 10.0)])
def test_the_default_sample_fits_the_report(interval: int, sample: float) -> None:
    """Without sample_s it is 10 s, or the interval where that is less."""
    assert settings(report={"interval_s": interval}).report.sample_s == sample


def test_the_probe_asks_the_broker_by_default() -> None:
    """No third party is asked: name and address of the probe are the broker's own."""
    probe = settings(broker={"port": 1884}).probe
    assert (probe.dns_name, probe.internet) == ("localhost", (("localhost", 1884),))


def test_the_probe_asks_whom_it_is_told() -> None:
    """host:port and [address]:port are both understood."""
    assert settings(probe={"internet": ["a.example:443", "[2001:db8::1]:53"]}).probe.internet == (("a.example", 443), ("2001:db8::1", 53))


def test_the_probe_can_be_off() -> None:
    """0 is allowed and means off."""
    assert settings(probe={"interval_s": 0}).probe.interval_s == 0.0


def test_auto_is_linux() -> None:
    """The backend is resolved: nobody downstream sees auto."""
    assert settings().router.backend == "linux"


def test_the_seed_is_made_of_the_id() -> None:
    """Two simulated access points differ without anybody choosing numbers; a chosen number stays."""
    assert settings().simulated.seed == zlib.crc32(b"rw-0501") & 0x7FFFFFFF
    assert settings(simulated={"seed": 7}).simulated.seed == 7


@pytest.mark.parametrize("text", ["2026-08-17T06:00:00+07:00", "2026-08-16T23:00:00Z"])
def test_a_simulated_start_is_unix_seconds(text: str) -> None:
    """The simulated clock's start is handed on as Unix seconds."""
    assert settings(simulated={"start": text}).simulated.start == "1786921200"


@pytest.mark.parametrize("text", ["mqtt.example", "a", "a_b.example", "xn--caf-dma.example", "mqtt.example.", "192.0.2.1", "2001:db8::1"])
def test_hosts(text: str) -> None:
    """Names and both kinds of addresses are hosts."""
    assert is_host(text)


NO_HOSTS = ["", ".", "a..b", "-a", "a-", "a/b", "a b", "a#", "a+", "café", "1.2.3", "1.2.3.256", "[::1]", "fe80::1%eth0", "a" * 64, "a." * 127 + "aa", "a\x00"]


@pytest.mark.parametrize("text", NO_HOSTS)
def test_no_hosts(text: str) -> None:
    """Everything else is none."""
    assert not is_host(text)


@pytest.mark.parametrize("text", ["127.0.0.1.example", "127.1", "128.0.0.1", "127.0.0.256", "LOCALHOST.evil", "::"])
def test_what_only_looks_like_loopback_is_not(text: str) -> None:
    """A name or address that begins like a loopback address is no loopback address."""
    assert not is_loopback(text)


DEVICES = [("eth0", True), ("br-lan.10", True), ("é" * 7, True), ("é" * 8, False), ("a b", False), (".", False), ("..", False), ("a:1", False)]


@pytest.mark.parametrize(("text", "is_allowed"), DEVICES)
def test_device_names(text: str, is_allowed: bool) -> None:
    """A device's name is what Linux takes: 15 bytes, no slash, space or colon."""
    assert is_ifname(text) is is_allowed
