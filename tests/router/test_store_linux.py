"""A plain Linux box's store: hostapd's directory and our own file, staged and read back; hostapd's word for what is on air."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agent import plan
from agent.change import Edit, OnAir
from agent.derived import DERIVED
from agent.errors import Unavailable
from agent.router.store_linux import SECTIONS, LinuxStore, Places
from tests.fakes.hostapd import FakeHostapd

ONE = "interface=wlan0\nhw_mode=g\nchannel=6\nssid=private\nbss=wlan0-guest\nssid=guest\nstart_disabled=1\n"
TWO = "interface=wlan1\nhw_mode=a\nchannel=36\nssid=private\n"
STATUS = """state={state}
phy=phy0
channel=6
bss[0]=wlan0
bssid[0]=02:00:00:00:00:00
ssid[0]=private
bss[1]=wlan0-guest
bssid[1]=02:00:00:00:00:01
ssid[1]=guest
bss[2]=rw-public-2g
bssid[2]={third}
ssid[2]=Kota \\xc3\\xa9
"""
OURS = [
    Edit("wireless", "rw_public_2g", type="wifi-iface"),
    *(
        Edit("wireless", "rw_public_2g", option, value)
        for option, value in {
            "device": "radio_wlan0",
            "mode": "ap",
            "network": "br-guest",
            "ifname": "rw-public-2g",
            "ssid": "Kota",
            "encryption": "none",
        }.items()
    ),
]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("etc", "sockets", "apply", "secrets", "stage", "net/br-guest/bridge", "net/wan0"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc" / "wlan0.conf").write_text(ONE)
    (tmp_path / "etc" / "README").write_text("no file of hostapd")
    script = tmp_path / "reload"
    script.write_text(f'cat "$2" >{tmp_path}/was; echo "$1 $3" >>{tmp_path}/reloaded; ! grep -q refuse "$3"\n')
    parts = (str(tmp_path / name) for name in ("etc", "sockets", "pushed.json", "apply", "secrets", "net", "reload"))
    (tmp_path / "ash").mkdir()
    (tmp_path / "ash" / "caps").write_text(f'echo "$@" >>{tmp_path}/ran; [ "$1" != able ] || ! echo there is no tc on this box >&2\n')
    return Places(*parts, scripts=str(tmp_path / "ash"))


def put(places: Places, made: dict[str, bytes]) -> None:
    """As the applier does it."""
    for package, content in made.items():
        Path(LinuxStore(places).paths()[package]).write_bytes(content)


def stage(places: Places, edits: list[Edit]) -> dict[str, bytes]:
    return LinuxStore(places).stage(edits, str(Path(places.apply_dir).parent / "stage"))


def test_one_file_is_package_wireless(places: Places) -> None:
    """And the radio has another name than its interface."""
    store = LinuxStore(places)
    derived = {name: f"{Path(places.own_file).parent}/{name}" for name in DERIVED}
    assert store.paths() == {"wireless": f"{places.hostapd_config}/wlan0.conf", "rwagent": places.own_file} | derived
    assert list(store.tree()["wireless"]) == ["radio_wlan0", "wlan0", "wlan0_guest"]
    assert store.tree()["rwagent"] == {}


def test_several_files_are_one_tree_and_staged_by_file(places: Places) -> None:
    """A change touches the file of its radio and no other."""
    Path(places.hostapd_config, "WLAN-1.conf").write_text(TWO)
    store = LinuxStore(places)
    assert list(store.paths()) == ["wireless_wlan_1", "wireless_wlan0", "rwagent", *DERIVED]
    assert list(store.tree()["wireless"]) == ["radio_wlan_1", "wlan1", "radio_wlan0", "wlan0", "wlan0_guest"]
    assert list(stage(places, OURS)) == ["wireless_wlan0"]


def test_a_link_is_replaced_where_it_leads(places: Places, tmp_path: Path) -> None:
    """The rename that puts a file in place would else replace the link."""
    os.rename(f"{places.hostapd_config}/wlan0.conf", tmp_path / "real.conf")
    os.symlink(tmp_path / "real.conf", f"{places.hostapd_config}/wlan0.conf")
    assert LinuxStore(places).paths()["wireless"] == str(tmp_path / "real.conf")


def test_what_is_staged_is_what_was_meant_and_lies_unread_by_others(places: Places, tmp_path: Path) -> None:
    """In a directory in RAM, mode 0600, the same bytes as given; nothing is put in place by it."""
    made = stage(places, [*OURS, Edit("rwagent", "pushed", type="pushed"), Edit("rwagent", "pushed", "report_interval_s", "30")])
    assert sorted(made) == ["rwagent", "wireless"]
    for package, content in made.items():
        staged = tmp_path / "stage" / package
        assert staged.read_bytes() == content
        assert stat.S_IMODE(staged.stat().st_mode) == 0o600
    assert Path(places.hostapd_config, "wlan0.conf").read_text() == ONE
    assert not os.path.exists(places.own_file)


def test_the_tree_is_then_as_the_edits_say(places: Places) -> None:
    """Both packages read back; a second staging of the same makes nothing."""
    edits = [*OURS, Edit("rwagent", "originals", type="originals"), Edit("rwagent", "originals", "wireless__wlan0__ssid", "=private")]
    put(places, stage(places, edits))
    tree = LinuxStore(places).tree()
    assert tree["wireless"]["rw_public_2g"].value("ssid") == "Kota"
    assert tree["rwagent"]["originals"].options == {"wireless__wlan0__ssid": ("=private",)}
    assert stage(places, edits) == {}


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ([Edit("system", "system", type="system"), Edit("system", "system", "hostname", "x")], "no system"),
        ([*OURS, Edit("wireless", "rw_public_2g", "device", "radio_wlan7")], "no radio"),
        ([Edit("wireless", "radio_wlan0", "txpower", "20")], "no line for txpower"),
        ([*OURS, Edit("wireless", "rw_public_2g", "hidden", "yes")], "not what was meant"),
        ([*OURS, Edit("wireless", "rw_public_2g", "type_of_cheese", "gouda")], "no line for type_of_cheese"),
    ],
)
def test_what_this_box_cannot_be_told_is_refused(places: Places, edits: list[Edit], reason: str) -> None:
    """Before anything is put in place, with the reason."""
    with pytest.raises(Unavailable, match=reason):
        stage(places, edits)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"sections":{"a":1}}', b'{"sections":{"a":{"type":"x","options":5}}}', b"[" * 100_000, b"\xff"])
def test_an_own_file_that_is_none_is_said(places: Places, content: bytes) -> None:
    """It is not taken for an empty one: what stood there before us would be forgotten."""
    Path(places.own_file).write_bytes(content)
    with pytest.raises(Unavailable, match="not what a push left there"):
        LinuxStore(places).tree()


def test_a_directory_that_cannot_be_understood_is_said(places: Places) -> None:
    """Two files with the same network, two of nearly one name, too much, none."""
    other = Path(places.hostapd_config, "b.conf")
    other.write_text(ONE)
    with pytest.raises(Unavailable, match="twice"):
        LinuxStore(places).tree()
    other.rename(Path(places.hostapd_config, "WLAN0.conf"))
    with pytest.raises(Unavailable, match="nearly one name"):
        LinuxStore(places).paths()
    Path(places.hostapd_config, "WLAN0.conf").unlink()
    Path(places.hostapd_config, "wlan0.conf").write_text("#" * 300_000)
    with pytest.raises(Unavailable, match="larger"):
        LinuxStore(places).tree()
    with pytest.raises(Unavailable, match="Not a directory"):
        LinuxStore(places._replace(hostapd_config=f"{places.hostapd_config}/wlan0.conf")).tree()


def test_a_box_without_hostapd_has_no_radio(places: Places) -> None:
    """What is the agent's own can be changed there all the same."""
    store = LinuxStore(places._replace(hostapd_config="/nowhere"))
    assert store.tree() == {"wireless": {}, "rwagent": {}}
    assert store.facts(store.tree()).radios == ()
    assert (store.busy(), list(store.paths())) == (None, ["rwagent", *DERIVED])


