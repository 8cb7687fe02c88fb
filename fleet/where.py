"""The language of `--where`: which access points are meant, as in `kelurahan=Lowokwaru and (state!=online or alerts=flash-full)`.

Pure text and values. Bounded in length and depth; every fault is told with a caret under the place.
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

from agent.wire import config
from fleet.errors import BadInput

LONGEST, DEEPEST = 2_000, 50
SHOWN = 100  # characters of a faulty expression that are shown around the fault

Kind = Literal["text", "number", "words"]
STATES = ("lost", "late", "safe-mode", "offline", "unknown", "never", "online", "pending")
CONFIGS = ("waiting", *config.STATES)
CAPS = ("standing", "missing", "bypassed")
CLOSED = {"state": STATES, "config": CONFIGS, "caps": CAPS}  # fields that have one of these words

# What may be asked for; `fleet/view.py` gives each access point's values under these names.
FIELDS: dict[str, Kind] = {
    **dict.fromkeys(("id", "rw", "kelurahan", "kecamatan", "provider"), "text"),
    **dict.fromkeys(("contract_mbps", "rupiah_month"), "number"),
    "tags": "words",
    "state": "text",
    **dict.fromkeys(("clients", "down_mbps", "up_mbps"), "number"),
    "uplink": "text",
    "alerts": "words",
    **dict.fromkeys(("config", "caps"), "text"),
    **dict.fromkeys(("revision", "age_s"), "number"),
    **dict.fromkeys(("agent", "model"), "text"),
}
ORDERS: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
OPERATORS = ("=", "!=", *ORDERS, "~")
WORDS = ("and", "or", "not")
HELP = f"fields: {', '.join(FIELDS)}; = != < <= > >= ~ (contains), and, or, not, ( ), a value with blanks in quotes"

BARE = re.compile(r"""[^\s()=!<>~"']+""")
QUOTED = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
TOKEN = re.compile(rf"\s*(?:(?P<mark>[()])|(?P<operator>==|!=|<=|>=|[=<>~])|(?P<quoted>{QUOTED})|(?P<bare>{BARE.pattern}))", re.DOTALL)
NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")


class Comparison(NamedTuple):
    """One field against one value; `at` is where the value stands in the text."""

    field: str
    operator: str
    value: str
    at: int = 0


class Not(NamedTuple):
    """The opposite."""

    of: Node


class And(NamedTuple):
    """All of them."""

    of: tuple[Node, ...]


class Or(NamedTuple):
    """At least one of them."""

    of: tuple[Node, ...]


Node = Comparison | Not | And | Or
Matches = Callable[[Mapping[str, object]], bool]


class Token(NamedTuple):
    """One piece of the text: a mark, an operator, a bare word (a keyword as well), a quoted value, or the end."""

    kind: str
    text: str
    at: int


def compile(text: str) -> Matches:
    """Make the test for access points out of an expression; BadInput with a caret under what is wrong."""
    return _matches(parse(text))


def parse(text: str) -> Node:
    """Understand an expression; BadInput with a caret under what is wrong."""
    if len(text) > LONGEST:
        raise BadInput(f"--where has {len(text)} characters, expected at most {LONGEST}")
    return _Parser(text).whole()


def text_of(node: Node) -> str:
    """Write an expression so that `parse` gives the same again."""
    if isinstance(node, Comparison):
        is_bare = BARE.fullmatch(node.value) and node.value.casefold() not in WORDS
        escaped = node.value.replace("\\", "\\\\").replace('"', '\\"')
        return f"{node.field}{node.operator}" + (node.value if is_bare else f'"{escaped}"')
    if isinstance(node, Not):
        return f"not {_inner(node.of)}"
    return (" and " if isinstance(node, And) else " or ").join(_inner(part) for part in node.of)


def comparisons(node: Node) -> Iterator[Comparison]:
    """Give every comparison of an expression."""
    if isinstance(node, Comparison):
        yield node
    else:
        for part in (node.of,) if isinstance(node, Not) else node.of:
            yield from comparisons(part)


def _inner(node: Node) -> str:
    return f"({text_of(node)})" if isinstance(node, (And, Or)) else text_of(node)


