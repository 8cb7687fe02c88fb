"""What a signed config or command says: its claims, checked for form and for whom they are meant, and a config's content as comparable bytes.

Judges neither signature nor document. For the daemon's first look as well as for root's, so it imports nothing that the daemon
does not carry already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agent.wire.jws import Refused
from agent.wire.messages import MAX_INTEGER, Payload, encode
from agent.wire.topics import is_name

KIND = "config"
PLAN_KIND = "plan"  # only to be planned: whoever hands such a push on as a config changes nothing
KINDS = (KIND, PLAN_KIND)
CONFIRM_WITHIN_S = 180
SHORTEST_CONFIRM_S, LONGEST_CONFIRM_S = 30, 600
LONGEST_AUTHOR = 64
STARS = "***"  # stands where a key would
REQUIRED = ("kind", "city", "ap", "revision", "issued_at", "author", "config")
OPTIONAL = ("confirm_within_s", "below_contract")

COMMAND_KIND = "command"
COMMAND_MEMBERS = ("kind", "city", "ap", "id", "boot", "until_uptime_s", "name", "args", "issued_at")
LONGEST_ID = 64
BOOT_LENGTH = 16

_KNOWN = frozenset((*REQUIRED, *OPTIONAL))
_HEX = frozenset("0123456789abcdef")
_ID = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")


class ConfigClaims(NamedTuple):
    """One signed config: for whom, which revision, by whom and when (Unix seconds by the city's clock), and the document itself.

    `confirm_within_s`: how long the access point tries it before it takes it back. `below_contract`: an uplink cap below the
    contract is meant. `kind`: "config", or "plan" for one that may be planned and never applied.
    """

    city: str
    ap: str
    revision: int
    issued_at: int
    author: str
    config: Payload
    confirm_within_s: int = CONFIRM_WITHIN_S
    below_contract: bool = False
    kind: str = KIND


def parse(payload: Mapping[str, object], city: str, ap: str, kinds: tuple[str, ...] = (KIND,)) -> ConfigClaims:
    """Read the claims of a config for this access point, or raise Refused with `wrong_kind`, `wrong_city`, `wrong_ap` or `malformed`.

    The revision is for the caller to find with `revision_of` when a verdict on refused claims shall name it.
    """
    kind = _addressed("push", payload, city, ap, kinds)
    if not _KNOWN.issuperset(payload):
        raise _malformed(f"the claims have a member that is not known, expected only {', '.join((*REQUIRED, *OPTIONAL))}")
    revision = _whole(payload, "revision", 1, MAX_INTEGER)
    issued_at = _whole(payload, "issued_at", 0, MAX_INTEGER)
    author = payload.get("author")
    if not isinstance(author, str) or not 0 < len(author) <= LONGEST_AUTHOR or not author.isprintable():
        raise _malformed(f"author is not a name, expected 1 to {LONGEST_AUTHOR} printable characters")
    config = payload.get("config")
    if not isinstance(config, dict):
        raise _malformed("config is not a document, expected a JSON object")
    confirm_within_s = _whole({"confirm_within_s": CONFIRM_WITHIN_S, **payload}, "confirm_within_s", SHORTEST_CONFIRM_S, LONGEST_CONFIRM_S)
    below_contract = payload.get("below_contract", False)
    if not isinstance(below_contract, bool):
        raise _malformed("below_contract is not a truth, expected true or false")
    return ConfigClaims(city, ap, revision, issued_at, author, config, confirm_within_s, below_contract, kind)


def members(claims: ConfigClaims) -> Payload:
    """Give the claims as they are signed; what has its default is left out."""
    message: Payload = {"kind": claims.kind, **claims._asdict()}
    if not claims.below_contract:
        del message["below_contract"]
    return message


class CommandClaims(NamedTuple):
    """One signed command: for whom, its own id, the boot it is for and the uptime (whole seconds) after which it is dead, and what is to be done.

    `args` are the command's own to check; `issued_at` (Unix seconds by the city's clock) is for people.
    """

    city: str
    ap: str
    id: str
    boot: str
    until_uptime_s: int
    name: str
    args: Payload
    issued_at: int


def parse_command(payload: Mapping[str, object], city: str, ap: str, name: str | None = None) -> CommandClaims:
    """Read the claims of a command for this access point, or raise Refused with `wrong_kind`, `wrong_city`, `wrong_ap` or `malformed`.

    `name`: what its topic says, None where there is no topic. Whether boot, uptime and command are right is the caller's to judge.
    """
    _addressed("command", payload, city, ap, (COMMAND_KIND,))
    if payload.keys() != set(COMMAND_MEMBERS):
        raise _malformed(f"the claims do not have exactly the members {', '.join(COMMAND_MEMBERS)}")
    if (own_id := id_of(payload)) is None:
        raise _malformed(f"id is no id, expected 1 to {LONGEST_ID} letters, digits and -")
    boot = payload["boot"]
    if not isinstance(boot, str) or len(boot) != BOOT_LENGTH or not _HEX.issuperset(boot):
        raise _malformed(f"boot is no boot's id, expected {BOOT_LENGTH} lower-case hex digits")
    until_uptime_s = _whole(payload, "until_uptime_s", 0, MAX_INTEGER)
    command = _name(payload, "name")
    if name is not None and command != name:
        raise _malformed(f"the command is another one than its topic says, expected {name}")
    args = payload["args"]
    if not isinstance(args, dict):
        raise _malformed("args is not a table, expected a JSON object")
    return CommandClaims(city, ap, own_id, boot, until_uptime_s, command, args, _whole(payload, "issued_at", 0, MAX_INTEGER))


def command_members(claims: CommandClaims) -> Payload:
    """Give the claims of a command as they are signed."""
    return {"kind": COMMAND_KIND, **claims._asdict()}


def id_of(payload: Mapping[str, object]) -> str | None:
    """Give the id that a command's claims name, whatever else is wrong with them; None when they name none."""
    found = payload.get("id")
    return found if isinstance(found, str) and 0 < len(found) <= LONGEST_ID and _ID.issuperset(found) else None


