"""What `scripts/capture_device` promises: it gathers a board on a bare BusyBox, and nobody's address, key or name survives in what it hands out.

It runs under BusyBox's ash with nothing but BusyBox's applets and programs that print the board rig-x86 with planted originals in it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.router.uci import parse
from tests.fakes.openwrt.board import Board

pytestmark = pytest.mark.needs("busybox")

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts/capture_device"
BOARD = ROOT / "tests/devices/rig-x86"
WITHIN_S = 60.0

# All that the script may need of BusyBox: `timeout`, `od`, `base64` and `stat` are not in every build of OpenWrt's.
APPLETS = "awk cat cp gzip head id md5sum mkdir mktemp mv readlink rm sed sh sleep sort tail tar tr".split()  # noqa: SIM905

STATION, PHONE, ROUTER_MAC, DIGITS = "a4c3f012abcd", "dca632fe0102", "9483c4a0b1c2", "001122334455"
CISCO_ONLY = "b827eb5a6b7c"
KEY, AWKWARD_KEY, SAE_KEY, RADIUS = "kunci-warung-7", 'it\'s "$(id)" `who`\\n&', "Sumur&Jati\\1/x", "radius/of+kelurahan"
PPP_USER, PPP_KEY, WIREGUARD = "budi1234@isp.example", "Rahasia99", "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
SSID, HOSTILE_SSID = "Warung Pak Budi", "Pak'\"Dé\\$(reboot)\nwireless.x.ssid='y'"
LAPTOP, PHONE_NAME, ROUTER_NAME, CLOSED_NAME = "Laptop-Siti", "hp-joko", "rw-0501-lowokwaru", "mac80211"
HOSTILE_NAME = "a'b\"$(touch pwned)`touch pwned`&\\1\t%s"
WAN, GATEWAY, PREFIX = "36.81.12.34", "36.81.12.33", "2400:9800:a1b2:c3d4"
SERIAL, BROKER = "SN-K7Q2-55190", "mqtt.kota-contoh.go.id"
EUI = "a6c3:f0ff:fe12:abcd"
LOCALLY = re.compile(r"02[0-9a-f]{10}")


def colon(mac: str, by: str = ":") -> str:
    return by.join(mac[at : at + 2] for at in range(0, 12, 2))


def dotted(mac: str) -> str:
    return ".".join(mac[at : at + 4] for at in range(0, 12, 4))


def notations(mac: str) -> list[str]:
    """How programs write an address: each separator or none, groups of two, four and six, EUI-64 with and without the bit turned over, the six bytes."""
    turned = f"{int(mac[:2], 16) ^ 2:02x}{mac[2:]}"
    between = [colon(mac, by) for by in ("", ":", "-", "_", " ", ".", "%3a", r"\x")]
    groups = [dotted(mac), dotted(mac).replace(".", ":"), f"{mac[:6]}-{mac[6:]}"]
    return [*between, *groups, f"{mac[:6]}fffe{mac[6:]}", f"{turned[:6]}fffe{turned[6:]}", base64.b64encode(bytes.fromhex(mac)).decode()]


# Every original, and each notation in which it must be gone.
ORIGINALS = {
    **{mac: notations(mac) for mac in (STATION, PHONE, ROUTER_MAC, DIGITS, CISCO_ONLY)},
    "EUI-64": [EUI],
    **{word: [word] for word in (KEY, AWKWARD_KEY, SAE_KEY, RADIUS, PPP_USER, PPP_KEY, WIREGUARD, SSID, HOSTILE_SSID)},
    **{word: [word] for word in (LAPTOP, PHONE_NAME, ROUTER_NAME, HOSTILE_NAME, WAN, GATEWAY, PREFIX, SERIAL, BROKER, "8.8.4.4", "hunter2hunter2")},
}

LOG = f"""\
Mon Nov 22 02:35:01 2026 daemon.notice hostapd: phy0-ap0: AP-STA-CONNECTED {colon(STATION)} keyid=siti
Mon Nov 22 02:35:02 2026 daemon.info hostapd: phy0-ap0: STA {colon(STATION).upper()}: IEEE 802.11: associated (aid 1)
Mon Nov 22 02:35:03 2026 daemon.info hostapd: phy0-ap0: STA {colon(STATION, "-").upper()} cisco {dotted(STATION)} bare {STATION.upper()}, digits {DIGITS}
Mon Nov 22 02:35:03 2026 daemon.info hostapd: glued_{colon(PHONE, "_")}, only {dotted(CISCO_ONLY)}, not the shared {RADIUS} of the other
Mon Nov 22 02:35:04 2026 daemon.info hostapd: SSID "{SSID}" psk={KEY}; again {KEY}, hex {KEY.encode().hex()}
Mon Nov 22 02:35:05 2026 daemon.info rwagent[812]: configured {json.dumps(AWKWARD_KEY)} for {json.dumps(HOSTILE_SSID, ensure_ascii=False)}
Mon Nov 22 02:35:06 2026 daemon.info rwagent[812]: connecting to {BROKER} as {ROUTER_NAME.upper()} from {WAN} and {PREFIX}:{EUI}
Mon Nov 22 02:35:07 2026 daemon.info rwagent[812]: got {base64.b64encode(f"key {KEY} for {colon(STATION)}".encode()).decode()} end
Mon Nov 22 02:35:08 2026 daemon.info rwagent[812]: lease of {LAPTOP}.lan and {PHONE_NAME}, {{"password":"hunter2hunter2"}}, https://ana:hunter2hunter2@x.example/
Mon Nov 22 02:35:09 2026 daemon.info dnsmasq-dhcp[1]: DHCPACK(br-lan) 192.168.1.110 {colon(STATION)} {LAPTOP}
Mon Nov 22 02:35:10 2026 daemon.info hostapd: kept ff:ff:ff:ff:ff:ff 01:00:5e:00:00:fb 00:00:00:00:00:00 192.168.1.1 255.255.255.0 ::1 fe80::1
"""

# The members of a program's reply by its arguments; `hang` never ends, `huge` prints without end.
PROGRAM = """\
#!{bin}/sh
case "$0" in */ubus) [ "$1" != -t ] || shift 2 ;; esac
name=${{0##*/}}
for word; do
    case $word in *[!A-Za-z0-9._-]*) word=$(printf %s "$word" | tr -c 'A-Za-z0-9._-' _) ;; esac
    name=$name.$word
done
[ ! -e "{data}/hang.$name" ] || exec sleep 1000
[ ! -e "{data}/huge.$name" ] || exec cat /dev/zero
[ -f "{data}/$name" ] || exit 4
exec cat "{data}/$name"
"""


def uci(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


class Router:
    """A router in a folder: BusyBox's applets, programs that print what is in `data`, and the files of `root`."""

    def __init__(self, folder: Path, board: Path = BOARD) -> None:
        self.folder, self.board, self.bin, self.data, self.root = folder, board, folder / "bin", folder / "data", folder / "root"
        for each in (self.bin, self.data, self.root, folder / "tmp"):
            each.mkdir()
        busybox = shutil.which("busybox")
        for applet in APPLETS:
            (self.bin / applet).symlink_to(str(busybox))
        for program in ("ubus", "uci", "iw", "logread", "dmesg", "tc", "df", "opkg"):
            path = self.bin / program
            path.write_text(PROGRAM.format(bin=self.bin, data=self.data))
            path.chmod(0o755)
        self._replies()
        self._config()
        self._files()

    def say(self, command: str, text: str) -> None:
        """Have a command print this text."""
        (self.data / ".".join(re.sub(r"[^A-Za-z0-9._-]", "_", word) for word in command.split())).write_text(text)

    def contents(self) -> dict[Path, bytes]:
        """Give all files of the router's root."""
        return {path: path.read_bytes() for path in self.root.rglob("*") if path.is_file()}

    def hinder(self, how: str, command: str) -> None:
        """Have a command hang, or print without end (`huge`)."""
        (self.data / ".".join([how, *(re.sub(r"[^A-Za-z0-9._-]", "_", word) for word in command.split())])).touch()

    def write(self, path: str, text: str) -> None:
        """Put a file into the router's root."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def start(self, *words: str, out: str = "out", script: Path = SCRIPT, shell: str = "", own_group: bool = False) -> subprocess.Popen[str]:
        """Run the script as a technician does."""
        command = [shell or str(self.bin / "sh"), str(script), "--root", str(self.root), "--out", str(self.folder / out), *words]
        environment = {"PATH": str(self.bin), "TMPDIR": str(self.folder / "tmp")}
        return subprocess.Popen(
            command, env=environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=own_group
        )

    def capture(self, *words: str, out: str = "out", script: Path = SCRIPT, shell: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        running = self.start(*words, out=out, script=script, shell=shell)
        try:
            said, erred = running.communicate(timeout=WITHIN_S)
        finally:
            running.kill()
        return subprocess.CompletedProcess(running.args, running.returncode, said, erred)

    def captured(self, *words: str) -> dict[str, str]:
        """Run it, and give the archive's files."""
        done = self.capture(*words, out="got.tar.gz")
        assert done.returncode == 0, done.stderr + done.stdout
        return unpacked(self.folder / "got.tar.gz")

    def _replies(self) -> None:
        names = []
        for path in sorted((self.board / "ubus").glob("*.json")):
            name, _, method = path.stem.rpartition(".")
            names.append(name)
            self.say(f"ubus call {name} {method}", planted(path.read_text()))
        self.say("ubus list", "\n".join(sorted({*names, "dhcp", "log"})) + "\n")
        lease = {"mac": PHONE, "duid": f"00010001{'2a3b4c5d'}{PHONE}", "iaid": 19088743, "hostname": PHONE_NAME, "address": "192.168.1.120", "valid": 43160}
        leases = [lease, lease | {"mac": DIGITS, "hostname": CLOSED_NAME}, lease | {"hostname": HOSTILE_NAME}]
        self.say("ubus call dhcp ipv4leases", json.dumps({"device": {"br-lan": {"leases": leases}}}, indent="\t"))
        for path in (self.board / "iw").glob("*.txt"):
            words = ["dev", *path.stem.rsplit("-", 1), "dump"] if path.stem != "dev" else ["dev"]
            self.say(" ".join(["iw", *words]), planted(path.read_text()))

    def _config(self) -> None:
        for path in (self.board / "uci").glob("*.txt"):
            self.write(f"etc/config/{path.stem}", "")
            self.say(f"uci show {path.stem}", planted(path.read_text()) + PLANTED_UCI.get(path.stem, ""))
        self.say("logread -l 5000", LOG)
        self.say("dmesg", f"[    0.1] usb 1-1: SerialNumber: {SERIAL}\n[    0.2] eth0: mac {colon(ROUTER_MAC)}\n[    0.3] dump: {colon(STATION, ' ')} 00 01\n")
        self.say("tc -s qdisc show", "qdisc noqueue 0: dev lo root refcnt 2\n")
        self.say("df -k", "Filesystem 1K-blocks Used Available Use% Mounted on\n")
        self.say("opkg list-installed", "rwagent - 0.1.0-r1\npython3-light - 3.11.7-r1\nzlib - 1.3\n")

    def _files(self) -> None:
        self.write("etc/openwrt_release", "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='24.10.5'\n")
        self.write("etc/rwagent/agent.toml", f'[agent]\nid = "{ROUTER_NAME}"\n[broker]\nhost = "{BROKER}"\n')
        self.write("proc/sys/kernel/hostname", ROUTER_NAME + "\n")
        self.write("proc/uptime", "5123.40 9000.00\n")
        self.write("proc/net/dev", "Inter-| Receive\n face |bytes\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nphy0-ap0:7 7 0 0 0 0 0 0 7 7 0 0 0 0 0 0\n")
        self.write("usr/share/acl.d/rwagent.json", '{"user": "rwagent", "access": {"system": {"methods": ["board"]}}}')
        client = f"ff:12:ab:cd:00:00:01:00:01:2a:3b:4c:5d:{colon(STATION)}"
        self.write(
            "tmp/dhcp.leases",
            f"1795341761 {colon(STATION)} 192.168.1.110 {LAPTOP} {client}\n1795341762 {colon(PHONE)} 192.168.1.120 {PHONE_NAME} 01:{colon(PHONE)}\n"
            f"1795341763 {colon(DIGITS)} 192.168.1.121 {CLOSED_NAME} *\nduid 00:01:00:01:32:94:d1:65:{colon(ROUTER_MAC)}\n",
        )
        for index, name in enumerate(("eth0", "phy0-ap0", "phy0-ap1", "phy1-ap0")):
            for file, text in (("ifindex", str(index + 2)), ("type", "1"), ("carrier", "1"), ("speed", "1000" if name == "eth0" else "-1"), ("duplex", "full")):
                self.write(f"sys/class/net/{name}/{file}", text + "\n")
            if name != "eth0":
                self.write(f"sys/class/net/{name}/phy80211/name", name[:4] + "\n")
        (self.root / "sys/class/net/eth0/device").mkdir()
        self.write("sys/class/ieee80211/phy0/index", "0\n")
        self.write("sys/class/ieee80211/phy0/macaddress", colon(ROUTER_MAC) + "\n")
        (self.root / "sys/devices/pci0000:00/0000:00:11.0").mkdir(parents=True)
        (self.root / "sys/class/ieee80211/phy0/device").symlink_to(self.root / "sys/devices/pci0000:00/0000:00:11.0")


def planted(text: str) -> str:
    """The recording with people in it."""
    for old, new in (
        ("02:00:00:00:02:00", colon(STATION)),
        ("52:54:00:00:01:02", colon(ROUTER_MAC)),
        ('"10.0.2.15"', f'"{WAN}"'),
        ('"10.0.2.2"', f'"{GATEWAY}"'),
        ('"hostname": "OpenWrt"', f'"hostname": "{ROUTER_NAME}"'),
        ("hostname='OpenWrt'", f"hostname='{ROUTER_NAME}'"),
        ('"ssid": "OpenWrt-Guest"', f'"ssid": {json.dumps(HOSTILE_SSID)}'),
        ("ssid='OpenWrt-Guest'", "ssid=" + uci(HOSTILE_SSID)),
        ('"ssid": "OpenWrt"', f'"ssid": {json.dumps(SSID, ensure_ascii=False)}'),
        ("ssid='OpenWrt'", f"ssid='{SSID}'"),
        ("ssid OpenWrt\n", f"ssid {SSID}\n"),
        ("ssid OpenWrt-Guest\n", "ssid " + "".join(chr(b) if 32 < b < 127 and b != 92 else f"\\x{b:02x}" for b in HOSTILE_SSID.encode()) + "\n"),
    ):
        text = text.replace(old, new)
    return re.sub(r'("key": |\.key=)["\'][^"\']*["\']', lambda found: found[1] + (json.dumps(KEY) if found[1][0] == '"' else f"'{KEY}'"), text)


PLANTED_UCI = {
    "wireless": f"wireless.guest_radio0.key={uci(AWKWARD_KEY)}\nwireless.guest_radio0.sae_password={uci(SAE_KEY)} {uci(SAE_KEY + '|mac=' + colon(PHONE))}\n"
    f"wireless.guest_radio0.auth_secret='{RADIUS}'\nwireless.guest_radio0.key1='1'\nwireless.guest_radio0.maclist='{colon(PHONE).upper()}' '{colon(STATION)}'\n"
    "wireless.guest_radio0.r0kh='11:22:33:44:55:66,ap.example,000102030405060708090a0b0c0d0e0f'\n",
    "network": f"network.wan.username='{PPP_USER}'\nnetwork.wan.password='{PPP_KEY}'\nnetwork.wan.dns='8.8.4.4' '192.168.1.1'\n"
    f"network.wan.ip6addr='{PREFIX}:{EUI}/64'\n"
    f"network.wg0=interface\nnetwork.wg0.private_key='{WIREGUARD}'\nnetwork.wg0.note='{PPP_KEY} via {KEY}'\n",
    "dhcp": f"dhcp.laptop_siti=host\ndhcp.laptop_siti.name='{LAPTOP}'\ndhcp.laptop_siti.mac='{colon(STATION).upper()}'\ndhcp.laptop_siti.ip='192.168.1.110'\n",
    "system": "system.@system[0].notes='at Siti'\\''s house\nsecond line $(reboot)'\nsystem.@system[0].latitude='-7.95'\n",
    "firewall": "firewall.@redirect[0]=redirect\nfirewall.@redirect[0].name='CCTV Joko'\nfirewall.@redirect[0].src='wan'\n",
}


def unpacked(path: Path) -> dict[str, str]:
    """The archive's files by their path below the board's folder; every path stays inside one folder."""
    with tarfile.open(path) as archive:
        files = {member.name: file.read().decode() for member in archive.getmembers() if (file := archive.extractfile(member))}
    assert len({name.split("/")[0] for name in files}) == 1
    return {name.partition("/")[2]: text for name, text in files.items()}


def views(path: str, text: str) -> Iterator[str]:
    """A file as it is, its decoded strings, and what its base64 holds."""
    yield text
    if path.endswith(".json"):
        yield "\n".join(strings(json.loads(text)))
    if path.startswith("uci/"):
        yield "\n".join(value for section in parse(text).values() for option in section.options.values() for value in option)
    yield re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text).encode("latin-1", "replace").decode("utf-8", "replace")
    yield re.sub(r"\\(.)", r"\1", text)
    for found in re.findall(r"[A-Za-z0-9+/_-]{8,}={0,2}", text):
        for start in range(4):
            some = found[start:].rstrip("=").replace("-", "+").replace("_", "/")
            yield base64.b64decode(some[: len(some) - (len(some) % 4 == 1)] + "=" * (-len(some) % 4 % 3)).decode("utf-8", "replace")
    for found in re.findall(r"(?:[0-9a-f]{2}){4,}", text):
        yield bytes.fromhex(found).decode("utf-8", "replace")


def strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


def survivors(files: dict[str, str]) -> list[str]:
    """Which original is still in which file, in whatever notation."""
    found = []
    for path, text in files.items():
        seen = "\n".join(views(path, text)).lower()
        found += [f"{path}: {name}" for name, forms in ORIGINALS.items() if any(form.lower() in seen for form in forms)]
    return found


@pytest.fixture
def router(tmp_path: Path) -> Router:
    return Router(tmp_path)


class Captured(NamedTuple):
    """A router that was captured once, the archive's files, and what lay in its root before."""

    router: Router
    files: dict[str, str]
    before: dict[Path, bytes]


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """One capture that many tests look at."""
    router = Router(tmp_path_factory.mktemp("router"))
    before = router.contents()
    return Captured(router, router.captured(), before)


@pytest.fixture
def files(captured: Captured) -> dict[str, str]:
    """Give the files of that capture."""
    return captured.files


def test_no_original_survives_in_any_notation(files: dict[str, str]) -> None:
    """MAC addresses, keys, names, addresses and serial numbers are gone from every file, also inside base64, hex and escapes."""
    assert survivors(files) == []


def test_every_original_was_there_to_be_found(router: Router) -> None:
    """The search proves itself: in what the programs printed it finds each original."""
    paths = [*router.data.iterdir(), *(path for path in router.root.rglob("*") if path.is_file())]
    shown = {path.name + ".json" * path.read_text().startswith("{"): path.read_text() for path in paths}
    assert {line.partition(": ")[2] for line in survivors(shown)} == set(ORIGINALS)


