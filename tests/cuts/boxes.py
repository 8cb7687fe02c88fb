"""A simulated access point whose flash may lose its power: its folders, the pushes it gets, and what must be so after a boot.

Each box has a path of the same length, so that what one box wrote (the journal names its files by path) can be put into another's place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from agent import revisions, settings
from agent.wire import keyfile
from tests import signing
from tests.cuts import disk

PACKAGES = ("rwagent", "system", "wireless", "caps")  # the last is no package, and replaced like them (as `dns` is)
BOOT, LATER = "b0" * 8, "b1" * 8  # the boot in which the power fails, and all after it
CANONICAL = "00000"
_SECOND = re.compile(rb'"at":[0-9]{10}\b')
HOME = "RAM" if os.access("/dev/shm", os.W_OK) else "disk"

TOML = """
[agent]
id = "{ap}"
city = "{city}"
[broker]
host = "127.0.0.1"
port = 1
tls = false
[router]
backend = "simulated"
[push]
keys_dir = "{base}/etc/keys"
secrets_dir = "{base}/etc/secrets"
[paths]
state_dir = "{base}/flash/state"
run_dir = "{base}/ram/run"
apply_dir = "{base}/ram/apply"
"""

# Each touches all of them: the network, the box's name, what the agent remembers of its own, the caps, and who answers for names.
CAP = {"down_mbps": 30, "per_station": {"down_mbps": 5}}
FIRST: dict[str, Any] = {
    "ssids": {"public": {"ssid": "Malang RW 05", "security": "open", "bands": ["2g"]}},
    "agent": {"report_interval_s": 60, "sample_interval_s": 10},
    "system": {"hostname": "rw-0501"},
    "uplink": {"cap": {"down_mbps": 60}},
}
SECOND: dict[str, Any] = {
    "ssids": {"public": {"ssid": "Malang RW 05 baru", "security": "psk2", "bands": ["2g", "5g"], "key": "rahasia-sekali", "cap": CAP}},
    "radios": {"2g": {"channel": 11}},
    "agent": {"report_interval_s": 30, "sample_interval_s": 5},
    "system": {"hostname": "balai-rw-05", "timezone": "WIB-7"},
    "uplink": {"cap": {"down_mbps": 60, "up_mbps": 20}},
}


def push(revision: int, config: Mapping[str, Any], within_s: int = 60) -> bytes:
    """Sign a push."""
    return signing.signed({**signing.CLAIMS, "revision": revision, "config": dict(config), "confirm_within_s": within_s})


class Box(NamedTuple):
    """One access point's folders below `base`: etc (never changes), flash, ram."""

    base: str

    @property
    def config(self) -> str:
        """agent.toml's path."""
        return f"{self.base}/etc/agent.toml"

    @property
    def state_dir(self) -> str:
        """Root's own directory on flash."""
        return f"{self.base}/flash/state"

    def read(self, path: str) -> bytes | None:
        """Read a file of the box."""
        try:
            return Path(self.base, path).read_bytes()
        except FileNotFoundError:
            return None

    def status(self, name: str = "config.json") -> dict[str, Any]:
        """Read what root said last; nothing said is empty."""
        return dict(json.loads(self.read(f"ram/run/status/{name}") or b"{}"))

    def verdict(self, revision: int) -> str | None:
        """Give the state that root publishes for a revision; None when it speaks of another."""
        reported = self.status().get("reported", {})
        return reported.get("state") if reported.get("revision") == revision else None

    def memory(self) -> revisions.Memory:
        """Read revisions.json strictly."""
        raw = self.read("flash/state/revisions.json")
        found = revisions.Memory() if raw is None else revisions.decode(raw)
        assert found is not None, f"revisions.json is broken: {raw!r}"
        return found

    def files(self) -> dict[str, bytes | None]:
        """Give the configuration files, None for one that is not there."""
        return {name: self.read(f"flash/state/simulated/{name}") for name in PACKAGES}

    def names(self) -> set[str]:
        """Name everything on the flash but the configuration's own files."""
        top = Path(self.base, "flash")
        found = {str(path.relative_to(top)) for path in top.rglob("*")}
        return found - {f"state/simulated/{name}" for name in PACKAGES}

    def deliver(self, name: str, content: bytes) -> None:
        """Put a file into the inbox as the daemon does."""
        new = Path(self.base, f"ram/run/inbox/.new-{name}")
        new.write_bytes(content)
        new.rename(new.parent / name)

    def confirm(self) -> bool:
        """Confirm the test that runs, as the daemon does when the broker heard it; say whether there was one."""
        test = self.status().get("test")
        if test:
            self.deliver("confirm", test["nonce"].encode())
        return bool(test)

    def power_up(self) -> None:
        """Empty what lies in RAM: a boot."""
        shutil.rmtree(f"{self.base}/ram", ignore_errors=True)
        for path, mode in (("ram", 0o755), ("ram/run", 0o750), ("ram/run/inbox", 0o700), ("ram/run/status", 0o755), ("ram/apply", 0o700)):
            os.mkdir(f"{self.base}/{path}")
            os.chmod(f"{self.base}/{path}", mode)

    def settings(self) -> settings.Settings:
        """Load agent.toml."""
        return settings.load(self.config)


class Yard:
    """Room for boxes, in RAM where there is some."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._made = 0

    @property
    def canonical(self) -> str:
        """The path that stands for every box's base in what is compared."""
        return f"{self.folder}/{CANONICAL}"

    def box(self) -> Box:
        """Make a box that never had a push; its flash is empty but for its own directory."""
        self._made += 1
        box = Box(f"{self.folder}/{self._made:05d}")
        for path, mode in (("", 0o755), ("etc", 0o755), ("etc/keys", 0o750), ("etc/secrets", 0o700), ("flash", 0o755), ("flash/state", 0o700)):
            os.mkdir(f"{box.base}/{path}")
            os.chmod(f"{box.base}/{path}", mode)
        Path(box.config).write_text(TOML.format(base=box.base, ap=signing.AP, city=signing.CITY))
        Path(f"{box.base}/etc/keys/city.pub").write_bytes(keyfile.public_key(signing.KEY.public, "city"))
        for path in (box.config, f"{box.base}/etc/keys/city.pub"):
            os.chmod(path, 0o640)
        box.power_up()
        return box

    def with_flash(self, state: disk.State) -> Box:
        """Make a box with what a power cut left of another one's flash."""
        box = self.box()
        shutil.rmtree(f"{box.base}/flash")
        disk.put(tuple((path, mode, data and data.replace(self.canonical.encode(), box.base.encode())) for path, mode, data in state), box.base)
        return box

    def remove(self, box: Box) -> None:
        """Remove a box that is no longer needed."""
        shutil.rmtree(box.base)

    def disk(self, box: Box) -> disk.Disk:
        """Model a box's flash as it is now, comparable with other boxes': one base path, one ballast, one moment, as long as they are."""
        base, stands_for = box.base.encode(), self.canonical.encode()

        def plain(path: str, data: bytes) -> bytes:
            if "ballast" in os.path.basename(path):
                return b"*" * len(data)
            return _SECOND.sub(b'"at":1790000000', data.replace(base, stands_for))

        return disk.Disk(box.base, plain)


@contextmanager
def yard() -> Iterator[Yard]:
    """Have room for boxes while entered."""
    folder = tempfile.mkdtemp(prefix="rw-cuts-", dir="/dev/shm" if HOME == "RAM" else None)
    os.chmod(folder, 0o755)
    try:
        yield Yard(os.path.realpath(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
