"""Nothing of a log leaves that tells who was here: addresses in every spelling, names, keys, questions. Searched for as secrets are searched for elsewhere."""

from __future__ import annotations

import json
import string
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.router.hands import Log
from agent.router.log_lines import MOST_CHARACTERS, chosen, of_logd, starred, without_addresses
from agent.wire.messages import encode
from tests.stories.planted import find

RECORDED = json.loads(json.loads((Path(__file__).parents[1] / "captures/ubus-wire/log-read.json").read_text())["stdout"])
MAC = "02:ab:cd:ef:01:23"
KEY = "hunter2-korek-api-Zz9"
SPELLINGS = (*("{}", "[{}]", "STA={}", '"{}"', "({})", "MAC={}:08:00", "01:{}", "{}:ff:fe", "{}%br-lan"),)
octets = MAC.split(":")
SPELT = (
    *(spelling.format(one) for spelling in SPELLINGS for one in (MAC, MAC.upper())),
    *(separator.join(octets) for separator in ("-", "_", ".", " ", "")),
    *("02ab.cdef.0123", "02AB-CDEF-0123", "0x02abcdef0123", "\\x02\\xab\\xcd\\xef\\x01\\x23", "%02%ab%cd%ef%01%23", "0002abcdef012300", "2:ab:cd:ef:1:23"),
)


@pytest.mark.parametrize("spelt", SPELT)
def test_an_address_is_starred_however_it_is_spelt(spelt: str) -> None:
    """Upper case, separators of every kind, escapes, inside something longer; what stands around it stays."""
    line = starred(f"hostapd: phy0-ap0: STA {spelt} associated", ())
    assert line is not None
    assert line.startswith("hostapd: phy0-ap0: STA ") and line.endswith(" associated") and "***" in line
    assert not find(line.encode(), {MAC})
    assert "cd" not in line


@pytest.mark.parametrize(
    "address",
    [
        "192.168.3.208",
        "10.1.2.3",
        "100.64.0.9",
        "192-168-1-5",
        "208.3.168.192.in-addr.arpa",
        "fe80::ab:cdff:feef:123",
        "2001:db8:0:1:2:3:4:5",
        "fd00::1",
        "::ffff:192.168.1.5",
        "2001:db8::",
        "fe80::1%br-lan",
        "3.2.1.0.f.e.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
    ],
)
def test_a_network_address_is_starred(address: str) -> None:
    """Of both families, backwards too, beside a port."""
    line = starred(f"odhcpd: to {address} and [{address}]:547, from {address}", ())
    assert line is not None and address not in line
    assert not set(line) & set("0123456789") - set("547")


