"""The shapes of a command: the claims that are signed, what the access point answers, and the file in which root tells the daemon.

A part of schemas.py, which publishes what goes over the wire; the daemon never imports it.
"""

from __future__ import annotations

from agent.wire import claims, command
from agent.wire.schemas_config import CITY, CLAIMS, HANDLED, WORD_PATTERN
from agent.wire.shapes import AP, Schema, V, array, extra, flag, known, of, one_of, record, text, whole
from agent.wire.topics import NAME_PATTERN

ID = text("The command's own id; the same one again gets the first result again.", claims.LONGEST_ID, pattern="^[0-9A-Za-z-]{1,64}$")
NAME = text("Which command; also the last level of the topic.", 48, pattern=NAME_PATTERN)
ARGS = of("object", "What is given with it, by the command's own table; {} for nothing.")
BOOT = text("Which boot it is for: the first 16 hex digits of the kernel's boot_id. In any other it is dead.", 16, pattern="^[0-9a-f]{16}$")
UNTIL = whole(f"The uptime after which it is dead, seconds since that boot; at most {command.LONGEST_AHEAD_S} s ahead when it arrives.")

COMMAND_CLAIMS = record(
    "What a signed command says. It travels as a JWS in compact form, readable for the broker.",
    {
        "kind": one_of((claims.COMMAND_KIND,), "What is signed: a command."),
        "city": CITY,
        "ap": AP,
        "id": ID,
        "boot": BOOT,
        "until_uptime_s": UNTIL,
        "name": NAME,
        "args": ARGS,
        "issued_at": CLAIMS["properties"]["issued_at"],
    },
    claims.COMMAND_MEMBERS,
)

RESULT = record(
    "How far a command is, and then how it ended: one message for each state.",
    {
        "v": V,
        "id": ID | {"description": "Of the command; absent when none could be read."},
        "state": one_of(command.STATES, "On the way: accepted, running. Then one ending: succeeded, failed, rejected, timed_out, expired."),
        "code": known(command.CODES, "Why it was rejected or failed.", WORD_PATTERN),
        "message": text("What is wrong, with the value and what is allowed.", command.LONGEST_MESSAGE),
        "output": of("object", "What it found, by command. Stations and neighbours have pseudonyms, which change daily."),
        "took_ms": whole("From the verified command to its ending, milliseconds."),
        "verified": extra(flag("False when no signature vouches for what was refused. Absent means true.")),
    },
    ["v", "state"],
)

_OF = text("SHA-256 of the inbox's file that this answers, hex.", 64, pattern="^[0-9a-f]{64}$")
_ENTRY: Schema = RESULT | {"properties": RESULT["properties"] | {"name": NAME, "of": _OF}, "required": ["v", "state", "of"]}

STATUS_COMMAND = record(
    "status/command.json: what root says of commands.",
    {
        "v": V,
        "handled": record("SHA-256 of each inbox file last judged.", {"ask": HANDLED, "act": HANDLED}),
        "results": array("The newest results, the newest last.", _ENTRY, 24),
        "todo": array(
            "Verified commands for the daemon to do.",
            record("A command.", {"id": ID, "name": NAME, "args": ARGS, "until_uptime_s": UNTIL}, ["id", "name", "args", "until_uptime_s"]),
            8,
        ),
        "commands": array("Names of the commands that this box can do.", NAME, 64),
        "refusals": whole("Bad signatures in a row."),
    },
    ["v", "handled", "results", "todo", "commands"],
)

PAYLOADS: dict[str, Schema] = {"command-claims": COMMAND_CLAIMS, "command-result": RESULT}

# No part of the wire, not published, and checked by the tests.
FILES: dict[str, Schema] = {"command.json": STATUS_COMMAND}