@pytest.mark.parametrize(("network", "problem"), [("br-guest", ""), ("", "not set"), ("wan0", "no bridge"), ("../net/br-guest", "no bridge")])
def test_a_new_network_attaches_to_a_bridge(places: Places, network: str, problem: str) -> None:
    """Anything else would put strangers where they do not belong, or nowhere."""
    store = LinuxStore(places, network)
    said = store.facts(store.tree()).public_problem
    assert problem in said if problem else said == ""


def test_facts(places: Places) -> None:
    """The radios by their section, the secrets that lie here, and what this backend can carry out."""
    os.chmod(places.secrets_dir, 0o700)
    Path(places.secrets_dir, "office").touch(0o600)
    Path(places.secrets_dir, "office").write_text("0123456789\n")
    store = LinuxStore(places, "br-guest", ("wlan0",), 50.0)
    facts = store.facts(store.tree())
    assert [(radio.name, radio.band, radio.is_enabled) for radio in facts.radios] == [("radio_wlan0", "2g", True)]
    assert (facts.backend, facts.sections, facts.adopt, facts.contract_mbps) == ("linux", SECTIONS, ("wlan0",), 50.0)
    assert "uplink" in SECTIONS and facts.caps_problem == "there is no tc on this box"
    assert facts.secrets == {"office": "0123456789"}


