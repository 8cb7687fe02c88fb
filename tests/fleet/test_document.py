"""What may stand in a config document, and how what may not is told."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import plan
from agent.sections import dns
from agent.wire.messages import encode
from fleet import document
from fleet.errors import BadInput
from tests.documents import KEY, documents, example, facts_of, mutated, nested, tree_of

FACTS = facts_of({})
DEEP = [nested(depth, random.Random(depth)) for depth in (1, 5, 9, 15)]  # a file that is nested deeper than a message may be is refused before
TREES = {board: tree_of(board) for board in ("mt7986-kwrt-25.12", "ipq50xx-25.12.2")}


def told(found: list[document.Fault]) -> list[str]:
    return [fault.sentence for fault in found]


def changed(path: str, value: Any) -> dict[str, Any]:
    """Give the example with another value at a path; None: taken out."""
    whole: dict[str, Any] = copy.deepcopy(example())
    table = whole
    *above, last = path.split(".")
    for name in above:
        table = table.setdefault(name, {})
    if value is None:
        del table[last]
    else:
        table[last] = value
    return whole


def test_the_example_is_right() -> None:
    assert document.faults(example()) == []
    assert document.layer_faults(example()) == []


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("ssids.public.ssid", "x" * 33, 'ssids.public.ssid is "' + "x" * 33 + '", expected 1 to 32 bytes of UTF-8 (29 with owe-transition), without control'),
        ("ssids.public.ssid", "a\nssid=b", 'ssids.public.ssid is "a\\u000assid=b", expected 1 to 32 bytes'),
        ("ssids.public.ssid", "é" * 15, f'ssids.public.ssid is "{"é" * 15}", 30 bytes, expected 1 to 29 bytes with owe-transition'),
        ("ssids.public.ssid", "", 'ssids.public.ssid is "", expected 1 to 32'),
        ("ssids.public.ssid", None, "ssids.public.ssid is missing, expected 1 to 32 bytes"),
        ("ssids.public.security", "wpa2", 'ssids.public.security is "wpa2", expected one of open, owe, owe-transition, psk2, psk2-sae, sae'),
        ("ssids.public.security", "pks2", 'ssids.public.security is "pks2", expected one of open, owe, owe-transition, psk2, psk2-sae, sae (did you mean '),
        ("ssids.public.bands", ["2g", "7g"], 'ssids.public.bands[1] is "7g", expected one of 2g, 5g, 6g'),
        ("ssids.public.bands", [], "ssids.public.bands is [], expected a list of 2g, 5g, 6g"),
        ("ssids.public.bands", ["2g", "6g"], 'ssids.public.bands has "6g" with security owe-transition, expected owe or sae there'),
        ("ssids.public.isolate", 1, "ssids.public.isolate is 1, expected true or false"),
        ("ssids.public.max_stations", True, "ssids.public.max_stations is true, expected a whole number from 1 to 2007"),
        ("ssids.public.key", KEY, "ssids.public.key is set, expected none with security owe-transition"),
        ("ssids.kantor.key", None, "ssids.kantor.key is missing, expected a key of 8 to 63 printable ASCII characters, or key_ref, with security psk2-sae"),
        ("ssids.kantor.key", "planted", "ssids.kantor.key is a text of 7 characters, expected a key of 8 to 63 printable ASCII characters"),
        ("ssids.kantor.key_ref", "my own/key", "ssids.kantor.key_ref is a text of 10 characters, expected a file's name in the access point's secrets_dir"),
        ("ssids.kantor.key_ref", "kantor", "ssids.kantor.key_ref is set beside key, expected one of the two"),
        ("ssids.kantor.keys", KEY, "ssids.kantor.keys is not known, did you mean key?"),
        ("ssids.Public", {}, "ssids.Public is no name of a network, expected 1 to 8 of a-z and 0-9"),
        ("ssids.public.cap", {"down_mbps": 0.1}, "ssids.public.cap.down_mbps is 0.1, expected a number of Mbps from 0.25 to 10000"),
        ("ssids.public.cap", {}, "ssids.public.cap is an empty table, expected at least one of down_mbps, up_mbps"),
        ("ssids.public.cap.per_station", {}, "ssids.public.cap.per_station is an empty table, expected at least one of down_mbps, up_mbps"),
        (
            "ssids.public.cap.per_station.down_mbps",
            31,
            "ssids.public.cap.per_station.down_mbps is 31, expected at most ssids.public.cap.down_mbps, which is 30",
        ),
        ("uplink.cap", {}, "uplink.cap is an empty table, expected at least one of down_mbps, up_mbps"),
        ("uplink.cap", {"up_mbps": float("nan")}, "uplink.cap.up_mbps is nan, expected a number"),
        ("radios.2g.channel", "0", 'radios.2g.channel is "0", expected "auto" or the number of a channel, 1 to 233'),
        ("radios.2g.width_mhz", 30, "radios.2g.width_mhz is 30, expected one of 20, 40, 80, 160, 320"),
        ("radios.7g", {}, "radios.7g is not known, expected one of 2g, 5g, 6g"),
        ("agent.sample_interval_s", 61, "agent.sample_interval_s is 61, expected at most agent.report_interval_s, which is 60"),
        ("agent.report_interval_s", None, "agent.sample_interval_s is 10, expected at most agent.report_interval_s, which is not set"),
        ("system.hostname", "rw_0501", 'system.hostname is "rw_0501", expected a host name'),
        ("system.timezone", "Asia/Jakarta", 'system.timezone is "Asia/Jakarta", expected a POSIX time zone such as WIB-7'),
        ("sids", {}, "sids is not known, did you mean ssids?"),
    ],
)
def test_a_fault_has_its_path_its_value_and_what_is_allowed(path: str, value: Any, sentence: str) -> None:
    found = told(document.faults(changed(path, value)))
    assert any(one.startswith(sentence) for one in found), found


def test_all_faults_are_told_at_once() -> None:
    wrong = changed("radios.2g.channel", 0) | {"sids": {}, "agent": {"report_interval_s": 0}}
    assert sorted(fault.path for fault in document.faults(wrong)) == [("agent", "report_interval_s"), ("radios", "2g", "channel"), ("sids",)]


def test_nine_networks_are_too_many() -> None:
    entry = {"ssid": "x", "security": "open", "bands": ["2g"]}
    assert told(document.faults({"ssids": {f"n{number}": entry for number in range(9)}})) == ["ssids has 9 networks, expected at most 8"]


def test_a_layer_may_say_a_part_and_remove_a_part() -> None:
    assert document.layer_faults({"ssids": {"public": {"hidden": True}}, "remove": ["ssids.kantor", "radios.5g"]}) == []


@pytest.mark.parametrize(
    ("removed", "sentence"),
    [
        ("ssids.kantor", 'remove is "ssids.kantor", expected a list of at most 64 paths'),
        ([3], "remove[0] is 3, expected a path such as ssids.kantor"),
        (["ssids."], 'remove[0] is "ssids.", expected a path such as ssids.kantor'),
        (["sids.kantor"], "remove[0] is sids.kantor, and sids is not known, expected one of ssids, radios, uplink, dns, agent, system"),
    ],
)
def test_a_removal_that_can_never_be_one_is_told(removed: object, sentence: str) -> None:
    assert told(document.layer_faults({"remove": removed}))[0].startswith(sentence)


def test_a_layer_is_judged_by_the_same_limits() -> None:
    assert told(document.layer_faults({"ssids": {"public": {"security": "opne"}}}))[0].endswith("(did you mean open?)")


@given(st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_whatever_stands_there_no_key_is_told_and_nothing_breaks(chance: random.Random) -> None:
    """Documents with anything done to them: every fault prints on one line, and a key that is still called so is in none."""
    whole = mutated(example(), chance, DEEP)
    if not isinstance(whole, dict):
        return
    lines = told(document.faults(whole)) + told(document.layer_faults(whole))
    assert all(line.isprintable() and len(line) < 2000 for line in lines)
    assert not any(f'key is "{KEY[:6]}' in line for line in lines)


@pytest.mark.parametrize("board", TREES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_an_access_point_takes_the_city_takes(board: str, data: st.DataObject) -> None:
    """Documents drawn as the access point's own check lets them pass."""
    drawn = data.draw(documents(TREES[board]))
    assert told(document.faults(drawn)) == []