BASE64 = base64.b64encode(b"xx" + KEY.encode()).decode()


@pytest.mark.parametrize("form", [BASE64, KEY.encode().hex(), json.dumps(AWKWARD_KEY), colon(STATION, "-").upper(), dotted(PHONE)])
def test_the_search_finds_a_planted_positive(files: dict[str, str], form: str) -> None:
    """One planted original in one clean file is found, however it is written."""
    assert len(survivors({**files, "report/df.txt": f"x {form} y"})) == 1


SECRETS = [f"Zulu{number:02d}" for number in range(1, 60)]
UNHEARD_WIRELESS = """\
wireless.radio1.auth_pass='Zulu01'
wireless.radio1.acct_pass='Zulu02'
wireless.radio1.wep_key0='Zulu03'
wireless.radio1.wpa_psks='Zulu04' 'Zulu05'
wireless.radio1.domain_suffix_match='zulu06.example.id'
wireless.radio1.radius_auth_req_attr='126:s:Zulu07'
wireless.radio1.comment='Rumah Zulu08'
wireless.radio1.altsubject_match='DNS:zulu09.example.id'
wireless.radio1.key_mgmt='WPA-PSK'
wireless.siti=wifi-station
wireless.siti.name='Zulu10'
wireless.siti.somebody='Zulu11 of RW 5'
wireless.radio1.nobody_knows='lan 7 10.0.0.1/8 off'
"""
UNHEARD_NETWORK = """\
network.wan.sendopts='12:Zulu12 77:46535644534c' '61:Zulu13'
network.wan.apn='Zulu14'
network.wan.apikey='Zulu15'
network.wan.authkey='Zulu16'
network.vpn=interface
network.vpn.proto='openconnect'
network.vpn.uri='https://zulu17.example.id:4443'
network.vpn.url='http://ana:Zulu18/x'
network.gre.ikey='778899'
"""
UNHEARD_DHCP = """\
dhcp.lan.dhcp_option='15,zulu19.example.id' '66,zulu20' '252,http://zulu21/wpad' '6,192.168.1.1' 'tag:x,option:domain-name,zulu22' '114,Zulu23'
dhcp.@mxhost[0]=mxhost
dhcp.@mxhost[0].domain='zulu24.example.id'
dhcp.@mxhost[0].relay='zulu25.example.id'
"""
UNHEARD_LOG = r"""
hostapd: key: Zulu26 Key "Zulu27" wpa_passphrase: Zulu28 {'password': 'Zulu29 Zulu30', 'key': 'Zulu31'} b'password=Zulu32'
rwagent[1]: {"key":"Zulu33","secret":["Zulu34", "Zulu35"], "psk":{"a":{"b":"Zulu36"}}} then
rwagent[1]: {\"password\":\"Zulu37\"} password=\"Zulu 38\" PSK (hex): Zulu39 {"password":"Zulu\"Zulu40"} key=['Zulu41', 'Zulu42
hostapd: login failed for user "Zulu43" password Zulu44 with --password Zulu45 --key=Zulu46 and username Zulu47
hostapd: starting accounting session for user zulu48, EAP-Identity Zulu49 User-Name: 'Zulu50' identity 'Zulu51'
hostapd: 802.11 group key handshake completed, pairwise key set; rekey=3600
rwagent[1]: cut off in the middle of psk=\\"Zulu
"""
UNHEARD_DMESG = "console=ttyS0 board_sn=Zulu52 sn:Zulu53 S/N: Zulu54 serialno=Zulu55 serial#=Zulu56\nusb 1-1: Serial Number Zulu57\nserial 0xZulu58\n"


