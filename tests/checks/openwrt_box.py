"""An OpenWrt box as the doctor's checks see it: files below a folder, and a small ubusd that keeps things from callers as the real one does."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.checks.acl import Caller
from agent.finding import Case
from agent.router import blobmsg
from agent.router import ubus_message as wire
from agent.router.ubus import CALLS
from agent.router.ubus_message import Attribute
from agent.status import Status
from tests.fakes.router import FakeRouter
from tests.settings_of import of_openwrt

Answers = Mapping[str, Mapping[str, dict[str, Any]]]
NOT_RUNNING = Status(False, "there is no daemon.json", None, {})
# The tests' own user plays the agent's, for nobody but root can be somebody else.
AGENT = Caller("rwagent", os.getuid(), os.getgid())
OWNER = (os.getuid(), os.getgid())


class SmallUbusd:
    """Objects with their methods' answers; an object in `hidden` is shown to nobody, a method in `denied` ("system info") is refused.

    What is in `held` never answers, who is in `turned_away` (uids) is let in by nobody.

    ubusd_proto.c: looking for a hidden object succeeds without an answer, for one that is not there gives 4; a refused method gives 6.
    """

    def __init__(self, path: Path, answers: Answers) -> None:
        self.answers = dict(answers)
        self.hidden: set[str] = set()
        self.denied: set[str] = set()
        self.held: set[str] = set()
        self.turned_away: set[int] = set()
        self.called_by: set[int] = set()
        self.called: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        """End; the thread ends with the socket."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                link, _ = self._socket.accept()
                _, uid, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                if uid in self.turned_away:
                    link.close()
                    continue
                threading.Thread(target=self._converse, args=(link, uid), daemon=True).start()

    def _converse(self, link: socket.socket, uid: int) -> None:
        with link, suppress(OSError):
            link.sendall(wire.pack(wire.HELLO, 0, 1))
            stream = wire.Stream()
            while piece := link.recv(65536):
                for message in stream.feed(piece):
                    body = wire.unpack(message.body)
                    if message.type == wire.INVOKE:
                        self.called_by.add(uid)
                    status, found = self._look_up(body.path or "") if message.type == wire.LOOKUP else self._invoke(body)
                    if status is None:
                        continue
                    for attributes in found:
                        link.sendall(wire.pack(wire.DATA, message.seq, message.peer, attributes))
                    link.sendall(wire.pack(wire.STATUS, message.seq, message.peer, [(Attribute.STATUS, status)]))

    def _look_up(self, pattern: str) -> tuple[int, list[list[tuple[int, bytes | str | int]]]]:
        is_beginning = pattern.endswith("*")
        fitting = [name for name in self.answers if name == pattern or (is_beginning and name.startswith(pattern[:-1]))]
        shown = [name for name in fitting if name not in self.hidden]
        return 0 if fitting else wire.NOT_FOUND, [[(Attribute.PATH, name), (Attribute.OBJECT, self._id(name))] for name in shown]

    def _invoke(self, body: wire.Body) -> tuple[int | None, list[list[tuple[int, bytes | str | int]]]]:
        name = next(name for name in self.answers if self._id(name) == body.object)
        self.called.append(f"{name} {body.method}")
        if f"{name} {body.method}" in self.denied:
            return wire.PERMISSION_DENIED, []
        if name in self.held:
            return None, []
        answer = self.answers[name].get(body.method or "")
        return (wire.METHOD_NOT_FOUND, []) if answer is None else (0, [[(Attribute.DATA, blobmsg.encode(answer))]])

    def _id(self, name: str) -> int:
        return 100 + list(self.answers).index(name)


def hostapd(ssid: str, channel: int, status: str = "ENABLED", **more: Any) -> dict[str, dict[str, Any]]:
    """Give the answers of one hostapd.<ifname>."""
    return {"get_status": {"status": status, "ssid": ssid, "channel": channel, "phy": "phy0", **more}, "get_clients": {"clients": {}}}


def objects(**more: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Give the objects of a box in order; `more` are hostapd's networks by interface, with _ for -."""
    always: dict[str, dict[str, dict[str, Any]]] = {
        "system": {"board": {"kernel": "6.12"}, "info": {"uptime": 5}},
        "network.interface": {"dump": {"interface": [{"interface": name} for name in ("loopback", "lan", "wan", "guest")]}},
        "network.device": {"status": {}},
        "dhcp": {"ipv4leases": {"device": {}}},
        "service": {"event": {}},
        "session": {"list": {}},
    }
    return always | {f"hostapd.{name.replace('_', '-')}": answers for name, answers in more.items()}


class Box:
    """Files below `root`, ubus, settings and the case made of them; in order until a test spoils it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "box"
        self.run_dir = folder / "run"
        self.socket = folder / "ubus.sock"
        self.ubusd = SmallUbusd(self.socket, objects(phy0_ap0=hostapd("Malang RW 05", 6)))
        for program in ("usr/bin/apk", "usr/sbin/iw", "usr/sbin/hostapd", "sbin/rpcd"):
            self.write(program, "", 0o755)
        self.write("etc/hotplug.d/ntp/30-rwagent", "")
        (self.root / "sys/class/ieee80211/phy0").mkdir(parents=True)
        (self.root / "overlay/upper").mkdir(parents=True)
        self.allow({name: {"methods": list(methods)} for name, methods in CALLS.items()})
        self.facts()

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """Make a file of the box."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def allow(self, access: dict[str, Any], user: str = AGENT.name) -> Path:
        """Write the package's access list."""
        return self.write("usr/share/acl.d/rwagent.json", json.dumps({"user": user, "access": access}))

    def facts(self, **changes: Any) -> None:
        """Write root's facts: one radio with one network, caps not bypassed; `changes` replace parts, None takes one away."""
        document = {
            "v": 1,
            "radios": {"radio0": radio([network("phy0-ap0", "Malang RW 05")])},
            "offload": {"software": False, "hardware": False},
            "networks": ["loopback", "lan", "wan", "guest"],
        } | changes
        file = self.run_dir / "status" / "wireless.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))

    def case(self, router: FakeRouter | None = None, status: Status = NOT_RUNNING, **keys: Any) -> Case:
        """Make what a check is given; `keys` are those of [router]."""
        settings = of_openwrt(self.run_dir, **({"ubus_socket": str(self.socket)} | keys))
        return Case("/etc/rwagent/agent.toml", settings, router or FakeRouter(), status)


def radio(networks: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Give one radio of root's facts, up and well."""
    known = {"phy": "phy0", "band": "2g", "channel": "6", "htmode": "HE20", "country": "ID", "up": True, "pending": False, "disabled": False}
    return {**known, "retry_setup_failed": False, "networks": networks, **changes}


def network(ifname: str | None, ssid: str, **changes: Any) -> dict[str, Any]:
    """Give one network of root's facts; without an interface when that is None."""
    return {"section": "default_radio0", "ssid": ssid, "mode": "ap", "disabled": False} | ({"ifname": ifname} if ifname else {}) | changes
