"""Interface counters and roles, beside `ip` in a namespace of their own."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.router.netdev import Counters, parse_netdev
from agent.router.text import printable
from tests.fakes.netns import Netns

HEADER = b"Inter-|   Receive |  Transmit\n face |bytes |bytes\n"
HOSTILE = [b"a\"b'", "é🙂".encode(), b"$(id)", b"a\\b|{}", b"a\x1cb\x01", b"\xff\xfe", b"-x", b"eth0.7", b"a\x85b\x1e"]
READ = """
import json, time
from agent.router.netdev import Netdev
from agent.router.text import printable
net = Netdev(time.monotonic)
print(json.dumps([i._asdict() for i in net.interfaces({uplink!r}, {bss!r})]))
"""


def interfaces(space: Netns, uplink: str | None = None, bss: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Give what our code sees in a namespace."""
    found: list[dict[str, Any]] = space.python(READ.format(uplink=uplink, bss=bss))
    return found


def test_line_of_proc_net_dev() -> None:
    """The sixteen columns, by name."""
    line = b"  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
    assert parse_netdev(HEADER + line) == {"eth0": Counters(1, 3, 4, 9, 11, 12)}


def test_counter_glued_to_the_colon() -> None:
    """Old kernels print no blank after the colon."""
    assert parse_netdev(HEADER + b"eth0:18446744073709551615" + b" 0" * 15 + b"\n")["eth0"].rx_bytes_total == (1 << 64) - 1


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_name_is_data(name: bytes) -> None:
    """A name the kernel allows is cut at no control character."""
    assert list(parse_netdev(HEADER + name + b":" + b" 7" * 16 + b"\n")) == [os.fsdecode(name)]


@given(st.binary(max_size=400) | st.text(alphabet="eth0: 123\n|", max_size=400).map(str.encode))
def test_no_text_breaks_the_parser(raw: bytes) -> None:
    """Whatever stands there, plain counters come back."""
    for counters in parse_netdev(raw).values():
        assert all(isinstance(figure, int) for figure in counters)


@pytest.mark.needs("netns")
def test_counters_equal_ip_with_hostile_names() -> None:
    """Every device of a namespace, its index, state, counters, as `ip -j -s link` has them, whatever its name."""
    with Netns() as space:
        ends = []
        for number, name in enumerate((b"wan", *HOSTILE)):
            space.ip("link", "add", "name", name, "type", "veth", "peer", "name", f"far{number}")
            ends += [name, f"far{number}".encode()]
        for end in ends:
            # Without IPv6's own talk the counters stand still between two readings, and without ARP nothing waits for an answer.
            space.ip("link", "set", "dev", end, "addrgenmode", "none")
            space.ip("link", "set", "dev", end, "arp", "off")
            space.ip("link", "set", "dev", end, "up")
        space.ip("addr", "add", "10.99.0.2/24", "dev", "wan")
        space.python("import socket;s=socket.socket(2,2);[s.sendto(b'x'*500,('10.99.0.9',9)) for _ in range(20)];print(0)")
        found = interfaces(space, "wan")
        ours = {i["ifindex"]: i for i in found}
        theirs = {i["ifindex"]: i for i in space.ip_json("-s", "link") if i["ifname"] != "lo"}
        assert ours.keys() == theirs.keys()
        for ifindex, interface in ours.items():
            other = theirs[ifindex]["stats64"]
            assert interface["rx_bytes_total"] == other["rx"]["bytes"]
            assert interface["tx_bytes_total"] == other["tx"]["bytes"]
            assert interface["rx_errors_total"] == other["rx"]["errors"]
            assert interface["tx_dropped_total"] == other["tx"]["dropped"]
            assert interface["rx_dropped_total"] == other["rx"]["dropped"] + other["rx"].get("missed", 0)
            assert interface["up"] == (theirs[ifindex]["operstate"] in ("UP", "UNKNOWN") and "LOWER_UP" in theirs[ifindex]["flags"])
        assert found[0]["name"] == "wan"
        assert found[0]["tx_bytes_total"] >= 20 * 500


