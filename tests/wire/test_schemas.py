"""Schemas, AsyncAPI document, DESIGN.md, README.md, golden examples and code say the same, or a test here fails."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from agent import __version__, records, thinning
from agent.wire import asyncapi, claims, command, config, jws, schemas, schemas_command, schemas_config, shapes, topics

ROOT = Path(__file__).parents[2]
GOLDEN = sorted((ROOT / "tests/golden").glob("*.json"))
DESIGN = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
WIRE = DESIGN.split("## 3. The wire contract")[1].split("### 3.1 ")[0]
PUSHES = DESIGN.split("### 3.1 ")[1].split("### 3.4 ")[0]
ASYNCAPI = Draft7Validator(json.loads((Path(__file__).parent / "asyncapi-3.0.0.schema.json").read_text(encoding="utf-8")))
# What DESIGN.md's examples leave to the reader as an ellipsis, by member.
ELLIPSES: dict[str, object] = {
    "boot": "b1946ac92492d234",
    "session": "5f2c9a7be01d4483",
    "ap": "rw-0501",
    "bssid": "94:83:c4:5b:1e:02",
    "address": "10.36.5.114",
    "gateway": "10.36.5.1",
    "kind": "boot",
    "code": "radio-down",
    "keys": ["9e1f04c2b7d35a68"],
    "collectors": ["host"],
    "data": {},
    **dict.fromkeys(("model", "board", "kernel", "agent", "python"), "x"),
}


def schema_of(path: Path) -> str:
    return path.stem.split("_")[0]


def load(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


def faults(name: str, message: object) -> list[str]:
    """What the closed form of a payload's schema finds wrong with a message."""
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(shapes.strict(schemas.published(name))).iter_errors(message)]


def is_accepted(name: str, message: object) -> bool:
    """Whether the published, open form accepts a message."""
    return bool(Draft202012Validator(schemas.published(name)).is_valid(message))


def filled(text: str) -> dict[str, Any]:
    """Read one of DESIGN.md's examples, its ellipses replaced by values."""

    def value(match: re.Match[str]) -> str:
        name, given = match[1], match[2]
        if "…" not in given and given != '"<16 hex>"':
            return match[0]
        return f'"{name}":{json.dumps(ELLIPSES.get(name, 1))}'

    text = re.sub(r'\["<kid>",…\]|\["reboot",…\]|\["ssids",…\]', lambda match: match[0].replace(",…", "").replace("<kid>", "9e1f04c2b7d35a68"), text)
    message = json.loads(re.sub(r'"(\w+)":("[^"]*"|\[…\]|\{…\}|…)', value, text.replace("\n", "")))
    assert isinstance(message, dict)
    return message


def design_report() -> dict[str, Any]:
    return filled(WIRE.split("```json\n")[1].split("```")[0])


def inline_examples(begins: str) -> list[dict[str, Any]]:
    """The examples in backticks of the paragraph of DESIGN.md that begins so, up to the next paragraph, list item or bold word."""
    paragraph = re.split(r"\n\n|\n- |\n\*\*", WIRE[WIRE.index(begins) + len(begins) :])[0]
    return [filled(text) for text in re.findall(r"`(\{[^`]*\})`", paragraph)]