@pytest.mark.parametrize(
    "line",
    [
        "kernel: [   82.894561] IPv6: ADDRCONF(NETDEV_CHANGE): wlan2: link becomes ready",
        "2026-11-22T12:58:13Z daemon.info rwagent: took 12:34:56, OpenWrt 25.12.1, kernel 6.12.71, port 8883",
        "procd: Instance rwagent::main s in a crash loop 6 crashes, 1 seconds since last crash",
        "hostapd: phy1-ap0: interface state COUNTRY_UPDATE->ENABLED",
        "hostapd: key_mgmt=WPA-PSK, 4-way handshake, EAPOL-Key",
        "listening on 127.0.0.1 0.0.0.0 ::1 ::",
        "netifd: Interface 'wan' has link connectivity",
    ],
)
def test_what_tells_nothing_of_anybody_stays(line: str) -> None:
    """Times, versions, words with colons: a log of stars only would help nobody."""
    assert starred(line, ()) == line


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (f"dnsmasq-dhcp[1]: DHCPACK(br-guest) 192.168.3.208 {MAC} Budi-iPhone", "dnsmasq-dhcp[1]: DHCPACK(br-guest) ***"),
        (f"dnsmasq-dhcp[1]: 33 DHCPDISCOVER(br-guest) {MAC}", "dnsmasq-dhcp[1]: 33 DHCPDISCOVER(br-guest) ***"),
        ("dnsmasq-dhcp[1]: SLAAC-CONFIRM(br-guest) fd00::1 Budi-iPhone", "dnsmasq-dhcp[1]: SLAAC-CONFIRM(br-guest) ***"),
        (f"dhcpd[7]: DHCPACK on 192.168.3.208 to {MAC} (Budi-iPhone) via br-guest", "dhcpd[7]: DHCPACK ***"),
        (f"dhcpd[7]: DHCPDISCOVER from {MAC} (Budi-iPhone) via br-guest", "dhcpd[7]: DHCPDISCOVER ***"),
        ("dnsmasq-dhcp[1]: not giving name Budi-iPhone to the DHCP lease of x", "dnsmasq-dhcp[1]: not giving name ***"),
        ("dnsmasq-dhcp[1]: 7 client provides name: Budi-iPhone", "dnsmasq-dhcp[1]: 7 client provides name: ***"),
        ("dnsmasq-dhcp[1]: 7 vendor class: android-dhcp-13", "dnsmasq-dhcp[1]: 7 vendor class: ***"),
        ("hostapd: STA identity='budi@malang.example' done", "hostapd: STA identity=***"),
    ],
)
def test_names_that_stations_give_themselves_are_starred(line: str, left: str) -> None:
    """A telephone bears its owner's name."""
    assert starred(line, ()) == left


