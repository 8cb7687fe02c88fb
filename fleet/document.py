"""What may stand in a config document, whole or one layer of it: the schema of the contract's version 1, and every fault in words.

Pure but for `read`. Says of a key its length and nothing else. What only an access point can know (its radios, its firewall) it is for `plan` to find out.
"""

from __future__ import annotations

import difflib
import functools
import ipaddress
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.wire.shapes import Schema, flag, of, record, whole
from fleet import sign
from fleet.errors import BadInput, Refused
from fleet.layers import REMOVE, Document, Path, content

if TYPE_CHECKING:
    import jsonschema

BANDS = ("2g", "5g", "6g")
SECURITY = ("open", "owe", "owe-transition", "psk2", "psk2-sae", "sae")
KEYED = ("psk2", "psk2-sae", "sae")
PAIRED, HALF_BYTES = "owe-transition", 3  # the hidden half's name is longer by "OWE"
SSID_BYTES = 32
FILTERS = ("cloudflare-family", "cleanbrowsing-family", "adguard-family", "opendns-familyshield")
SECRET = ("key", "key_ref")  # the second may be the key itself, in the wrong place
MOST_REMOVED, MOST_TOLD = 64, 30
LONGEST_SHOWN = 60
# C0, DEL and C1, separators of lines, halves of characters, marks of direction: none of them in what goes into hostapd's file and onto screens.
_PLAIN = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]*$"
_SSID = "1 to 32 bytes of UTF-8 (29 with owe-transition), without control characters, line breaks or marks of direction"
_KEY = "a key of 8 to 63 printable ASCII characters"
_COUNTRY = "a country's two capital letters (ISO 3166-1), such as ID"
_HOSTNAME = "a host name of 1 to 63 characters: letters, digits and -, no - at either end of a label (RFC 1123)"
_RESOLVER = "the address of a resolver that a router can reach, such as 1.1.1.3 or 2606:4700:4700::1113"
_TIMEZONE = "a POSIX time zone such as WIB-7, not the name of a place"


# In these schemas a description is what is allowed: it ends the sentence of a fault.
def _words(*words: str) -> Schema:
    return of("string", f"one of {', '.join(words)}", enum=list(words))


def _flag() -> Schema:
    return flag("true or false")


def _whole(low: int, high: int) -> Schema:
    return whole(f"a whole number from {low} to {high}", low, high)


def _text(meaning: str, pattern: str, longest: int) -> Schema:
    return of("string", meaning, pattern=pattern, minLength=1, maxLength=longest)


