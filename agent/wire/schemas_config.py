"""The shapes of a push: the claims that are signed, what the access point answers, and the files in which root tells the daemon.

A part of schemas.py, which publishes what goes over the wire; the daemon never imports it.
"""

from __future__ import annotations

from agent.wire import claims, config
from agent.wire.messages import MAX_INTEGER
from agent.wire.shapes import AP, KID_PATTERN, SESSION, YEAR_2100, Schema, V, anything, array, extra, flag, gauge, known, of, one_of, record, text, whole
from agent.wire.topics import NAME_PATTERN

WORD_PATTERN = "^[a-z_]{1,48}$"
HASH_PATTERN = "^sha256:[0-9a-f]{64}$"
MOST_ROWS = 2_000  # more than config.LISTED_BYTES takes

REVISION = whole("Which revision of the desired config. It only rises.", 1)
CITY = text("The city.", 48, pattern=NAME_PATTERN)
AUTHOR = text("Who made it, as the city signs it.", claims.LONGEST_AUTHOR, minLength=1)
PATH = text("Where in the document; the beginning of a long one.", config.LONGEST_PATH)
HASH = text("Of the document with stars for its keys, so that it tells nothing about them.", 71, pattern=HASH_PATTERN)
RUN = text("Which try of the access point this is.", 16, pattern="^[0-9a-f]{16}$")
IMPACT = one_of(config.IMPACTS, "What it costs: live (nobody notices), bss (that SSID's stations reconnect), radio (that radio's), network.")
KEYS = array("Ids of the public keys whose pushes it accepts.", text("A key's id.", 16, pattern=KID_PATTERN), 64)
SECTIONS = array("Parts of a document that this access point can apply.", text("A part's name.", 48), 64)

ERROR = record(
    "One thing wrong.",
    {
        "path": PATH,
        "code": text("What kind of fault, for programs.", 48),
        "message": text("What is wrong, with the value and what is allowed.", config.LONGEST_MESSAGE),
    },
    ["path", "code", "message"],
)
CHANGE = record(
    "One thing that the document changes. A key stands as stars.",
    {
        "path": PATH,
        "from": anything("The value before; absent when it was not set."),
        "to": anything("The value after; absent when it will not be set."),
        "impact": IMPACT,
    },
    ["path", "impact"],
)
DRIFT = record(
    "One thing that is not as the revision in force says.",
    {"path": PATH, "expected": anything("What it says; absent: not set."), "found": anything("What is there; absent: not set.")},
    ["path"],
)
ERRORS = array("All faults of the push. Absent means none.", ERROR, MOST_ROWS)
CHANGES = array("What the push changes, or would. Absent means nothing.", CHANGE, MOST_ROWS)


def _left_out(what: str) -> Schema:
    return extra(whole(f"How many {what} more there are than are listed. Absent means none.", 1))


CLAIMS = record(
    "What a signed config says. It travels as a JWS in compact form, readable for the broker, keys included.",
    {
        "kind": one_of(claims.KINDS, "What is signed: a config, or one that is only to be planned."),
        "city": CITY,
        "ap": AP,
        "revision": REVISION,
        "issued_at": whole("When it was signed, by the city's clock. Unix seconds, UTC. No access point relies on it.", 0, YEAR_2100),
        "author": AUTHOR,
        "confirm_within_s": whole(
            f"How long the access point tries the change before it takes it back, seconds. Absent means {claims.CONFIRM_WITHIN_S}.",
            claims.SHORTEST_CONFIRM_S,
            claims.LONGEST_CONFIRM_S,
        ),
        "below_contract": extra(flag("Whether an uplink cap below the contract is meant. Absent means false.")),
        "config": record(
            "The whole document: what it does not name is removed or returns to its default.",
            {
                "ssids": of("object", "Networks on air, by a short name of 1 to 8 of a-z and 0-9."),
                "radios": of("object", "Radios, by their band: 2g, 5g, 6g."),
                "uplink": of("object", "The cap of the way out."),
                "dns": of("object", "Who answers the names that devices of the public network ask for."),
                "agent": of("object", "The agent's own knobs."),
                "system": of("object", "Host name and time zone."),
            },
        ),
    },
    claims.REQUIRED,
)

