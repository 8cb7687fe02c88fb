"""`radios`: what is set for all radios of a band. Of a radio only these five options are touched, and each returns to what it was when it is not named."""

from __future__ import annotations

from agent import band as bands
from agent.change import Change, Edit, Facts, Fault, Impact, RadioFact, Tree
from agent.checked import Check, fault, kind, members, number, shown
from agent.owned import BANDS, PACKAGE, Place, original, put

NAME = "radios"
OPTIONS = {"enabled": "disabled", "channel": "channel", "width_mhz": "htmode", "tx_power_dbm": "txpower", "country": "country"}


def check(part: object, facts: Facts) -> list[Fault]:
    """Give everything that is wrong with this part of a document."""
    if part is None:
        return []
    faults = members(NAME, part, {band: _check_of(band, facts) for band in BANDS})
    named = {band: country for band in BANDS if not bands.country("", country := _named(part, band).get("country"))}
    first = next(iter(named), None)
    differing = [band for band in named if first is not None and named[band] != named[first]]
    allowed = f"the same as {NAME}.{first}.country, for it holds for all radios of a box"
    return faults + [fault(f"{NAME}.{band}.country", "conflict", shown(named[band]), allowed) for band in differing]


def switched(part: object, facts: Facts) -> Facts:
    """Give the facts with the radios on or off as this part, which may be anything, would have them."""
    told = {band: is_on for band in BANDS if isinstance(is_on := _named(part, band).get("enabled"), bool)}
    return facts._replace(radios=tuple(radio._replace(is_enabled=told.get(radio.band or "", radio.is_enabled)) for radio in facts.radios))


def changes(part: object, tree: Tree, facts: Facts) -> list[Change]:
    """Give what it takes to make the radios as this part, which has passed the check, says."""
    found = []
    for band in BANDS:
        for member, option in OPTIONS.items():
            told = [(radio, _edits(radio, member, option, _named(part, band), tree)) for radio in _of(band, facts) if _is_in(radio, tree)]
            edits = tuple(edit for _, of_radio in told for edit in of_radio)
            if edits:
                first = next(radio for radio, of_radio in told if of_radio)
                before = bands.seen(tree["wireless"][first.name]).get(member)
                after = _named(part, band).get(member, _before_us(first, member, option, tree))
                found.append(Change(f"{NAME}.{band}.{member}", before, after, _impact(member, edits), edits))
    return found


def current(tree: Tree, facts: Facts) -> dict[str, object]:
    """Give the radios as a document would say them, of each band the first."""
    first = {band: radio for band in BANDS for radio in reversed(_of(band, facts)) if _is_in(radio, tree)}
    return {band: bands.seen(tree["wireless"][radio.name]) for band, radio in first.items()}


def _edits(radio: RadioFact, member: str, option: str, named: dict[str, object], tree: Tree) -> tuple[Edit, ...]:
    place = Place("wireless", radio.name, option)
    was = original(tree, place)
    value = named.get(member)
    # A channel is for those of the band's radios that have it.
    is_for_it = member != "channel" or not radio.channels or value == "auto" or number(value) in radio.channels
    return put(tree, place, bands.uci_of(member, value, was, radio.band or "") if member in named and is_for_it else was)


def _before_us(radio: RadioFact, member: str, option: str, tree: Tree) -> object:
    section = tree["wireless"][radio.name]
    was = original(tree, Place("wireless", radio.name, option))
    return bands.seen(section._replace(options={} if was is None else {option: (was,)})).get(member)


def _impact(member: str, edits: tuple[Edit, ...]) -> Impact:
    return "live" if member == "tx_power_dbm" or all(edit.package == PACKAGE for edit in edits) else "radio"


def _check_of(band: str, facts: Facts) -> Check:
    radios = _of(band, facts)
    if radios:
        return lambda path, part: members(path, part, bands.checks(band, radios, part))
    has = ", ".join(other for other in BANDS if _of(other, facts)) or "none: it has no radio"
    return lambda path, part: [fault(path, "unsupported", kind(part), f"a band that this access point has ({has})")]


def _of(band: str, facts: Facts) -> list[RadioFact]:
    return [radio for radio in facts.radios if radio.band == band]


def _is_in(radio: RadioFact, tree: Tree) -> bool:
    section = tree.get("wireless", {}).get(radio.name)
    return section is not None and section.type == "wifi-device"


def _named(part: object, band: str) -> dict[str, object]:
    of_band = part.get(band) if isinstance(part, dict) else None
    return of_band if isinstance(of_band, dict) else {}