@pytest.mark.parametrize(
    ("state", "third", "said"),
    [
        ("ENABLED", "02:00:00:00:00:02", "enabled"),
        ("ENABLED", "00:00:00:00:00:00", "down"),
        ("ACS", "02:00:00:00:00:02", "starting"),
        ("DISABLED", "02:00:00:00:00:02", "down"),
    ],
)
def test_on_air_is_what_hostapd_says(places: Places, state: str, third: str, said: str) -> None:
    """Each network's own state; one that its file switches off is not on air."""
    with FakeHostapd(Path(places.hostapd_dir, "wlan0"), STATUS.format(state=state, third=third), {}):
        found = {one.ifname: one for one in LinuxStore(places).on_air()}
    assert sorted(found) == ["rw-public-2g", "wlan0"]
    assert found["rw-public-2g"] == OnAir("rw-public-2g", "Kota é", 6, said)


def test_without_hostapd_nothing_is_on_air(places: Places) -> None:
    """A socket that a killed one left is no network."""
    hostapd = FakeHostapd(Path(places.hostapd_dir, "wlan0"), STATUS.format(state="ENABLED", third="02:00:00:00:00:02"), {})
    hostapd.stop(leave_file=True)
    assert LinuxStore(places).on_air() == []


@pytest.mark.parametrize("packages", [("wireless",), ("wireless", "rwagent")])
def test_reload_tells_what_ran_and_what_shall(places: Places, tmp_path: Path, packages: tuple[str, ...]) -> None:
    """By the script that the rollback uses too; what ran is what stood there when the change was staged, and no copy of it stays."""
    store = LinuxStore(places)
    put(places, store.stage(OURS, str(tmp_path / "stage")))
    store.reload(packages)
    assert (tmp_path / "reloaded").read_text() == f"{places.apply_dir} {places.hostapd_config}/wlan0.conf\n"
    assert (tmp_path / "was").read_text() == ONE
    assert os.listdir(places.apply_dir) == []


def test_our_own_file_alone_needs_no_hostapd(places: Places, tmp_path: Path) -> None:
    """A knob of the agent's touches no network."""
    LinuxStore(places).reload(("rwagent",))
    assert not (tmp_path / "reloaded").exists()


