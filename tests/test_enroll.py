"""`rwagent enroll`: what lies where afterwards, what stays of the box's own, and that a refusal changes nothing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent import enroll, folder, revisions, settings, wall
from agent.errors import Rejected
from agent.flash import Flash
from agent.settings import Faults
from agent.wire import bundle as form
from fleet.city import Broker
from tests import bundles
from tests.bundles import AP, CITY, issued, members, write

SIMULATED = '# Pak Budi, 12 March\n[agent]\nid = "{ap}"\ncity = "{city}"\n[broker]\nhost = "old.example"\n[router]\nbackend = "simulated"\n'
GROUP = 12345


class Box:
    """A simulated access point; `etc` stands for /etc/rwagent."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.etc, self.config = folder, folder / "etc", str(folder / "etc/agent.toml")

    def write(self, more: str = "", ap: str = AP, city: str = "malang") -> Box:
        """Put settings there that were made by hand, before any enrolment."""
        self.etc.mkdir(exist_ok=True)
        # Without certificates beside it, as after a copy of the example.
        Path(self.config).write_text(SIMULATED.format(ap=ap, city=city) + more + f'[paths]\nrun_dir = "{self.folder}/run"\n')
        return self

    def enroll(self, force: bool = False, **content: object) -> enroll.Enrolled:
        """Install a bundle."""
        return enroll.enroll(write(self.folder, members(**content)), self.config, force)  # type: ignore[arg-type]

    def seen(self) -> dict[str, tuple[int, bytes | None]]:
        """Give all that lies in `etc`: mode and content."""
        found = {}
        for path in sorted(self.etc.rglob("*")):
            found[str(path.relative_to(self.etc))] = (stat.S_IMODE(path.stat().st_mode), path.read_bytes() if path.is_file() else None)
        return found

    def floor(self) -> int:
        """Give the floor as the applier reads it."""
        return revisions.load(Flash(), str(self.etc / "state")).floor


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path).write()


def test_everything_lies_where_it_belongs(box: Box) -> None:
    """Names, modes and content, and nothing besides: nothing is left of the way there."""
    content = members(keys=("malang", "second"))
    box.enroll(keys=("malang", "second"))
    seen = box.seen()
    modes = {name: mode for name, (mode, _) in seen.items()}
    files = dict.fromkeys(("agent.toml", "agent.toml.old", "ca.pem", "client.pem", "client.key", "keys/malang.pub", "keys/second.pub"), 0o640)
    assert modes == files | {"keys": 0o750, "secrets": 0o700, "state": 0o700, "state/floor": 0o600}
    assert {name: seen[name][1] for name in content if name in seen and name != "agent.toml"} == {
        name: text for name, text in content.items() if name not in ("agent.toml", "bundle.json")
    }


def test_the_wall_and_the_settings_accept_it(box: Box) -> None:
    """The daemon starts with it, and root acts on it."""
    done = box.enroll()
    chosen = settings.load(box.config)
    assert (chosen.id, chosen.city, chosen.broker.host, chosen.broker.tls) == (AP, "malang", "mqtt.malang.example", True)
    assert chosen.broker.certificate_ends == issued().expires_at
    wall.prepare(chosen)
    assert wall.faults(chosen, box.config) == [] and done.faults == ()


def test_a_box_without_settings_is_enrolled(tmp_path: Path) -> None:
    """The directory is made, and the paths are the directory's; backend auto finds out what the box is."""
    config = str(tmp_path / "new/etc/agent.toml")
    done = enroll.enroll(write(tmp_path, members()), config, group_of=lambda _: None)
    chosen = settings.load(config)
    assert chosen.broker.key_file == str(tmp_path / "new/etc/client.key") and chosen.paths.state_dir == str(tmp_path / "new/etc/state")
    assert stat.S_IMODE((tmp_path / "new/etc").stat().st_mode) == 0o750
    assert (done.kept, (tmp_path / "new/etc/agent.toml.old").exists()) == ((), False)