REPORTED = record(
    "What the access point says is so, and how the last push ended; retained, and published again on every connect.",
    {
        "v": V,
        "revision": whole("The revision that the last push carried; absent when none could be read.", 1, MAX_INTEGER),
        "state": one_of(
            config.STATES,
            "On the way: received, applying, testing. Then one verdict: confirmed, unchanged, rejected, rolled_back, "
            "failed (neither the new nor the old could be established: a person is needed).",
        ),
        "previous": whole("The revision in force before.", 1),
        "current": whole("The revision in force now; absent: none yet.", 1),
        "hash": HASH,
        "reason": known(config.REASONS, "Why it was rejected, rolled back or failed.", WORD_PATTERN),
        "errors": ERRORS,
        "errors_left_out": _left_out("faults"),
        "changes": CHANGES,
        "changes_left_out": _left_out("changes"),
        "drift": array("What is not as the revision in force says. Absent means nothing.", DRIFT, MOST_ROWS),
        "drift_left_out": _left_out("such things"),
        "verified": flag("False when no signature vouches for what was refused. Absent means true."),
        "foreign_edit": flag("True when somebody else edited a file in the meantime: then only what is ours was taken back. Absent means false."),
        "held": flag("True when the access point will not try this revision again. Absent means false."),
        "run": RUN,
        "session": SESSION,
        "took_ms": whole("From the first look at the push to the verdict, milliseconds."),
        "at": gauge("When; absent while the clock is unknown. Unix seconds, UTC.", maximum=YEAR_2100),
    },
    ["v", "state"],
)

PLAN_RESULT = record(
    "What a document would do. Nothing was touched.",
    {
        "v": V,
        "revision": whole("The revision that the push carried; absent when none could be read.", 1, MAX_INTEGER),
        "state": one_of(("planned", "rejected"), "Whether it could be planned."),
        "reason": known(config.REJECTED, "Why it was rejected.", WORD_PATTERN),
        "impact": IMPACT | {"description": "The worst impact of the changes; absent when nothing changes."},
        "hash": HASH,
        "errors": ERRORS,
        "errors_left_out": _left_out("faults"),
        "changes": CHANGES,
        "changes_left_out": _left_out("changes"),
    },
    ["v", "state", "errors", "changes"],
)

HANDLED = text("SHA-256 of the inbox's file last judged, hex.", 64, pattern="^[0-9a-f]{64}$")

STATUS_CONFIG = record(
    "status/config.json: what root says of pushes.",
    {
        "v": V,
        "handled": HANDLED,
        "reported": REPORTED,
        "test": record(
            "Only in state testing: what the daemon must bring back, and until when.",
            {
                "run": RUN,
                "nonce": text("What the daemon writes into inbox/confirm.", 32, pattern="^[0-9a-f]{32}$"),
                "until_uptime_s": gauge("The deadline, seconds since the router booted."),
            },
            ["run", "nonce", "until_uptime_s"],
        ),
        "retry_in_s": gauge("When the same revision may be tried again, seconds after at_uptime_s; absent when not."),
        "at_uptime_s": gauge("When this was written, seconds since the router booted."),
        "agent": record(
            "Pushed knobs in force; what is absent is agent.toml's.",
            {"report_interval_s": gauge("Between reports."), "sample_interval_s": gauge("Between samples.")},
        ),
        "refusals": whole("Bad signatures in a row."),
        "held": flag("The highest revision was rolled back as often as it is tried: only a higher one helps."),
        "keys": KEYS,
        "sections": SECTIONS,
    },
    ["v"],
)

STATUS_PLAN = record("status/plan.json: the last plan.", {"v": V, "handled": HANDLED, "result": PLAN_RESULT}, ["v", "handled", "result"])

STATUS_HISTORY = record(
    "status/history.json: how the last pushes ended, newest first.",
    {
        "v": V,
        "entries": array(
            "One verdict each.",
            record(
                "A verdict.",
                {
                    "revision": REVISION,
                    "state": one_of(config.VERDICTS, "How it ended."),
                    "reason": known(config.REASONS, "Why.", WORD_PATTERN),
                    "author": AUTHOR,
                    "issued_at": CLAIMS["properties"]["issued_at"],
                    "at": REPORTED["properties"]["at"],
                    "changes": whole("How many things it changed."),
                    "hash": HASH,
                },
                ["state"],
            ),
            20,
        ),
    },
    ["v", "entries"],
)

_KBIT = whole("A ceiling, kbit/s; absent: none.", 1, 99_999_999)
STATUS_CAPS = record(
    "status/caps.json: the bandwidth caps that root wants, as agent/ash/caps last carried them out.",
    {
        "v": V,
        "error": text("Why it could not; absent when it could.", 400),
        "wanted": array(
            "One cap each: of an SSID over all its networks, or of the way out.",
            record(
                "A cap.",
                {
                    "ssid": text("Which SSID, by its name in the config.", 8, pattern="^[a-z0-9]{1,8}$"),
                    "uplink": text("Which device is the way out.", 15),
                    "down_kbit": _KBIT,
                    "up_kbit": _KBIT,
                    "station_down_kbit": _KBIT,
                    "station_up_kbit": _KBIT,
                    "ifnames": array("The devices of its networks.", text("A device.", 15), 64),
                },
                (),
            ),
            64,
        ),
    },
    ["v", "wanted"],
)

# Files between root and the daemon on one box: no part of the wire, not published, and checked by the tests.
FILES: dict[str, Schema] = {"config.json": STATUS_CONFIG, "plan.json": STATUS_PLAN, "history.json": STATUS_HISTORY, "caps.json": STATUS_CAPS}