def members(schema: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every member a schema names, by its path; the items of a list and of a map count as *."""
    for name, field in schema.get("properties", {}).items():
        yield above + name, field
        yield from members(field, f"{above}{name}.")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from members(schema[word], f"{above}*.")
    for branch in schema.get("allOf", ()):
        yield from members(branch["then"], above)


def paths(value: object, above: str = "") -> Iterator[str]:
    """Every path of an example, in the same words."""
    if isinstance(value, list):
        for item in value:
            yield from paths(item, f"{above}*.")
    elif isinstance(value, dict):
        for name, inner in value.items():
            step = "*" if above == "agent.collectors." else name
            yield above + step
            yield from paths(inner, f"{above}{step}.")


# The schemas themselves


@pytest.mark.parametrize("name", schemas.PAYLOADS)
def test_each_schema_is_a_valid_2020_12_schema(name: str) -> None:
    """Open and closed forms are schemas of the dialect they name, and have an id of their own."""
    schema = schemas.published(name)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator.check_schema(shapes.strict(schema))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:rwagent:wire:v1:{name}"


@pytest.mark.parametrize("name", schemas.PAYLOADS)
def test_every_member_says_what_it_means(name: str) -> None:
    """The schemas are the documentation: no member is without a description."""
    assert [path for path, field in members(schemas.PAYLOADS[name]) if not field.get("description")] == []


def test_every_live_topic_has_a_schema_and_every_schema_a_topic() -> None:
    """The table of topics and the payloads cover each other."""
    assert {topic.schema for topic in topics.TOPICS if topic.schema} == set(schemas.PAYLOADS)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_each_golden_example_is_valid(path: Path) -> None:
    """A golden message has no member and no value that the closed form does not know, and none is null."""
    assert faults(schema_of(path), load(path)) == []
    assert "null" not in path.read_text(encoding="utf-8")


def test_each_payload_state_and_kind_has_a_golden_example() -> None:
    """Nothing of the contract is without an example."""
    found = [(schema_of(path), load(path)) for path in GOLDEN]
    assert {name for name, _ in found} == set(schemas.PAYLOADS)
    assert {message["kind"] for name, message in found if name == "event"} == set(schemas.EVENT_DATA)
    assert {message["state"] for name, message in found if name == "presence"} == {"online", "lost", "offline"}
    assert {message["state"] for name, message in found if name == "config-reported"} == set(config.STATES)
    assert {message["state"] for name, message in found if name == "config-plan-result"} == {"planned", "rejected"}
    assert {member for name, message in found if name == "command-result" for member in message} == set(schemas.PAYLOADS["command-result"]["properties"])
    assert {member for name, message in found if name == "config-reported" for member in message} >= {
        member for member in schemas.PAYLOADS["config-reported"]["properties"] if not member.endswith("_left_out")
    }


def test_the_full_report_is_full() -> None:
    """The golden full report has every member of the schema but those of merged reports and of dead radios."""
    there = set(paths(load(ROOT / "tests/golden/report_full.json")))
    assert {path for path, _ in members(schemas.REPORT)} - there == {"from_seq", "max", "radios.*.wanted"}


def test_a_radio_that_is_down_says_whether_it_is_missed() -> None:
    """Its row is as valid as a living one's, with `wanted` and without."""
    report = load(ROOT / "tests/golden/report_full.json")
    for extra in ({}, {"wanted": True}, {"wanted": False}):
        report["radios"] = [{"radio": "radio0", "phy": "phy0", "up": False, **extra}]
        assert faults("report", report) == []
    report["radios"][0]["wanted"] = 0
    assert not is_accepted("report", report)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_later_version_may_add_members(path: Path) -> None:
    """The open form accepts a member it does not know, the closed form does not."""
    message = load(path) | {"later": 1}
    assert is_accepted(schema_of(path), message)
    assert faults(schema_of(path), message) != []


def test_a_later_version_may_add_alert_codes_and_event_kinds() -> None:
    """An unknown code does not make the whole report invalid for an older reader, but our own agent may not invent one."""
    report = load(ROOT / "tests/golden/report_full.json") | {"alerts": ["fan-stopped"]}
    event = load(ROOT / "tests/golden/event_agent.json") | {"kind": "weather"}
    for name, message in (("report", report), ("event", event)):
        assert is_accepted(name, message)
        assert faults(name, message) != []


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("", {"ap": "RW-0501"}),
        ("", {"seq": 0}),
        ("", {"seq": 1.5}),
        ("", {"at": None}),
        ("", {"at": 1790000000000}),
        ("", {"clock": "gps"}),
        ("", {"late": 0}),
        ("", {"v": 2}),
        ("", {"boot": "b1946ac92492d23"}),
        ("stations", {"now": -1}),
        ("stations", {"weak_ratio": 1.01}),
        ("host", {"cpu_ratio": 7}),
        ("host", {"conntrack": "812"}),
        ("uplink", {"state": "down"}),
        ("uplink", {"loss_ratio": None}),
        ("bss", {"signal_p50_dbm": 58}),
        ("bss", {"bssid": "02:00:00:00:00"}),
        ("radios", {"channel": 0}),
        ("interfaces", {"rx_bytes_total": -1}),
        ("interfaces", {"rx_bytes_total": 1.0e3 + 0.5}),
        ("interfaces", {"role": "wan"}),
        ("interfaces", {"tx_bps": -8}),
        ("agent", {"oldest_seq": 0}),
    ],
)
def test_a_value_out_of_its_range_is_invalid(part: str, change: dict[str, object]) -> None:
    """Types, ranges, closed lists and null are checked by the open form too."""
    report = load(ROOT / "tests/golden/report_full.json")
    place = report[part] if part else report
    (place[0] if isinstance(place, list) else place).update(change)
    assert not is_accepted("report", report)


