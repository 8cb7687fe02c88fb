"""What tests of pushes are made of: trees as real boards had them, what is known of such an access point, and documents, right and wrong ones."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import strategies as st

from agent.band import FAMILIES, WIDTHS, family_of
from agent.change import Facts, RadioFact, Section, Tree
from agent.router.uci import parse

DEVICES = Path(__file__).parent / "devices"
BOARDS = ("ipq50xx-25.12.2", "mt7621-dsa-24.10", "mt7986-kwrt-25.12", "rig-x86", "wndr3800-24.10", "x86-24.10.8")
WITH_RADIOS = BOARDS[:-1]
SECTIONS = ("ssids", "radios", "uplink", "dns", "agent", "system")
KEY = "planted-document-key"
SECRETS = {"kantor": "planted-secret-key", "short": "planted"}


def tree_of(board: str) -> dict[str, dict[str, Section]]:
    """Give a board's configuration; sections without a name are called as `uci -X` does."""
    found = {}
    for path in sorted((DEVICES / board / "uci").glob("*.txt")):
        text = re.sub(r"@([\w-]+)\[(\d+)\]", lambda match: f"cfg{int(match[2]) + 1:02x}{sum(map(ord, match[1])):04x}", path.read_text(encoding="utf-8"))
        found[path.stem] = parse(text)
    return found


def facts_of(tree: Tree, **changed: object) -> Facts:
    """Give what a store tells of an access point with this configuration."""
    radios = tuple(
        RadioFact(section.name, section.value("band"), frozenset(), not section.is_on("disabled"))
        for section in tree.get("wireless", {}).values()
        if section.type == "wifi-device"
    )
    return Facts("openwrt", SECTIONS, radios, "guest", "", (), 50.0, SECRETS, "wan")._replace(**changed)  # type: ignore[arg-type]  # the names are the caller's


def with_section(tree: Tree, package: str, name: str, kind: str, **options: str) -> dict[str, dict[str, Section]]:
    """Give the tree with one more section."""
    found = {each: dict(sections) for each, sections in tree.items()}
    found.setdefault(package, {})[name] = Section(kind, name, {option: (value,) for option, value in options.items()})
    return found


def with_option(tree: Tree, package: str, name: str, option: str, value: str | None) -> dict[str, dict[str, Section]]:
    """Give the tree with one option as somebody else set it."""
    section = tree[package][name]
    options = {each: values for each, values in section.options.items() if each != option} | ({} if value is None else {option: (value,)})
    return {each: dict(sections) for each, sections in tree.items()} | {package: {**tree[package], name: section._replace(options=options)}}


def filled(tree: Tree) -> dict[str, dict[str, Section]]:
    """Give the tree without empty packages, which mean the same as none."""
    return {package: dict(sections) for package, sections in tree.items() if sections}


# Documents that are right for an access point.

SSID_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x1FAFF, exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), min_size=1, max_size=7)
_HOST = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?\Z")
_TIMEZONES = st.sampled_from(("WIB-7", "UTC0", "GMT0", "<+0545>-5:45", "CET-1CEST,M3.5.0,M10.5.0/3"))


