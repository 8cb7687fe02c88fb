"""`--where` means what it says: precedence, kinds of values, what is missing; and every slip is told with its place."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet import where
from fleet.errors import BadInput
from fleet.where import And, Comparison, Node, Not, Or

POINT: dict[str, object] = {
    **{"id": "rw-0501", "rw": "05", "kelurahan": "Oro-oro Dowo", "kecamatan": "Klojen", "provider": "Awinet", "contract_mbps": 50.0},
    **{"tags": ("market", "School"), "state": "lost", "clients": 9, "down_mbps": 23.1, "alerts": (), "age_s": None, "config": None},
}


@pytest.mark.parametrize(
    ("expression", "is_so"),
    [
        ("state=lost", True),
        ("STATE=Lost", True),
        ("state==lost", True),
        ("state!=lost", False),
        ("clients=9", True),
        ("clients=9.0", True),
        ("clients>8 and clients<10", True),
        ("clients>=10", False),
        ("clients<=9", True),
        ("clients>-1", True),
        ("down_mbps>9", True),
        ('kelurahan="oro-oro dowo"', True),
        ("kelurahan='Oro-oro Dowo'", True),
        ("kelurahan~dowo", True),
        ("kelurahan~Klojen", False),
        ("id<rw-0600", True),
        ("rw=05", True),
        ("rw=5", False),
        ("tags=school", True),
        ("tags!=market", False),
        ("tags=mark", False),
        ("tags~mark", True),
        ('tags=""', False),
        ('alerts=""', True),
        ("alerts=flash-full", False),
        ("alerts!=flash-full", True),
        ("state=online or state=lost and provider=Awinet", True),
        ("(state=online or state=lost) and provider=Indibiz", False),
        ("state=lost or state=late and provider=Indibiz", True),
        ("not state=lost or provider=Awinet", True),
        ("not (state=lost or provider=Awinet)", False),
        ("not not state=lost", True),
        ("NOT state=online AND provider=awinet", True),
        ("  state = lost  ", True),
    ],
)
def test_an_expression_means_what_it_says(expression: str, is_so: bool) -> None:
    """Text in any case, numbers as numbers, words by having them; not binds closer than and, and that closer than or."""
    assert where.compile(expression)(POINT) is is_so


@pytest.mark.parametrize(("sign", "is_so"), [("=", False), ("!=", True), ("<", False), ("<=", False), (">", False), (">=", False)])
@pytest.mark.parametrize("record", [{"age_s": None}, {}])
def test_what_is_missing_is_unequal_and_nothing_else(sign: str, is_so: bool, record: dict[str, object]) -> None:
    """A value that is not known makes every comparison false but !=."""
    assert where.compile(f"age_s{sign}5")(record) is is_so


def test_the_issues_own_example() -> None:
    """A kelurahan that has its kecamatan's name, a provider, and whatever is not online."""
    is_meant = where.compile("kelurahan=Lowokwaru and provider=Awinet and state!=online")
    lowokwaru = {"kelurahan": "Lowokwaru", "kecamatan": "Lowokwaru", "provider": "Awinet", "state": "late"}
    others = [{"kelurahan": "Jatimulyo"}, {"provider": "Indibiz"}, {"state": "online"}]
    assert [is_meant(lowokwaru | other) for other in ({}, *others)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("expression", "says", "column"),
    [
        ("", "it is empty", 0),
        ("kelurahn=Jatimulyo", "did you mean kelurahan?", 0),
        ("state=lost and nam=x", "there is no such field", 15),
        ("state", "expected one of = != < <= > >= ~ here", 5),
        ("state=", "expected a value here", 6),
        ("state=lost and", "expected a field here", 14),
        ("state=lost or and", "expected a field here", 14),
        ("kelurahan=and", 'if "and" is one, write it in quotes', 10),
        ("(state=lost", "expected ) here", 11),
        ('(state=lost ")"', "expected ) here", 12),
        ("state=lost)", "a ) without its (", 10),
        ("kelurahan=Oro-oro Dowo", "a value with blanks needs quotes", 18),
        ('kelurahan="Oro', "a quote that is not closed", 10),
        ("state=lost !", "'!' has no meaning here", 11),
        ("clients=many", "clients is a number", 8),
        ("clients~1", "~ asks for a part of a text", 8),
        ("tags<x", "tags has no order", 5),
        ("state=onlin", "did you mean online?", 6),
        ("config!=confirmd", "did you mean confirmed?", 8),
        ("日本=x", "there is no such field", 0),
        ("kelurahan=日本 and x=1", "there is no such field", 19),
    ],
)
def test_a_slip_is_told_with_its_place(expression: str, says: str, column: int) -> None:
    """The text says what was expected, and a caret stands under the fault, also behind characters that take two columns."""
    with pytest.raises(BadInput) as refused:
        where.compile(expression)
    lines = str(refused.value).splitlines()
    assert says in lines[0] and lines[1] == f"  {expression}" and lines[2] == "  " + " " * column + "^"