@pytest.mark.parametrize("name", schemas.REPORT["required"])
def test_a_report_without_a_member_that_is_always_there_is_invalid(name: str) -> None:
    """What every reader relies on is required."""
    report = load(ROOT / "tests/golden/report_minimal.json")
    del report[name]
    assert not is_accepted("report", report)


def test_reports_merged_by_the_agent_are_valid() -> None:
    """What thinning makes of full reports keeps to the closed form."""
    first = load(ROOT / "tests/golden/report_full.json")
    second = copy.deepcopy(first) | {"seq": first["seq"] + 1, "at": first["at"] + 60, "uptime_s": first["uptime_s"] + 60}
    second["stations"]["now"] += 2
    second["radios"][0]["noise_dbm"] += 3
    second["host"]["memory_available_bytes"] += 4097
    merged = thinning.merge([first, second])
    assert merged["from_seq"] == first["seq"]
    assert faults("report", merged) == []


@pytest.mark.parametrize(
    ("dhcp", "is_good"),
    [({}, True), ({"fullest_ratio": 0.0}, True), ({"fullest_ratio": 1.2}, True), ({"fullest_ratio": -0.1}, False), ({"fullest_ratio": None}, False)],
)
def test_the_fullest_pool_may_be_told(dhcp: dict[str, Any], is_good: bool) -> None:
    """It is optional, never below zero, and above one where addresses given out for good lie beside the pool."""
    report = load(ROOT / "tests/golden/report_full.json")
    assert (faults("report", report | {"dhcp": report["dhcp"] | dhcp}) == []) == is_good


# The code


def test_the_closed_lists_are_those_of_the_records() -> None:
    """Layers, clocks, bands and roles are the same in the schemas and in agent/records.py."""
    assert get_args(records.Layer) == schemas.LAYERS
    assert get_args(records.ClockState) == schemas.CLOCKS
    assert get_args(records.Band) == schemas.BANDS
    assert list(get_args(records.Role)) == schemas.INTERFACE["properties"]["role"]["enum"]


def test_no_member_could_carry_a_station() -> None:
    """No payload has a place for a station's address or a list of stations; only a BSS's own address is one."""
    for name, schema in schemas.PAYLOADS.items():
        for path, field in members(schema):
            last = path.rsplit(".", 1)[-1]
            assert not re.search(r"mac|client|lease_|hostname", last), f"{name}: {path}"
            assert ("[0-9a-f]{2}:" in field.get("pattern", "")) == (last == "bssid"), f"{name}: {path}"


# DESIGN.md and README.md


def test_the_report_of_the_design_is_valid() -> None:
    """DESIGN.md's report has no member and no value the schema does not know."""
    assert faults("report", design_report()) == []


def test_every_member_of_the_report_stands_in_the_design_or_is_marked() -> None:
    """A member is in DESIGN.md's example, or named in its prose, or says that it extends it; and no mark is stale."""
    example = set(paths(design_report()))
    prose = set(re.findall(r"`([a-z_0-9]+)`", WIRE))
    for path, field in members(schemas.REPORT):
        is_shown = path in example or path in prose or path.rsplit(".", 1)[-1] in prose
        assert is_shown != (field.get("$comment") == shapes.EXTENSION), path


@pytest.mark.parametrize(
    ("name", "begins", "count"),
    [("presence", "**presence**:", 3), ("info", "**info**:", 1), ("event", "**event**:", 1), ("alert", "**alert** codes:", 1), ("ack", "`ack` is ", 1)],
)
def test_the_other_examples_of_the_design_are_valid(name: str, begins: str, count: int) -> None:
    """Each example in DESIGN.md's prose keeps to the closed form, and shows every member that is not marked as an extension."""
    examples = inline_examples(begins)
    assert len(examples) == count
    assert [fault for example in examples for fault in faults(name, example)] == []
    shown = {member for example in examples for member in example}
    assert {member for member, field in schemas.PAYLOADS[name]["properties"].items() if "$comment" not in field} == shown