@pytest.mark.parametrize(
    "what",
    [
        *("query[A] bank.example from 10.0.0.5", "reply bank.example is 1.2.3.4", "cached bank.example is x", "forwarded bank.example to x"),
        *("DHCP bank.lan is x", "auth bank.example is x", "nftset add inet#fw4#bank x bank.example", "ipset add bank x bank.example"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "33 10.0.0.5/55 "])
def test_what_somebody_looked_up_is_not_told_at_all(what: str, prefix: str) -> None:
    """Counted, not shown."""
    line = f"daemon.info dnsmasq[12]: {prefix}{what}"
    assert starred(line, ()) is None
    assert chosen([line, "x"], (), 10, "") == Log(("x",), 1)
    assert chosen([line, "x"], (), 10, "bank") == Log((), 0)


@pytest.mark.parametrize(
    "line", [f"wpa_passphrase={KEY}", f"psk: {KEY}", f'"key": "{KEY}"', f"line 7: invalid 'sae_password={KEY}'", f"PASSWORD = {KEY} x", f"token={KEY}"]
)
def test_what_is_said_to_be_a_key_is_starred(line: str) -> None:
    """By the word before it, also of one that root does not know; to the line's end, for it may hold blanks."""
    found = starred(line, ())
    assert found is not None and not find(found.encode(), {KEY})


@pytest.mark.parametrize("key", [KEY, "korek api merah", "a'b\"c\\d$(e)", "12345678", "\udcff\udcfe12345"])
def test_a_key_that_root_knows_is_starred_wherever_it_stands(key: str) -> None:
    """Without any word before it, printed as it is or with escapes."""
    found = starred(f"who wrote {key} here, twice {key}", (key, "other-key-9"))
    assert found == "who wrote *** here, twice ***"


def test_a_key_that_holds_another_is_starred_whole() -> None:
    """The longest first."""
    assert starred("x 12345678-long y", ("12345678", "12345678-long")) == "x *** y"


def test_what_is_asked_for_is_looked_for_behind_the_stars() -> None:
    """Nobody finds out whether a station was here, or what a key is, by asking for it."""
    lines = [f"STA {MAC} associated", f"psk={KEY}", "rwagent: report sent"]
    assert chosen(lines, (KEY,), 10, MAC).lines == ()
    assert chosen(lines, (KEY,), 10, "02:ab").lines == ()
    assert chosen(lines, (KEY,), 10, "hunter2").lines == ()
    assert chosen(lines, (KEY,), 10, "associated").lines == ("STA *** associated",)


def test_the_newest_are_shown_and_the_others_counted() -> None:
    """Oldest first, as one reads."""
    assert chosen([f"line {number}" for number in range(10)], (), 3, "line") == Log(("line 7", "line 8", "line 9"), 7)


def test_match_is_plain_text() -> None:
    """No pattern."""
    assert chosen(["a.c", "abc"], (), 5, "a.c").lines == ("a.c",)


def test_a_line_is_one_line_and_not_long() -> None:
    """What moves a cursor is spelt out."""
    line = starred("a\x1b[2J\nb\u202e" + "x" * 10_000, ())
    assert line is not None and line.isprintable() and len(line) == MOST_CHARACTERS and line.startswith("a\\x1b[2J\\x0ab\\u202e")


def test_logds_answer_as_recorded() -> None:
    """From a real logd: time in UTC, facility and level as words; every station's address is gone."""
    told = chosen(of_logd(RECORDED), (), 500, "")
    assert told.lines[0] == "2026-11-21T22:24:10Z daemon.notice hostapd: phy0-ap0: AP-STA-CONNECTED *** auth_alg=open"
    assert told.lines[-1] == "2026-11-21T22:24:10Z kern.info [   82.894561] IPv6: ADDRCONF(NETDEV_CHANGE): wlan2: link becomes ready"
    assert find(json.dumps(RECORDED).encode(), {"02:00:00:00:02:00"})
    assert not find(encode({"lines": list(told.lines)}), {"02:00:00:00:02:00"})


@pytest.mark.parametrize(
    "answer",
    [{}, {"log": 5}, {"log": [5, None, {}]}, {"log": [{"msg": 7, "time": "x", "priority": []}]}, {"log": [{"msg": "x", "time": 1 << 60, "priority": -1}]}],
)
def test_an_answer_of_another_shape_is_read_for_what_it_has(answer: dict[str, object]) -> None:
    """Never an exception."""
    assert all(line.startswith("- -") for line in of_logd(answer))


LETTERS = st.text(alphabet=string.hexdigits + ":.-_ %\\x[]()=" + "ghzZ'\"é\x1b\n", max_size=60)


@settings(max_examples=60)
@given(
    st.tuples(
        LETTERS, st.sampled_from(["", " ", "=", "(", ":", "-", "."]), st.sampled_from([MAC, MAC.upper(), MAC.replace(":", ""), MAC.replace(":", "-")]), LETTERS
    )
)
def test_no_surroundings_bring_an_address_through(parts: tuple[str, str, str, str]) -> None:
    """Whatever stands before and behind it."""
    line = starred("".join(parts), ()) or ""
    assert not find(line.encode("utf-8", "replace"), {MAC})


@settings(max_examples=60)
@given(LETTERS)
def test_an_ssid_keeps_what_is_no_address(text: str) -> None:
    """The stars come in place of something, and nothing else changes."""
    pieces = without_addresses(text).split("***")
    at = 0
    for piece in pieces:
        found = text.find(piece, at)
        assert found >= 0
        at = found + len(piece)


@pytest.mark.once
@pytest.mark.parametrize("piece", ["\\", "00_1."])
def test_whoever_writes_to_the_log_does_not_keep_root_busy(piece: str) -> None:
    """Two thousand lines made to be slow take as long as so many others, less than a second of this machine's."""
    before = time.thread_time()
    chosen([(piece * 4096)[:4096]] * 2000, {KEY}, 100, "match")
    assert time.thread_time() - before < 1.0


def test_a_key_across_the_cut_does_not_move_into_sight() -> None:
    """What stood before it became stars, which are shorter; the piece of a key is not recognised as one."""
    line = starred("02:ab:cd:ef:01:23 " * 56 + KEY, {KEY})
    assert line is not None and KEY[:5] not in line
    assert starred("x" * 300 + KEY, {KEY}) == "x" * 300 + "***"
