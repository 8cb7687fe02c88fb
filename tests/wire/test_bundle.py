"""The bundle's form: names, manifest, floor, and settings as TOML that reads back as it was."""

from __future__ import annotations

import datetime
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import bundle
from agent.wire.bundle import Manifest
from agent.wire.messages import Malformed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRINTED = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), PRINTED, st.lists(PRINTED, max_size=3))


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *(("agent.toml", 65536), ("keys/malang.pub", 4096), ("keys/.pub", None), ("keys/a/b.pub", None)),
        *(("keys/malang.sec", None), ("../agent.toml", None), ("keys", None)),
    ],
)
def test_only_a_bundles_names_are_known(name: str, most: int | None) -> None:
    """Each with the most bytes that it may have."""
    assert bundle.most_bytes(name) == most


def test_the_manifest_reads_back() -> None:
    """And is small."""
    manifest = Manifest("malang", "rw-0501", 2_000_000_000)
    assert bundle.parse_manifest(bundle.manifest_text(manifest)) == manifest


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{}", "version is None"),
        (b'{"v":2,"city":"m","ap":"a","certificate_expires_at":1}', "version is 2, expected 1"),
        (b'{"v":1,"city":"M","ap":"a","certificate_expires_at":1}', "city is 'M'"),
        (b'{"v":1,"city":"m","ap":7,"certificate_expires_at":1}', "ap is '7'"),
        (b'{"v":1,"city":"m","ap":"a","certificate_expires_at":true}', "no whole number"),
        (b"[]", ""),
        (b'{"v":1,"v":1,"city":"m","ap":"a","certificate_expires_at":1}', ""),
    ],
)
def test_a_manifest_that_is_none_is_refused(raw: bytes, said: str) -> None:
    """With what is wrong."""
    with pytest.raises(Malformed) as refused:
        bundle.parse_manifest(raw)
    assert said in str(refused.value)


@pytest.mark.parametrize("raw", [b"", b"-1", b"1.5", b"9" * 17, "²".encode(), b"1 2"])
def test_a_floor_that_is_none_is_refused(raw: bytes) -> None:
    """A revision is a whole number that every JSON reader keeps."""
    with pytest.raises(Malformed):
        bundle.parse_floor(raw)


@given(st.dictionaries(PRINTED, st.dictionaries(PRINTED, VALUES, min_size=1, max_size=3), max_size=3))
def test_settings_read_back_as_they_were(tables: dict[str, dict[str, object]]) -> None:
    """Whatever text a key or a value is: nothing of it becomes a line, a key or a table of its own."""
    assert tomllib.loads(bundle.toml(tables)) == tables


def test_a_moment_keeps_its_zone() -> None:
    """simulated.start may be one."""
    moment = datetime.datetime(2026, 8, 17, 6, tzinfo=datetime.timezone(datetime.timedelta(hours=7)))
    assert tomllib.loads(bundle.toml({"simulated": {"start": moment}})) == {"simulated": {"start": moment}}


def test_what_settings_cannot_have_is_refused() -> None:
    """A table in a table."""
    with pytest.raises(ValueError, match="dict has no place"):
        bundle.toml({"router": {"adopt": {"a": 1}}})