@pytest.mark.needs("root")
def test_as_root_all_is_roots_and_the_daemons_group_may_read(tmp_path: Path) -> None:
    """But for what is root's alone."""
    os.umask(0o077)
    try:
        enroll.enroll(write(tmp_path, members()), str(tmp_path / "etc/agent.toml"), group_of=lambda _: GROUP)
    finally:
        os.umask(0o022)
    owners = {str(path.relative_to(tmp_path)): (path.stat().st_uid, path.stat().st_gid) for path in (tmp_path / "etc").rglob("*")}
    own = {"etc/secrets", "etc/state", "etc/state/floor"}
    assert owners == {path: (0, 0 if path in own else GROUP) for path in owners} and len(owners) == 9
    assert Box(tmp_path).seen()["client.key"][0] == 0o640 and Box(tmp_path).seen()["keys"][0] == 0o750


@pytest.mark.needs("root")
def test_an_owner_or_mode_that_was_wrong_is_mended(box: Box) -> None:
    """Directories that were there are brought in order, files are new ones."""
    for name, mode in (("keys", 0o777), ("state", 0o755), ("secrets", 0o755)):
        (box.etc / name).mkdir(mode=mode)
        os.chown(box.etc / name, 1234, 1234)
    (box.etc / "client.key").write_bytes(b"old")
    os.chown(box.etc / "client.key", 1234, 1234)
    box.enroll()
    chosen = settings.load(box.config)
    wall.prepare(chosen)
    assert wall.faults(chosen, box.config) == []


def test_what_a_technician_set_stays_and_what_is_the_citys_goes(box: Box) -> None:
    """adopt, public_network and the rest of the box's own; broker, identity, contract and intervals are the bundle's. The old file is kept whole."""
    more = 'adopt = ["default_radio0"]\npublic_network = "public"\ncontract_mbps = 20\n[report]\ninterval_s = 5\nencoding = "deflate"\n'
    old = Path(box.write(more).config).read_text()
    done = box.enroll(mbps=100.0)
    chosen = settings.load(box.config)
    assert (chosen.router.adopt, chosen.router.public_network, chosen.report.encoding) == (("default_radio0",), "public", "deflate")
    assert (chosen.router.contract_mbps, chosen.report.interval_s, chosen.broker.host) == (100.0, 60.0, "mqtt.malang.example")
    assert done.kept == ("router.backend", "router.adopt", "router.public_network", "report.encoding", "paths.run_dir")
    assert (box.etc / "agent.toml.old").read_text() == old and "router.adopt" in done.text


def test_a_place_of_the_boxs_own_stays(tmp_path: Path) -> None:
    """Where state and secrets lie is the box's, although a bundle names the usual places; the floor is put there."""
    box = Box(tmp_path).write()
    Path(box.config).write_text(Path(box.config).read_text() + f'state_dir = "{tmp_path}/flash"\n')
    box.enroll(floor=5)
    assert settings.load(box.config).paths.state_dir == f"{tmp_path}/flash" and (tmp_path / "flash/floor").read_bytes() == b"5\n"


def test_a_password_of_before_goes_and_keepalive_stays(tmp_path: Path) -> None:
    """The broker is the city's; how often to ask it on this uplink is the box's."""
    box = Box(tmp_path).write()
    text = Path(box.config).read_text().replace("[router]", 'username = "x"\npassword_file = "/etc/p"\nkeepalive_s = 120\n[router]')
    Path(box.config).write_text(text)
    box.enroll()
    chosen = settings.load(box.config).broker
    assert (chosen.username, chosen.password_file, chosen.keepalive_s) == ("", "", 120)


def test_again_with_the_same_bundle_nothing_changes(box: Box) -> None:
    """And the technician's own file is still the one that is kept."""
    box.enroll()
    before = box.seen()
    box.enroll()
    assert box.seen() == before and b"Pak Budi" in (before["agent.toml.old"][1] or b"")


