"""A hostapd control socket that answers STATUS, STA-FIRST and STA-NEXT as hostapd 2.10 does, and `obeys` DEAUTHENTICATE and RELOAD."""

from __future__ import annotations

import socket
import threading
from pathlib import Path


class FakeHostapd:
    """One BSS's socket at `path`; `stations` maps a MAC to the text of its answer and may be changed while it runs."""

    def __init__(self, path: Path, status: str, stations: dict[str, str], is_mute: bool = False) -> None:
        self.path = path
        self.status = status
        self.stations = stations
        self.is_mute = is_mute
        self.vanish_once: str | None = None
        self.obeys = "OK\n"
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeHostapd:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, leave_file: bool = False) -> None:
        """End it; `leave_file`: as a killed hostapd does."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as knock:
            knock.sendto(b"\0", str(self.path))
        self._thread.join(5)
        self._socket.close()
        if not leave_file:
            self.path.unlink()

    def _serve(self) -> None:
        while True:
            question, sender = self._socket.recvfrom(4096)
            if question == b"\0":
                return
            self.asked.append(question.decode())
            if not self.is_mute:
                self._socket.sendto(self._answer(question.decode()).encode("utf-8", "surrogateescape"), sender)

    def _answer(self, question: str) -> str:
        word, _, address = question.partition(" ")
        known = list(self.stations)
        if word == "STATUS":
            return self.status
        if word == "STA-FIRST":
            return self.stations[known[0]] if known else ""
        if word == "STA-NEXT":
            if address == self.vanish_once:
                self.vanish_once = None
                self.stations.pop(address)
            if address not in self.stations:
                return "FAIL\n"
            place = known.index(address) + 1
            return self.stations[known[place]] if place < len(known) else ""
        if word in ("DEAUTHENTICATE", "RELOAD"):
            return self.obeys
        return "UNKNOWN COMMAND\n"
