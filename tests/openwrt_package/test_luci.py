"""The pages of luci-app-rwagent, executed by node with stand-ins of LuCI's modules; what they may do at rpcd; and the two scripts they run as root."""

from __future__ import annotations

import functools
import json
import os
import re
import stat
import subprocess
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from agent import __version__, bundle, enroll, uci_settings
from agent.broker import State
from agent.change import TRUE, Section
from agent.daemon import Daemon
from agent.errors import Rejected
from agent.records import Bss
from agent.settings_rules import REQUIRED
from agent.wire import config, schemas_config
from tests.bundles import AP, members, write
from tests.fakes.router import FakeClock, FakeRouter
from tests.settings_of import settings

APP = Path(__file__).resolve().parents[2] / "openwrt_package/luci-app-rwagent"
RESOURCES = APP / "htdocs/luci-static/resources"
VIEWS = sorted((RESOURCES / "view/rwagent").glob("*.js"))
STATUS, ENROLL = (APP / f"root/usr/libexec/rwagent/luci-{name}" for name in ("status", "enroll"))
BUNDLE = "/var/run/rwagent-bundle.tar.gz"
UPLOAD, SIZE, SEND = "Upload bundle…", 1500, "Upload"  # what is pressed, the size of the file that is chosen, what is pressed then
EVIL = "<img src=x onerror=alert(1)>\u202e\"'\u0000"
SHOWN = "<img src=x onerror=alert(1)>?\"'?"
ENROLLED = {"agent": {"id": AP, "city": "malang"}, "broker": {"host": "mqtt.example"}, "main": {"enabled": "1"}}
pytestmark = [pytest.mark.needs("node"), pytest.mark.once]

Json = dict[str, Any]

BROKER: Json = {
    "state": "connected", "since_s": 7260.0, "last_reason": "", "attempts": 0, "protocol": "5", "next_attempt_in_s": None,
    "reconnects": 2, "ignored": 0, "echo": "ok", "identity_taken_s": None, "host": "mqtt.example", "port": 8883,
}  # fmt: skip
AWAY: Json = BROKER | {"state": "waiting", "since_s": 90.0, "last_reason": "connection refused", "attempts": 7, "next_attempt_in_s": 12.0}
BSS: Json = {"ifname": "phy0-ap0", "band": "2g", "ssid": "Malang RW 05", "up": True, "stations": 12}
DAEMON: Json = {
    "v": 1, "pid": 1234, "at": 1790000000.0, "uptime_s": 5000.0,
    "who": {"ap": AP, "city": "malang", "agent": "1.2.3", "certificate_ends": 4_000_000_000},
    "broker": BROKER, "outbox": {"count": 3, "bytes": 900, "oldest_seq": 39, "dropped": 0}, "alerts": ["uplink-down"], "push": {},
    "report": {"seq": 41, "stations": {"now": 31}, "bss": [BSS, BSS | {"ifname": "phy1-ap0", "band": "5g", "stations": 19}], "caps": {"standing": True}},
}  # fmt: skip
CONFIG: Json = {"v": 1, "reported": {"v": 1, "state": "confirmed", "revision": 7, "current": 7, "at": 1790000000}}
CAPS: Json = {
    "v": 1,
    "wanted": [
        {"ssid": "public", "down_kbit": 20000, "up_kbit": 2500, "station_down_kbit": 4000, "ifnames": ["phy0-ap0", "phy1-ap0"]},
        {"uplink": "eth1", "up_kbit": 250},
    ],
}


def said(daemon: Json | str | None = DAEMON, config_json: Json | str | None = CONFIG, caps: Json | str | None = CAPS, uptime: float = 5004.0) -> Json:
    """Give what luci-status answers when these files are there."""
    texts = {"config": config_json, "caps": caps, "daemon": daemon}
    lines = [f"{name} {text if isinstance(text, str) else json.dumps(text)}\n" for name, text in texts.items() if text is not None]
    return {"code": 0, "stdout": f"uptime {uptime}\n" + "".join(lines)}


def status(answer: Json | None = None, **more: object) -> Json:
    return {"view": "status", "uci": ENROLLED, "exec": [answer or said()]} | more


def pushed(**reported: object) -> Json:
    return status(said(config_json=CONFIG | {"reported": CONFIG["reported"] | reported}))


def everywhere(value: Any) -> Any:
    """Give the same document with every text in it replaced by a hostile one."""
    if isinstance(value, dict):
        return {key: everywhere(item) for key, item in value.items()}
    if isinstance(value, list):
        return [everywhere(item) for item in value]
    return EVIL if isinstance(value, str) else value


def wrong(value: Any) -> Any:
    """Give the same document with every value of another type."""
    if isinstance(value, dict):
        return {key: wrong(item) for key, item in value.items()} if value else []
    return [{"x": value}] if isinstance(value, str) else "7" if isinstance(value, list) else {"toString": 1}


def uploading(*answers: Json, then: tuple[str | int, ...] = (), steps: tuple[str | int, ...] = (UPLOAD, SIZE, SEND), **more: object) -> Json:
    return {"view": "enrolment", "uci": ENROLLED, "exec": list(answers), "steps": (*steps, *then)} | more


def saving(sections: Json | None = None, **filled: object) -> Json:
    return {"view": "settings", "uci": ENROLLED if sections is None else sections, "filled": {name.replace("__", "."): value for name, value in filled.items()}}


