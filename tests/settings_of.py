"""Settings for tests: as the value that agent.toml becomes, and as a file of a simulated access point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.settings import Settings
from agent.settings_rules import resolve

# Nothing listens at port 1: an agent with these settings has no broker.
SIMULATED = """
[agent]
id = "{ap}"
city = "malang"
[broker]
host = "127.0.0.1"
port = 1
tls = false
[router]
backend = "simulated"
[paths]
run_dir = "{run_dir}"
"""


def settings(**tables: dict[str, Any]) -> Settings:
    """Resolve what is necessary and `tables`, which replace tables of the same name."""
    found, faults = resolve({"agent": {"id": "rw-1", "city": "malang"}, "broker": {"host": "localhost", "tls": False}} | tables)
    assert found is not None, faults
    return found


def of_openwrt(run_dir: Path, **router: Any) -> Settings:
    """Resolve settings of an OpenWrt access point whose state in RAM lies in `run_dir`."""
    return settings(paths={"run_dir": str(run_dir)}, router={"backend": "openwrt"} | router)


def simulated_file(folder: Path, ap: str = "rw-0501") -> Path:
    """Write agent.toml of a simulated access point whose broker is not there; its run_dir is `folder`/run."""
    file = folder / "agent.toml"
    file.write_text(SIMULATED.format(ap=ap, run_dir=folder / "run"))
    return file
