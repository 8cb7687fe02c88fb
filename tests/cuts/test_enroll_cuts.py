"""Enrolment cut short by power at every step, on a modelled flash: the old one is there or the new one, whole, and the next run ends it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import enroll, settings
from agent.wire import bundle as form
from tests import bundles
from tests.cuts import disk, trace
from tests.cuts.boxes import yard
from tests.cuts.cutting import environment, umask

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


def recorded(base: Path, file: str, config: Path) -> list[disk.Cut]:
    """Enrol under strace; give every moment at which the power may fail, with all that it may leave."""
    model = disk.Disk(str(base))
    log = base / "enroll.log"
    command = trace.under_strace([sys.executable, "-m", "agent", "enroll", file, "--config", str(config)], log)
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
        if number % 7 == 0:
            enroll.enroll(file, str(config))
            assert in_force(config) == new and {str(path.relative_to(flash)) for path in flash.rglob("*")} == tidy
            assert (flash / "etc/state/floor").read_bytes() == b"9\n"
    assert found == {"old", "new"} and len(cuts) > 60