def test_the_alert_codes_and_event_kinds_are_those_of_the_design() -> None:
    """The two growing lists begin as DESIGN.md has them."""
    codes = WIRE.split("**alert** codes:")[1].split("; payload")[0]
    kinds = WIRE.split("kinds `boot`")[1].split("\n")[0]
    assert tuple(re.findall(r"`([a-z-]+)`", codes)) == schemas.ALERT_CODES
    assert ["boot", *re.findall(r"`([a-z]+)`", kinds)] == list(schemas.EVENT_DATA)


def test_the_report_of_the_readme_is_valid() -> None:
    """README.md shows a report after <!-- report-example -->, and it keeps to the closed form."""
    readme = ROOT / "README.md"
    assert readme.exists(), "README.md is missing: it must show a report after <!-- report-example -->"
    found = re.search(r"<!-- report-example -->\s*```json\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert found, "README.md has no ```json block right after <!-- report-example -->"
    assert faults("report", json.loads(found[1])) == []


# Pushes


def push_example(begins: str) -> dict[str, Any]:
    """The example in backticks right after these words of DESIGN.md's sections on pushes, its ellipses replaced by values."""
    text = PUSHES.split(begins + " `")[1].split("`")[0].replace("sha256:…", "sha256:" + "0" * 64).replace("{…}", "{}")
    values = {
        "reason": '"stale"',
        "impact": '"bss"',
        "state": '"confirmed"',
        "city": '"malang"',
        "ap": '"rw-0501"',
        "took_ms": "1",
        "at": "1",
        "issued_at": "1",
    }
    return dict(json.loads(re.sub(r'"(\w+)":…', lambda match: f'"{match[1]}":{values.get(match[1], chr(34) + "x" + chr(34))}', text)))


@pytest.mark.parametrize(
    ("name", "begins"), [("config-claims", "Config claims:"), ("config-reported", "`config/reported`:"), ("config-plan-result", "`config/plan/result`:")]
)
def test_the_pushes_of_the_design_are_valid(name: str, begins: str) -> None:
    """DESIGN.md's examples keep to the closed form, and every member of the schema is shown there or named below it."""
    example = push_example(begins)
    assert faults(name, example) == []
    named = set(re.findall(r'[`"]([a-z_]+)[`"]', PUSHES))
    assert set(schemas.PAYLOADS[name]["properties"]) <= set(example) | named


def test_states_and_reasons_are_those_of_the_design() -> None:
    """The lists of DESIGN.md and of the code are the same, in the same order."""

    def listed(text: str, before: str) -> tuple[str, ...]:
        return tuple(text.split(before + "`")[1].split("`")[0].replace("\n", " ").split(", "))

    pushes, commands = PUSHES.split("### 3.3")[1], PUSHES.split("Command claims: ")[1]
    assert listed(pushes, "on the way ") == config.ON_THE_WAY
    assert listed(pushes, "Exactly one verdict: ") == config.VERDICTS
    assert listed(pushes, "`reason` of `rejected`: ") == config.REJECTED
    assert listed(pushes, "of `rolled_back`: ") == config.ROLLED_BACK
    assert listed(pushes, "of `failed`: ") == config.FAILED
    assert listed(commands, "States: ") == command.STATES
    assert listed(commands, "`code` of `rejected`: ") == command.REJECTED
    assert listed(commands, "of `failed`: ") == command.FAILED


def test_what_the_schema_of_the_claims_takes_the_code_takes() -> None:
    """Bounds and required members of the claims are the parser's."""
    named = schemas.PAYLOADS["config-claims"]["properties"]
    assert set(named) == set(claims.ConfigClaims._fields) | {"kind"} == {*claims.REQUIRED, *claims.OPTIONAL}
    for path in GOLDEN:
        if schema_of(path) == "config-claims":
            claims.parse(load(path), "malang", "rw-0501")
    for change in (
        {"confirm_within_s": 29},
        {"confirm_within_s": 601},
        {"author": ""},
        {"author": "x" * 65},
        {"revision": 0},
        {"kind": "command"},
        {"ap": "RW"},
    ):
        message = load(ROOT / "tests/golden/config-claims_full.json") | change
        assert not is_accepted("config-claims", message)
        with pytest.raises(claims.Refused):
            claims.parse(message, "malang", "rw-0501")


