"""Guests at the broker: connections with throw-away certificates of access points, to end a connection or to try what the broker lets through.

Promises that their keys are gone when the guests are, and that their certificates are on the list of the revoked by then.
"""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from fleet import authority, files, mosquitto
from fleet.authority import Authority, Issued
from fleet.city import THROWN_AWAY, City
from fleet.mqtt import Client

# Where a listener on all addresses is reached from its own machine.
HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Guests:
    """Throw-away access points. Each is a name with a certificate good for minutes, in a directory that is made for the while."""

    def __init__(self, city: City, host: str | None = None, port: int | None = None) -> None:
        """`host` and `port`: where the broker's listener for access points is; by default city.toml's, or this machine when the broker is ours."""
        broker = city.broker
        self._city = city
        self._authority = authority.open_authority(city)
        self._folder = tempfile.TemporaryDirectory(prefix="rwctl-")
        self.host = host or (HERE.get(broker.listen, broker.listen) if broker.is_own else broker.host)
        self.port = port or broker.port
        # To the city's own client this looks like a city whose listener is the one for access points.
        self.city = city._replace(folder=Path(self._folder.name), broker=broker._replace(city_host=self.host, city_port=self.port))
        for folder in (self.city.ca, self.city.clients):
            folder.mkdir(mode=files.FOLDER)
        files.put(self.city.ca / "ca.pem", files.read(city.ca / "ca.pem"))
        self._serials: list[str] = []

    def invite(self, cn: str, signer: Authority | None = None) -> Issued:
        """Make a certificate for a name; `signer`: by another authority than the city's."""
        issued = (signer or self._authority).brief(cn)
        if signer is None:
            self._serials.append(issued.serial)
        files.put(self.city.clients / f"{cn}.pem", issued.certificate)
        files.put(self.city.clients / f"{cn}.key", issued.key, files.PRIVATE)
        return issued

    def client(self, cn: str, **options: Any) -> Client:
        """Give a connection of one that was invited, not yet begun; options as fleet.mqtt.Client's. Its client id is its name unless another is given."""
        return Client(self.city, cn, **{"client_id": cn} | options)

    def pair(self, cn: str) -> tuple[str, str]:
        """Give the files of a certificate and its key."""
        return str(self.city.clients / f"{cn}.pem"), str(self.city.clients / f"{cn}.key")

    def dismiss(self) -> None:
        """Revoke all their certificates, and tell our own broker."""
        if self._serials:
            authority.revoke(self._city, self._serials, is_brief=True)
            self._serials = []
            if self._city.broker.is_own:
                mosquitto.reload(self._city)

    def __enter__(self) -> Guests:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.dismiss()
        finally:
            self._folder.cleanup()


def name(purpose: str) -> str:
    """Make up an access point's name that nobody has."""
    return f"{THROWN_AWAY}{purpose}-{secrets.token_hex(4)}"
