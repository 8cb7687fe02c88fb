"""What may be typed is offered out of the city's inventory; what goes wrong is silent."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from fleet import choices
from fleet.city import City
from tests.fleet import cities


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    """A city of twelve, one of them revoked."""
    city = cities.make_city(tmp_path_factory.mktemp("choices") / "malang")
    for number in range(1, 13):
        cities.enroll(city, number, revoked_at=1 if number == 12 else None)
    return city


def context(folder: Path) -> click.Context:
    return click.Context(click.Command("x"), obj=folder)


PARAMETER = click.Option(["--x"])


def offered(kind: object, city: City, incomplete: str) -> list[str]:
    assert callable(kind)
    return list(kind(context(city.folder), PARAMETER, incomplete))


def test_ids(city: City) -> None:
    """Those of the inventory that begin so, but no revoked one."""
    assert offered(choices.access_points, city, "rw-001") == ["rw-0010", "rw-0011"]


def test_kelurahan(city: City) -> None:
    """In any case of letters."""
    assert offered(choices.kelurahan, city, "l") == ["Lowokwaru"]


@pytest.mark.parametrize(
    ("incomplete", "offers"),
    [
        ("k", ["kecamatan=", "kelurahan="]),
        ("c", ["city"]),
        ("kecamatan=k", ["kecamatan=Kedungkandang", "kecamatan=Klojen"]),
        ("tag=", ["tag=market", "tag=school"]),
        ("ap=rw-0009", ["ap=rw-0009"]),
        ("rw-0009", ["rw-0009"]),
        ("rw=Low", ["rw=Lowokwaru/02", "rw=Lowokwaru/07", "rw=Lowokwaru/12"]),
        ("nonsense=x", []),
    ],
)
def test_nodes(incomplete: str, offers: list[str], city: City) -> None:
    """Levels first, then the names of one, and IDs as they are."""
    assert offered(choices.nodes, city, incomplete) == offers


@pytest.mark.parametrize(
    ("incomplete", "offers"),
    [
        ("kel", ["kelurahan"]),
        ("kelurahan=low", ["kelurahan=Lowokwaru"]),
        ("provider=b", ["provider='Biznet Metronet'"]),
        ("state!=on", ["state!=online"]),
        ("tags=m", ["tags=market"]),
        ("clients>", []),
        ("state=lost ", ["state=lost and ", "state=lost or "]),
        ("state=lost an", ["state=lost and "]),
        ("state=lost and prov", ["state=lost and provider"]),
        ("not (stat", ["not (state"]),
        ("not (state=lost and tags=sch", ["not (state=lost and tags=school"]),
        ("no", ["not "]),
    ],
)
def test_an_expression_goes_on(incomplete: str, offers: list[str], city: City) -> None:
    """A field, its values, and what joins two comparisons."""
    assert offered(choices.expression, city, incomplete) == offers


def test_where_there_is_no_city_nothing_is_offered(tmp_path: Path) -> None:
    """No error, and nothing made."""
    assert choices.access_points(context(tmp_path), PARAMETER, "") == []
    assert list(tmp_path.iterdir()) == []


def test_the_shell_has_not_expanded_the_directory(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--dir ~/malang` and `--dir $HOME/malang` are completed too."""
    monkeypatch.setenv("HOME", str(city.folder.parent))
    for typed in ("~/malang", "$HOME/malang"):
        assert choices.access_points(context(Path(typed)), PARAMETER, "rw-0009") == ["rw-0009"]