EVIL_REPORT = DAEMON["report"] | {"caps": {"standing": False, "missing": [EVIL]}}
EVIL_FAULTS = {"state": "rejected", "reason": "invalid", "errors": [{"path": "a", "code": "b", "message": "c"}], "drift": [{"path": "d"}]}
FAULT = {"path": "ssids[2].vlan", "code": "range", "message": "is 5000"}
LACKING = {"standing": False, "missing": ["rwd-public is missing"], "bypassed": True}
WENT_WELL = {"code": 0, "stdout": json.dumps({"v": 1, "ap": AP, "city": "malang", "kept": ["report.peaks"], "faults": []})}
CASES: dict[str, Json] = {
    "connected": status(polls=2, exec=[said(), said(), said()]),
    "away": status(said(DAEMON | {"broker": AWAY})),
    "not-enrolled": status(said(None, None, None), uci={"main": {"enabled": "1"}}),
    "no-settings": status(said(None, None, None), uci=None),
    "turned-off": status(said(None), uci=ENROLLED | {"main": {"enabled": "off"}}),
    "never-ran": status(said(None)),
    "gone": status(said(uptime=9000.0)),
    "stopped": status(said(DAEMON | {"broker": BROKER | {"state": "stopped"}})),
    "safe": status(said(DAEMON | {"safe_mode": {"crashes": 5, "last_crash": "KeyError in report.py", "tries_again_in_s": 600.0}})),
    "confirmed": pushed(),
    "rolled-back": pushed(state="rolled_back", revision=8, reason="broker_unreachable", held=True),
    "rejected": pushed(state="rejected", revision=9, reason="invalid", errors=[FAULT], errors_left_out=4),
    "drifting": pushed(drift=[{"path": "radios.radio0.channel", "expected": 6, "found": 11}]),
    "foreign": pushed(state="rolled_back", reason="busy", foreign_edit=True),
    "no-push": status(said(config_json={"v": 1})),
    "caps-do-not-stand": status(said(DAEMON | {"report": DAEMON["report"] | {"caps": LACKING}})),
    "caps-not-set": status(said(caps=CAPS | {"error": "there is no tc"})),
    "no-Wi-Fi": status(said(DAEMON | {"report": {"seq": 1, "stations": {}}})),
    "nothing-measured": status(said(DAEMON | {"report": {}, "outbox": {}})),
    "no-caps": status(said(caps={"v": 1, "wanted": []})),
    "expired": status(said(DAEMON | {"who": DAEMON["who"] | {"certificate_ends": 1_000_000_000}})),
    "script-fails": status({"code": 127, "stderr": "not found"}),
    "rpcd-fails": status({"error": "Permission denied"}),
    "ticking": status(polls=1, exec=[said(), said(uptime=5070.0)]),
    "news": status(polls=1, exec=[said(), said(DAEMON | {"safe_mode": {"crashes": 5}})]),
    "fails-once": status(polls=2, exec=[said(), {"error": "XHR request timed out"}, said(uptime=5070.0)]),
    "later-fails": status(polls=1, exec=[said(), {"error": "XHR request timed out"}]),
    "damaged": status(said('{"v":1', "[]", "}{")),
    "empty": status({"code": 0}),
    "wrong-types": status(said(wrong(DAEMON) | {"uptime_s": 5000.0}, wrong(CONFIG), wrong(CAPS))),
    "huge": status(said(DAEMON | {"report": {"bss": [BSS] * 5000, "stations": {"now": 1e300}}, "alerts": ["x" * 99999] * 999})),
    "spoof": status(said('x\nconfig {"reported":{"state":"failed","revision":99}}\n')),
    "hostile": status(
        said(everywhere(DAEMON | {"report": EVIL_REPORT}), everywhere({"reported": EVIL_FAULTS}), everywhere(CAPS | {"error": "x"})), uci=everywhere(ENROLLED)
    ),
    "hostile-error": status({"error": EVIL}),
    "enrolled": uploading(WENT_WELL),
    "enrolled-file-gone": uploading(WENT_WELL, removed=False),
    "enrolled-with-faults": uploading({"code": 1, "stdout": json.dumps({"ap": AP, "city": "malang", "kept": [], "faults": [EVIL]})}),
    "bundle-refused": uploading({"code": 1, "stderr": f"rwagent enroll: x.tar.gz: cannot be read {EVIL}\n"}),
    "no-reason": uploading({"code": 127}),
    "no-answer": uploading({"error": "XHR request timed out"}),
    "garbage-answer": uploading({"code": 0, "stdout": "[1]"}),
    "upload-cancelled": uploading(steps=(UPLOAD, "Cancel")),
    "upload-twice": uploading(WENT_WELL, steps=(UPLOAD, "Cancel", UPLOAD, SIZE, SEND)),
    "upload-endless": uploading(uploads=["never"]),
    "upload-broken": uploading(uploads=[{"error": "XHR request timed out"}]),
    "upload-no-json": uploading(uploads=[{"status": 502, "text": "<h1>Bad Gateway</h1>The process did not produce any response"}]),
    "upload-no-room": uploading(uploads=[{"status": 200, "text": '{"message": "I/O failure", "failure": [28, "No space left on device <img>"]}'}]),
    "upload-odd-answer": uploading(uploads=[{"status": 500, "text": "7"}]),
    "too-large": uploading(steps=(UPLOAD, bundle.MAX_BYTES + 1)),
    "empty-file": uploading(steps=(UPLOAD, 0)),
    "largest": uploading(WENT_WELL, steps=(UPLOAD, bundle.MAX_BYTES, SEND)),
    "first-enrolment": uploading(WENT_WELL, uci={}),
    "read-only": {"view": "enrolment", "uci": ENROLLED, "readonly": True},
    "not-enrolled-yet": {"view": "enrolment", "uci": {}},
    "hostile-name": {"view": "enrolment", "uci": everywhere(ENROLLED)},
    "settings": saving(),
    "settings-of-nothing": saving({}),
    "settings-filled": saving(
        {"originals": {".type": "originals", "x": "y"}},
        agent__city="surabaya", broker__host="10.1.2.3", broker__tls="0", broker__allow_plaintext="1", report__encoding="deflate", report__interval_s="30.5",
        probe__internet=["1.1.1.1:443", "[2606:4700::1111]:443"], router__adopt=["default_radio0"], outbox__max_bytes="65536", main__enabled="0",
    ),
    "settings-emptied": saving(ENROLLED | {"report": {"interval_s": "30"}}, report__interval_s="", agent__city=""),
    "settings-by-hand": saving(ENROLLED | {"main": {"enabled": "yes", "jail": "off"}, "broker": {"host": "h", "tls": "true"}, "report": {"peaks": "on"}}),
    "settings-faulty": saving(
        report__sample_s="90", broker__keepalive_s="4", agent__id="RW 1", broker__host=EVIL, probe__internet=["a:1", "nowhere"], router__contract_mbps="1e3",
        report__interval_s="60", router__adopt=[f"s{number}" for number in range(65)],
    ),
    "settings-untouched": saving({"report": {"interval_s": "30"}, "probe": {"internet": ["h:1"]}}),
    "settings-back-to-the-default": saving({"report": {"encoding": "deflate"}}, report__encoding="json"),
    "settings-by-hand-default": saving({"report": {"encoding": "json"}}),
    "settings-list-full": saving(probe__internet=[f"h{number}:1" for number in range(8)]),
    "settings-list-typed": saving(probe__internet=["h:1"]) | {"typed": {"probe.internet": "nowhere"}},
    "settings-list-typed-two": saving(probe__internet=["h:1"]) | {"typed": {"probe.internet": "h:2 h:3"}},
    "settings-list-typed-too-many": saving(probe__internet=[f"h{number}:1" for number in range(8)]) | {"typed": {"probe.internet": "h8:1"}},
    "settings-list-too-long": saving(probe__internet=[f"h{number}:1" for number in range(9)]),
    "plain-text-to-the-network": saving(broker__tls="0"),
    "plain-text-to-itself": saving(broker__tls="0", broker__host="127.0.0.1"),
    "tables": {"tables": True},
}  # fmt: skip

