"""The way out: which layer fails, latencies, loss."""

from __future__ import annotations

from agent.collectors import uplink
from agent.records import Knobs, Path, Reach
from tests.fakes.router import FakeRouter

KNOBS = Knobs(50, False)
PATH = Path("wan", True, "192.0.2.10", "192.0.2.1", ("192.0.2.53",), True)
REACH = Reach("ok", 1.234, 8.01, 14.94, 0, 3)


def part_of(path: Path, *reaches: Reach, age: float = 0.0) -> dict[str, object]:
    span = uplink.Span(KNOBS)
    span.add(0, path)
    for reach in reaches:
        span.reach(0, reach)
    span.add(age, path)
    part = span.part(age)["uplink"]
    assert isinstance(part, dict)
    assert part.get("state") == span.state
    return part


def test_a_good_uplink() -> None:
    """State, latencies to a tenth of a millisecond, loss, address and gateway."""
    assert part_of(PATH, REACH) == {
        "state": "ok",
        "gateway_ms": 1.2,
        "dns_ms": 8.0,
        "internet_ms": 14.9,
        "loss_ratio": 0.0,
        "address": "192.0.2.10",
        "gateway": "192.0.2.1",
    }


def test_no_device_is_link() -> None:
    """No uplink device at all needs no probe to be told."""
    assert part_of(Path(None, False, None, None, (), None)) == {"state": "link"}


def test_device_down_is_link() -> None:
    """A cable pulled is the link, even while the address is still configured and the last probe was good."""
    assert part_of(PATH._replace(up=False), REACH)["state"] == "link"


def test_no_address_is_address() -> None:
    """A link without an address has failed at the address."""
    assert part_of(PATH._replace(address=None, gateway=None)) == {"state": "address"}


def test_no_gateway_is_gateway() -> None:
    """An address without a gateway leads nowhere."""
    assert part_of(PATH._replace(gateway=None)) == {"state": "gateway", "address": "192.0.2.10"}


def test_point_to_point_without_gateway_is_what_the_probe_says() -> None:
    """PPP may have no gateway and works: the probe of that very path knows better."""
    assert part_of(PATH._replace(gateway=None), REACH._replace(gateway_ms=None))["state"] == "ok"


def test_probe_tells_dns_from_internet() -> None:
    """What only a probe can see is what the last probe saw, and a latency that was not measured is absent."""
    part = part_of(PATH, REACH, Reach("dns", 1.0, None, None, 2, 3))
    assert part["state"] == "dns"
    assert "dns_ms" not in part and "internet_ms" not in part


def test_without_a_probe_the_state_is_unknown() -> None:
    """A path that looks right is not yet a path that works."""
    assert part_of(PATH) == {"address": "192.0.2.10", "gateway": "192.0.2.1"}


def test_an_old_probe_says_nothing_any_more() -> None:
    """After 200 seconds a probe is history: no state, no latency."""
    assert part_of(PATH, REACH, age=200)["state"] == "ok"
    old = part_of(PATH, REACH, age=201)
    assert "state" not in old and "dns_ms" not in old


def test_a_probe_of_another_path_says_nothing_of_this_one() -> None:
    """When the lease moved the box to another network, the state waits for the next probe."""
    span = uplink.Span(KNOBS)
    span.add(0, PATH)
    span.reach(1, REACH)
    span.add(10, PATH._replace(address="198.51.100.7", gateway="198.51.100.1"))
    assert span.state is None
    span.reach(11, REACH._replace(state="internet"))
    assert span.state == "internet"


def test_a_new_neighbour_state_is_the_same_path() -> None:
    """What the kernel learns about the gateway does not make the last probe void."""
    span = uplink.Span(KNOBS)
    span.add(0, PATH)
    span.reach(1, REACH)
    span.add(10, PATH._replace(has_neighbour=None))
    assert span.state == "ok"


def test_loss_is_over_the_last_20_probes() -> None:
    """Lost tries over sent tries; the 21st probe pushes the first out."""
    span = uplink.Span(KNOBS)
    span.add(0, PATH)
    span.reach(0, Reach("gateway", None, None, None, 3, 3))
    for at in range(1, 20):
        span.reach(at, REACH)
    assert span.part(20)["uplink"]["loss_ratio"] == 0.05  # type: ignore[index]
    span.add(20, PATH)
    span.reach(20, REACH)
    assert span.part(21)["uplink"]["loss_ratio"] == 0.0  # type: ignore[index]


def test_a_probe_that_could_send_nothing_is_no_loss() -> None:
    """Nothing sent is nothing lost, and no division."""
    assert "loss_ratio" not in part_of(PATH, Reach("gateway", None, None, None, 0, 0))


def test_a_span_without_a_sample_has_no_part() -> None:
    """A probe alone makes no part: nobody knows the path any more."""
    span = uplink.Span(KNOBS)
    assert span.state is None
    span.add(0, uplink.collect(FakeRouter(path=PATH)))
    span.part(0)
    span.reach(10, REACH)
    assert span.part(60) == {}


def test_what_was_lost_on_another_way_is_forgotten() -> None:
    """After a change of the path neither a latency nor a loss of the former one is told."""
    span = uplink.Span(Knobs(50, False))
    span.add(0.0, PATH)
    span.reach(1.0, Reach("internet", 1.0, 2.0, None, 1, 3))
    span.add(2.0, PATH._replace(up=False, address=None))
    assert span.part(3.0)["uplink"] == {"state": "link", "gateway": PATH.gateway}


def test_a_probe_is_fresh_until_the_next_ones_are_overdue() -> None:
    """With a probe each 600 s its outcome holds for 1,500 s, and no longer."""
    span = uplink.Span(Knobs(50, False, 600.0))
    span.add(0.0, PATH)
    span.reach(0.0, Reach("ok", 1.0, 2.0, 3.0, 0, 3))
    span.add(1500.0, PATH)
    assert span.part(1500.0)["uplink"]["state"] == "ok"
    span.add(1501.0, PATH)
    assert "state" not in span.part(1501.0)["uplink"]