def test_a_new_certificate_takes_the_place_of_the_old(box: Box) -> None:
    """With the keys of the new bundle and no others: what the city took back is not trusted any more."""
    box.enroll(keys=("malang", "lost"))
    box.enroll(turn=1, keys=("malang",))
    seen = box.seen()
    assert (seen["client.pem"][1], seen["client.key"][1]) == (issued(turn=1).certificate, issued(turn=1).key)
    assert [name for name in seen if name.startswith("keys/")] == ["keys/malang.pub"]


def test_the_floor_only_rises_and_memory_stays(box: Box) -> None:
    """What was remembered of pushes is the box's, and an old bundle opens no way for old pushes."""
    box.enroll(floor=41)
    assert box.floor() == 41
    (box.etc / "state/revisions.json").write_text("kept")
    (box.etc / "secrets/door").write_text("rahasia123")
    box.enroll(floor=7, turn=1)
    assert (box.etc / "state/floor").read_bytes() == b"41\n"
    box.enroll(floor=99, turn=1)
    assert (box.etc / "state/floor").read_bytes() == b"99\n"
    assert (box.etc / "state/revisions.json").read_text() == "kept" and (box.etc / "secrets/door").read_text() == "rahasia123"


@pytest.mark.parametrize(("ap", "city", "said"), [("rw-0502", "malang", "rw-0502 of malang"), (AP, "surabaya", "rw-0501 of surabaya")])
def test_a_box_that_is_another_one_is_not_made_this_one_by_mistake(ap: str, city: str, said: str, tmp_path: Path) -> None:
    """The wrong file on the right box: refused, nothing changed; with --force it becomes the other."""
    box = Box(tmp_path).write(ap=ap, city=city)
    before = box.seen()
    with pytest.raises(Rejected, match=f"this box is {said}.*the bundle is for rw-0501 of malang; nothing was changed.*--force"):
        box.enroll()
    assert box.seen() == before
    box.enroll(force=True)
    assert (settings.load(box.config).id, settings.load(box.config).city) == (AP, "malang")


def test_who_a_box_is_may_stand_in_its_certificate_only(box: Box) -> None:
    """agent.id has a default, which is the CN."""
    box.enroll()
    text = Path(box.config).read_text()
    Path(box.config).write_text(text.replace(f'id = "{AP}"\n', ""))
    with pytest.raises(Rejected, match="this box is rw-0501 of malang"):
        box.enroll(ap="rw-0502")


@pytest.mark.parametrize(
    ("old", "said"),
    [("x = = 1", "is not TOML"), ('[agent]\ncity = "malang"\n[router]\nbackend = "simulated"\nadpt = []\n', "router.adpt is no key of this version")],
)
def test_old_settings_that_cannot_be_understood_are_not_thrown_away(old: str, said: str, tmp_path: Path) -> None:
    """What the technician set is in them: refused with what to mend, nothing changed."""
    box = Box(tmp_path)
    box.etc.mkdir()
    Path(box.config).write_text(old)
    with pytest.raises(Rejected) as refused:
        box.enroll()
    assert said in str(refused.value) and isinstance(refused.value, Faults) == ("adpt" in old)
    assert {name for name, (_, content) in box.seen().items() if content is not None} == {"agent.toml"} and Path(box.config).read_text() == old


def test_a_bad_bundle_changes_nothing(box: Box) -> None:
    """It is judged whole before anything is touched."""
    before = box.seen()
    with pytest.raises(Rejected, match=r"client.key is not the key of client.pem"):
        enroll.enroll(write(box.folder, members() | {form.KEY: issued(turn=1).key}), box.config)
    assert box.seen() == before


