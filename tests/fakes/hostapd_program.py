"""A hostapd that sends nothing: started with one file, it answers on its control socket as what that file says. `python hostapd_program.py FILE`.

To whoever looks for hostapd's process it is one: name, command line, an end by SIGTERM.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

STATUS = "state=ENABLED\nphy=phy0\nfreq=2437\nchannel=6\nbss[0]={name}\nbssid[0]=02:00:00:00:00:00\nssid[0]={ssid}\n"


def main(file: str) -> None:
    """Answer until it is ended."""
    with open("/proc/self/comm", "w") as comm:
        comm.write("hostapd")
    with open(file) as content:
        facts = dict(line.rstrip("\n").split("=", 1) for line in content if "=" in line and not line.startswith("#"))
    path = os.path.join(facts["ctrl_interface"], facts["interface"])
    # The one before was ended, not asked to tidy up.
    if os.path.lexists(path):
        os.unlink(path)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        ours.bind(path)
        while True:
            question, asker = ours.recvfrom(4096)
            answer = STATUS.format(name=facts["interface"], ssid=facts["ssid"]) if question == b"STATUS" else "UNKNOWN COMMAND\n"
            try:
                ours.sendto(answer.encode(), asker)
            except OSError:
                continue  # it did not wait


if __name__ == "__main__":
    main(sys.argv[1])