@pytest.fixture(scope="module")
def unheard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One capture of options, lines and notations that no list has."""
    router = Router(tmp_path_factory.mktemp("unheard"))
    for config, more in (("wireless", UNHEARD_WIRELESS), ("network", UNHEARD_NETWORK), ("dhcp", UNHEARD_DHCP)):
        path = router.data / f"uci.show.{config}"
        path.write_text(path.read_text() + more)
    path = router.data / "ubus.call.network.wireless.status"
    status = json.loads(path.read_text())
    radio = next(iter(status.values()))
    radio["config"] |= {"sae_pass": "Zulu59", "who": "Pak Zulu01"}
    radio["interfaces"][0] |= {"stations": [{"config": {"mac": colon(PHONE), "name": "Zulu02"}}], "vlans": [{"config": {"name": "Zulu03", "vid": 3}}]}
    path.write_text(json.dumps(status, indent="\t"))
    told = f"rwagent[1]: 0x{STATION} mac=0x{PHONE} short {':'.join(STATION[at : at + 2].lstrip('0') for at in range(0, 12, 2))} end\n"
    told += "".join(f"rwagent[1]: seen {form} end\n" for mac in (STATION, PHONE, DIGITS) for form in notations(mac))
    coded = [colon(STATION), STATION, PPP_KEY, KEY]
    told += "".join(f"rwagent[1]: coded {base64.b64encode(text.encode()).decode()} end\n" for text in coded)
    router.say("logread -l 5000", LOG + UNHEARD_LOG + told)
    router.say("dmesg", UNHEARD_DMESG)
    return router.captured()


def test_no_secret_survives_where_no_list_expects_it(unheard: dict[str, str]) -> None:
    """Options nobody heard of, and assignments in every form that programs write into logs, lose their values."""
    assert [(path, word) for path, text in unheard.items() for word in SECRETS if word.lower() in text.lower()] == []
    assert "Zulu" not in "".join(unheard.values())


def test_no_address_survives_in_an_unusual_notation(unheard: dict[str, str]) -> None:
    """Percent-escaped, hex-escaped, oddly grouped, as EUI-64, in base64 of text or bytes; also a short key in base64."""
    assert survivors(unheard) == []
    log = unheard["report/log.txt"]
    assert re.search(r"0x02[0-9a-f]{10} mac=0x02[0-9a-f]{10} short 02:", log) and len(re.findall("seen 02.* end", log)) >= 30
    assert log.count("coded *** end") == 4


def test_what_no_list_has_stays_when_it_is_harmless(unheard: dict[str, str]) -> None:
    """Numbers, addresses and words of the configuration remain, and a board needs them."""
    for line in ("wireless.radio1.key_mgmt='WPA-PSK'", "wireless.radio1.nobody_knows='lan 7 10.0.0.1/8 off'"):
        assert line in unheard["uci/wireless.txt"]
    assert "network.gre.ikey='778899'" in unheard["uci/network.txt"] and "'6,192.168.1.1'" in unheard["uci/dhcp.txt"]
    assert "group key handshake completed, pairwise key set; rekey=3600" in unheard["report/log.txt"]


def test_the_layout_is_that_of_tests_devices(files: dict[str, str]) -> None:
    """Every file that the board has and a router can tell is captured under the same name."""
    told = {f"{each.parent.name}/{each.name}" for each in [*BOARD.glob("ubus/*"), *BOARD.glob("iw/*"), *BOARD.glob("uci/*")]}
    told -= {"ubus/iwinfo.devices.json", "ubus/service.list.json", "ubus/system.watchdog.json"}
    assert told | {"board.json", "dhcp.leases", "notes.txt", "report/log.txt", "report/dmesg.txt", "ubus/dhcp.ipv4leases.json"} <= set(files)


def test_a_capture_loads_as_a_board(captured: Captured, tmp_path: Path) -> None:
    """The stand-in of tests/fakes/openwrt takes the unpacked folder as it is."""
    with tarfile.open(captured.router.folder / "got.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    board = Board(next(tmp_path.iterdir()).resolve())
    assert (board.release, "hostapd.phy0-ap0" in board.objects()) == ("24.10.5", True)
    assert board.wlans == {"phy0-ap0": "phy0", "phy0-ap1": "phy0", "phy1-ap0": "phy1"}
    assert board.devices["eth0"] == {"ifindex": 2, "type": "ethernet", "up": True, "speed": 1000, "duplex": "full", "counters": list(range(1, 17))}
    assert (board.phys["phy0"]["index"], board.phys["phy0"]["path"]) == (0, "pci0000:00/0000:00:11.0")


def shape(value: object) -> object:
    """What may not change: members (their number, where they are addresses or names of networks), numbers, truth."""
    if isinstance(value, dict):
        return sorted((re.sub(r"^(..:){5}..$", "mac", key), str(shape(one))) for key, one in value.items())
    return [shape(one) for one in value] if isinstance(value, list) else "string" if isinstance(value, str) else value


@pytest.mark.parametrize("board", sorted(path.parent.name for path in ROOT.glob("tests/devices/*/board.json")))
def test_json_and_uci_keep_their_shape(captured: Captured, tmp_path: Path, board: str) -> None:
    """Of every board each reply and each config parses, and has the members, sections, options and numbers of what was printed."""
    router, files, _ = captured
    if board != BOARD.name:
        router = Router(tmp_path, ROOT / "tests/devices" / board)
        files = router.captured()
    replies = {path.name.removeprefix("ubus.call."): path.read_text() for path in router.data.glob("ubus.call.*")}
    compared = {path: (shape(json.loads(text)), shape(json.loads(replies[path[5:-5]]))) for path, text in files.items() if path.startswith("ubus/")}
    assert compared and [path for path, (got, told) in compared.items() if str(got) != str(told).replace("19088743", "0")] == []
    assert [path for path, text in files.items() if path.startswith("ubus/") and "label-" in text] == []
    labelled = [line for path, text in files.items() if path.startswith("uci/") for line in text.split("\n") if "label-" in line]
    assert [line for line in labelled if not re.search(r"\.(name|description|note)=", line)] == []
    for path in (path for path in files if path.startswith("uci/")):
        told, got = parse((router.data / f"uci.show.{path[4:-4]}").read_text()), parse(files[path])
        assert [(one.type, *one.options) for one in got.values()] == [(one.type, *one.options) for one in told.values()], path
        assert [list(map(len, one.options.values())) for one in got.values()] == [list(map(len, one.options.values())) for one in told.values()], path


def test_uci_stays_parseable_by_its_quotes(files: dict[str, str]) -> None:
    """Sections and options are those of the router, hostile values included; no value became an option."""
    sections = parse(files["uci/wireless.txt"])
    assert set(sections) == {"radio0", "default_radio0", "radio1", "default_radio1", "guest_radio0"}
    assert {"key", "sae_password", "auth_secret", "key1", "r0kh"} == {name for name, value in sections["guest_radio0"].options.items() if set(value) == {"***"}}
    assert sections["radio0"].options["htmode"] == ("HE20",)


def test_the_same_original_has_the_same_replacement_everywhere(files: dict[str, str]) -> None:
    """A station's address in ubus, iw, leases, UCI, logs of four notations and an IPv6 address is one and the same."""
    (station,) = json.loads(files["ubus/hostapd.phy0-ap0.get_clients.json"])["clients"]
    bare = station.replace(":", "")
    assert LOCALLY.fullmatch(bare)
    assert f"Station {station} " in files["iw/phy0-ap0-station.txt"]
    lease = files["dhcp.leases"].split("\n")[0].split()
    assert lease[1] == station and lease[4].endswith(station)
    log = files["report/log.txt"]
    assert f"STA {station.upper()}:" in log and f"STA {colon(bare, '-').upper()} cisco {dotted(bare)} bare {bare.upper()}," in log
    assert f".mac='{station.upper()}'" in files["uci/dhcp.txt"]
    own = f"{int(bare[:2], 16) ^ 2:02x}{bare[2:4]}:{bare[4:6]}ff:fe{bare[6:8]}:{bare[8:]}"
    (address,) = parse(files["uci/network.txt"])["wan"].options["ip6addr"]
    assert address.startswith("2001:db8:") and address.endswith("/64")
    assert [int(each, 16) for each in address.removesuffix("/64").split(":")[-4:]] == [int(each, 16) for each in own.split(":")]


