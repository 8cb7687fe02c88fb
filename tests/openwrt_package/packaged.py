"""A box with the package's own files and the agent in it, as an installation leaves them: what its scripts do is looked at from there."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.flash import Flash
from agent.pending import File, Journal, Pending
from tests.fakes import certificates
from tests.fakes.openwrt.userland.box import Box

FILES = Path(__file__).parents[2] / "openwrt_package/rwagent/files"
UID = 453
# The order in which they are enabled does not matter: what counts is the number.
SERVICES = tuple(sorted(path.name for path in (FILES / "etc/init.d").iterdir()))
ENROLLED = """config agent 'agent'
	option id 'rw-0501'
	option city 'malang'

config broker 'broker'
	option host 'mqtt.malang.example'
"""
PENDING = "etc/rwagent/state/pending"


@contextmanager
def packaged(folder: Path, has_agent: bool = True) -> Iterator[Box]:
    """Give a box that has the package and its user, not yet enrolled; `has_agent`: with its Python half, which takes longer."""
    with Box(folder, "rig-x86") as box:
        # What the board's world has there is of a box on which it all runs already.
        shutil.rmtree(box.folder / "run/rwagent")
        (box.folder / "tmp/dhcp.leases").unlink()
        box.install(FILES)
        if has_agent:
            box.root.install_agent()
        with (box.folder / "etc/passwd").open("a") as passwd:
            passwd.write(f"rwagent:x:{UID}:{UID}:rwagent:/var/run/rwagent:/bin/false\n")
        with (box.folder / "etc/group").open("a") as group:
            group.write(f"rwagent:x:{UID}:\n")
        box.read_acl()
        (box.folder / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        yield box


@functools.cache
def credentials() -> dict[str, bytes]:
    """Give the files of an enrolment."""
    city = certificates.authority()
    point = certificates.issue(city, "rw-0501")
    return {"ca.pem": city.pem(), "client.pem": point.pem(), "client.key": point.key_pem()}


def enrol(box: Box, settings: str = ENROLLED) -> None:
    """Let the box be enrolled: UCI says who it is, and the files that it names are there."""
    own = box.folder / "etc/rwagent"
    own.mkdir(mode=0o750, exist_ok=True)
    for name, content in credentials().items():
        (own / name).write_bytes(content)
        (own / name).chmod(0o640)
        os.chown(own / name, 0, UID)
    (box.folder / "etc/config/rwagent").write_text(settings)


def set_main(box: Box, **options: str) -> None:
    """Set options of config rwagent 'main', whatever is in them."""
    rows = "".join(f"\toption {name} '{value}'\n" for name, value in options.items())
    path = box.folder / "etc/config/rwagent"
    path.write_text(f"{path.read_text()}\nconfig rwagent 'main'\n{rows}")


def try_push(box: Box) -> bytes:
    """Leave a push on trial, its new file in place and nobody there who would end it; give what was there before."""
    path = box.folder / "etc/config/wireless"
    before = path.read_bytes()
    after = before + b"\nconfig wifi-iface 'rw_public'\n"
    state = box.folder / "etc/rwagent/state"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = [File("wireless", "/etc/config/wireless", before, after, b"")]
    journal = Journal("0" * 16, "b" * 16, 2**31, "openwrt", {"wireless": "/etc/config/wireless"}, {"revision": 7, "digest": "d"})
    Pending(Flash(), str(state)).write(journal, rows)
    path.write_bytes(after)
    return before


def wireless(box: Box) -> bytes:
    """Give the Wi-Fi's configuration as it lies on flash."""
    return (box.folder / "etc/config/wireless").read_bytes()


def instances(box: Box, service: str) -> dict[str, Any]:
    """Give what procd was told of a service's instances, by their names."""
    names = box.procd.listed(service).get(service, {}).get("instances", {})
    return {name: box.procd.config(service, name) for name in names}


def logged(box: Box) -> str:
    """Give the whole log."""
    return "\n".join(box.log())