def test_a_hostapd_that_refuses_is_said(places: Places) -> None:
    """By the file, without what stands in it."""
    Path(places.hostapd_config, "wlan0.conf").write_text(ONE + "# refuse\nwpa_passphrase=geheim-geheim\n")
    with pytest.raises(Unavailable, match=r"hostapd did not take over .*wlan0\.conf") as error:
        LinuxStore(places).reload(("wireless",))
    assert "geheim" not in str(error.value)


def test_nothing_is_undone_line_by_line(places: Places) -> None:
    """A file that another edited is put back whole."""
    store = LinuxStore(places)
    assert store.undo("wireless", store.tree(), store.tree()) == b""


def test_without_its_hostapd_a_file_is_not_to_be_changed(places: Places) -> None:
    """Nobody could be told, neither of the change nor of its end."""
    store = LinuxStore(places)
    assert store.busy() == "no hostapd answers for wlan0"
    with FakeHostapd(Path(places.hostapd_dir, "wlan0"), STATUS.format(state="DISABLED", third="02:00:00:00:00:02"), {}):
        assert store.busy() is None
        Path(places.hostapd_config, "wlan0.conf").write_text("no file of hostapd\n")
        assert store.busy() == "hostapd's file names no interface"


WHOLE = {"agent": {"report_interval_s": 30}, "radios": {"2g": {"channel": 11, "width_mhz": 40, "country": "ID"}}}


def ssid(security: str, **more: object) -> dict[str, object]:
    return {"ssid": "Kota é", "security": security, "bands": ["2g"], **({"key": "0123456789"} if security in ("psk2", "psk2-sae", "sae") else {}), **more}


@pytest.mark.parametrize("adopt", [(), ("wlan0",)])
@pytest.mark.parametrize("security", ["open", "owe", "owe-transition", "psk2", "psk2-sae", "sae"])
def test_what_a_push_says_is_there_afterwards_and_goes_again(places: Places, tmp_path: Path, security: str, adopt: tuple[str, ...]) -> None:
    """Planned, staged and put in place, the same document plans nothing more; an empty one takes all of it back, to the byte where nothing was taken over."""
    store = LinuxStore(places, "br-guest", adopt, 50.0)
    for document in (
        {"ssids": {"kota": ssid(security, max_stations=9, hidden=security != "owe-transition")}, **WHOLE},
        {"ssids": {"kota": ssid(security, enabled=False)}},
        {},
    ):
        tree = store.tree()
        facts = store.facts(tree)
        assert plan.check(document, facts, tree) == []
        put(places, store.stage(plan.make(document, tree, facts).edits, str(tmp_path / "stage")))
        tree = store.tree()
        assert plan.make(document, tree, store.facts(tree)).changes == ()
    assert Path(places.hostapd_config, "wlan0.conf").read_text() == ONE


def test_a_changed_file_of_caps_is_carried_out_after_hostapd_was_told(places: Places, tmp_path: Path) -> None:
    """By its own script, with a directory of root's own; what the push leaves alone is not."""
    store = LinuxStore(places)
    Path(store.paths()["caps"]).write_text("v 1\nssid public 30000 - - - rw-public-2g\n")
    store.reload(["rwagent"])
    assert not (tmp_path / "ran").exists()
    store.reload(["caps"])
    assert (tmp_path / "ran").read_text() == f"apply {tmp_path}/caps {places.apply_dir}/caps\n"


def test_the_watcher_tends_what_is_derived(places: Places, tmp_path: Path) -> None:
    """The store hands it on; so does the reading back."""
    store = LinuxStore(places)
    Path(store.paths()["caps"]).write_text("v 2\n")
    store.tend()
    assert (tmp_path / "ran").read_text().startswith("apply ")
    assert store.standing("caps") == "line 1 of the caps is not of version 1, or cut"