def revision_of(payload: Mapping[str, object]) -> int | None:
    """Give the revision that claims name, whatever else is wrong with them; None when they name none."""
    revision = payload.get("revision")
    return revision if isinstance(revision, int) and not isinstance(revision, bool) and 1 <= revision <= MAX_INTEGER else None


def starred(value: object) -> object:
    """Give the value with stars for whatever is called `key`, at any depth."""
    if isinstance(value, Mapping):
        return {name: STARS if name == "key" else starred(inner) for name, inner in value.items()}
    return [starred(inner) for inner in value] if isinstance(value, list) else value


def canonical(config: Mapping[str, object]) -> bytes:
    """Give a config as bytes that are the same for the same content, whatever the order of its members."""
    return encode(_sorted(config))


def digest(config: Mapping[str, object]) -> str:
    """Give `sha256:…` over a config with its keys. It never leaves the router: with a weak key it would tell it."""
    return _sha256(canonical(config))


def public_hash(config: Mapping[str, object]) -> str:
    """Give `sha256:…` over a config with stars for its keys, which everybody may see."""
    return _sha256(encode(_sorted(starred(config))))


def _sorted(value: object) -> Payload:
    """Put the members of every object in the order of their names (json's own sorting would need a second encoder)."""
    ordered = _ordered(value)
    if not isinstance(ordered, dict):
        raise TypeError("a config is an object")
    return ordered


def _ordered(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _ordered(value[name]) for name in sorted(value)}
    return [_ordered(inner) for inner in value] if isinstance(value, list) else value


def _sha256(data: bytes) -> str:
    # Only root and the city ask; for the daemon it would be OpenSSL's whole table of digests.
    from hashlib import sha256

    return f"sha256:{sha256(data).hexdigest()}"


def _addressed(what: str, payload: Mapping[str, object], city: str, ap: str, kinds: tuple[str, ...]) -> str:
    """Give the claims' kind, once it is one of these and they are for this city and this access point."""
    kind = _name(payload, "kind")
    if kind not in kinds:
        raise Refused("wrong_kind", f"the claims' kind is another one, expected {' or '.join(kinds)}")
    if _name(payload, "city") != city:
        raise Refused("wrong_city", f"the {what} is for another city, expected {city}")
    if _name(payload, "ap") != ap:
        raise Refused("wrong_ap", f"the {what} is for another access point, expected {ap}")
    return kind


def _name(payload: Mapping[str, object], member: str) -> str:
    value = payload.get(member)
    if not isinstance(value, str) or not is_name(value):
        raise _malformed(f"{member} is not a name, expected 1 to 48 of a-z, 0-9 and -")
    return value


def _whole(payload: Mapping[str, object], member: str, lowest: int, highest: int) -> int:
    value = payload.get(member)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise _malformed(f"{member} is not a whole number from {lowest} to {highest}")
    return value


def _malformed(sentence: str) -> Refused:
    return Refused("malformed", sentence)