def test_the_fields_are_listed_with_an_unknown_one() -> None:
    """Whoever guesses a name learns all names."""
    with pytest.raises(BadInput) as refused:
        where.compile("name=x")
    assert all(field in str(refused.value).splitlines()[-1] for field in where.FIELDS)


def test_only_what_is_near_the_fault_is_shown_of_a_long_one() -> None:
    """The caret stays on the screen."""
    with pytest.raises(BadInput) as refused:
        where.compile("state=lost and " * 60 + "x=1" + " or state=lost" * 60)
    _, shown, caret, _ = str(refused.value).splitlines()
    assert len(shown) < 120 and shown[caret.index("^") :].startswith("x=1")


@pytest.mark.parametrize("expression", ["(" * 900, "not " * 480 + "x", "(" * 51 + "state=lost" + ")" * 51, "x" * 2001, "state=lost or " * 150])
def test_an_expression_is_bounded(expression: str) -> None:
    """Neither depth nor length exhausts anything."""
    with pytest.raises(BadInput):
        where.compile(expression)


def test_brackets_may_follow_each_other_for_ever() -> None:
    """Only depth is bounded, not how often it is come back from."""
    assert where.compile(" or ".join(["(not state=lost)"] * 100))({"state": "late"})


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=60) | st.lists(st.sampled_from([*"()\"'\\ =<>!~", "and ", "or ", "not ", "state", "lost", "clients", "7", " "]), max_size=30).map("".join)
)
def test_no_text_does_more_than_be_refused(text: str) -> None:
    """Whatever is typed is understood or refused."""
    try:
        where.compile(text)(POINT)
    except BadInput:
        pass


VALUES = {
    "text": st.text(max_size=8) | st.sampled_from(["Lowokwaru", "lost", "and", "NOT", 'a"b', "a\\b", "it's", "a b"]),
    "number": st.integers(-3, 3).map(str) | st.sampled_from(["0.5", "+1", "2.0"]),
    "words": st.sampled_from(["", "market", "Market", "mark"]),
}
SIGNS = {"text": list(where.OPERATORS), "number": ["=", "!=", "<", "<=", ">", ">="], "words": ["=", "!=", "~"]}
FIELDS = {name: kind for name, kind in where.FIELDS.items() if name not in where.CLOSED}


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    field = draw(st.sampled_from(sorted(FIELDS)))
    return Comparison(field, draw(st.sampled_from(SIGNS[FIELDS[field]])), draw(VALUES[FIELDS[field]]))


def several(kind: type[And] | type[Or], nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.lists(nodes, min_size=2, max_size=3).map(lambda parts: kind(tuple(parts)))


NODES: st.SearchStrategy[Node] = st.recursive(comparisons(), lambda nodes: nodes.map(Not) | several(And, nodes) | several(Or, nodes), max_leaves=8)


def without_places(node: Node) -> Node:
    if isinstance(node, Comparison):
        return node._replace(at=0)
    return Not(without_places(node.of)) if isinstance(node, Not) else type(node)(tuple(map(without_places, node.of)))


@settings(max_examples=200, deadline=None)
@given(NODES)
def test_what_is_written_is_read_again(node: Node) -> None:
    """Writing an expression and reading it gives the same one: brackets, quotes and all."""
    assert without_places(where.parse(where.text_of(node))) == node


RECORDS = st.fixed_dictionaries(
    {},
    optional={
        name: {"text": st.sampled_from(["Lowokwaru", "LOST", "a", "", "and"]), "number": st.sampled_from([-1, 0, 0.5, 2]), "words": st.just(("Market", "x"))}[
            kind
        ]
        | st.none()
        for name, kind in FIELDS.items()
    },
)


@settings(max_examples=200, deadline=None)
@given(NODES, RECORDS)
def test_it_agrees_with_a_naive_reading(node: Node, record: dict[str, object]) -> None:
    """The compiled test says what the definition says."""
    assert where.compile(where.text_of(node))(record) is naive(node, record)


def naive(node: Node, record: dict[str, object]) -> bool:
    if isinstance(node, Not):
        return not naive(node.of, record)
    if isinstance(node, (And, Or)):
        return (all if isinstance(node, And) else any)([naive(part, record) for part in node.of])
    field, sign, value, _ = node
    found = record.get(field)
    if found is None:
        return sign == "!="
    wanted = value.casefold()
    if isinstance(found, tuple):
        words = [word.casefold() for word in found]
        has = any(wanted in word for word in words) if sign == "~" else wanted in words if wanted else not words
        return has != (sign == "!=")
    left, right = (found, float(value)) if FIELDS[field] == "number" else (str(found).casefold(), wanted)
    if sign == "~":
        return wanted in str(left)
    signs = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
    return bool(signs[sign](left, right))
