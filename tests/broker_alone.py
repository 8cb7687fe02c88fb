"""One Broker in a process of its own, for tests that kill it or put it into a namespace: `python -m tests.broker_alone '<json>'`.

Prints a line of JSON for each change of state, and at last how often its loop turned.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from tests.turning import Turning


def main() -> None:
    """Turn for as long as told, or until killed."""
    wish = json.loads(sys.argv[1])
    turning = Turning(**wish["broker"])
    until = time.monotonic() + wish.get("seconds", 60)
    shown = None
    most_threads = 0
    while time.monotonic() < until:
        turning.turn(0.01)
        most_threads = max(most_threads, threading.active_count())
        status = turning.broker.status()
        now = (status.state, status.last_reason)
        if now != shown:
            shown = now
            print(json.dumps({"state": status.state, "reason": status.last_reason, "turns": turning.turns}), flush=True)
    print(json.dumps({"state": "end", "reason": turning.broker.status().last_reason, "turns": turning.turns, "threads": most_threads}), flush=True)


if __name__ == "__main__":
    main()
