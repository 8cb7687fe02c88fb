"""Whether the caps stand, as the report tells it."""

from __future__ import annotations

import pytest

from agent.collectors import caps
from agent.errors import Unavailable
from agent.records import Caps, Knobs
from tests.fakes.router import FakeRouter

KNOBS = Knobs(50, False)


@pytest.mark.parametrize(
    ("reading", "part"),
    [
        (Caps(), {}),
        (Caps(True), {"caps": {"standing": True, "missing": []}}),
        (Caps(True, ("a is missing", "b is down"), ("b",), False), {"caps": {"standing": False, "missing": ["a is missing", "b is down"]}}),
        (Caps(True, (), (), True), {"caps": {"standing": True, "missing": [], "bypassed": True}}),
    ],
)
def test_the_part_says_what_is_missing(reading: Caps, part: dict[str, object]) -> None:
    """Nothing where no cap is wanted; `bypassed` only where they are."""
    span = caps.Span(KNOBS)
    span.add(0, caps.collect(FakeRouter(caps=reading)))
    assert span.part(10) == part
    assert span.part(20) == {}, "a span without a sample repeats nothing"


def test_a_kernel_that_cannot_be_asked_has_no_part() -> None:
    """Unavailable goes up to the caller."""
    with pytest.raises(Unavailable):
        caps.collect(FakeRouter(caps=Unavailable("the kernel cannot be asked")))
