"""What the kernel has of the caps, read back from a real one: all of it stands, and each thing that can be broken is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Unavailable
from agent.router.caps import Cap
from agent.router.rtnetlink import Kernel, Link, Tc
from agent.router.traffic_control import MOST_MISSING, PREFERENCE, standing
from tests.shaped import Shaped

FILE = "v 1\nssid public 30000 10000 5000 2000 b0 b1\nuplink 45000 20000 w0\n"
PUBLIC = Cap("public", 30000, 10000, 5000, 2000, ("b0", "b1"))
UPLINK = Cap("uplink", 45000, 20000, None, None, ("w0",))
WANTED = [PUBLIC, UPLINK]
OURS = f"pref {PREFERENCE} protocol all u32 match u32 0 0 action mirred egress"

netns = pytest.mark.needs("netns", "tc")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shaped]:
    with Shaped(tmp_path_factory.mktemp("shaped")) as place:
        yield place


@pytest.fixture(scope="module")
def shaped(place: Shaped) -> Shaped:
    place.apply(FILE)
    return place


def steered(device: str, hook: str, what: str) -> tuple[str, str]:
    """Put another filter in the place of ours."""
    return f"filter del dev {device} {hook} pref {PREFERENCE}", f"filter add dev {device} {hook} {what}"


@netns
def test_all_that_the_script_made_stands(shaped: Shaped) -> None:
    """An unprivileged process finds nothing missing: SSID, stations and the way out, both ways."""
    assert shaped.standing(WANTED) == []


# What is done to the kernel, and what is said of it.
BROKEN: dict[str, tuple[Callable[[Shaped], None], list[str]]] = {
    "no-ifb": (lambda at: at.ip("link", "del", "rwd-public"), ["rwd-public is missing"]),
    "ifb-down": (lambda at: at.ip("link", "set", "rwu-public", "down"), ["rwu-public is down"]),
    "no-clsact": (lambda at: at.tc("qdisc del dev b1 clsact"), ["b1 does not lead to rwd-public", "b1 does not lead to rwu-public"]),
    "one-way": (lambda at: at.tc(f"filter del dev b0 egress pref {PREFERENCE}"), ["b0 does not lead to rwd-public"]),
    "other-way": (lambda at: at.tc(f"filter del dev b0 ingress pref {PREFERENCE}"), ["b0 does not lead to rwu-public"]),
    "ways-swapped": (
        lambda at: at.tc(*steered("b0", "egress", f"{OURS} redirect dev rwu-public"), *steered("b0", "ingress", f"{OURS} redirect dev rwd-public")),
        ["b0 does not lead to rwd-public", "b0 does not lead to rwu-public"],
    ),
    "mirrored": (lambda at: at.tc(*steered("b0", "egress", f"{OURS} mirror dev rwd-public")), ["b0 does not lead to rwd-public"]),
    "only-IPv4": (
        lambda at: at.tc(*steered("b0", "egress", f"pref {PREFERENCE} protocol ip u32 match u32 0 0 action mirred egress redirect dev rwd-public")),
        ["b0 does not lead to rwd-public"],
    ),
    "only-some": (
        lambda at: at.tc(*steered("b0", "egress", f"pref {PREFERENCE} protocol all u32 match u8 1 1 at 0 action mirred egress redirect dev rwd-public")),
        ["b0 does not lead to rwd-public"],
    ),
    "let-pass": (
        lambda at: at.tc(*steered("b0", "egress", f"pref {PREFERENCE} protocol all u32 match u32 0 0 flowid 1:1")),
        ["b0 does not lead to rwd-public"],
    ),
    "way-out": (lambda at: at.tc(f"filter del dev w0 ingress pref {PREFERENCE}"), ["w0 does not lead to rwd-uplink"]),
    "way-in": (lambda at: at.tc(f"filter del dev w0 egress pref {PREFERENCE}"), ["w0 does not lead to rwu-uplink"]),
    "rate": (
        lambda at: at.tc("class change dev rwd-public parent 1: classid 1:1 htb rate 31000kbit ceil 31000kbit quantum 7500"),
        ["rwd-public does not let 30000 kbit/s pass"],
    ),
    "ceiling": (
        lambda at: at.tc("class change dev rwu-uplink parent 1: classid 1:1 htb rate 20000kbit ceil 20001kbit quantum 7500"),
        ["rwu-uplink does not let 20000 kbit/s pass"],
    ),
    "leaf": (
        lambda at: at.tc("class change dev rwd-public parent 1:1 classid 1:13f htb rate 1kbit ceil 5001kbit quantum 1514 prio 1"),
        ["rwd-public has 1 classes that are not of 5000 kbit/s"],
    ),
    "rest": (
        lambda at: at.tc("class change dev rwu-public parent 1:1 classid 1:2 htb rate 1kbit ceil 10000kbit quantum 1514 prio 1"),
        ["rwu-public has 1 classes that are not of 2000 kbit/s"],
    ),
    "keys": (
        lambda at: at.tc("class change dev rwd-public parent 1:1 classid 1:3 htb rate 1kbit ceil 257kbit quantum 1514 prio 0"),
        ["rwd-public has 1 classes that are not of 5000 kbit/s"],
    ),
    "beside": (
        lambda at: at.tc("class add dev rwd-public parent 1: classid 1:2fff htb rate 1kbit ceil 5000kbit quantum 1514"),
        ["rwd-public has a class beside the whole"],
    ),
    "nobody-led": (lambda at: at.tc("filter del dev rwu-public parent 1: pref 20"), ["rwu-public leads no station to 64 of its 64 classes for them"]),
    "past-all": (
        lambda at: at.tc("filter add dev rwd-public parent 1: pref 1 protocol all u32 match u8 0x42 0xff at 9 flowid 1:0"),
        ["rwd-public has a filter that leads past its classes"],
    ),
    "past-the-uplink": (
        lambda at: at.tc("filter add dev rwu-uplink parent 1: pref 1 protocol all bpf bytecode '1,6 0 0 1' flowid 1:2"),
        ["rwu-uplink has a filter that leads past its classes"],
    ),
    "no-htb": (lambda at: at.tc("qdisc replace dev rwd-uplink root pfifo limit 10"), ["rwd-uplink has no HTB"]),
    "no-root": (lambda at: at.tc("qdisc del dev rwd-uplink root"), ["rwd-uplink has no HTB"]),
    "no-rest": (
        lambda at: at.tc(
            "qdisc del dev rwd-uplink root",
            "qdisc add dev rwd-uplink root handle 1: htb default 0",
            "class add dev rwd-uplink parent 1: classid 1:1 htb rate 45000kbit ceil 45000kbit quantum 7500",
            "class add dev rwd-uplink parent 1:1 classid 1:2 htb rate 1kbit ceil 45000kbit quantum 7500",
        ),
        ["rwd-uplink has no class for the rest"],
    ),
    "stale": (lambda at: at.ip("link", "add", "rwu-old", "type", "ifb"), ["rwu-old is there, but no cap wants it"]),
}


@netns
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_and_nothing_else(shaped: Shaped, name: str) -> None:
    """One thing done to the kernel is one thing said; root's script sees it too, and after it ran all of it stands."""
    spoil, said = BROKEN[name]
    spoil(shaped)
    try:
        assert shaped.standing(WANTED) == said
    finally:
        shaped.apply(FILE)
    assert shaped.standing(WANTED) == []


