"""Claims: who a config is for is checked before what it says, and one content has one hash."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import claims
from agent.wire.claims import ConfigClaims
from agent.wire.jws import Refused
from agent.wire.messages import MAX_INTEGER, Malformed, decode_strict, encode
from tests.signing import AP, CITY, CLAIMS, CONFIG

GOLDEN = Path(__file__).parents[1] / "golden"
WITHOUT = object()
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.just("key"), inner, max_size=4),
    max_leaves=15,
)


def changed(**members: object) -> dict[str, Any]:
    return {name: value for name, value in (CLAIMS | members).items() if value is not WITHOUT}


def refusal(payload: dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        claims.parse(payload, CITY, AP)
    return caught.value


def test_the_golden_claims_are_read() -> None:
    """Every member is read, and what may be left out has its default."""
    full, minimal = (json.loads((GOLDEN / f"config-claims_{name}.json").read_text(encoding="utf-8")) for name in ("full", "minimal"))
    assert claims.parse(full, CITY, AP) == ConfigClaims(CITY, AP, 7, 1790000000, "Sri Wahyuni", full["config"], 180, True)
    assert claims.parse(minimal, CITY, AP) == ConfigClaims(CITY, AP, 8, 1790003600, "Sri Wahyuni", {}, 180, False)


def test_claims_made_are_claims_read() -> None:
    """The golden claims, read and made again, are the same."""
    full = json.loads((GOLDEN / "config-claims_full.json").read_text(encoding="utf-8"))
    assert claims.members(claims.parse(full, CITY, AP)) == full
    assert "below_contract" not in claims.members(claims.parse(CLAIMS, CITY, AP))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "command"}, "wrong_kind"),
        ({"kind": "command", "city": "kediri", "ap": "rw-1", "revision": "x"}, "wrong_kind"),
        ({"city": "kediri"}, "wrong_city"),
        ({"city": "kediri", "ap": "rw-0502"}, "wrong_city"),
        ({"ap": "rw-0502"}, "wrong_ap"),
        ({"ap": "rw-0502", "config": [], "later": 1}, "wrong_ap"),
        ({"ap": "rw-050"}, "wrong_ap"),
        ({"kind": WITHOUT}, "malformed"),
        ({"kind": ["config"]}, "malformed"),
        ({"city": WITHOUT}, "malformed"),
        ({"city": "Malang"}, "malformed"),
        ({"ap": None}, "malformed"),
        ({"ap": "rw-0501\n"}, "malformed"),
        ({"ap": "../rw-0501"}, "malformed"),
    ],
)
def test_a_push_for_somebody_else_is_refused_as_such(change: dict[str, object], code: str) -> None:
    """Kind, then city, then access point are looked at before anything else."""
    assert refusal(changed(**change)).code == code


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"revision": WITHOUT}, "revision is not"),
        ({"revision": 0}, "revision is not"),
        ({"revision": -1}, "revision is not"),
        ({"revision": True}, "revision is not"),
        ({"revision": 7.0}, "revision is not"),
        ({"revision": "7"}, "revision is not"),
        ({"revision": MAX_INTEGER + 1}, "revision is not"),
        ({"issued_at": WITHOUT}, "issued_at is not"),
        ({"issued_at": -1}, "issued_at is not"),
        ({"issued_at": "2026-01-01"}, "issued_at is not"),
        ({"author": WITHOUT}, "author is not"),
        ({"author": ""}, "author is not"),
        ({"author": "x" * 65}, "author is not"),
        ({"author": "a\nb"}, "author is not"),
        ({"author": "a\x00"}, "author is not"),
        ({"author": "a\u202eb"}, "author is not"),
        ({"author": 7}, "author is not"),
        ({"config": WITHOUT}, "config is not"),
        ({"config": None}, "config is not"),
        ({"config": [CONFIG]}, "config is not"),
        ({"config": "{}"}, "config is not"),
        ({"confirm_within_s": 29}, "confirm_within_s is not a whole number from 30 to 600"),
        ({"confirm_within_s": 601}, "confirm_within_s is not"),
        ({"confirm_within_s": 180.0}, "confirm_within_s is not"),
        ({"confirm_within_s": None}, "confirm_within_s is not"),
        ({"below_contract": 1}, "below_contract is not"),
        ({"below_contract": None}, "below_contract is not"),
        ({"boot": "b1946ac92492d234"}, "a member that is not known"),
        ({"Revision": 7}, "a member that is not known"),
        ({"": 7}, "a member that is not known"),
    ],
)
def test_claims_out_of_form_are_malformed(change: dict[str, object], reason: str) -> None:
    """Types, ranges, what is missing and what is not known are refused with what is allowed."""
    error = refusal(changed(**change))
    assert error.code == "malformed"
    assert reason in str(error) and "Sri" not in str(error)


def test_a_plan_is_never_taken_for_a_config() -> None:
    """What was signed to be planned is refused where a config is applied, and read where plans are; a config may be planned."""
    assert refusal(changed(kind="plan")).code == "wrong_kind"
    assert claims.parse(changed(kind="plan"), CITY, AP, claims.KINDS).kind == "plan"
    assert claims.parse(changed(kind="config"), CITY, AP, claims.KINDS).kind == "config"
    assert claims.members(claims.parse(changed(kind="plan"), CITY, AP, claims.KINDS)) == changed(kind="plan")


@pytest.mark.parametrize("seconds", [30, 600])
def test_the_ends_of_the_range_are_allowed(seconds: int) -> None:
    """30 and 600 seconds may be asked for."""
    assert claims.parse(changed(confirm_within_s=seconds), CITY, AP).confirm_within_s == seconds


@given(st.dictionaries(st.sampled_from([*claims.REQUIRED, *claims.OPTIONAL]) | st.text(max_size=4), JSON_VALUES, max_size=9))
def test_any_claims_are_read_or_refused(payload: dict[str, Any]) -> None:
    """Nothing that JSON can say raises anything but Refused, and what is read keeps its promises."""
    for message in (payload, CLAIMS | payload):
        try:
            said = claims.parse(message, CITY, AP)
        except Refused:
            continue
        assert 30 <= said.confirm_within_s <= 600 and said.revision >= 1 and isinstance(said.config, dict) and said.author.isprintable()


@pytest.mark.parametrize(("revision", "named"), [(7, 7), (0, None), (True, None), ("7", None), (2**53, None), (None, None), (MAX_INTEGER, MAX_INTEGER)])
def test_the_revision_of_refused_claims_is_named_when_there_is_one(revision: object, named: int | None) -> None:
    """A verdict on claims that are wrong otherwise may name their revision."""
    assert claims.revision_of({"revision": revision}) == named
    assert claims.revision_of({}) is None


# The content


def shuffled(rng: random.Random, value: object) -> object:
    if isinstance(value, dict):
        names = list(value)
        rng.shuffle(names)
        return {name: shuffled(rng, value[name]) for name in names}
    return [shuffled(rng, inner) for inner in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(max_size=6), JSON_VALUES, max_size=5), st.integers(0, 99))
def test_the_order_of_members_does_not_count(config: dict[str, object], seed: int) -> None:
    """The same content has the same bytes at every depth, and reads back as the same."""
    other = shuffled(random.Random(seed), config)
    assert isinstance(other, dict)
    assert claims.canonical(other) == claims.canonical(config)
    assert json.loads(claims.canonical(config)) == config


def test_canonical_bytes_are_sorted_and_compact() -> None:
    """By code point, without white space, in UTF-8: as any other program would make them."""
    assert claims.canonical({"b": [{"z": 1, "a": True}], "A": "é"}) == '{"A":"é","b":[{"a":true,"z":1}]}'.encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("ssids", "public", "ssid"), "Malang RW 06"),
        (("radios", "2g", "tx_power_dbm"), 20.0),
        (("radios", "2g", "channel"), 1),
        (("ssids", "public", "bands"), ["5g", "2g"]),
    ],
)
def test_other_content_has_another_digest(path: tuple[str, ...], value: object) -> None:
    """Any value, also the order of a list, makes another document; the claims are not changed by hashing."""
    other = copy.deepcopy(CONFIG)
    place = other
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert claims.digest(other) != claims.digest(CONFIG)
    assert claims.public_hash(other) != claims.public_hash(CONFIG)


def test_only_the_digest_knows_the_key() -> None:
    """Two documents that differ in a key only look the same in public, and differ for root."""
    other = copy.deepcopy(CONFIG)
    other["ssids"]["public"]["key"] = "another-key"
    assert claims.digest(other) != claims.digest(CONFIG)
    assert claims.public_hash(other) == claims.public_hash(CONFIG)
    assert claims.digest(CONFIG) == f"sha256:{hashlib.sha256(claims.canonical(CONFIG)).hexdigest()}"


def test_keys_are_starred_wherever_they_stand() -> None:
    """At any depth, in lists, whatever their type; what is only named alike is left, and the original keeps its keys."""
    config = {"key": {"deep": 1}, "a": [{"key": None}, {"b": {"key": "x", "key_ref": "staff"}}], "keys": "y"}
    before = copy.deepcopy(config)
    assert claims.starred(config) == {"key": "***", "a": [{"key": "***"}, {"b": {"key": "***", "key_ref": "staff"}}], "keys": "y"}
    assert config == before


def test_what_the_decoder_takes_can_be_hashed() -> None:
    """The deepest document there is costs no recursion that Python refuses."""
    config = decode_strict(b'{"a":' * 16 + b"1" + b"}" * 16, 1_000)
    assert claims.public_hash(config) == claims.digest(config)
    with pytest.raises(Malformed):
        decode_strict(encode({"a": config}), 1_000)


COMMAND = {
    **{"kind": "command", "city": "malang", "ap": "rw-0501", "id": "6f1c2a52-8d0b-4f0e-9a55-1d2c7be0a0f1", "boot": "b1946ac92492d234"},
    **{"until_uptime_s": 5183, "name": "locate", "args": {"seconds": 60}, "issued_at": 1_790_000_000},
}


def test_a_command_is_read_as_it_is_written() -> None:
    """Every member, and nothing else; its name is the one of its topic."""
    found = claims.parse_command(COMMAND, "malang", "rw-0501", "locate")
    assert claims.command_members(found) == COMMAND and (found.until_uptime_s, found.args) == (5183, {"seconds": 60})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "config"}, "wrong_kind"),
        ({"city": "bandung"}, "wrong_city"),
        ({"ap": "rw-0502"}, "wrong_ap"),
        ({"name": "reboot"}, "malformed"),
        ({"name": "../x"}, "malformed"),
        ({"id": ""}, "malformed"),
        ({"id": 7}, "malformed"),
        ({"id": "a/b"}, "malformed"),
        ({"id": "x" * 65}, "malformed"),
        ({"boot": "B1946AC92492D234"}, "malformed"),
        ({"boot": "b1946ac92492d23"}, "malformed"),
        ({"until_uptime_s": True}, "malformed"),
        ({"until_uptime_s": 5183.0}, "malformed"),
        ({"until_uptime_s": -1}, "malformed"),
        ({"until_uptime_s": None}, "malformed"),
        ({"args": None}, "malformed"),
        ({"args": [1]}, "malformed"),
        ({"issued_at": "now"}, "malformed"),
        ({"also": 1}, "malformed"),
    ],
)
def test_a_command_that_is_not_for_us_or_not_whole_is_refused(change: dict[str, object], code: str) -> None:
    """With its reason; a sentence says what is expected."""
    with pytest.raises(Refused) as refused:
        claims.parse_command(COMMAND | change, "malang", "rw-0501", "locate")
    assert refused.value.code == code and "the push" not in str(refused.value)


@pytest.mark.parametrize("name", claims.COMMAND_MEMBERS)
def test_a_command_lacks_nothing(name: str) -> None:
    """Each of its members must be there."""
    with pytest.raises(Refused):
        claims.parse_command({member: value for member, value in COMMAND.items() if member != name}, "malang", "rw-0501", "locate")


def test_a_refused_command_can_be_named() -> None:
    """By its id, when that is one."""
    assert claims.id_of(COMMAND) == COMMAND["id"] and claims.id_of({"id": "a b"}) is None and claims.id_of({}) is None