NUMBERS = ("0", "1", "4", "5", "600", "601", "0.25", "0.2", "0.5", "3600", "3600.1", "3601", "65535", "65536", "16777216", "16777217", "100000", "100001")
TEXTS = (
    *("-1", "+5", "1e3", "05", "5.", ".5", "5.0", "0x10", " 5", "5 ", "nan", "inf", "٣", "99999999999999999999", "yes"),
    *("json", "deflate", "auto", "wan", "JSON", "a", "a" * 15, "a" * 16, "é" * 7, "é" * 8, "..", ".", "eth0.1", "a/b", "a b", "a:b", "a\tb", "a\u0085b"),
    *("rw-0501", "RW", "a_b", "x" * 48, "x" * 49, "café", "cfg01ab23", "cfgxyz", "br-lan", "-a", "a-", "x" * 64, "x" * 65),
    *("mqtt.example", "mqtt.example.", "mqtt..example", ".", "1.2.3.4", "1.2.3", "1.2.3.256", "01.2.3.4", "host1", "a.1", "x" * 63 + ".y", "x" * 64 + ".y"),
    *("::", "::1", "1::", "fe80::1%eth0", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8:9", "1::2::3", ":::", ":"),
    *("::ffff:1.2.3.4", "1.2.3.4::", "g::"),
    *("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "12345::", "a" * 254, ("a." * 126) + "a", ("a." * 127) + "a"),
    *("h:1", "h:0", "h:65535", "h:65536", "h:", ":1", "h", "[::1]:443", "[::1]", "::1:443", "[h]:1", "[1.2.3.4]:1", "1.2.3.4:99999"),
    *("h:1 ", "h:٣", "[::1]:00443"),
    *("/", "/etc/rwagent/ca.pem", "etc/ca.pem", "/a b", "/a\n", "/é", "/\u00a0", "/\u202e", "/\u3000", "/" + "a" * 4095, "/" + "a" * 4096, "/\u2028"),
    *("u" * 256, "u" * 257, "😀" * 256, "😀" * 257, "u\x7f", "u\x1f", EVIL),
)


@functools.cache
def judged() -> list[tuple[str, str, str]]:
    """Every setting with every value above."""
    keys = [(table, key) for table, rules in uci_settings.SETTABLE.items() for key in rules]
    return [(table, key, value) for table, key in keys for value in (*NUMBERS, *TEXTS)]


def catalog(name: str) -> dict[str, str]:
    """Read a catalog of translations, each text on one line, by the English text."""
    found = re.findall(r'^msgid (".*")\nmsgstr (".*")$', (APP / "po" / name).read_text(), re.M)
    return {json.loads(text): json.loads(words) for text, words in found if text != '""'}


def stranger(folder: Path) -> str:
    """Give what `rwagent enroll` really says of a bundle that is for another access point."""
    file = folder / "agent.toml"
    file.write_text('[agent]\nid = "rw-0777"\ncity = "malang"\n[broker]\nhost = "h"\n[router]\nbackend = "simulated"\n')
    with pytest.raises(Rejected) as refusal:
        enroll.enroll(write(folder, members()), str(file))
    return f"rwagent enroll: {refusal.value}\n"


def of_a_daemon(folder: Path) -> Json:
    """Give what a real daemon writes of itself once it has reported; its router is a fake with a client, its broker is not there."""
    run = folder / "run"
    (run / "status").mkdir(parents=True)
    run.chmod(0o750)
    found = settings(agent={"id": AP, "city": "malang"}, broker={"host": "127.0.0.1", "port": 1, "tls": False}, paths={"run_dir": str(run)})
    bss = Bss("phy0-ap0", "radio0", "2g", "Malang RW 05", None, True, 0, 0)
    daemon, until = Daemon(found, FakeRouter(FakeClock(), bss=[bss], stations={"phy0-ap0": []})), time.monotonic() + 60
    state: Json = {}
    while "seq" not in state.get("report", {}) or not state["broker"]["last_reason"]:
        assert time.monotonic() < until, state
        # News of root's are written down at once: nobody waits for the next time it is due.
        (run / "new").write_text(json.dumps({"v": 1, "refusals": daemon.outbox.next_seq() % 2}))
        (run / "new").replace(run / "status/config.json")
        daemon.turn()
        if (run / "daemon.json").exists():
            state = json.loads((run / "daemon.json").read_bytes())
    return state


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """What node says of every case; one process for all of them."""
    refused = {"code": 1, "stderr": stranger(tmp_path_factory.mktemp("box"))}
    again = "Upload again and replace"
    real = of_a_daemon(tmp_path_factory.mktemp("daemon"))
    cases = CASES | {
        "Indonesian": status(catalog=catalog("id/rwagent.po")),
        "Indonesian-away": status(said(DAEMON | {"broker": AWAY}), catalog=catalog("id/rwagent.po")),
        "Indonesian-settings": saving() | {"catalog": catalog("id/rwagent.po")},
        "real": status(said(real, uptime=real["uptime_s"] + 3)),
        "judge": {"judge": judged()},
        "stranger": uploading(refused, then=("Cancel",)),
        "forced": uploading(refused, WENT_WELL, then=(again, SIZE, SEND, "Close")),
        "forced-in-vain": uploading(refused, refused, then=(again, SIZE, SEND)),
    }
    asked = json.dumps({"resources": str(RESOURCES), "cases": cases})
    command = ["node", str(Path(__file__).with_name("luci_views.js"))]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"TZ": "UTC"})
    assert done.returncode == 0, done.stderr
    return {answer["name"]: answer for answer in map(json.loads, done.stdout.splitlines())}