def _table(members: dict[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    return record(f"a table of {', '.join(members)}", members, required) | {"additionalProperties": False}


def _mbps() -> Schema:
    return of("number", "a number of Mbps from 0.25 to 10000", minimum=0.25, maximum=10_000)


_RATES = {"down_mbps": _mbps(), "up_mbps": _mbps()}
_BAND_LIST = of("array", f"a list of {', '.join(BANDS)}, each once", items=_words(*BANDS), minItems=1, uniqueItems=True)
_NETWORK = _table(
    {
        "ssid": _text(_SSID, _PLAIN, SSID_BYTES),
        "security": _words(*SECURITY),
        "bands": _BAND_LIST,
        "enabled": _flag(),
        "hidden": _flag(),
        "isolate": _flag(),
        "max_stations": _whole(1, 2007),
        "key": _text(_KEY, "^[ -~]{8,63}$", 63),
        "key_ref": _text("a file's name in the access point's secrets_dir", "^[A-Za-z0-9._-]{1,64}$", 64),
        "cap": _table(_RATES | {"per_station": _table(_RATES)}),
    },
    ("ssid", "security", "bands"),
)
_NETWORKS = of("object", "a table of networks by name", additionalProperties=_NETWORK, maxProperties=8) | {
    "propertyNames": {"pattern": "^[a-z0-9]{1,8}$", "description": "1 to 8 of a-z and 0-9"}
}
_NUMBER = {"type": "integer", "minimum": 1, "maximum": 233}
_CHANNEL: Schema = {"description": '"auto" or the number of a channel, 1 to 233', "anyOf": [{"const": "auto"}, _NUMBER]}
_WIDTH: Schema = {"description": "one of 20, 40, 80, 160, 320", "type": "integer", "enum": [20, 40, 80, 160, 320]}
_RADIO = _table(
    {
        "enabled": _flag(),
        "channel": _CHANNEL,
        "width_mhz": _WIDTH,
        "tx_power_dbm": _whole(0, 30),
        "country": _text(_COUNTRY, "^[A-Z]{2}$", 2),
    }
)
_ROUTED6 = (ipaddress.IPv6Network("2000::/3"), ipaddress.IPv6Network("fc00::/7"))
_RESOLVERS = of("array", "a list of 1 to 4 addresses, each once", items=_text(_RESOLVER, "^[0-9A-Fa-f:.]+$", 45), minItems=1, maxItems=4, uniqueItems=True)
SCHEMA = _table(
    {
        "ssids": _NETWORKS,
        "radios": _table(dict.fromkeys(BANDS, _RADIO)),
        "uplink": _table({"cap": _table(_RATES)}),
        "dns": _table({"filter": _words(*FILTERS), "servers": _RESOLVERS}),
        "agent": _table({"report_interval_s": _whole(1, 3600), "sample_interval_s": _whole(1, 3600)}),
        "system": _table(
            {
                "hostname": _text(_HOSTNAME, r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$", 63),
                "timezone": _text(_TIMEZONE, r"^([A-Za-z]{3,6}|<[A-Za-z0-9+-]{3,6}>)[+-]?[0-9]{1,2}[A-Za-z0-9:,./<>+-]*$", 64),
            }
        ),
    }
)


class Fault(NamedTuple):
    """One thing wrong: where, and the sentence that says what stands there and what is allowed."""

    path: Path
    sentence: str


def read(path: str) -> Document:
    """Read a layer from a TOML or JSON file; BadInput with every fault in it."""
    try:
        document = sign.read_document(path)
    except Refused as error:
        raise BadInput(str(error)) from None
    refuse(path, layer_faults(document))
    return document


def refuse(what: str, faults: Iterable[Fault]) -> None:
    """Raise BadInput with all faults, if there are any."""
    lines = [f"{what}: {fault.sentence}" for fault in faults]
    if len(lines) > MOST_TOLD:
        lines[MOST_TOLD:] = [f"{what}: and {len(lines) - MOST_TOLD} more faults"]
    if lines:
        raise BadInput("\n".join(lines))


def layer_faults(document: Mapping[str, object]) -> list[Fault]:
    """Give everything wrong with one layer, where nothing must be there."""
    return _checked(content(document), False) + list(_removal_faults(document.get(REMOVE, [])))


def faults(document: Mapping[str, object]) -> list[Fault]:
    """Give everything wrong with a whole document."""
    found = _checked(document, True)
    return found or list(_across(document))


def _without_required(schema: object) -> object:
    if isinstance(schema, dict):
        return {word: _without_required(value) for word, value in schema.items() if word != "required"}
    return [_without_required(value) for value in schema] if isinstance(schema, list) else schema


_LAYER = _without_required(SCHEMA)


@functools.cache
def _validator(is_whole: bool) -> Any:
    # Only where a document is checked: its import takes longer than all others, and a shell that completes a word waits for them.
    from jsonschema import Draft202012Validator

    return Draft202012Validator(SCHEMA if is_whole else _LAYER)


def _checked(document: Mapping[str, object], is_whole: bool) -> list[Fault]:
    by_path: dict[Path, Fault] = {}
    for error in sorted(_validator(is_whole).iter_errors(document), key=lambda error: [str(part) for part in error.absolute_path]):
        for fault in _told(error):
            by_path.setdefault(fault.path, fault)
    if not by_path:
        # JSON Schema lets NaN pass between any two limits.
        by_path = {path: Fault(path, f"{_path(path)} is {value}, expected a number") for path, value in _endless(document)}
    return list(by_path.values())


def _told(error: jsonschema.ValidationError) -> Iterator[Fault]:
    path: Path = tuple(error.absolute_path)
    allowed = error.schema["description"] if isinstance(error.schema, Mapping) and "description" in error.schema else error.message
    if "propertyNames" in error.absolute_schema_path:
        yield Fault((*path, error.instance), f"{_path((*path, error.instance))} is no name of a network, expected {allowed}")
    elif error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        for name in error.instance:
            if name not in known:
                near = difflib.get_close_matches(name[:64], known, 1, 0.6)
                hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
                yield Fault((*path, name), f"{_path((*path, name))} is not known, {hint}")
    elif error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield Fault((*path, name), f"{_path((*path, name))} is missing, expected {error.schema['properties'][name]['description']}")
    elif error.validator == "maxProperties":
        yield Fault(path, f"{_path(path)} has {len(error.instance)} networks, expected at most {error.validator_value}")
    else:
        is_word = error.validator == "enum" and isinstance(error.instance, str)
        near = difflib.get_close_matches(error.instance[:64], filter(_is_text, error.validator_value), 1, 0.6) if is_word else []
        hint = f" (did you mean {near[0]}?)" if near else ""
        yield Fault(path, f"{_path(path)} is {shown(path, error.instance)}, expected {allowed}{hint}")


def _across(document: Mapping[str, object]) -> Iterator[Fault]:
    """What one member means to another."""
    ssids = document.get("ssids", {})
    assert isinstance(ssids, Mapping)  # the schema holds
    for name, entry in ssids.items():
        path, security = ("ssids", name), entry["security"]
        most, size = SSID_BYTES - HALF_BYTES * (security == PAIRED), len(entry["ssid"].encode())
        if size > most:
            yield Fault((*path, "ssid"), f"{_path((*path, 'ssid'))} is {shown(path, entry['ssid'])}, {size} bytes, expected 1 to {most} bytes with {security}")
        given = [member for member in ("key", "key_ref") if member in entry]
        if security in KEYED and not given:
            yield Fault((*path, "key"), f"{_path((*path, 'key'))} is missing, expected {_KEY}, or key_ref, with security {security}")
        if len(given) == 2:
            yield Fault((*path, "key_ref"), f"{_path((*path, 'key_ref'))} is set beside key, expected one of the two")
        if security not in KEYED:
            yield from (Fault((*path, member), f"{_path((*path, member))} is set, expected none with security {security}") for member in given)
        if "6g" in entry["bands"] and security not in ("owe", "sae"):
            yield Fault((*path, "bands"), f'{_path((*path, "bands"))} has "6g" with security {security}, expected owe or sae there')
        yield from _cap_faults((*path, "cap"), entry.get("cap"))
    yield from _resolver_faults(document.get("dns"))
    uplink = document.get("uplink", {})
    assert isinstance(uplink, Mapping)
    yield from _cap_faults(("uplink", "cap"), uplink.get("cap"))
    knobs = document.get("agent", {})
    assert isinstance(knobs, Mapping)
    if "sample_interval_s" in knobs and knobs["sample_interval_s"] > knobs.get("report_interval_s", -1):
        most = f"at most agent.report_interval_s, which is {knobs.get('report_interval_s', 'not set')}"
        yield Fault(("agent", "sample_interval_s"), f"agent.sample_interval_s is {knobs['sample_interval_s']}, expected {most}")


def _resolver_faults(part: object) -> Iterator[Fault]:
    if not isinstance(part, Mapping):
        return
    if len(part) != 1:
        # Two levels may each have named one.
        hint = f'; {REMOVE} = ["dns.filter"] takes out what an outer level set' if part else ""
        yield Fault(("dns",), f"dns has {' and '.join(part) or 'neither filter nor servers'}, expected one of the two{hint}")
    seen = set()
    for number, text in enumerate(part.get("servers", ())):
        path: Any = ("dns", "servers", number)  # a list's place is a number, here as where the schema finds the fault
        address = _resolver(text)
        if address is None:
            yield Fault(path, f"{_path(path)} is {shown(path, text)}, expected {_RESOLVER}")
        elif address in seen:
            yield Fault(path, f"{_path(path)} is {shown(path, text)}, expected each address once")
        seen.add(address)


def _resolver(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address that devices can be sent to; a private one may be the city's own."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address if any(address in network for network in _ROUTED6) else None
    is_elsewhere = address.is_loopback or address.is_link_local or address.is_multicast or address.is_reserved or address.packed[0] == 0
    return None if is_elsewhere else address


def _cap_faults(path: Path, cap: object) -> Iterator[Fault]:
    """Find caps that cap nothing, stations that may have more than all of them, and a name that is the way out's."""
    if not isinstance(cap, Mapping):
        return
    if path == ("ssids", "uplink", "cap"):
        yield Fault(path, f"{_path(path)} is a table, expected none for a network that is called uplink, as the way out is: give it another name")
    stations = cap.get("per_station")
    for at, table in ((path, cap), ((*path, "per_station"), stations)):
        if table == {}:
            yield Fault(at, f"{_path(at)} is an empty table, expected at least one of {', '.join(_RATES)}, or none of it")
    for rate in _RATES:
        if isinstance(stations, Mapping) and rate in cap and rate in stations and stations[rate] > cap[rate]:
            at = (*path, "per_station", rate)
            yield Fault(at, f"{_path(at)} is {stations[rate]}, expected at most {_path((*path, rate))}, which is {cap[rate]}")


def _removal_faults(value: object) -> Iterator[Fault]:
    expected = f'a list of at most {MOST_REMOVED} paths such as "ssids.kantor"'
    if not isinstance(value, list) or len(value) > MOST_REMOVED:
        yield Fault((REMOVE,), f"{REMOVE} is {shown((REMOVE,), value)}, expected {expected}")
        return
    for number, path in enumerate(value):
        if not isinstance(path, str) or not re.fullmatch(r"[a-z0-9_]{1,24}(\.[a-z0-9_]{1,24}){0,5}", path):
            yield Fault((REMOVE, str(number)), f"{REMOVE}[{number}] is {shown((REMOVE,), path)}, expected a path such as ssids.kantor")
        elif (first := path.partition(".")[0]) not in SCHEMA["properties"]:
            yield Fault((REMOVE, str(number)), f"{REMOVE}[{number}] is {path}, and {first} is not known, expected one of {', '.join(SCHEMA['properties'])}")


def shown(path: Path, value: object) -> str:
    """Give a value for a sentence: shortened, on one line, and of a key nothing but its length."""
    if path and path[-1] in SECRET:
        return f"a text of {len(value)} characters" if isinstance(value, str) else "no text"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, str):
        text = f'"{"".join(_printing(character) for character in value[:LONGEST_SHOWN])}"'
    elif isinstance(value, list) and any(isinstance(inner, (Mapping, list)) for inner in value):
        text = f"a list of {len(value)} tables or lists"  # with a key in one of them, perhaps
    elif value is None or isinstance(value, (bool, int, float, list)):
        # As it stands in a file; `str` for a date of TOML's.
        text = "".join(_printing(character) for character in json.dumps(value, ensure_ascii=False, default=str))
    else:
        text = f"a {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _printing(character: str) -> str:
    return character if character.isprintable() else f"\\u{ord(character):04x}"


def _path(path: Path) -> str:
    """Write a path, whatever its names are."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[A-Za-z0-9_-]{1,48}", part) else shown((), part))
    return text or "the document"


def _endless(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _endless(inner, (*path, name))
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, value