@given(st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_what_the_city_refuses_an_access_point_refuses(chance: random.Random) -> None:
    """So that nothing is forbidden here that is allowed there."""
    tree = TREES["mt7986-kwrt-25.12"]
    whole = mutated(example(), chance, DEEP)
    if isinstance(whole, dict) and document.faults(whole):
        assert plan.check(whole, facts_of(tree), tree), document.faults(whole)


def test_a_file_is_read_as_toml_or_json_and_its_faults_name_it(tmp_path: Path) -> None:
    toml, json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text('[ssids.public]\nssid = "Warga"\n')
    json.write_bytes(encode({"ssids": {"public": {"ssid": "Warga"}}}))
    assert document.read(str(toml)) == document.read(str(json)) == {"ssids": {"public": {"ssid": "Warga"}}}
    toml.write_text("[ssids.public]\nssid = 2026-01-01\nhiden = true\n")
    with pytest.raises(BadInput) as refused:
        document.read(str(toml))
    first, second = str(refused.value).splitlines()
    assert first == f"{toml}: ssids.public.hiden is not known, did you mean hidden?"
    assert second.startswith(f"{toml}: ssids.public.ssid is a date, expected 1 to 32 bytes of UTF-8")


@pytest.mark.parametrize("text", ["ssids = ", "\0", "[ssids"])
def test_a_file_that_is_none_is_bad_input(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(BadInput, match=r"a\.toml: cannot be understood as TOML"):
        document.read(str(tmp_path / "a.toml"))
    with pytest.raises(BadInput, match=r"b\.toml: cannot be read"):
        document.read(str(tmp_path / "b.toml"))


def test_no_more_faults_are_told_than_fit_a_screen() -> None:
    with pytest.raises(BadInput, match="and 10 more faults") as refused:
        document.refuse("x", [document.Fault((), "y")] * 40)
    assert len(str(refused.value).splitlines()) == 31


def test_a_list_is_shown_as_it_stands_in_a_file() -> None:
    assert document.shown((), ["2g", "5g"]) == '["2g", "5g"]'
    assert document.shown((), ["a\x1b[2J"]) == '["a\\u001b[2J"]'


@pytest.mark.parametrize("value", [[{"ssid": "a", "key": "planted-key"}], [[{"key": "planted-key"}]]])
def test_no_key_is_shown_in_a_list_of_tables(value: list[Any]) -> None:
    """[[ssids.kantor]] with one bracket too many is a list, with the key in it."""
    (fault,) = document.layer_faults({"ssids": {"kantor": value}})
    assert "planted" not in fault.sentence and "a list of 1 tables or lists" in fault.sentence


def test_the_family_filters_are_those_that_an_access_point_knows() -> None:
    """The list stands twice, for an access point and its city import nothing of each other."""
    assert tuple(dns.FILTERS) == document.FILTERS


@pytest.mark.parametrize("part", [{"filter": "adguard-family"}, {"servers": ["10.9.0.53", "2001:db8::53"]}])
def test_resolvers_that_are_right(part: dict[str, Any]) -> None:
    """A filter of the list, or addresses; a layer may hold either."""
    assert document.faults({"dns": part}) == document.layer_faults({"dns": part}) == []


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"filter": "cloudflare"}, 'dns.filter is "cloudflare", expected one of cloudflare-family, cleanbrowsing-family'),
        ({"servers": []}, "dns.servers is [], expected a list of 1 to 4 addresses, each once"),
        ({"servers": ["dns.example"]}, 'dns.servers[0] is "dns.example", expected the address of a resolver'),
        ({"servers": ["1.1.1.3", "127.0.0.1"]}, 'dns.servers[1] is "127.0.0.1", expected the address of a resolver that a router can reach'),
        ({"servers": ["fd00::53", "FD00:0::53"]}, 'dns.servers[1] is "FD00:0::53", expected each address once'),
        ({"servers": ["1.1.1.3\n"]}, 'dns.servers[0] is "1.1.1.3\\u000a", expected the address of a resolver'),
        ({}, "dns has neither filter nor servers, expected one of the two"),
        ({"filter": "adguard-family", "servers": ["1.1.1.3"]}, 'expected one of the two; remove = ["dns.filter"] takes out what an outer level set'),
    ],
)
def test_resolvers_that_are_wrong(part: dict[str, Any], sentence: str) -> None:
    """What no access point would take is told before it is signed."""
    found = told(document.faults({"dns": part}))
    assert len(found) == 1 and sentence in found[0], found


@given(st.one_of(st.ip_addresses().map(str), st.text("0123456789abcdef:.", max_size=12)))
def test_city_and_access_point_take_the_same_addresses(address: str) -> None:
    """Whatever the one lets through, the other does."""
    part = {"servers": [address]}
    assert (document.faults({"dns": part}) == []) == (dns.check(part, FACTS) == [])