class Page:
    """What one page showed and did."""

    def __init__(self, results: dict[str, Json], name: str) -> None:
        answer = results[name]
        assert "error" not in answer, answer["error"]
        self.result: Json = answer["result"]
        self.modals: list[Json] = self.result["modals"]
        self.calls: list[list[str]] = self.result["calls"]
        self.warnings: list[str] = self.result["last"]["warnings"]

    def row(self, label: str) -> str:
        """Give what stands beside a label."""
        return next(row[1] for row in self.result["last"]["rows"] if row[0] == label)

    def has(self, text: str) -> bool:
        """Say whether the page shows a text."""
        return text in self.result["last"]["text"]

    def did(self, name: str) -> list[list[str]]:
        """Give the arguments of each call of a name."""
        return [call[1:] for call in self.calls if call[0] == name]


# What every case must hold.


@pytest.mark.parametrize("name", [*CASES, "real", "Indonesian", "Indonesian-away", "Indonesian-settings", "judge", "stranger", "forced", "forced-in-vain"])
def test_no_page_fails(name: str, results: dict[str, Json]) -> None:
    """Whatever the router says: no exception, and every text is a text node."""
    answer = results[name]
    assert "error" not in answer, answer["error"]
    assert name in ("judge", "tables") or answer["result"]["html"] == []


# The status.


def test_connected_says_since_when_and_where(results: dict[str, Json]) -> None:
    page = Page(results, "connected")
    assert (page.row("State"), page.row("Host"), page.row("Protocol")) == ("connected for 2 h 1 min", "mqtt.example:8883", "MQTT 5")
    assert (page.row("Last error"), page.warnings) == ("none", [])


def test_who_this_is(results: dict[str, Json]) -> None:
    page = Page(results, "connected")
    assert [page.row(label) for label in ("Identifier", "City", "Certificate", "Version of the agent")] == [AP, "malang", "until 2096-10-02", "1.2.3"]


def test_the_page_asks_again_every_five_seconds(results: dict[str, Json]) -> None:
    page = Page(results, "connected")
    assert page.result["polled"] == [5] and len(page.did("fs.exec")) == 3
    assert page.result["first"] == page.result["last"]


def test_what_is_as_before_stays_where_it_is(results: dict[str, Json]) -> None:
    """Each part of the page is put anew only when it says something else: a selection in the others is not lost every five seconds."""
    kept = {name: Page(results, name).result["kept"] for name in ("connected", "ticking", "news")}
    assert (kept["connected"], kept["ticking"]) == ([True] * 6, [True, False, True, True, True, True])
    assert len(kept["news"]) == 7 and len(Page(results, "news").warnings) == 1


def test_what_can_be_saved_has_buttons_for_it(results: dict[str, Json]) -> None:
    buttons = {name: Page(results, name).result["buttons_of_form"] for name in ("connected", "enrolled", "settings")}
    assert buttons == {"connected": [False] * 3, "enrolled": [False] * 3, "settings": [True] * 3}


def test_what_a_real_daemon_writes_is_understood(results: dict[str, Json]) -> None:
    page = Page(results, "real")
    assert [page.row(label) for label in ("Identifier", "City", "Version of the agent", "Host")] == [AP, "malang", __version__, "127.0.0.1:1"]
    assert page.row("State").startswith("not connected for ") and "refused" in page.row("Last error").lower()
    assert ["Malang RW 05", "2g", "phy0-ap0", "on the air", "0"] in page.result["last"]["rows"]
    assert (page.warnings, "?" in page.row("Waiting for the city")) == ([], False)


def test_away_says_why_and_when_again(results: dict[str, Json]) -> None:
    page = Page(results, "away")
    assert page.row("State") == "not connected for 1 min 34 s (waiting)"
    assert (page.row("Last error"), page.row("Attempts")) == ("connection refused", "7, the next one within 12 s")


WARNINGS = {
    "not-enrolled": "not enrolled",
    "no-settings": "not enrolled",
    "turned-off": "turned off",
    "never-ran": "has said nothing",
    "gone": "its last word is 1 h 6 min old",
    "stopped": "does not run",
    "safe": "crashed again and again (5 times). It takes pushes and measures nothing. Last crash: KeyError in report.py. It tries to run normally",
    "script-fails": "not found",
    "rpcd-fails": "Permission denied",
    "later-fails": "XHR request timed out",
    "hostile-error": SHOWN,
}


@pytest.mark.parametrize("name", WARNINGS)
def test_what_is_not_as_it_should_be_stands_above_all(name: str, results: dict[str, Json]) -> None:
    warnings = Page(results, name).warnings
    assert len(warnings) == 1 and WARNINGS[name] in warnings[0]


@pytest.mark.parametrize("name", ["script-fails", "rpcd-fails", "hostile-error"])
def test_without_an_answer_nothing_is_claimed(name: str, results: dict[str, Json]) -> None:
    """Neither that there was no push, nor that no cap is wanted."""
    page = Page(results, name)
    assert (page.result["last"]["rows"], page.result["last"]["heads"]) == ([], [])


def test_when_one_answer_fails_what_was_said_before_stays(results: dict[str, Json]) -> None:
    """And is called old; the next answer takes its place."""
    page, again = Page(results, "later-fails"), Page(results, "fails-once")
    assert page.warnings[0].endswith("XHR request timed out. What stands below it said before.") and len(page.warnings) == 1
    assert page.result["last"]["rows"] == page.result["first"]["rows"]
    assert (again.warnings, again.row("State")) == ([], "connected for 2 h 2 min")


def test_of_an_agent_that_said_nothing_no_error_and_no_alert_is_claimed(results: dict[str, Json]) -> None:
    page = Page(results, "never-ran")
    assert (page.row("Last error"), page.row("Alerts")) == ("not known", "not known")


@pytest.mark.parametrize("name", ["never-ran", "gone", "stopped", "turned-off"])
def test_an_agent_that_does_not_run_is_not_connected(name: str, results: dict[str, Json]) -> None:
    assert Page(results, name).row("State") == "not connected: the agent does not run"


def test_damaged_files_are_named(results: dict[str, Json]) -> None:
    page = Page(results, "damaged")
    assert [warning.rsplit(" ", 2)[0] for warning in page.warnings] == [
        "What the agent says of itself", "What the router says of pushes", "What the router says of bandwidth caps",
    ]  # fmt: skip
    assert page.row("Last push") == "not known"