def test_names_and_networks_are_numbered_consistently(files: dict[str, str]) -> None:
    """A lease's name is the same in UCI and log, an SSID the same in ubus, UCI, iw and log; the awkward one stays awkward."""
    name = files["dhcp.leases"].split()[3]
    assert re.fullmatch(r"host-\d+", name) and f"lease of {name}.lan and" in files["report/log.txt"] and f".name='{name}'" in files["uci/dhcp.txt"]
    ssid = json.loads(files["ubus/hostapd.phy0-ap0.get_status.json"])["ssid"]
    assert ssid.startswith("SSID-") and f"ssid {ssid}\n" in files["iw/dev.txt"]
    assert f"ssid='{ssid}'" in files["uci/wireless.txt"] and f'SSID "{ssid}"' in files["report/log.txt"]
    hostile = json.loads(files["ubus/hostapd.phy0-ap1.get_status.json"])["ssid"]
    assert all(mark in hostile for mark in "'\"\\\né$") and parse(files["uci/wireless.txt"])["guest_radio0"].options["ssid"] == (hostile,)


def test_what_names_nobody_is_kept(files: dict[str, str]) -> None:
    """Group, zero and private addresses, masks, interface names, models and rule names of the platform stay."""
    assert "kept ff:ff:ff:ff:ff:ff 01:00:5e:00:00:fb 00:00:00:00:00:00 192.168.1.1 255.255.255.0 ::1 fe80::1" in files["report/log.txt"]
    assert json.loads(files["ubus/system.board.json"])["model"] == json.loads((BOARD / "ubus/system.board.json").read_text())["model"]
    assert "python3-light - 3.11.7-r1" in files["report/packages.txt"] and "zlib" not in files["report/packages.txt"]
    assert json.loads(files["report/acl.json"]) == {"user": "rwagent", "access": {"system": {"methods": ["board"]}}}