def _rates(least: float, most: float, **more: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    rate = st.sampled_from((least, most)) | st.integers(round(least) + 1, round(most)) | st.floats(least, most)
    return st.fixed_dictionaries({}, optional={"down_mbps": rate, "up_mbps": rate, **more}).filter(bool)


def _cap() -> st.SearchStrategy[dict[str, object]]:
    return _rates(30, 10_000, per_station=_rates(0.25, 30))


@st.composite
def _entry(draw: st.DrawFn, bands: tuple[str, ...]) -> dict[str, object]:
    chosen = draw(st.lists(st.sampled_from(bands), min_size=1, max_size=3, unique=True))
    security = draw(st.sampled_from(("owe", "sae") if "6g" in chosen else ("open", "owe", "owe-transition", "psk2", "psk2-sae", "sae")))
    entry: dict[str, object] = {"ssid": draw(SSID_TEXT), "security": security, "bands": chosen}
    if security in ("psk2", "psk2-sae", "sae"):
        entry |= draw(st.sampled_from(({"key": KEY}, {"key": "p'q\"r $(s) \\ `t`"}, {"key_ref": "kantor"})))
    optional: dict[str, st.SearchStrategy[object]] = {name: st.booleans() for name in ("enabled", "hidden", "isolate")}
    optional |= {"max_stations": st.sampled_from((1, 64, 64.0, 2007)), "cap": _cap()}
    return entry | draw(st.fixed_dictionaries({}, optional=optional))


def _radio(band: str, widest: int) -> st.SearchStrategy[dict[str, object]]:
    channels = {"2g": ("auto", 1, 6, 13), "5g": ("auto", 36, 64, 100), "6g": ("auto", 5, 37)}[band]
    widths = [width for width in (20, 40, 80, 160, 320) if width <= widest]
    optional = {"channel": st.sampled_from(channels), "width_mhz": st.sampled_from(widths), "tx_power_dbm": st.sampled_from((0, 20, 30.0))}
    # On, for an SSID wants it on.
    return st.fixed_dictionaries({"enabled": st.just(True)}, optional=optional | {"country": st.just("ID")})


def documents(tree: Tree) -> st.SearchStrategy[dict[str, object]]:
    """Draw documents that the check lets pass on this access point."""
    widest: dict[str, int] = {}
    for section in tree.get("wireless", {}).values():
        if section.type == "wifi-device":
            band = section.value("band") or ""
            widest[band] = min(widest.get(band, 320), max(WIDTHS[band]), FAMILIES[family_of(section.value("htmode"), band)])
    bands = tuple(widest)
    parts: dict[str, st.SearchStrategy[object]] = {
        "agent": st.sampled_from(({}, {"report_interval_s": 60}, {"report_interval_s": 300, "sample_interval_s": 5}, {"report_interval_s": 5.0})),
        "system": st.fixed_dictionaries({}, optional={"hostname": _HOST, "timezone": _TIMEZONES}),
        "uplink": st.fixed_dictionaries({}, optional={"cap": _rates(50, 10_000)}),
        "dns": st.sampled_from(({"filter": "adguard-family"}, {"servers": ["10.9.0.53"]}, {"servers": ["FD00:0::53", "192.0.2.1"]})),
    }
    if not bands:
        return st.fixed_dictionaries({}, optional=parts)
    all_on = st.fixed_dictionaries({band: _radio(band, widest[band]) for band in bands})
    networks = st.dictionaries(st.sampled_from(("a", "public", "kantor", "z9z9z9z9")), _entry(bands), max_size=3)
    with_networks = st.fixed_dictionaries({"ssids": networks, "radios": all_on}, optional=parts)
    radios_only = st.fixed_dictionaries(
        {}, optional=parts | {"radios": st.fixed_dictionaries({}, optional={band: _radio(band, widest[band]) for band in bands})}
    )
    return st.one_of(with_networks, radios_only)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, dict[str, Section]]:
    """Draw configurations: a real board's, with sections and options of others and of ours thrown in."""
    tree = tree_of(draw(st.sampled_from(WITH_RADIOS)))
    radios = [section.name for section in tree["wireless"].values() if section.type == "wifi-device"]
    foreign = st.sampled_from(("0", "1", "x y", "it's", 'a"b', "Kopi\nline", "☕"))
    for number in range(draw(st.integers(0, 3))):
        options = draw(
            st.dictionaries(st.sampled_from(("ssid", "hidden", "disabled", "encryption", "macfilter", "ifname", "isolate", "key")), foreign, max_size=5)
        )
        tree = with_section(
            tree, "wireless", f"other{number}", "wifi-iface", device=draw(st.sampled_from(radios)), mode=draw(st.sampled_from(("ap", "sta"))), **options
        )
    for name in draw(st.lists(st.sampled_from(("rw_public_2g", "rw_public_5g_owe", "rw_old_2g_3", "rw_a_5g")), max_size=3, unique=True)):
        options = draw(
            st.dictionaries(st.sampled_from(("ssid", "hidden", "disabled", "encryption", "network", "key", "owe_transition_ifname")), foreign, max_size=5)
        )
        tree = with_section(tree, "wireless", name, "wifi-iface", device=draw(st.sampled_from(radios)), mode="ap", **options)
    for radio in radios:
        for option in draw(st.lists(st.sampled_from(("channel", "txpower", "country", "disabled", "noscan")), max_size=2, unique=True)):
            tree = with_option(tree, "wireless", radio, option, draw(st.sampled_from((None, "0", "1", "auto", "yes"))))
    return with_section(tree, "rwagent", "main", "rwagent", id="rw-0501", city="malang")


