"""`python -m agent.render`: makes agent.toml of /etc/config/rwagent each time the service starts, and says what is wrong or missing. Root's, on OpenWrt.

Run before the daemon, by a slow CPU: imports little, writes nothing that is so already. Whatever UCI holds is text to be judged; of faulty
settings nothing is taken, and agent.toml stays as it was. Enrols with a bundle that lies beside it, and finishes an enrolment that was cut short.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from agent import flash, folder, identity, settings, uci_settings
from agent.errors import Rejected, Unavailable
from agent.folder import NEW, Folder
from agent.router.child import SEARCH
from agent.settings import DEFAULT_FILE, MAX_FILE_BYTES, Fault
from agent.settled import WithUci, elsewhere, is_untold
from agent.uci_file import RAM, Places
from agent.wire import bundle as form
from agent.wire.bundle import Manifest

DONE, FAULTY, NOT_ENROLLED = 0, 2, 3
BUNDLE = "bundle.tar.gz"
FILES = ("broker.cert_file", "broker.key_file", "broker.ca_file")
USAGE = "usage: python3 -I -m agent.render [--adopt] [--config FILE] [--uci DIR [OVERRIDE]] [--ram DIR] [--search DIR:...]"
HOW = "In the city: rwctl enroll {ap}; then on this router: rwagent enroll FILE, or copy the bundle to {bundle} and run /etc/init.d/rwagent restart"
Document = dict[str, Any]


class Options(NamedTuple):
    """What the command line says; `is_first`: what agent.toml says is taken into UCI, where UCI says nothing yet."""

    config: str = DEFAULT_FILE
    places: Places = Places()
    is_first: bool = False


def main(arguments: list[str] | None = None) -> int:
    """Run the command and give its exit code."""
    options = parsed(sys.argv[1:] if arguments is None else arguments)
    return _say([USAGE], FAULTY) if options is None else render(options)


def render(options: Options, group_of: Callable[[str], int | None] = folder.group) -> int:
    """Make agent.toml; give 0 when it stands, 2 when it could not be made, 3 when this box is not enrolled, with what to do on standard error."""
    try:
        return _render(options, group_of(uci_settings.BACKEND))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _say([f"{where}{error.strerror or error}; {options.config} is as it was"], FAULTY)
    except (Rejected, Unavailable) as error:
        return _say([*str(error).splitlines(), f"{options.config} is as it was"], FAULTY)


def parsed(words: list[str]) -> Options | None:
    """Understand the command line without what argparse costs; None when it cannot be understood."""
    takes = {"--config": (1, 1), "--uci": (1, 2), "--ram": (1, 1), "--search": (1, 1), "--adopt": (0, 0)}
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            found[word] = []
        elif not found:
            return None
        else:
            found[list(found)[-1]].append(word)
    if any(name not in takes or not takes[name][0] <= len(values) <= takes[name][1] for name, values in found.items()):
        return None
    usual = Places()
    folders = [*found.get("--uci", [usual.config]), usual.override]
    places = Places(folders[0], folders[1], os.path.abspath(found.get("--ram", [RAM])[0]), found.get("--search", [SEARCH])[0])
    return Options(os.path.abspath(found.get("--config", [DEFAULT_FILE])[0]), places, "--adopt" in found)


def _render(options: Options, group: int | None) -> int:
    config, home = options.config, WithUci(options.config, options.places)
    place = Folder(config, group)
    place.make_all()
    refused = _take_bundle(options, group)
    with place.locked(options.places.wait_s):
        _finish(place, home)
        if options.is_first:
            _adopt(place, home, options.places)
        document, faults = home.read()
        if faults := [*faults, *home.judged(document)[1]]:
            return _refuse(options, document, faults, refused)
        text = home.text(document)
        if len(text.encode()) > MAX_FILE_BYTES:
            raise Rejected(f"{uci_settings.FILE} makes more than {MAX_FILE_BYTES} bytes of {config}; expected the agent's settings")
        if flash.read(config) == text.encode():
            place.dress_settings()
        else:
            place.put_settings(text)
    return _say(refused, DONE)


def _take_bundle(options: Options, group: int | None) -> list[str]:
    """Enrol with the bundle that lies beside the settings, and remove it, for its private key is in place then; say why not."""
    path = os.path.join(os.path.dirname(options.config), BUNDLE)
    if not os.path.lexists(path):
        return []
    # Imported here, as OpenSSL's half of a bundle's check costs more than all of a usual start.
    from agent import bundle, enroll

    try:
        if _has_better(os.path.dirname(options.config), bundle.load(path).manifest):
            flash.Flash().remove(path)
            return [f"{path} is not enrolled with, and removed: the certificate in force is as good or newer; to go back to that bundle: rwagent enroll FILE"]
        done = enroll.enroll(path, options.config, group_of=lambda _: group, places=options.places, is_told=False)
    except Rejected as error:
        return [*str(error).splitlines(), f"{path} is kept; put the right one there, or remove it"]
    flash.Flash().remove(path)
    return [f"enrolled with {path}, which is removed now: this is {done.ap} of {done.city}"]


def _has_better(place: str, given: Manifest) -> bool:
    """Say whether this access point has a certificate already that ends no sooner: an image holds the bundle of the day on which it was made."""
    try:
        held = identity.certificate(os.path.join(place, form.CERTIFICATE))
    except Rejected:
        return False
    is_whole = all(os.path.isfile(os.path.join(place, name)) for name in (form.SETTINGS, form.KEY, form.CA))
    return is_whole and held.cn == given.ap and held.expires_at >= given.certificate_expires_at


def _finish(place: Folder, home: WithUci) -> None:
    """Finish an enrolment that was cut short after the step that counts; what lies aside from before that step goes."""
    if not os.path.isdir(os.path.join(place.path, NEW)):
        return
    if (content := flash.read(place.config)) is not None:
        with home.locked():
            place.finish(settings.parse_toml(place.config, content.decode(errors="replace")), home.settle)
    place.clear()


def _adopt(place: Folder, home: WithUci, places: Places) -> None:
    """Take over the agent.toml of a box that was enrolled before this package, or before its UCI file, was there."""
    content = flash.read(place.config)
    found, faults = home.read()
    if content is None or faults or not is_untold(found):
        return
    written = settings.parse_toml(place.config, content.decode(errors="replace"))
    if is_untold(written):
        return
    if other := elsewhere(written.get("paths", {}), place.config, places):
        raise Rejected(f"{place.config} names {', '.join(other)} of its own, but the package has its places: move what is there, and take the lines out")
    wanted = home.old(written)
    assert wanted is not None
    home.resolved(wanted)
    with home.locked():
        home.settle(wanted)


def _refuse(options: Options, document: Document, faults: list[Fault], refused: list[str]) -> int:
    """Say every fault; where nothing is wrong but what an enrolment brings, say how to enrol."""
    missing = [_missing(fault) for fault in faults]
    if not all(missing):
        return _say([*refused, *map(uci_settings.sentence, faults), f"{options.config} is as it was"], FAULTY)
    files = [one for one in missing if one.startswith("/")]
    names = [os.path.basename(one) if number and os.path.dirname(one) == os.path.dirname(files[0]) else one for number, one in enumerate(files)]
    keys = [one for one in missing if not one.startswith("/")]
    lacking = [f"{_listed(names)} {'is' if len(names) == 1 else 'are'} missing"] if names else []
    lacking += [f"{uci_settings.FILE} does not say {_listed(keys)}"] if keys else []
    how = HOW.format(ap=document.get("agent", {}).get("id", "…"), bundle=os.path.join(os.path.dirname(options.config), BUNDLE))
    there = flash.read(options.config)
    if keys and there is not None and not uci_settings.is_made(there):
        how = f"Or, as {options.config} is there: python3 -I -m agent.render --adopt. {how}"
    return _say([*refused, f"not enrolled: {', and '.join(lacking)}. {how}"], NOT_ENROLLED)


def _missing(fault: Fault) -> str:
    """Name what an enrolment would bring, a file or an option; "" when it is something else that is wrong."""
    if fault.value == "missing" and fault.key in ("agent.city", "broker.host"):
        return fault.key
    path = fault.value[1:-1]
    return path if fault.key in FILES and fault.value.startswith('"/') and not os.path.lexists(path) else ""


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _say(lines: list[str], code: int) -> int:
    sys.stderr.write("".join(f"rwagent: {line}\n" for line in lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