def test_a_name_that_is_a_word_of_the_platform_changes_no_configuration(files: dict[str, str]) -> None:
    """A phone that calls itself mac80211 is renamed among the leases; the radios' type stays."""
    assert CLOSED_NAME not in files["dhcp.leases"] + files["ubus/dhcp.ipv4leases.json"]
    assert "type='mac80211'" in files["uci/wireless.txt"]


def test_two_runs_draw_different_replacements(files: dict[str, str], unheard: dict[str, str]) -> None:
    """No replacement can be had by computing: of the same station another run gives another."""
    assert files["dhcp.leases"].split()[1] != unheard["dhcp.leases"].split()[1]


def test_ssids_are_kept_on_request(router: Router) -> None:
    """--keep-ssids leaves them, and only them."""
    files = router.captured("--keep-ssids")
    assert {line.partition(": ")[2] for line in survivors(files)} == {SSID, HOSTILE_SSID}


@pytest.mark.parametrize("programs", [("ubus", "dmesg"), ("uci", "tc"), ("iw", "logread")])
def test_a_missing_program_is_noted(router: Router, programs: tuple[str, str]) -> None:
    """Without one of the programs the rest is captured, and the notes name it."""
    for program in programs:
        (router.bin / program).unlink()
    files = router.captured()
    assert all(f"{program}: no such program here" in files["notes.txt"] for program in programs) and "board.json" in files and survivors(files) == []