@pytest.mark.needs("netns")
def test_hostile_names_are_reported_as_text() -> None:
    """A name that is not UTF-8 stands with backslash escapes; a downed bridge is named because it is the uplink or a BSS."""
    with Netns() as space:
        for name in HOSTILE:
            space.ip("link", "add", "name", name, "type", "bridge")
        found = interfaces(space, "é🙂", tuple(os.fsdecode(name) for name in HOSTILE))
        assert [i["name"] for i in found] == ["é🙂", *(printable(os.fsdecode(n)) for n in HOSTILE if n != "é🙂".encode())]


@pytest.mark.needs("netns")
def test_roles_and_order() -> None:
    """Uplink first, then BSSs, bridges, the rest; loopback never; speed and duplex where the driver tells them."""
    with Netns() as space:
        for name, kind in (("zz", "bridge"), ("br-lan", "bridge")):
            space.ip("link", "add", "name", name, "type", kind)
            space.ip("link", "set", name, "up")
        space.ip("link", "add", "eth0", "type", "veth", "peer", "name", "ap0")
        space.ip("link", "add", "wan", "type", "veth", "peer", "name", "port")
        space.ip("link", "set", "port", "master", "br-lan")
        for name in ("eth0", "ap0", "wan", "port"):
            space.ip("link", "set", name, "up")
        space.ip("link", "set", "zz", "down")
        found = interfaces(space, "wan", ("ap0",))
        assert [(i["name"], i["role"]) for i in found if i["name"] != "zz"] == [
            ("wan", "uplink"), ("ap0", "bss"), ("br-lan", "lan"), ("eth0", "other"), ("port", "other"),
        ]  # fmt: skip
        wan = found[0]
        assert (wan["link_mbps"], wan["duplex"]) == (10000, "full")


@pytest.mark.needs("netns")
def test_number_of_interfaces_is_bounded() -> None:
    """At most 32, and the uplink among them though it is the last made."""
    with Netns() as space:
        for number in range(20):
            space.ip("link", "add", f"v{number}", "type", "veth", "peer", "name", f"w{number}")
            space.ip("link", "set", f"v{number}", "up")
            space.ip("link", "set", f"w{number}", "up")
        found = interfaces(space, "v19")
        assert len(found) == 32
        assert found[0]["name"] == "v19"


@pytest.mark.needs("netns")
def test_idle_device_is_left_out_until_it_is_the_uplink() -> None:
    """A downed device that never moved a byte is noise, except as the uplink."""
    with Netns() as space:
        space.ip("link", "add", "idle", "type", "bridge")
        assert interfaces(space) == []
        assert [(i["name"], i["up"]) for i in interfaces(space, "idle")] == [("idle", False)]


CHANGE = """
import json, os, subprocess
from agent.router.netdev import Netdev
from agent.router.text import printable
net = Netdev(lambda: 0.0)
def see(): return [(i.name, i.ifindex, i.up, i.link_mbps) for i in net.interfaces("wan", ())]
seen = [see()]
for step in {steps!r}:
    subprocess.run(["ip", *step.split()], check=True)
    seen.append(see())
print(json.dumps(seen))
"""


@pytest.mark.needs("netns")
def test_device_created_anew_has_another_index() -> None:
    """Also while the clock stands still nothing remembered hides a new device or a lost carrier."""
    with Netns() as space:
        space.ip("link", "add", "wan", "type", "veth", "peer", "name", "far")
        space.ip("link", "set", "wan", "up")
        space.ip("link", "set", "far", "up")
        steps = ["link set far down", "link set far up", "link del wan", "link add wan type bridge"]
        first, down, up, gone, new = space.python(CHANGE.format(steps=steps))
        wan = next(entry for entry in first if entry[0] == "wan")
        assert wan[2:] == [True, 10000]
        assert next(entry for entry in down if entry[0] == "wan")[2:] == [False, None]
        assert next(entry for entry in up if entry[0] == "wan") == wan
        assert gone == []
        assert new[0][0] == "wan"
        assert new[0][1] != wan[1]