class _Parser:
    """Reads tokens from left to right; `not` binds closer than `and`, and that closer than `or`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = next(self._tokens)
        self._depth = 0

    def whole(self) -> Node:
        if self._next.kind == "end":
            raise fault(self._text, 0, "it is empty, expected a comparison as in state!=online")
        node = self._any()
        if self._next.kind != "end":
            raise fault(self._text, self._next.at, self._not_the_end())
        return node

    def _any(self) -> Node:
        return self._joined("or", lambda: self._joined("and", self._one, And), Or)

    def _joined(self, word: str, one: Callable[[], Node], join: type[And] | type[Or]) -> Node:
        parts = [one()]
        while self._is_word(word):
            self._take()
            parts.append(one())
        return parts[0] if len(parts) == 1 else join(tuple(parts))

    def _one(self) -> Node:
        token = self._next
        if not (self._is_word("not") or token.text == "("):
            return self._comparison()
        self._depth += 1
        if self._depth > DEEPEST:
            raise fault(self._text, token.at, f"it is nested deeper than {DEEPEST} levels")
        self._take()
        node: Node
        if token.text == "(":
            node = self._any()
            if self._next.text != ")" or self._next.kind != "mark":
                raise fault(self._text, self._next.at, "expected ) here, or and, or")
            self._take()
        else:
            node = Not(self._one())
        self._depth -= 1
        return node

    def _comparison(self) -> Comparison:
        field = self._take()
        name = field.text.casefold()
        if field.kind != "bare" or name in WORDS:
            raise fault(self._text, field.at, "expected a field here, as in state!=online")
        if name not in FIELDS:
            raise fault(self._text, field.at, _unknown(field.text))
        sign = self._take()
        if sign.kind != "operator":
            raise fault(self._text, sign.at, f"expected one of {' '.join(OPERATORS)} here")
        value = self._take()
        if value.kind == "bare" and value.text.casefold() in WORDS:
            raise fault(self._text, value.at, f'expected a value here; if "{value.text}" is one, write it in quotes')
        if value.kind not in ("bare", "quoted"):
            raise fault(self._text, value.at, "expected a value here")
        text = re.sub(r"\\(.)", r"\1", value.text[1:-1], flags=re.DOTALL) if value.kind == "quoted" else value.text
        return _checked(self._text, Comparison(name, "=" if sign.text == "==" else sign.text, text, value.at))

    def _is_word(self, word: str) -> bool:
        return self._next.kind == "bare" and self._next.text.casefold() == word

    def _take(self) -> Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _not_the_end(self) -> str:
        if self._next.text == ")":
            return "a ) without its ("
        return "expected and, or, or the end here" + ("; a value with blanks needs quotes" if self._next.kind in ("bare", "quoted") else "")


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text.rstrip()):
        found = TOKEN.match(text, at)
        if found is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise fault(text, at, "a quote that is not closed" if text[at] in "\"'" else f"{text[at]!r} has no meaning here")
        kind = found.lastgroup or ""
        yield Token(kind, found[kind], found.start(kind))
        at = found.end()
    yield Token("end", "", len(text.rstrip()))


def _unknown(name: str) -> str:
    close = get_close_matches(name.casefold()[:40], FIELDS, 2)
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"there is no such field{meant}\nFields: {', '.join(FIELDS)}"


def _checked(text: str, asked: Comparison) -> Comparison:
    """Refuse what can never be true, so that a slip is not an empty table."""
    kind = FIELDS[asked.field]
    if kind == "number" and asked.operator == "~":
        raise fault(text, asked.at, f"{asked.field} is a number, ~ asks for a part of a text")
    if kind == "number" and not NUMBER.fullmatch(asked.value):
        raise fault(text, asked.at, f"{asked.field} is a number, expected one here, as in 12 or 0.5")
    if kind == "words" and asked.operator in ORDERS:
        raise fault(text, asked.at, f"{asked.field} has no order, expected {asked.field}= (has it), != (has it not) or ~ (has one with this part)")
    words = CLOSED.get(asked.field, ())
    if words and asked.operator in ("=", "!=") and asked.value.casefold() not in words:
        close = get_close_matches(asked.value.casefold()[:40], words, 1)
        raise fault(text, asked.at, f"there is no such {asked.field}{f'; did you mean {close[0]}?' if close else ''}\nExpected one of {', '.join(words)}")
    return asked


def fault(text: str, at: int, says: str) -> BadInput:
    """Make the refusal of an expression: what is wrong, and a caret under the character at `at`."""
    first = max(0, min(at - SHOWN // 2, len(text) - SHOWN))
    cut = "".join(c if c.isprintable() else " " for c in text[first : first + SHOWN])
    before = "… " * (first > 0)
    # Characters of the far east take two columns, combining ones none.
    columns = len(before) + sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in cut[: at - first])
    what, _, more = says.partition("\n")
    shown = f"  {before}{cut}{' …' * (first + SHOWN < len(text))}\n  {' ' * columns}^"
    return BadInput(f"--where cannot be understood: {what}\n{shown}" + (f"\n{more}" if more else ""))


def _matches(node: Node) -> Matches:
    if isinstance(node, Comparison):
        return _compared(node)
    if isinstance(node, Not):
        inner = _matches(node.of)
        return lambda record: not inner(record)
    parts = [_matches(part) for part in node.of]
    return (lambda record: all(part(record) for part in parts)) if isinstance(node, And) else (lambda record: any(part(record) for part in parts))


def _compared(asked: Comparison) -> Matches:
    """A value that is missing is unequal to everything, and nothing else is true of it."""
    field, sign = asked.field, asked.operator
    test = {"text": _text_test, "number": _number_test, "words": _words_test}[FIELDS[field]](sign, asked.value)
    return lambda record: sign == "!=" if (value := record.get(field)) is None else test(value)


def _text_test(sign: str, wanted: str) -> Callable[[object], bool]:
    folded = wanted.casefold()
    if sign == "~":
        return lambda value: folded in str(value).casefold()
    if sign in ("=", "!="):
        return lambda value: (str(value).casefold() == folded) == (sign == "=")
    order = ORDERS[sign]
    return lambda value: order(str(value).casefold(), folded)


def _number_test(sign: str, wanted: str) -> Callable[[object], bool]:
    number = float(wanted)
    order = ORDERS.get(sign)

    def test(value: object) -> bool:
        if not isinstance(value, (int, float)) or value != value:
            return sign == "!="
        return order(value, number) if order else (value == number) == (sign == "=")

    return test


def _words_test(sign: str, wanted: str) -> Callable[[object], bool]:
    """Ask a set of words; the empty text is what an empty set has."""
    folded = wanted.casefold()

    def test(value: object) -> bool:
        words = [str(word).casefold() for word in value] if isinstance(value, (list, tuple, set, frozenset)) else []
        if sign == "~":
            return any(folded in word for word in words)
        return ((folded in words) if folded else not words) == (sign == "=")

    return test