def test_the_files_between_root_and_daemon_have_schemas() -> None:
    """What stands between the two programs is described as closely as what goes over the wire, and not published."""
    reported = load(ROOT / "tests/golden/config-reported_testing.json")
    status = {
        **{"v": 1, "handled": "0" * 64, "reported": reported, "test": {"run": "6d1f0c2b9a874e35", "nonce": "0" * 32, "until_uptime_s": 812.5}},
        **{"at_uptime_s": 640, "retry_in_s": 600, "agent": {"report_interval_s": 60}, "refusals": 0, "keys": ["9e1f04c2b7d35a68"], "sections": ["ssids"]},
    }
    plan = {"v": 1, "handled": "0" * 64, "result": load(ROOT / "tests/golden/config-plan-result_planned.json")}
    entry = {"revision": 7, "state": "confirmed", "author": "Sri", "issued_at": 1, "at": 2, "changes": 3, "hash": "sha256:" + "0" * 64}
    messages = {"config.json": status, "plan.json": plan, "history.json": {"v": 1, "entries": [entry] * 20}}
    messages["caps.json"] = {"v": 1, "error": "no tc", "wanted": [{"ssid": "public", "down_kbit": 1, "ifnames": ["a"]}, {"uplink": "wan", "up_kbit": 1}]}
    assert set(messages) == set(schemas_config.FILES)
    for name, message in messages.items():
        closed = Draft202012Validator(shapes.strict(schemas_config.FILES[name]))
        assert [error.message for error in closed.iter_errors(message)] == []
        assert not closed.is_valid(message | {"later": 1})
    assert not Draft202012Validator(schemas_config.FILES["history.json"]).is_valid({"v": 1, "entries": [entry] * 21})


def test_what_the_schema_of_a_command_takes_the_code_takes() -> None:
    """Members and bounds are the parser's, in both directions."""
    named = schemas.PAYLOADS["command-claims"]
    assert set(named["properties"]) == set(claims.CommandClaims._fields) | {"kind"} == set(claims.COMMAND_MEMBERS) == set(named["required"])
    good = load(ROOT / "tests/golden/command-claims_locate.json")
    claims.parse_command(good, "malang", "rw-0501", "locate")
    assert dict(claims.command_members(claims.parse_command(good, "malang", "rw-0501"))) == good
    for change in ({"id": ""}, {"id": "x" * 65}, {"id": "a b"}, {"boot": "B" * 16}, {"until_uptime_s": -1}, {"until_uptime_s": 1.5}, {"args": []}, {"also": 1}):
        assert faults("command-claims", good | change) != []
        with pytest.raises(jws.Refused):
            claims.parse_command(good | change, "malang", "rw-0501")


def test_what_root_says_of_commands_keeps_to_its_schema() -> None:
    """The file between root and the daemon; a result of the wire with what file and which command it is about."""
    entry = load(ROOT / "tests/golden/command-result_rejected.json") | {"of": "0" * 64, "name": "reboot"}
    todo = {"id": "x", "name": "report", "args": {}, "until_uptime_s": 7}
    said = {"v": 1, "handled": {"ask": "0" * 64}, "results": [entry], "todo": [todo], "commands": ["report"], "refusals": 0}
    closed = Draft202012Validator(shapes.strict(schemas_command.FILES["command.json"]))
    assert [error.message for error in closed.iter_errors(said)] == []
    assert not closed.is_valid(said | {"later": 1}) and not closed.is_valid(said | {"results": [entry] * 25})


def test_a_signed_payload_says_that_it_is_a_jws() -> None:
    """The two topics that carry one share a message, whose content type is the JWS's and whose schema is of the claims within."""
    whole = document()
    message = whole["components"]["messages"]["config-claims"]
    assert message["contentType"] == "application/jose" and message["summary"] == "the signed desired config (JWS)"
    assert '{"alg":"EdDSA","typ":"rw+jws","kid":"<16 hex>"}' in message["description"]
    assert {key for key, channel in whole["channels"].items() if "config-claims" in channel["messages"]} == {"configDesired", "configPlan"}
    operations = {name for name in whole["operations"] if "onfig" in name}
    assert operations == {"receiveConfigDesired", "sendConfigReported", "receiveConfigPlan", "sendConfigPlanResult"}


