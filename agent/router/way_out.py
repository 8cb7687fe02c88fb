"""The network device that all bytes to and from the provider pass: what a cap of the way out is for. Reads only; for root."""

from __future__ import annotations

import os
import time

from agent.router import addresses
from agent.router.bridge import WayOut
from agent.router.text import read_line


def device(chosen: str | None = None, interfaces: str = "/sys/class/net") -> str:
    """Name it: `chosen`, or without that the device of the default route; of a bridge the port that leads out. "" when it is not known now."""
    if chosen is None:
        route = addresses.default_route()
        chosen = route.device if route else ""
    if not os.path.isdir(os.path.join(interfaces, chosen, "brif")):
        return chosen
    up = {name: read_line(os.path.join(interfaces, name, "carrier")) == "1" for name in os.listdir(interfaces)}
    port = WayOut(time.monotonic, interfaces).through(chosen, up, ())
    # A bridge's own queues see nothing of what it forwards: a cap there would hold nothing.
    return "" if port == chosen else port
