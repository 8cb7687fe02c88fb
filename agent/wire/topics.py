"""Where each message lives: `wifi/v1/<city>/<ap>/<below>`, and the one table of everything below.

Pure text; promises never to build a topic from a name outside the grammar, so no level, wildcard or
control byte can be smuggled into one.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

PREFIX = "wifi/v1"
NAME_PATTERN = "^[a-z0-9-]{1,48}$"
LONGEST_NAME = 48
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")

Direction = Literal["up", "down", "both"]


class Topic(NamedTuple):
    """One row of the contract. `name` is below the root, with `<…>` for one free level; `schema` None: reserved, no payload yet."""

    name: str
    direction: Direction
    qos: Literal[0, 1]
    retained: bool
    schema: str | None
    meaning: str


PRESENCE, INFO, REPORT, EVENT, ACK, ECHO = "presence", "info", "report", "event", "ack", "echo"
CONFIG_DESIRED, CONFIG_REPORTED, CONFIG_PLAN, CONFIG_PLAN_RESULT = "config/desired", "config/reported", "config/plan", "config/plan/result"
PUSHES = (CONFIG_DESIRED, CONFIG_PLAN)
COMMANDS = "command/+"  # every command, as one subscription
SIGNED = (*PUSHES, COMMANDS)  # what somebody may retain for us that no connection survives; one can do without

TOPICS = (
    Topic(PRESENCE, "up", 1, True, "presence", "birth, will and clean stop"),
    Topic(INFO, "up", 1, True, "info", "who this access point is and what it can do; sent only when changed"),
    Topic(REPORT, "up", 1, False, "report", "one interval of telemetry"),
    Topic(EVENT, "up", 1, False, "event", "something happened"),
    Topic("alert/<code>", "up", 1, True, "alert", "an open problem; an empty payload clears it (the list in each `report` is the truth)"),
    Topic(ACK, "down", 1, False, "ack", "what the city has committed to disk"),
    Topic(ECHO, "both", 0, False, "echo", "the agent's own liveness test: it sends, and hears it back; the city ignores it"),
    Topic(CONFIG_DESIRED, "down", 1, True, "config-claims", "the signed desired config (JWS)"),
    Topic(CONFIG_REPORTED, "up", 1, True, "config-reported", "what the access point says is so, and how the last push ended"),
    Topic(CONFIG_PLAN, "down", 1, False, "config-claims", "a signed config (JWS) to be planned only"),
    Topic(CONFIG_PLAN_RESULT, "up", 1, False, "config-plan-result", "the plan"),
    Topic("command/<name>", "down", 1, False, "command-claims", "a signed command (JWS); a retained one is ignored and reported"),
    Topic("command/<name>/result", "up", 1, False, "command-result", "how far a command is, and how it ended"),
    Topic("sla", "up", 1, False, None, "throughput records"),
)


def is_name(text: str) -> bool:
    """Say whether `text` may stand for a city, an access point, an alert's code or a command."""
    return 0 < len(text) <= LONGEST_NAME and _LETTERS.issuperset(text)


def root(city: str, ap: str) -> str:
    """Give the root of one access point's topics, without a slash at the end; ValueError when a name is outside the grammar."""
    for what, name in (("city", city), ("ap", ap)):
        if not is_name(name):
            raise ValueError(f"{what} is {name!r}, expected 1 to {LONGEST_NAME} of a-z, 0-9 and -")
    return f"{PREFIX}/{city}/{ap}"


def alert(code: str) -> str:
    """Give the topic of one alert, below the root; ValueError when the code is outside the grammar."""
    if not is_name(code):
        raise ValueError(f"alert code is {code!r}, expected 1 to {LONGEST_NAME} of a-z, 0-9 and -")
    return f"alert/{code}"


def command(name: str) -> str:
    """Give the topic of one command, below the root; ValueError when the name is outside the grammar."""
    if not is_name(name):
        raise ValueError(f"command is {name!r}, expected 1 to {LONGEST_NAME} of a-z, 0-9 and -")
    return f"command/{name}"


def command_result(name: str) -> str:
    """Give the topic of one command's results, below the root; ValueError when the name is outside the grammar."""
    return f"{command(name)}/result"


def command_of(below: str) -> str | None:
    """Give the name of the command that a topic below the root carries; None when it carries none."""
    first, _, name = below.partition("/")
    return name if first == "command" and is_name(name) else None


def parse(topic: str) -> tuple[str, str, str] | None:
    """Split a full topic into city, access point and what is below; None when it is not one of ours."""
    parts = topic.split("/", 4)
    if len(parts) != 5 or f"{parts[0]}/{parts[1]}" != PREFIX or not parts[4]:
        return None
    city, ap, below = parts[2:]
    return (city, ap, below) if is_name(city) and is_name(ap) else None


def lookup(below: str) -> Topic | None:
    """Find the row of a topic given below its root; None when the contract has no such topic."""
    levels = below.split("/")
    for topic in TOPICS:
        pattern = topic.name.split("/")
        if len(pattern) == len(levels) and all(_fits(want, level) for want, level in zip(pattern, levels, strict=True)):
            return topic
    return None


def subscription(name: str, city: str = "+", ap: str = "+") -> str:
    """Give the filter that hears a row's topic, of one access point or (by default) of all; free levels become `+`."""
    levels = ("+" if _is_free(level) else level for level in name.split("/"))
    return "/".join((PREFIX, city, ap, *levels))


def _is_free(level: str) -> bool:
    return level.startswith("<")


def _fits(want: str, level: str) -> bool:
    return is_name(level) if _is_free(want) else want == level
