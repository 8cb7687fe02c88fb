"""What is asked of a broker at CONNECT, and what it says: the nouns between paho's door and those who decide."""

from __future__ import annotations

from typing import NamedTuple

UNSUPPORTED_VERSION = 0x84
REFUSED = 0x80
# Where a broker names no reason, and where paho only tells that the connection is gone.
NO_REASON = -1


class Secret:
    """A password that shows stars wherever it is printed."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "***"

    def reveal(self) -> str:
        """Give the text itself, for the one place that sends it."""
        return self._text


class Will(NamedTuple):
    """What the broker publishes, retained, when this session ends without a DISCONNECT."""

    topic: str
    payload: bytes
    content_type: str
    delay_s: int


class Terms(NamedTuple):
    """What we ask of the broker at CONNECT; MQTT 3.1.1 knows only the first three and `is_clean`: to forget what it keeps for us."""

    keepalive_s: int
    username: str | None
    password: Secret | None
    session_expiry_s: int
    receive_maximum: int
    maximum_packet_bytes: int
    is_clean: bool = False


class Accepted(NamedTuple):
    """CONNACK: an MQTT 5 reason code, 0 for yes, and what the broker allows (None: it did not say); `is_resumed`: it remembers us."""

    code: int
    receive_maximum: int | None
    maximum_packet_bytes: int | None
    keepalive_s: int | None
    is_resumed: bool = False


class Subscribed(NamedTuple):
    """SUBACK: the code for each topic in the order asked for, 0x80 and above refused."""

    codes: tuple[int, ...]


class Acknowledged(NamedTuple):
    """PUBACK for one message, 0x80 and above refused."""

    mid: int
    code: int


class Arrived(NamedTuple):
    """PUBLISH from the broker; `topic` None when it is not UTF-8."""

    topic: str | None
    payload: bytes
    is_retained: bool


class Ended(NamedTuple):
    """The connection is over: the broker's DISCONNECT code, or NO_REASON."""

    code: int


Notice = Accepted | Subscribed | Acknowledged | Arrived | Ended