@netns
def test_a_bss_that_is_gone_is_not_missed_and_one_made_anew_is(shaped: Shaped) -> None:
    """No packet passes where no device is; a new one of the same name has no filters."""
    shaped.ip("link", "del", "b1")
    assert shaped.standing(WANTED) == []
    shaped.add("b1")
    assert shaped.standing(WANTED) == ["b1 does not lead to rwd-public", "b1 does not lead to rwu-public"]
    shaped.apply(FILE)
    assert shaped.standing(WANTED) == []


@netns
def test_an_ifb_made_anew_leads_nobody(shaped: Shaped) -> None:
    """The filters still name the former one, which has the same name and is another device."""
    shaped.ip("link", "del", "rwd-uplink")
    shaped.ip("link", "add", "rwd-uplink", "type", "ifb")
    assert shaped.standing(WANTED) == ["rwd-uplink is down", "rwd-uplink has no HTB", "w0 does not lead to rwd-uplink"]
    shaped.apply(FILE)
    assert shaped.standing(WANTED) == []


@netns
@pytest.mark.parametrize(
    ("line", "cap"),
    [
        ("ssid a 250 - - - b0", Cap("a", 250, None, None, None, ("b0",))),
        ("ssid abcdefgh - - 300 250 b0 b1", Cap("abcdefgh", None, None, 300, 250, ("b0", "b1"))),
        ("ssid b 10000000 10000000 10000000 - b1", Cap("b", 10_000_000, 10_000_000, 10_000_000, None, ("b1",))),
        ("uplink - 1234 w0", Cap("uplink", None, 1234, None, None, ("w0",))),
    ],
)
def test_each_kind_of_cap_stands_and_one_of_another_rate_does_not(place: Shaped, line: str, cap: Cap) -> None:
    """One way only, stations only, the least and the most."""
    place.apply(f"v 1\n{line}\n")
    assert place.standing([cap]) == []
    rates = {name: getattr(cap, name) for name in ("down_kbit", "up_kbit", "station_down_kbit", "station_up_kbit")}
    for name in (name for name, rate in rates.items() if rate):
        assert place.standing([cap._replace(**{name: rates[name] - 1})]) != [], name
    place.apply(FILE)