def test_the_daemon_cannot_speak_for_root(results: dict[str, Json]) -> None:
    """A line of its own that begins like root's."""
    assert Page(results, "spoof").row("Last push") == "revision 7 confirmed: in force"


@pytest.mark.parametrize(
    ("name", "current", "last"),
    [
        ("confirmed", "revision 7", "revision 7 confirmed: in force"),
        ("rolled-back", "revision 7", "revision 8 rolled_back: tried and taken back (broker_unreachable: the broker was not reached through it)"),
        ("rejected", "revision 7", "revision 9 rejected: not taken (invalid: its content breaks a rule)"),
        ("no-push", "no revision of the city's yet", "no push yet"),
    ],
)
def test_the_last_verdict_and_what_is_in_force(name: str, current: str, last: str, results: dict[str, Json]) -> None:
    page = Page(results, name)
    assert (page.row("In force"), page.row("Last push")) == (current, last)


def test_a_verdicts_faults_are_listed(results: dict[str, Json]) -> None:
    assert Page(results, "rejected").result["last"]["items"][:2] == ["ssids[2].vlan: is 5000", "and 4 more"]


def test_a_push_that_is_held_back_says_what_helps(results: dict[str, Json]) -> None:
    assert Page(results, "rolled-back").row("Held back") == "not tried again: push a higher revision"


def test_drift_and_a_foreign_edit_are_told(results: dict[str, Json]) -> None:
    assert "radios.radio0.channel" in Page(results, "drifting").result["last"]["items"]
    assert Page(results, "foreign").row("Edited by somebody else")


def test_every_state_and_reason_is_in_words() -> None:
    source = (RESOURCES / "rwagent/words.js").read_text()
    for table, words in (("STATES", config.STATES), ("REASONS", config.REASONS)):
        body = source.split(f"const {table} = {{")[1].split("};")[0]
        assert set(re.findall(r"^\t(\w+):", body, re.M)) == set(words)


def test_every_word_for_the_connection_is_in_words() -> None:
    body = (RESOURCES / "rwagent/words.js").read_text().split("const LINKS = {")[1].split("};")[0]
    assert set(re.findall(r"^\t(\w+):", body, re.M)) == set(get_args(State)) - {"connected", "stopped"}


def test_clients_stand_by_ssid(results: dict[str, Json]) -> None:
    page = Page(results, "connected")
    assert "Clients now: 31" in page.result["last"]["heads"]
    assert ["Malang RW 05", "5g", "phy1-ap0", "on the air", "19"] in page.result["last"]["rows"]


def test_each_cell_says_its_head_where_the_heads_are_hidden(results: dict[str, Json]) -> None:
    """On a phone LuCI's themes hide them, and show a cell's data-title instead."""
    titles = [title for title in Page(results, "connected").result["last"]["titles"] if title]
    clients = ["SSID", "Band", "Interface", "State", "Clients"]
    assert titles == [*clients * 2, *["Network", "Down", "Up", "Down per client", "Up per client", "Devices"] * 2]


def test_a_list_is_as_black_as_the_rest(results: dict[str, Json]) -> None:
    """The theme of LuCI has items in grey, and here they say what is wrong."""
    assert Page(results, "rejected").result["last"]["styles"] == Page(results, "caps-do-not-stand").result["last"]["styles"] == ["color:inherit"]


@pytest.mark.parametrize(("name", "words"), [("no-Wi-Fi", "No Wi-Fi here"), ("nothing-measured", "Not known: the agent has measured nothing yet")])
def test_without_clients_it_says_why(name: str, words: str, results: dict[str, Json]) -> None:
    assert Page(results, name).has(words)


def test_caps_wanted_and_that_they_stand(results: dict[str, Json]) -> None:
    page = Page(results, "connected")
    assert ["public", "20 Mbit/s", "2.5 Mbit/s", "4 Mbit/s", "-", "phy0-ap0 phy1-ap0"] in page.result["last"]["rows"]
    assert ["uplink (eth1)", "-", "0.25 Mbit/s", "-", "-", "eth1"] in page.result["last"]["rows"]
    assert page.result["last"]["items"] == ["They stand."]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("caps-do-not-stand", ["They do not stand: rwd-public is missing", "Hardware flow offload goes past them: turn it off (Network, Firewall)."]),
        ("caps-not-set", ["The router could not set them: there is no tc", "They stand."]),
        ("no-caps", []),
        ("never-ran", ["Whether they stand is not known yet."]),
    ],
)
def test_caps_that_do_not_stand(name: str, lines: list[str], results: dict[str, Json]) -> None:
    assert Page(results, name).result["last"]["items"] == lines


def test_what_waits_for_the_city(results: dict[str, Json]) -> None:
    page = Page(results, "connected")
    assert (page.row("Waiting for the city"), page.row("Alerts")) == ("3 (900 bytes)", "uplink-down")


def test_a_certificate_that_ended_says_what_to_do(results: dict[str, Json]) -> None:
    assert Page(results, "expired").row("Certificate") == "expired on 2001-09-09; enrol anew"


def test_hostile_names_are_shown_as_they_are(results: dict[str, Json]) -> None:
    """SSIDs, reasons, paths and devices: markup is text, and what turns or ends a line is a question mark."""
    page = Page(results, "hostile")
    shown = json.dumps(page.result["last"], ensure_ascii=False)
    assert page.row("City") == SHOWN and page.row("Last error") == SHOWN
    assert "\u202e" not in shown and "\\u0000" not in shown


def test_a_page_has_an_end(results: dict[str, Json]) -> None:
    page = Page(results, "huge")
    assert len(page.result["last"]["rows"]) < 100 and len(page.result["last"]["text"]) < 30_000


def test_what_status_reads_is_what_root_writes() -> None:
    """The members that the page reads are in the contract of status/*.json."""
    reported = schemas_config.STATUS_CONFIG["properties"]["reported"]["properties"]
    assert {"state", "reason", "revision", "current", "at", "errors", "errors_left_out", "drift", "held", "foreign_edit"} <= set(reported)
    assert {"wanted", "error"} <= set(schemas_config.STATUS_CAPS["properties"])


# The settings.


def form(results: dict[str, Json], name: str = "settings") -> Json:
    found: Json = Page(results, name).result["form"]
    return found


def test_every_setting_is_there_and_no_other(results: dict[str, Json]) -> None:
    expected = {table: set(rules) for table, rules in uci_settings.SETTABLE.items()} | {uci_settings.MAIN: set(uci_settings.SWITCHES)}
    assert {section: set(options) for section, options in form(results).items()} == expected


