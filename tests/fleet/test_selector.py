"""What `--to` means."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet import selector, store
from fleet.city import City
from fleet.errors import BadInput
from fleet.selector import Node, Point

POINTS = [
    Point("rw-0501", 1, "05", "Jatimulyo", "Lowokwaru", 50.0, ("market", "school")),
    Point("rw-0502", 2, "06", "Jatimulyo", "Lowokwaru", 50.0, ("market",)),
    Point("rw-0601", 3, "05", "Bareng", "Klojen", 50.0),
]


@pytest.mark.parametrize(
    ("text", "node", "ids"),
    [
        ("city", Node("city", ""), ["rw-0501", "rw-0502", "rw-0601"]),
        ("kecamatan=Lowokwaru", Node("kecamatan", "Lowokwaru"), ["rw-0501", "rw-0502"]),
        ("kelurahan = jatimulyo", Node("kelurahan", "Jatimulyo"), ["rw-0501", "rw-0502"]),
        ("rw=Jatimulyo/05", Node("rw", "Jatimulyo/05"), ["rw-0501"]),
        ("RW=jatimulyo/RW 5", Node("rw", "Jatimulyo/05"), ["rw-0501"]),
        ("tag=market", Node("tag", "market"), ["rw-0501", "rw-0502"]),
        ("ap=rw-0601", Node("ap", "rw-0601"), ["rw-0601"]),
        ("rw-0601", Node("ap", "rw-0601"), ["rw-0601"]),
    ],
)
def test_each_level_has_its_access_points_and_the_inventorys_spelling(text: str, node: Node, ids: list[str]) -> None:
    found, below = selector.resolve(text, POINTS)
    assert (found, [point.id for point in below]) == (node, ids)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rw-0503", "'rw-0503', which matches no access point, did you mean rw-0502 or rw-0501"),
        ("jatimulyo", "did you mean kelurahan=Jatimulyo?"),
        ("kelurahan=Jatimulya", "did you mean Jatimulyo?"),
        ("kelurahn=Jatimulyo", "expected city, kecamatan=NAME, .* did you mean kelurahan?"),
        ("kecamatan=Sukun", "which matches no access point; there is Lowokwaru, Klojen"),
        ("tag=", "which matches no access point; there is market, school"),
        ("city=malang", "expected city, kecamatan=NAME"),
        ("", "'', which matches no access point; expected city"),
        ("rw=Jatimulyo/50", "which matches no access point, did you mean Jatimulyo/06 or Jatimulyo/05"),
    ],
)
def test_what_matches_nothing_is_refused_with_what_is_close(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        selector.resolve(text, POINTS)


def test_an_rw_of_another_kelurahan_is_another_rw() -> None:
    assert selector.resolve("rw=Bareng/05", POINTS)[1] == [POINTS[2]]


def test_a_level_that_nobody_has_is_told() -> None:
    with pytest.raises(BadInput, match="none has a tag"):
        selector.resolve("tag=market", POINTS[2:])


def test_an_empty_inventory_says_how_to_fill_it() -> None:
    with pytest.raises(BadInput, match="rwctl enroll"):
        selector.resolve("city", [])


def test_an_access_points_nodes_go_from_the_city_inwards() -> None:
    assert [str(node) for node in POINTS[0].nodes()] == [
        *("city", "kecamatan=Lowokwaru", "kelurahan=Jatimulyo", "rw=Jatimulyo/05", "tag=market", "tag=school", "ap=rw-0501"),
    ]


def test_revoked_access_points_are_below_no_node(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    connection = store.open_city(City(tmp_path, "malang"))
    for number, revoked_at in ((1, None), (2, 1_790_000_000)):
        row = (f"rw-{number}", number, "05", "Jatimulyo", "Lowokwaru", "Awinet", 50.0, 500_000, None, None, " market school ", 1, revoked_at)
        connection.execute(f"INSERT INTO inventory VALUES ({','.join('?' * 13)})", row)
    assert selector.points(connection) == [Point("rw-1", 1, "05", "Jatimulyo", "Lowokwaru", 50.0, ("market", "school"))]
    connection.close()


def test_one_access_point_is_found_by_its_id() -> None:
    assert selector.one("rw-0501", POINTS) is POINTS[0]
    with pytest.raises(BadInput, match=r"there is no access point 'rw-0511', did you mean"):
        selector.one("rw-0511", POINTS)
    with pytest.raises(BadInput, match=r"there is no access point 'Jatimulyo'; see all:  rwctl status"):
        selector.one("Jatimulyo", POINTS)
