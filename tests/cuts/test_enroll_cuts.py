"""Enrolment cut short by power at every step, on a modelled flash: the old one is there or the new one, whole, and the next run ends it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import enroll, folder, render, settings
from agent.uci_file import Places
from agent.wire import bundle as form
from tests import bundles
from tests.cuts import disk, trace
from tests.cuts.boxes import yard
from tests.cuts.cutting import environment, umask
from tests.fakes.openwrt.userland.box import Box

pytestmark = pytest.mark.needs("strace")

SETTINGS = '[agent]\nid = "rw-0501"\ncity = "malang"\n[broker]\nhost = "old.example"\n[router]\nbackend = "simulated"\nadopt = ["mine"]\n'
NAMES = (form.CA, form.CERTIFICATE, form.KEY)


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """Room in RAM; `flash` below it is the flash."""
    with yard() as room:
        yield Path(room.folder)


def in_force(config: Path) -> tuple[object, ...]:
    """Read all that an enrolment is, through the settings, as the daemon and root do at the next start; raises when it would not start."""
    chosen = settings.load(str(config))
    broker = chosen.broker
    keys = {path.name: path.read_bytes() for path in Path(chosen.push.keys_dir).iterdir() if not path.name.startswith(".")}
    return broker.host, chosen.router.adopt, tuple(Path(path).read_bytes() for path in (broker.ca_file, broker.cert_file, broker.key_file)), keys


def recorded(base: Path, file: str, config: Path, *words: str) -> list[disk.Cut]:
    """Enrol under strace (`words`: by this Python code); give every moment at which the power may fail, with all that it may leave."""
    model = disk.Disk(str(base))
    log = base / "enroll.log"
    command = trace.under_strace([sys.executable, *(words or ("-m", "agent", "enroll", file, "--config", str(config)))], log)
    root = Path(__file__).parents[2]
    run = subprocess.run(command, env=environment() | {"PYTHONPATH": str(root)}, cwd="/", capture_output=True, text=True, timeout=90, check=False)
    assert run.returncode == 0, run.stderr
    return list(disk.cuts(model, trace.read(log, "/", umask()).ops))


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "again"])
def test_a_cut_leaves_the_old_enrolment_or_the_new(base: Path, is_first: bool) -> None:
    """Nothing in between, at no step; with the same bundle once more it is the new one, and no trace of the way there is left."""
    flash = base / "flash"
    shutil.rmtree(flash, ignore_errors=True)
    (flash / "etc").mkdir(parents=True)
    config = flash / "etc/agent.toml"
    config.write_text(SETTINGS + f'[paths]\nrun_dir = "{base}/run"\n')
    if not is_first:
        enroll.enroll(bundles.write(base, bundles.members(keys=("malang", "old"), floor=3)), str(config))
    old = None if is_first else in_force(config)
    city = bundles.CITY._replace(broker=bundles.CITY.broker._replace(host="new.example"))
    file = bundles.write(base, bundles.members(turn=1, keys=("malang", "second"), city=city, floor=9), "new.tar.gz")
    cuts = recorded(base, file, config)
    new = in_force(config)
    assert new != old
    tidy = {str(path.relative_to(flash)) for path in flash.rglob("*")}
    states = {state for cut in cuts for state in cut.states}
    found = set()
    for number, state in enumerate(sorted(states, key=repr)):
        shutil.rmtree(flash)
        disk.put(state, str(base))
        if is_first and 'host = "old.example"' in config.read_text():
            found.add("old")  # made by hand, and without certificates: it never started
        else:
            now = in_force(config)
            assert now in (old, new), f"{number}: neither the old enrolment nor the new: {[path for path, _, _ in state]}"
            found.add("new" if now == new else "old")
        if number % 3 == 0:
            enroll.enroll(file, str(config))
            assert in_force(config) == new and {str(path.relative_to(flash)) for path in flash.rglob("*")} == tidy
            assert (flash / "etc/state/floor").read_bytes() == b"9\n"
    assert found == {"old", "new"} and len(cuts) > 60


ENROLL = "import sys; from agent import enroll; from agent.uci_file import Places; enroll.enroll(*sys.argv[1:3], places=Places(*sys.argv[3:]), is_told=False)"


@pytest.mark.once
def test_on_openwrt_uci_never_brings_the_old_enrolment_back(base: Path, tmp_path: Path) -> None:
    """Whatever a cut leaves, the next start has the old enrolment or the new: the new from the moment that agent.toml says it, though UCI does not yet."""
    flash, uci = base / "flash", base / "flash/config/rwagent"
    shutil.rmtree(flash, ignore_errors=True)
    uci.parent.mkdir(parents=True)
    uci.write_text("config router 'router'\n\tlist adopt 'mine'\n\nconfig originals 'originals'\n\toption a '=b'\n")
    config = flash / "etc/agent.toml"
    with Box(tmp_path / "box") as box:
        places = Places(str(uci.parent), str(base / "over"), str(base / "ram"), box.path)
        enroll.enroll(bundles.write(base, bundles.members(floor=3)), str(config), places=places, group_of=lambda _: None, is_told=False)
        old = in_force(config)
        city = bundles.CITY._replace(broker=bundles.CITY.broker._replace(host="new.example"))
        file = bundles.write(base, bundles.members(turn=1, keys=("malang", "second"), city=city, floor=9), "new.tar.gz")
        code = ENROLL.replace("is_told", "group_of=lambda _: None, is_told")
        states = {state for cut in recorded(base, file, config, "-c", code, file, str(config), *places[:4]) for state in cut.states}
        new, told = in_force(config), uci.read_bytes()
        seen: dict[tuple[object, ...], int] = {}
        for state in sorted(states, key=repr):
            lies = {path: data for path, _, data in state}
            kind = (lies["flash/etc/agent.toml"], lies["flash/config/rwagent"], f"flash/etc/{folder.NEW}" in lies)
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] > 6:
                continue
            shutil.rmtree(flash)
            disk.put(state, str(base))
            is_new = "new.example" in config.read_text()
            assert render.render(render.Options(str(config), places), lambda _: None) == 0
            assert in_force(config) == (new if is_new else old) and not (config.parent / folder.NEW).exists()
            assert (uci.read_bytes() == told) == is_new and "originals" in uci.read_text()
    assert len(seen) >= 6