def test_every_setting_says_what_it_does(results: dict[str, Json]) -> None:
    texts = [(option["title"], option["description"]) for options in form(results).values() for option in options.values()]
    assert all(title and description for title, description in texts)
    assert len({description for _, description in texts}) >= len(texts) - 1


def test_defaults_are_the_agents(results: dict[str, Json]) -> None:
    """What stands in grey, is ticked or chosen is what the agent does without it."""
    wanted, shown = {}, {}
    for table, rules in uci_settings.SETTABLE.items():
        for key, rule in rules.items():
            default = "" if rule.default in (None, REQUIRED, ()) else rule.default
            wanted[table, key] = str(int(default)) if isinstance(default, bool) else f"{default:g}" if isinstance(default, float) else str(default)
            option = form(results)[table][key]
            shown[table, key] = option["preset"] or option["placeholder"] or ""
    assert shown == wanted


def test_choices_are_the_agents(results: dict[str, Json]) -> None:
    for table, rules in uci_settings.SETTABLE.items():
        for key, rule in rules.items():
            words = form(results)[table][key]["words"]
            assert all(rule.accept(word) for word in words)
            assert rule.allowed == f"expected {' or '.join(json.dumps(word) for word in words)}" if words else not rule.allowed.startswith('expected "json"')


def test_the_form_refuses_what_the_agent_refuses(results: dict[str, Json]) -> None:
    """Every key with every value of a long list: what the form lets pass the agent takes, and the other way round."""
    different = []
    for (table, key, value), answer in zip(judged(), results["judge"]["result"], strict=True):
        rule = uci_settings.SETTABLE[table][key]
        document, faults = uci_settings.read({table: Section(table, table, {key: (value,)})})
        try:
            rule.accept(document[table][key])
        except ValueError:
            faults = [*faults, "refused"]  # type: ignore[list-item]
        if answer != (not faults) and rule.kind != "flag":
            different.append((table, key, value, answer))
    assert different == []


def test_ranges_are_the_agents(results: dict[str, Json]) -> None:
    tables = results["tables"]["result"]
    for table, rules in uci_settings.SETTABLE.items():
        for key, rule in rules.items():
            if rule.kind in ("whole", "number"):
                mine = tables[table][key]
                assert [float(number) for number in re.findall(r"[0-9.]+", rule.allowed)] == [mine["low"], mine["high"], *([0] if mine.get("off") else [])]


def test_what_was_filled_in_is_saved_under_its_name(results: dict[str, Json]) -> None:
    page = Page(results, "settings-filled")
    assert page.result["faults"] == {}
    assert page.result["uci"] == {
        "originals": {".type": "originals", "x": "y"},
        "main": {".type": "rwagent", "enabled": "0", "jail": "1"},
        "agent": {".type": "agent", "city": "surabaya"},
        "broker": {".type": "broker", "host": "10.1.2.3", "tls": "0", "allow_plaintext": "1"},
        "report": {".type": "report", "encoding": "deflate", "interval_s": "30.5"},
        "probe": {".type": "probe", "internet": ["1.1.1.1:443", "[2606:4700::1111]:443"]},
        "router": {".type": "router", "adopt": ["default_radio0"]},
        "push": {".type": "push"},
        "outbox": {".type": "outbox", "max_bytes": "65536"},
    }


def test_what_is_saved_the_agent_understands(results: dict[str, Json]) -> None:
    sections = {
        name: Section(values[".type"], name, {key: tuple(value) if isinstance(value, list) else (value,) for key, value in values.items() if key[0] != "."})
        for name, values in Page(results, "settings-filled").result["uci"].items()
    }
    document, faults = uci_settings.read(sections)
    assert faults == [] and document["report"] == {"interval_s": 30.5, "encoding": "deflate"} and document["broker"]["tls"] is False


def test_an_emptied_setting_goes_back_to_its_default(results: dict[str, Json]) -> None:
    page = Page(results, "settings-emptied")
    assert page.result["faults"] == {"agent.city": "This must be given"}
    assert page.result["uci"]["report"] == {}


def test_what_is_saved_untouched_stays_as_it_was(results: dict[str, Json]) -> None:
    """Also a choice, of which some word is always chosen; and a default that somebody wrote down."""
    saved = Page(results, "settings-untouched").result["uci"]
    assert (saved["report"], saved["probe"]) == ({"interval_s": "30"}, {"internet": ["h:1"]})
    assert Page(results, "settings-by-hand-default").result["uci"]["report"] == {"encoding": "json"}


def test_a_choice_goes_back_to_its_default(results: dict[str, Json]) -> None:
    assert Page(results, "settings-back-to-the-default").result["uci"]["report"] == {}


def test_a_list_is_judged_as_a_whole(results: dict[str, Json]) -> None:
    """LuCI asks for each item only while it is typed; what came otherwise is seen when all of them are saved."""
    assert Page(results, "settings-list-full").result["faults"] == {}
    assert Page(results, "settings-list-too-long").result["faults"] == {"probe.internet": "Expected at most 8"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("settings-list-typed", 'Expected "host:port" or "[address]:port"'),
        ("settings-list-typed-two", 'Expected "host:port" or "[address]:port"'),
        ("settings-list-typed-too-many", "Expected at most 8"),
    ],
)
def test_what_was_typed_below_a_list_is_not_left_out_unasked(name: str, words: str, results: dict[str, Json]) -> None:
    """LuCI saves the rest and says nothing."""
    assert Page(results, name).result["faults"] == {"probe.internet": words}


def test_before_the_enrolment_the_rest_can_be_set(results: dict[str, Json]) -> None:
    """City and broker come with the bundle."""
    assert Page(results, "settings-of-nothing").result["faults"] == {}


def test_a_flag_in_other_words_keeps_its_meaning(results: dict[str, Json]) -> None:
    """By hand it may say yes or off: a form that knows only 1 and 0 would turn TLS off."""
    saved = Page(results, "settings-by-hand").result["uci"]
    assert (saved["main"], saved["broker"], saved["report"]["peaks"]) == ({"enabled": "1", "jail": "0"}, {"host": "h"}, "1")


