"""DHCP leases from dnsmasq's file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Unavailable
from agent.records import Dhcp
from agent.router.leases import fullest_ratio, parse_leases, read_leases

CAPTURE = (Path(__file__).parents[1] / "captures" / "dnsmasq-leases.txt").read_text()
EXPIRY = 1795302336


def test_leases_of_a_capture() -> None:
    """Three leases over two networks."""
    assert parse_leases(CAPTURE, EXPIRY - 3600, True) == {"192.0.2.131", "198.51.100.182", "192.0.2.132"}


def test_expired_lease_is_not_in_use() -> None:
    """A lease is in use until its end, by a clock that is right."""
    assert parse_leases(CAPTURE, EXPIRY - 1, True) == {"192.0.2.131", "198.51.100.182"}
    assert parse_leases(CAPTURE, EXPIRY, True) == set()


def test_wrong_clock_expires_nothing() -> None:
    """While the clock is not trusted every lease on file counts."""
    assert len(parse_leases(CAPTURE, EXPIRY + 10**9, False)) == 3


@pytest.mark.parametrize("expiry", [0, 43200, 999_999_999])
def test_lease_without_a_date_is_in_use(expiry: int) -> None:
    """Infinite leases, durations, and leases given before the clock was set."""
    assert parse_leases(f"{expiry} 02:00:00:00:00:01 192.0.2.5 * *\n", EXPIRY, True) == {"192.0.2.5"}


def test_ipv6_part_is_left_out() -> None:
    """The pool is the IPv4 one; what follows `duid` are IPv6 leases."""
    assert parse_leases(CAPTURE + f"duid 00:01\n{EXPIRY} 1 192.0.2.9 x y\n", 0, True) == parse_leases(CAPTURE, 0, True)


def test_hostile_lines_are_skipped() -> None:
    """Host names are data, and a line that is no lease is none."""
    text = f"{EXPIRY} 02:00:00:00:00:01 192.0.2.5 $(reboot)\"';\x00\u2028 *\n"
    text += f"{EXPIRY} 02:00:00:00:00:02 no-address x\n-5 a 192.0.2.6 x\n\n{'9' * 5000} a 192.0.2.7 x\n"
    assert parse_leases(text, 0, True) == {"192.0.2.5"}


@given(st.text() | st.lists(st.sampled_from(["0", "1795302336", "02:00:00:00:00:01", "192.0.2.1", "duid", " ", "\n", "é\x00"])).map("".join))
def test_no_file_breaks_the_parser(text: str) -> None:
    """Whatever the file holds, addresses come back."""
    assert all(address.count(".") == 3 for address in parse_leases(text, 0.0, True))


def test_files_are_counted_together(tmp_path: Path) -> None:
    """An address on file twice is one lease; the pool is not known."""
    (tmp_path / "a").write_text(CAPTURE)
    (tmp_path / "b").write_text(CAPTURE + "0 02:00:00:00:00:09 192.0.2.77 x *\n")
    assert read_leases((str(tmp_path / "a"), str(tmp_path / "none"), str(tmp_path / "b")), 0, True) == Dhcp(4, None)


def test_empty_file_is_a_server_without_leases(tmp_path: Path) -> None:
    """A DHCP server nobody asked has 0 leases."""
    (tmp_path / "a").write_text("")
    assert read_leases((str(tmp_path / "a"),), 0, True) == Dhcp(0, None)


def test_no_file_is_no_server(tmp_path: Path) -> None:
    """Without any lease file this box serves no DHCP."""
    with pytest.raises(Unavailable, match="serves no DHCP"):
        read_leases((str(tmp_path / "none"),), 0, True)


def test_the_fullest_pool_is_told_by_the_subnets_of_its_network() -> None:
    """The mask decides: 10.1.3.9 is in 10.1.0.1/22 and not in 10.1.0.1/24; a second address of the network counts too, a lease once."""
    used = {"10.1.0.2", "10.1.3.9", "172.16.0.2"}
    known = [([("10.1.0.1", 22)], 0.2), ([("10.1.0.1", 24)], 0.1), ([("10.1.0.1", 24), ("10.1.0.1", 22), ("172.16.0.1", 16)], 0.3), ([("10.1.0.2", 32)], 0.1)]
    assert [fullest_ratio(used, {"lan": 10}, {"lan": subnets}) for subnets, _ in known] == [ratio for _, ratio in known]


def test_without_a_size_and_a_network_of_one_pool_nothing_is_full() -> None:
    """Neither half alone is a ratio, nor is an address that is none."""
    subnets = {"lan": [("10.0.0.1", 24)], "guest": [], "bad": [("fd00::1", 24), ("lan", 24)]}
    assert [fullest_ratio({"10.0.0.2"}, pools, subnets) for pools in ({}, {"lan": None}, {"guest": 5}, {"bad": 5}, {"nosuch": 5})] == [None] * 5


def test_an_empty_pool_is_a_pool() -> None:
    """Zero is known."""
    assert fullest_ratio((), {"lan": 150}, {"lan": [("10.0.0.1", 24)]}) == 0.0