# Documents that are wrong.

NASTY = (
    *(None, True, False, 0, 1, -1, 60.5, float("nan"), float("inf"), 10**400, -(10**30), 2**63, 1e308),
    *(
        "",
        " ",
        "A" * 33,
        "x" * 1_000_000,
        "a\nssid=b",
        "a\r",
        "a\0b",
        "\x1b[2J",
        "\u202emoc",
        "\u2028",
        "\ud800",
        "\udfff\ud800",
        "é" * 17,
        "'; reboot; '",
        "$(reboot)",
    ),
    *("../../etc/passwd", "/etc/shadow", "psk", "owe-transition", "2g", "auto", "WIB-7", "Asia/Jakarta", "-", "..", "a" * 64, "none", "pks2", "wpa2"),
    *([], {}, [[]], {"": ""}, ["2g"] * 40, [["2g"]], {"a": {"b": {}}}, {"\n": "\n"}, ["2g", "2g"], [None], {"ssid": "x"}),
)
NAMES = (
    "ssids",
    "radios",
    "agent",
    "system",
    "uplink",
    "dns",
    "below_contract",
    "cap",
    "key",
    "key_ref",
    "public",
    "Public",
    "__proto__",
    "a.b",
    "a\nb",
    "x" * 300,
    "ssid",
    "bands",
)


def example() -> dict[str, object]:
    """Give a whole document that is right for an access point with 2.4 and 5 GHz."""
    public = {
        "ssid": "Malang RW 05",
        "security": "owe-transition",
        "bands": ["2g", "5g"],
        "enabled": True,
        "hidden": False,
        "isolate": True,
        "max_stations": 64,
        "cap": {"down_mbps": 30, "up_mbps": 10, "per_station": {"down_mbps": 5, "up_mbps": 2}},
    }
    return {
        "ssids": {"public": public, "kantor": {"ssid": "Kantor", "security": "psk2-sae", "bands": ["5g"], "key": KEY}},
        "radios": {band: {"enabled": True, "channel": "auto", "width_mhz": 20, "tx_power_dbm": 20, "country": "ID"} for band in ("2g", "5g")},
        "uplink": {"cap": {"down_mbps": 50, "up_mbps": 20.5}},
        "dns": {"servers": ["10.9.0.53", "fd00:9::53"]},
        "agent": {"report_interval_s": 60, "sample_interval_s": 10},
        "system": {"hostname": "rw-0501", "timezone": "WIB-7"},
    }


def mutated(document: object, chance: random.Random, deep: Sequence[object]) -> object:
    """Give the document with something done to it: a value replaced, a member renamed, added or gone, or one of `deep` in its place."""
    if chance.random() < 0.01:
        return chance.choice(NASTY)
    if chance.random() < 0.01:
        return chance.choice(deep)
    if isinstance(document, Mapping) and document and chance.random() < 0.9:
        found = dict(document)
        name = chance.choice(list(found))
        deed = chance.random()
        if deed < 0.55:
            found[name] = mutated(found[name], chance, deep)
        elif deed < 0.65:
            del found[name]
        elif deed < 0.8:
            found[chance.choice((*NAMES, str(name)[:-1], f"{name}s"))] = found.pop(name)
        else:
            found[chance.choice(NAMES)] = mutated(chance.choice(NASTY), chance, deep)
        return found
    if isinstance(document, list) and document and chance.random() < 0.6:
        return [mutated(document[0], chance, deep), *document[1:], *chance.sample(NASTY, chance.randrange(3))]
    if isinstance(document, str) and chance.random() < 0.5:
        at = chance.randrange(len(document) + 1)
        return document[:at] + chance.choice(("\n", "'", '"', "\0", "\\", "../", "\u0085", "\u202e", "\ud800", "x" * 40, " ")) + document[at:]
    return chance.choice(NASTY)


def nested(depth: int, chance: random.Random) -> object:
    """Give a value in a value in a value."""
    found: object = "deep"
    for _ in range(depth):
        found = [found] if chance.random() < 0.5 else {"a": found}
    return found