@pytest.mark.parametrize("command", ["uci show firewall", "logread -l 5000"])
def test_a_program_that_hangs_is_ended(router: Router, command: str) -> None:
    """What never ends is killed after the wait and noted; the rest is captured."""
    router.hinder("hang", command)
    files = router.captured("--wait", "1")
    assert f"{command}: did not end within 1 s" in files["notes.txt"] and "uci/system.txt" in files and survivors(files) == []


def test_a_hung_ubusd_is_asked_once(router: Router) -> None:
    """One hang of ubus itself is enough: nothing more is asked of it, and uci and iw are captured."""
    router.hinder("hang", "ubus list")
    files = router.captured("--wait", "1")
    assert "ubusd does not answer" in files["notes.txt"] and not [path for path in files if path.startswith("ubus/")] and "iw/dev.txt" in files


def test_logs_are_left_out_when_the_keys_are_not_known(router: Router) -> None:
    """Without UCI a log's lines cannot be told from keys, so there are none in the capture."""
    (router.data / "uci.show.wireless").unlink()
    files = router.captured()
    assert "the logs: left out" in files["notes.txt"] and "report/log.txt" not in files and survivors(files) == []


def test_a_program_that_prints_without_end_fills_nothing(router: Router) -> None:
    """An endless reply is cut off and noted."""
    router.hinder("huge", "iw dev")
    notes = router.captured("--wait", "5")["notes.txt"]
    assert "iw dev: printed more than 2 MiB" in notes


def test_nothing_to_capture_is_said(tmp_path: Path) -> None:
    """On a machine without ubus, uci and iw: status 1, a sentence, no file."""
    router = Router(tmp_path)
    for program in ("ubus", "uci", "iw"):
        (router.bin / program).unlink()
    done = router.capture()
    assert (done.returncode, "nothing could be captured" in done.stderr, (tmp_path / "out").exists()) == (1, True, False)


@pytest.mark.parametrize("words", [["--frob"], ["--out"], ["--wait", "x"], ["--wait", "0"], ["--wait", "601"], ["extra"]])
def test_wrong_usage_is_status_2(router: Router, words: list[str]) -> None:
    """Faulty arguments end it before anything is asked."""
    done = router.capture(*words)
    assert (done.returncode, done.stderr.startswith("capture_device: ")) == (2, True)


def test_help_names_the_exit_statuses(router: Router) -> None:
    """--help prints usage with an example and ends well."""
    done = router.capture("--help")
    assert done.returncode == 0 and "Example:" in done.stdout and "Exit status:" in done.stdout


def test_out_may_be_a_folder_with_spaces(router: Router) -> None:
    """A folder is made, the file in it is named after board and release, only its owner may read it, and what was printed names it."""
    done = router.capture(out="a folder/of $(mine)")
    (made,) = (router.folder / "a folder/of $(mine)").iterdir()
    assert (made.name, made.stat().st_mode & 0o077) == ("capture-qemu-standard-pc-i440fx-piix-1996-24.10.5.tar.gz", 0)
    assert done.stdout.startswith(f"{made}\n") and "MAC addresses" in done.stdout and "look through it before you send it" in done.stdout