@netns
def test_nothing_made_is_all_missing(place: Shaped) -> None:
    """Without a single device of ours; and so many things that not all are named."""
    place.apply("")
    many = [Cap(f"n{number}", 1000, 1000, None, None, ()) for number in range(10)]
    try:
        assert place.standing([]) == []
        assert place.standing([PUBLIC]) == ["rwd-public is missing", "rwu-public is missing"]
        said = place.standing(many)
        assert (len(said), said[-1]) == (MOST_MISSING, "and 5 more")
    finally:
        place.apply(FILE)


# Answers that no kernel gives.


class Mad(Kernel):
    """A kernel that answers every question with the same."""

    def __init__(self, answer: Tc) -> None:
        self.answer = answer

    def __exit__(self, *_: object) -> None:
        pass

    def link(self, name: str) -> Link | None:
        return Link(self.answer.handle, True)

    def root(self, ifindex: int) -> Tc | None:
        return self.answer

    def filter(self, ifindex: int, parent: int, info: int, handle: int) -> Tc | None:
        return self.answer

    def classes(self, ifindex: int, parent: int) -> list[Tc]:
        return [self.answer]

    def filters(self, ifindex: int, parent: int) -> list[Tc]:
        return [self.answer]


WORDS = st.integers(0, 2**32 - 1) | st.sampled_from([0x10000, 0x10001, 0x10100, 0xFFFFFFFF, PREFERENCE << 16 | 0x300, 1])
KINDS = st.sampled_from([b"\x08\0\x01\0htb\0", b"\x08\0\x01\0u32\0", b""])
# Attributes whose lengths are right, nested at will, so that the fuzz comes deep; and plain noise.
LEAVES = st.binary(max_size=60)
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.lists(st.tuples(st.integers(0, 12), inner), max_size=4).map(
        lambda many: b"".join((len(value) + 4).to_bytes(2, "little") + kind.to_bytes(2, "little") + value + bytes(-len(value) % 4) for kind, value in many)
    ),
    max_leaves=12,
)


@given(WORDS, WORDS, WORDS, KINDS, NESTED)
def test_no_answer_is_more_than_unavailable(handle: int, parent: int, info: int, kind: bytes, noise: bytes) -> None:
    """Whatever the bytes are, it ends, with findings or with Unavailable, and never says that all stands."""
    answer = Tc(handle, parent, info, bytes(20) + kind + noise)
    try:
        said = standing([PUBLIC, UPLINK], "/sys/class/net", lambda: Mad(answer))
    except Unavailable:
        return
    assert said and all(len(text) < 100 for text in said)


def test_a_box_without_sysfs_cannot_be_judged(tmp_path: Path) -> None:
    """Which IFBs are there is not known."""
    with pytest.raises(Unavailable, match="none cannot be read"):
        standing([], str(tmp_path / "none"), lambda: Mad(Tc(0, 0, 0, b"")))