def test_the_words_for_flags_are_the_agents() -> None:
    source = (RESOURCES / "rwagent/rules.js").read_text()
    found = [re.findall(r"'(\w+)'", source.split(f"const {name} = [")[1].split("]")[0]) for name in ("TRUE", "FALSE")]
    assert found == [list(TRUE), list(uci_settings.FALSE)]


def test_a_faulty_value_is_not_saved_and_says_what_is_allowed(results: dict[str, Json]) -> None:
    assert Page(results, "settings-faulty").result["faults"] == {
        "agent.id": "Expected 1 to 48 of a-z, 0-9 and -",
        "broker.host": "Expected a host name or an IP address, without port or brackets",
        "broker.keepalive_s": "Expected a whole number from 5 to 600",
        "report.sample_s": "Expected at most the report interval, which is 60",
        "probe.internet": 'Expected "host:port" or "[address]:port"',
        "router.contract_mbps": "Expected a number from 0.25 to 100000",
        "router.adopt": "Expected at most 64",
    }


def test_plain_text_over_a_network_needs_two_ticks(results: dict[str, Json]) -> None:
    assert list(Page(results, "plain-text-to-the-network").result["faults"]) == ["broker.host"]
    assert Page(results, "plain-text-to-itself").result["faults"] == {}


# The enrolment.


def test_a_bundle_is_uploaded_enrolled_with_and_removed(results: dict[str, Json]) -> None:
    page = Page(results, "enrolled")
    order = [call for call in page.calls if call[0] not in ("uci.load", "uci.unload")]
    assert order == [
        ["request.post", "/cgi-bin/cgi-upload", BUNDLE, SIZE], ["fs.exec", "/usr/libexec/rwagent/luci-enroll"], ["fs.remove", BUNDLE],
    ]  # fmt: skip
    assert "This is rw-0501 of malang now." in page.modals[-1]["text"] and "report.peaks" in page.modals[-1]["text"]


def test_after_the_enrolment_the_page_says_who_this_is(results: dict[str, Json]) -> None:
    page = Page(results, "first-enrolment")
    assert "not enrolled yet" in page.result["first"]["text"] and page.has("enrolled as rw-0501 of malang") and not page.has("not enrolled yet")