def test_settings_that_no_daemon_would_take_are_refused(box: Box) -> None:
    """The bundle's settings are judged with all rules before they count."""
    before = box.seen()
    text = bundles.bundle.settings_text(CITY, bundles.ROW, report={"interval_s": 0}).encode()
    with pytest.raises(Faults, match=r"report.interval_s is 0"):
        enroll.enroll(write(box.folder, members() | {form.SETTINGS: text}), box.config)
    assert {name: one for name, one in box.seen().items() if one[1] is not None} == {name: one for name, one in before.items() if one[1] is not None}


def test_a_run_that_was_cut_short_is_finished_by_the_next(box: Box) -> None:
    """Also when the next one is refused for its bundle: what counts already is put under the usual names."""
    box.enroll()
    aside = box.etc / folder.NEW
    box.enroll(turn=1)
    wanted = box.seen()
    box.enroll(turn=0)
    # As a cut right after the step that counts leaves it.
    (aside / "keys").mkdir(parents=True)
    for name, content in members(turn=1).items():
        if name in ("ca.pem", "client.pem", "client.key", "keys/malang.pub"):
            (aside / name).write_bytes(content)
            (aside / name).chmod(0o640)
    text = Path(box.config).read_text()
    for name in ("ca.pem", "client.pem", "client.key", "keys"):
        text = text.replace(f'"{box.etc}/{name}"', f'"{aside}/{name}"')
    Path(box.config).write_text(text)
    assert settings.load(box.config).broker.cert_file == str(aside / "client.pem")
    box.enroll(turn=1)
    assert box.seen() == wanted


def test_a_full_or_closed_disk_is_told(box: Box) -> None:
    """With the file and what to do; nothing half is left."""
    box.enroll()
    before = box.seen()
    (box.etc / "enroll.new").write_text("in the way")
    with pytest.raises(Rejected, match=r"enroll.new: File exists; what was enrolled before is still in force"):
        box.enroll(turn=1)
    (box.etc / "enroll.new").unlink()
    assert box.seen() == before


@pytest.mark.parametrize("name", ["keys", "state", "enroll.new"])
def test_a_link_is_not_followed(name: str, box: Box, tmp_path: Path) -> None:
    """Neither for what is put there nor for what is removed."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/mine").write_text("mine")
    (box.etc / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Rejected, match=name):
        box.enroll()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["mine"]


def test_two_at_once_do_not_mix(box: Box) -> None:
    """The second is told to wait."""
    with folder.Folder(str(box.config), None).locked(), pytest.raises(Rejected, match="another rwagent enroll is at work"):
        box.enroll()


@pytest.mark.needs("root")
def test_without_the_daemons_group_it_says_what_to_do() -> None:
    """On a box that the package was not installed on."""
    try:
        import grp

        grp.getgrnam("rwagent")
    except KeyError:
        with pytest.raises(Rejected, match=r"there is no group rwagent.*addgroup --system rwagent"):
            folder.group("openwrt")
    assert folder.group("simulated") is None


def test_the_broker_may_be_an_address_and_a_port(tmp_path: Path) -> None:
    """city.toml's broker becomes the settings' broker."""
    box = Box(tmp_path).write()
    box.enroll(city=CITY._replace(broker=Broker(host="10.1.2.3", port=18883)))
    assert settings.load(box.config).broker[:2] == ("10.1.2.3", 18883)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "agent", "enroll", *words], capture_output=True, text=True, timeout=60, check=False)


def test_the_command_says_what_it_did_and_its_codes(box: Box) -> None:
    """0 done, 1 refused, 2 bad usage or settings; --json for machines."""
    path = write(box.folder, members())
    done = run("--json", path, "--config", box.config)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"v": 1, "ap": AP, "city": "malang", "kept": ["router.backend", "paths.run_dir"], "faults": []}
    again = run(path, "--config", box.config)
    assert again.returncode == 0 and again.stdout.startswith("this is rw-0501 of malang now; its certificate ends on 20")
    refused = run(path + "x", "--config", box.config)
    assert (refused.returncode, refused.stdout) == (1, "") and refused.stderr.startswith(f"rwagent enroll: {path}x: cannot be read")
    assert run().returncode == 2