def test_nothing_stays_behind(captured: Captured) -> None:
    """The folder with the originals is gone after success and after failure."""
    temporary = captured.router.folder / "tmp"
    assert list(temporary.iterdir()) == []
    assert (captured.router.capture(out="got.tar.gz/below").returncode, list(temporary.iterdir())) == (1, [])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_run_that_is_told_to_end_leaves_nothing(router: Router, number: signal.Signals, status: int) -> None:
    """In the middle of a command that hangs: the command ends too, and no original is left on the disk."""
    router.hinder("hang", "uci show wireless")
    running = router.start()
    deadline = time.monotonic() + WITHIN_S
    while not list(router.folder.glob("tmp/*/raw/uci/wireless.txt")) and time.monotonic() < deadline:
        select.select([], [], [], 0.02)
    running.send_signal(number)
    running.communicate(timeout=WITHIN_S)
    assert (running.returncode, list((router.folder / "tmp").iterdir()), (router.folder / "out").exists()) == (status, [], False)


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_a_reader_that_went_away_leaves_no_key_behind(router: Router, closed: str) -> None:
    """ssh without a terminal dies in the middle: what is printed next meets a closed pipe, and the originals go all the same."""
    running = router.start()
    for each in ("stdout", "stderr") if closed == "both" else (closed,):
        getattr(running, each).close()
    try:
        running.wait(timeout=WITHIN_S)
    finally:
        running.kill()
        for stream in (running.stdout, running.stderr):
            assert stream is not None
            stream.close()
    assert (running.returncode, list((router.folder / "tmp").iterdir())) == (141, [])


def test_impatience_leaves_no_key_behind(router: Router) -> None:
    """Ctrl-C again and again, to the whole group, also while it is tidying up."""
    running = router.start(own_group=True)
    deadline = time.monotonic() + WITHIN_S
    while not list(router.folder.glob("tmp/*/search.awk")) and time.monotonic() < deadline:
        select.select([], [], [], 0.01)
    while running.poll() is None and time.monotonic() < deadline:
        os.killpg(running.pid, signal.SIGINT)
        select.select([], [], [], 0.001)
    running.communicate(timeout=WITHIN_S)
    assert (running.returncode, list((router.folder / "tmp").iterdir())) == (130, [])


@pytest.mark.parametrize("plant", ["file", "fifo", "link", "target link", "folder"])
def test_what_others_put_into_the_way_is_not_used(router: Router, plant: str) -> None:
    """In a folder that is everybody's: no file, pipe, link or folder of theirs is written to, and the archive is ours alone."""
    out, victim = router.folder / "out", router.folder / "victim"
    out.mkdir()
    target, part = out / "a.tar.gz", out / "a.tar.gz.part"
    victim.write_text("victim")
    if plant == "file":
        part.write_text("")
        part.chmod(0o666)
    elif plant == "fifo":
        os.mkfifo(part)
    elif plant == "folder":
        target.mkdir()
    else:
        (target if plant == "target link" else part).symlink_to(victim)
    if os.geteuid() == 0:
        os.chown(target if plant in ("folder", "target link") else part, 65534, 65534, follow_symlinks=False)
    done = router.capture(out="out/a.tar.gz")
    assert (victim.read_text(), done.returncode) == ("victim", 1 if plant == "folder" else 0), done.stderr
    if plant == "folder":
        assert list(target.iterdir()) == [] and list(out.iterdir()) == [target] and "is a folder" in done.stderr
    else:
        kept = target.lstat()
        assert (kept.st_mode, kept.st_uid, {each.name for each in out.iterdir()} <= {"a.tar.gz", "a.tar.gz.part"}) == (0o100600, os.geteuid(), True)


def test_hostile_values_run_nothing(captured: Captured) -> None:
    """Names and keys with shell, sed and awk in them end as data."""
    assert not list(captured.router.folder.rglob("*pwned*"))


def test_any_posix_shell_and_few_applets_are_enough(router: Router) -> None:
    """It needs no program beyond those listed here, and nothing that only one shell has."""
    done = router.capture(out="got.tar.gz", shell="/bin/sh")
    assert done.returncode == 0 and survivors(unpacked(router.folder / "got.tar.gz")) == [], done.stderr
    assert "not found" not in done.stderr


@pytest.mark.parametrize(
    ("sound", "broken", "kind"),
    [
        ("return learning ? original : dressed(original, mac_for(hex))", "mac_for(hex); return original", "mac"),
        ('if (KIND[it] == "secret") return stars()', 'if (KIND[it] == "secret") return WHO[it]', "secret"),
        ('return KIND[it] == "ssid" ? plain_ssid(WHO[it]) : name_for(WHO[it])', "return WHO[it]", "name"),
        ("return V4[original]", "return original", "address"),
        ("return stage == 1 ? coded(s) : spaced(s)", "return stage == 1 ? coded(s) : s", "mac"),
        ("CODED[m] = 1\n    if (m !~", "CODED[m] = 0\n    if (m !~", "mac"),
    ],
)
def test_a_survivor_stops_the_hand_out(router: Router, sound: str, broken: str, kind: str) -> None:
    """With a fault in its replacing the script's own search finds what is left, says where but not what, and hands out nothing."""
    text = SCRIPT.read_text()
    assert text.count(sound) == 1
    script = router.folder / "broken"
    script.write_text(text.replace(sound, broken))
    router.say("dmesg", f"{colon(STATION, '%3a')} {base64.b64encode(bytes.fromhex(STATION)).decode()}\n")
    done = router.capture(script=script)
    assert (done.returncode, (router.folder / "out").exists(), f": {kind}\n" in done.stderr) == (1, False, True), done.stderr
    assert survivors({"stderr": done.stderr + done.stdout}) == []


def test_it_changes_nothing_on_the_router(captured: Captured) -> None:
    """The router's files are what they were, and only reading commands are in the script."""
    assert captured.before and captured.router.contents() == captured.before
    assert not re.search(r"\beval\b|uci (set|commit|delete|add)|ubus send", SCRIPT.read_text())