# The documents made


def wire_docs(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(root / "scripts/wire_docs"), *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_documents_are_what_the_source_makes() -> None:
    """docs/ is up to date."""
    run = wire_docs(ROOT, "--check")
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("name", ["docs/asyncapi.json", "docs/schemas/report.schema.json", "docs/wire.md"])
def test_a_stale_document_is_found_named_and_made_anew(tmp_path: Path, name: str) -> None:
    """--check exits 1, names the document and leaves it; without it, the document is made as it was."""
    for part in ("agent", "docs", "scripts", "tests/golden"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    stale = tmp_path / name
    good = stale.read_text(encoding="utf-8")
    stale.write_text(good.replace("bits per second", "bytes per second"), encoding="utf-8")
    check = wire_docs(tmp_path, "--check")
    assert (check.returncode, check.stdout) == (1, f"differs: {name}\n")
    assert "bytes per second" in stale.read_text(encoding="utf-8")
    assert wire_docs(tmp_path).returncode == 0
    assert stale.read_text(encoding="utf-8") == good


def document() -> dict[str, Any]:
    return load(ROOT / "docs/asyncapi.json")


def test_the_asyncapi_document_is_valid() -> None:
    """It keeps to the JSON Schema that AsyncAPI publishes for 3.0.0, MQTT bindings included."""
    assert document()["info"]["version"] == __version__
    assert [f"{error.json_path}: {error.message}"[:300] for error in ASYNCAPI.iter_errors(document())] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("asyncapi",), "2.6.0"),
        (("operations", "sendReport", "action"), "publish"),
        (("operations", "sendReport", "bindings", "mqtt", "qos"), 3),
        (("channels", "report", "parameters", "ap", "schema"), {}),
        (("components", "schemas", "ack", "type"), "objekt"),
        (("components", "messages", "report", "contentType"), 1),
        (("servers", "city", "bindings", "mqtt", "keepAlive"), "30"),
    ],
)
def test_the_check_of_the_asyncapi_document_bites(path: tuple[str, ...], value: object) -> None:
    """A planted fault in each part of the document is found: the schema we keep was not cut too far."""
    broken = document()
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not ASYNCAPI.is_valid(broken)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    """No $ref dangles."""
    whole = document()

    def references(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (inner for name, inner in value.items() if name == "$ref")
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    found = list(references(whole))
    assert found
    for reference in found:
        place: Any = whole
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_the_asyncapi_document_has_each_live_topic_its_way_and_its_retain() -> None:
    """Channels and operations are the table of topics."""
    whole = document()
    ways = {"up": {"send"}, "down": {"receive"}, "both": {"send", "receive"}}
    for topic in topics.TOPICS:
        address = f"wifi/v1/{{city}}/{{ap}}/{topic.name.replace('<', '{').replace('>', '}')}"
        keys = [key for key, channel in whole["channels"].items() if channel["address"] == address]
        if topic.schema is None:
            assert keys == [] and f"`{topic.name}`" in whole["info"]["description"]
            continue
        operations = [each for each in whole["operations"].values() if each["channel"]["$ref"] == f"#/channels/{keys[0]}"]
        assert {each["action"] for each in operations} == ways[topic.direction]
        assert all(each["bindings"]["mqtt"] == {"qos": topic.qos, "retain": topic.retained, "bindingVersion": "0.2.0"} for each in operations)


def test_the_asyncapi_examples_are_the_golden_ones_and_valid_for_its_older_dialect() -> None:
    """AsyncAPI reads our schemas as draft 07: they say the same there."""
    whole = document()
    for name, message in whole["components"]["messages"].items():
        schema = whole["components"]["schemas"][name]
        Draft7Validator.check_schema(schema)
        examples = [example["payload"] for example in message["examples"]]
        assert examples == [load(path) for path in GOLDEN if schema_of(path) == name]
        assert all(Draft7Validator(shapes.strict(schema)).is_valid(example) for example in examples)


def test_the_documents_carry_nothing_but_the_source() -> None:
    """The document on disk is the one asyncapi.py makes."""
    examples = {name: [load(path) for path in GOLDEN if schema_of(path) == name] for name in schemas.PAYLOADS}
    assert document() == json.loads(json.dumps(asyncapi.document(__version__, examples)))
