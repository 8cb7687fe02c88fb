"""How often the kernel's nftables rules have changed, asked over netlink: whether there is anything to look at. Used by root only; changes nothing."""

from __future__ import annotations

import socket
import struct

from agent.errors import Unavailable
from agent.router.rtnetlink import attribute, messages

TIMEOUT_S = 1.0
READ_BYTES = 8192
NETLINK_NETFILTER = 12  # linux/netlink.h
_GET, _NEW = 10 << 8 | 16, 10 << 8 | 15  # linux/netfilter/nf_tables.h: NFT_MSG_GETGEN, NFT_MSG_NEWGEN
_NUMBER = 1  # NFTA_GEN_ID
_REQUEST = struct.Struct("=IHHIIBBH")
_BODY_BYTES = 4  # what stands before the attributes (struct nfgenmsg)


def generation() -> int | None:
    """Give the number that each change of any rules raises; None where there is no nftables, or this process may not ask."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER) as kernel:
            kernel.settimeout(TIMEOUT_S)
            kernel.sendto(_REQUEST.pack(_REQUEST.size, _GET, 1, 1, 0, 0, 0, 0), (0, 0))
            return parse(kernel.recv(READ_BYTES))
    except (OSError, Unavailable):
        return None


def parse(raw: bytes) -> int | None:
    """Read the kernel's answer; None when it says no. Unavailable where it is broken."""
    for kind, _, _, body in messages(raw):
        if kind == _NEW and (number := attribute(body, _NUMBER, _BODY_BYTES)):
            return int.from_bytes(number, "big")
    return None