FLAT = """
import json, socket, time
from agent.router.addresses import gateway_mac
from agent.router.netdev import Netdev
deadline = time.monotonic() + 20
while gateway_mac("br-lan") is None and time.monotonic() < deadline:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("10.99.0.1", 9))
    time.sleep(0.05)
net = Netdev(time.monotonic)
def see(): return {{i.role: i._asdict() for i in net.interfaces("br-lan", ("ap0",))}}
while see()["uplink"]["tx_bytes_total"] < {wanted} and time.monotonic() < deadline:
    time.sleep(0.05)
print(json.dumps(see()))
"""
SEND = "import socket; s = socket.socket(2, 2); [s.sendto(b'x' * 1000, ('10.99.0.1', 9)) for _ in range(200)]; print(0)"


@pytest.mark.needs("netns")
def test_of_a_bridge_that_leads_out_the_gateways_port_is_the_uplink() -> None:
    """What a station sends to the gateway through the bridge stands in the uplink's row, which is the port's; the bridge never counted it."""
    with ExitStack() as stack:
        box, gateway, station, guest = (stack.enter_context(Netns()) for _ in range(4))
        box.ip("link", "add", "br-lan", "type", "bridge")
        for port, space, address in (("lan1", guest, "10.99.0.3"), ("lan2", gateway, "10.99.0.1"), ("ap0", station, "10.99.0.4")):
            box.ip("link", "add", port, "type", "veth", "peer", "name", "far", "netns", space.name)
            box.ip("link", "set", port, "master", "br-lan", "up")
            space.ip("addr", "add", f"{address}/24", "dev", "far")
            space.ip("link", "set", "far", "up")
        box.ip("link", "set", "br-lan", "up")
        box.ip("addr", "add", "10.99.0.2/24", "dev", "br-lan")
        box.ip("route", "add", "default", "via", "10.99.0.1")
        # Packets that wait for an answer to ARP would be dropped.
        (far,) = gateway.ip_json("link", "show", "far")
        station.ip("neigh", "replace", "10.99.0.1", "lladdr", far["address"], "dev", "far", "nud", "permanent")
        station.python(SEND)
        found = box.python(FLAT.format(wanted=200 * 1000))
        assert (found["uplink"]["name"], found["lan"]["name"]) == ("lan2", "br-lan")
        assert found["uplink"]["tx_bytes_total"] >= 200 * 1000
        assert max(found["lan"]["rx_bytes_total"], found["lan"]["tx_bytes_total"]) < 20 * 1000


SECOND = """
import json, select, subprocess, sys, time
from agent.router.netdev import Netdev
now, touched = 0.0, []
net = Netdev(lambda: now)
def see(): return [(i.name, i.role, i.up) for i in net.interfaces({uplink!r}, ()) if i.role == "uplink"]
def carrier(): return json.loads(subprocess.check_output(["ip", "-j", "link", "show", "lan1"]))[0]["operstate"]
seen = see()
sys.addaudithook(lambda event, given: touched.append(event) if event in ("open", "os.listdir", "os.scandir") else None)
seen += see()
opened = len(touched)
subprocess.run(["ip", "link", "set", "far", "down"], check=True)
# The kernel tells the other end of it from a queue of its own.
ends = time.monotonic() + 20
while carrier() == "UP" and time.monotonic() < ends:
    select.select([], [], [], 0.02)
for now in (1.0, 60.0):
    seen += see()
print(json.dumps([opened, seen]))
"""


@pytest.mark.needs("netns")
@pytest.mark.parametrize("uplink", ["lan1", "br-lan"])
def test_a_pulled_cable_leaves_the_uplink_where_it_is(uplink: str) -> None:
    """The port is down and nothing takes its place, named as it is or by its bridge; and while nothing changes no file is opened for that."""
    with Netns() as space:
        space.ip("link", "add", "br-lan", "type", "bridge")
        space.ip("link", "add", "lan1", "type", "veth", "peer", "name", "far")
        space.ip("link", "set", "lan1", "master", "br-lan", "up")
        for name in ("far", "br-lan"):
            space.ip("link", "set", name, "up")
        opened, seen = space.python(SECOND.format(uplink=uplink))
        assert opened == 0
        assert seen == [["lan1", "uplink", True], ["lan1", "uplink", True], ["lan1", "uplink", False], ["lan1", "uplink", False]]