ANSWERS = {
    "enrolled-file-gone": "This is rw-0501 of malang now.",
    "enrolled-with-faults": SHOWN,
    "bundle-refused": "rwagent enroll: x.tar.gz: cannot be read " + SHOWN,
    "no-reason": "gave no reason (code 127)",
    "no-answer": "It did not answer: XHR request timed out",
    "garbage-answer": "[1]",
    "upload-broken": "The upload failed: the connection broke off.",
    "upload-no-json": "The upload failed: the router answered with code 502.",
    "upload-odd-answer": "The upload failed: the router answered with code 500.",
    "upload-no-room": "The upload failed: I/O failure: No space left on device <img>.",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_is_shown_and_the_file_removed(name: str, results: dict[str, Json]) -> None:
    page = Page(results, name)
    assert ANSWERS[name] in page.modals[-1]["text"] and page.did("fs.remove") == [[BUNDLE]]


@pytest.mark.parametrize("name", ["upload-broken", "upload-no-json", "upload-odd-answer", "upload-no-room", "upload-cancelled"])
def test_an_upload_that_failed_is_not_enrolled_with(name: str, results: dict[str, Json]) -> None:
    """And the button can be pressed again."""
    page = Page(results, name)
    assert page.did("fs.exec") == [] and page.result["last"]["buttons"] == [[UPLOAD, False]]


def test_who_calls_it_off_is_left_alone(results: dict[str, Json]) -> None:
    """The dialog goes and no other comes; Escape presses the first button."""
    page = Page(results, "upload-cancelled")
    assert page.modals[-1] is None and page.did("request.post") == []
    assert page.modals[0]["buttons"] == [["Cancel", False], [SEND, True]]
    assert Page(results, "upload-twice").modals[-1]["text"].startswith("Enrolled")


def test_the_field_for_the_file_has_a_name_and_fits_into_the_dialog(results: dict[str, Json]) -> None:
    """On a phone a browser draws it wider than the dialog is."""
    (field,) = Page(results, "upload-cancelled").modals[0]["fields"]
    assert field["aria-label"] == "Bundle" and "max-width:100%" in field["style"]


def test_while_it_uploads_nothing_else_can_be_begun(results: dict[str, Json]) -> None:
    page = Page(results, "upload-endless")
    assert (page.modals[-1]["buttons"], page.result["last"]["buttons"]) == ([], [[UPLOAD, True]])


@pytest.mark.parametrize(("name", "size"), [("too-large", bundle.MAX_BYTES + 1), ("empty-file", 0)])
def test_what_is_no_bundle_by_its_size_does_not_reach_the_router(name: str, size: int, results: dict[str, Json]) -> None:
    """The upload lies in the router's RAM."""
    page = Page(results, name)
    assert f"it has {size} bytes, expected 1 to {bundle.MAX_BYTES}" in page.modals[-1]["text"]
    assert page.modals[-1]["buttons"][-1] == [SEND, True] and page.did("request.post") == []


def test_the_largest_bundle_passes(results: dict[str, Json]) -> None:
    assert Page(results, "largest").did("request.post") == [["/cgi-bin/cgi-upload", BUNDLE, bundle.MAX_BYTES]]


def test_a_bundle_for_another_access_point_is_not_forced_by_itself(results: dict[str, Json]) -> None:
    """The file goes, both names are shown, and Cancel does nothing more."""
    page = Page(results, "stranger")
    assert "rw-0777" in page.modals[2]["text"] and [name for name, _ in page.modals[2]["buttons"]] == ["Cancel", "Upload again and replace"]
    assert page.did("fs.exec") == [["/usr/libexec/rwagent/luci-enroll"]] and page.did("fs.remove") == [[BUNDLE]]


def test_it_is_forced_when_asked_to(results: dict[str, Json]) -> None:
    page = Page(results, "forced")
    assert page.did("fs.exec") == [["/usr/libexec/rwagent/luci-enroll"], ["/usr/libexec/rwagent/luci-enroll", "--force"]]
    assert page.did("fs.remove") == [[BUNDLE]] * 2 and page.modals[5]["text"].startswith("Enrolled")


def test_it_is_not_offered_twice(results: dict[str, Json]) -> None:
    assert [name for name, _ in Page(results, "forced-in-vain").modals[-1]["buttons"]] == ["Close"]


def test_who_may_only_read_cannot_upload(results: dict[str, Json]) -> None:
    assert Page(results, "read-only").result["first"]["buttons"] == [[UPLOAD, True]]


def test_who_this_is_stands_above_the_upload(results: dict[str, Json]) -> None:
    assert Page(results, "enrolled").has("enrolled as rw-0501 of malang") and Page(results, "not-enrolled-yet").has("not enrolled yet")


# What the pages may do: rpcd's file and the menu.


def acl() -> Json:
    found: Json = json.loads((APP / "root/usr/share/rpcd/acl.d/luci-app-rwagent.json").read_text())
    assert list(found) == ["luci-app-rwagent"] and set(found["luci-app-rwagent"]) == {"description", "read", "write"}
    return {part: found["luci-app-rwagent"][part] for part in ("read", "write")}


def asked_for(view: Path) -> tuple[set[tuple[str, str]], set[str]]:
    """Give what a page's text calls: (path, permission) of files, and methods of rpcd's `file`."""
    text = view.read_text()
    constants = dict(re.findall(r"^const ([A-Z]+) = '(/[^']*)';", text, re.M))
    methods = {"exec": "exec", "remove": "write", "read": "read", "write": "write", "stat": "list", "list": "list"}
    calls = re.findall(r"\bfs\.(\w+)\(([A-Z]+|'[^']*')", text)
    assert len(calls) == len(re.findall(r"\bfs\.\w+", text)), "a call of fs that this test cannot read"
    files = {(constants.get(path, path.strip("'")), methods[method]) for method, path in calls}
    files |= {(constants[path], "write") for path in re.findall(r"\bupload\.ask\(([A-Z]+), MOST_BYTES\)", text)}
    return files, {method for method, _ in calls}


def granted(part: Json) -> tuple[set[tuple[str, str]], set[str]]:
    return {(path, right) for path, rights in part.get("file", {}).items() for right in rights}, set(part.get("ubus", {}).get("file", []))


def test_reading_is_granted_what_the_status_page_needs_and_no_more() -> None:
    assert granted(acl()["read"]) == asked_for(RESOURCES / "view/rwagent/status.js")


def test_writing_is_granted_what_the_enrolment_page_needs_and_no_more() -> None:
    assert granted(acl()["write"]) == asked_for(RESOURCES / "view/rwagent/enrolment.js")
    assert acl()["write"]["cgi-io"] == ["upload"]


def test_nothing_else_is_granted() -> None:
    """Only these scopes, only package rwagent, only rpcd's `file` on ubus, and no path with a wildcard."""
    assert set(acl()["read"]) == {"file", "ubus", "uci"} and set(acl()["write"]) == {"file", "ubus", "uci", "cgi-io"}
    for part in acl().values():
        assert part["uci"] == ["rwagent"] and set(part["ubus"]) == {"file"}
        assert not re.search(r"[*?\[]", "".join(part["file"]))


def test_the_settings_page_needs_nothing_but_uci() -> None:
    assert asked_for(RESOURCES / "view/rwagent/settings.js") == (set(), set())


def test_no_page_calls_ubus_or_reads_another_package() -> None:
    for view in VIEWS:
        text = view.read_text()
        assert "'require rpc'" not in text and set(re.findall(r"\buci\.\w+\('(\w+)'", text)) <= {"rwagent"}
        assert "innerHTML" not in text and "rawhtml" not in text


def test_every_page_is_in_the_menu() -> None:
    menu = json.loads((APP / "root/usr/share/luci/menu.d/luci-app-rwagent.json").read_text())
    pages = {entry["action"]["path"] for entry in menu.values() if entry["action"]["type"] == "view"}
    assert pages == {f"rwagent/{view.stem}" for view in VIEWS}
    top = menu.pop("admin/services/rwagent")
    assert top["depends"] == {"acl": ["luci-app-rwagent"], "uci": {"rwagent": True}} and top["action"] == {"type": "firstchild"}
    assert all(path.startswith("admin/services/rwagent/") and set(entry) == {"title", "order", "action"} for path, entry in menu.items())


def test_every_text_can_be_translated() -> None:
    """Words of a page stand in _(), so that xgettext finds them: no other text has two words."""
    for view in VIEWS:
        text = re.sub(r"/\*.*?\*/", "", view.read_text(), flags=re.S).replace("\\'", "’")
        bare = [word for word in re.findall(r"(?<!_\()'([^'\n]*)'", text) if re.search(r"[a-z]{2,} [a-z]{2,}", word)]
        code = r"require |use strict|btn |td left|tr table|alert-message|rwagent enroll --force|admin |\.add-item input$"
        assert [word for word in bare if not re.match(code, word)] == []


def said_by_the_pages() -> set[str]:
    """Give every text that is meant to be translated: those of the pages, the menu's and the one that rpcd's file has for people."""
    texts = [text for path in RESOURCES.rglob("*.js") for text in re.findall(r"\b_\('((?:[^'\\]|\\.)*)'\)", path.read_text())]
    menu = json.loads((APP / "root/usr/share/luci/menu.d/luci-app-rwagent.json").read_text())
    acl_file = json.loads((APP / "root/usr/share/rpcd/acl.d/luci-app-rwagent.json").read_text())
    return {text.replace("\\'", "'") for text in texts} | {entry["title"] for entry in menu.values()} | {acl_file["luci-app-rwagent"]["description"]}


def test_the_catalogs_have_every_text_and_no_other() -> None:
    assert set(catalog("templates/rwagent.pot")) == said_by_the_pages() == set(catalog("id/rwagent.po"))


def test_no_text_is_left_without_its_translation() -> None:
    """Each is there, with as many places for values, and with nothing that a form would take for HTML."""
    assert not re.search("[<>&]", "".join(part for pair in catalog("id/rwagent.po").items() for part in pair))
    assert [text for text, words in catalog("id/rwagent.po").items() if not words or words.count("%s") != text.count("%s")] == []


def test_the_page_speaks_indonesian(results: dict[str, Json]) -> None:
    """Also spans of time: an h there would be read as days."""
    assert Page(results, "Indonesian").row("Keadaan") == "terhubung selama 2 jam 1 menit"
    assert Page(results, "Indonesian-away").row("Keadaan").endswith("(menunggu)")


def test_what_root_runs_can_be_run() -> None:
    assert [stat.S_IMODE(path.stat().st_mode) for path in (STATUS, ENROLL)] == [0o755, 0o755]
