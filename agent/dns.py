"""The file that agent/ash/dns goes by: which network's questions for names go to which resolvers. Pure: makes its text, touches nothing."""

from __future__ import annotations

import re

from agent.change import Tree

PACKAGE, SECTION = "rwagent", "dns"
# A name that begins with a dot or a dash is a directory or an option to somebody.
_DEVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", re.ASCII)
_SERVER = re.compile(r"[0-9.]{7,15}|[0-9a-f]*:[0-9a-f:]{1,38}", re.ASCII)


def is_device(name: str) -> bool:
    """Say whether a network device's name may stand in the file."""
    return _DEVICE.fullmatch(name) is not None


def text(tree: Tree, device: str) -> bytes:
    """Give the file for the public network's device, b"" when no resolver is named (no file at all means the same).

    What no push of ours can have written into the tree is left out.
    """
    section = tree.get(PACKAGE, {}).get(SECTION)
    words = (section.value("servers") or "").split() if section is not None else []
    servers = [word for word in words if _SERVER.fullmatch(word)]
    if not servers or not is_device(device):
        return b""
    return "".join(f"{line}\n" for line in ("v 1", f"network {device}", *(f"server {server}" for server in servers))).encode()
