"""The pushes that `./scripts/run` shows: a plan, a config that is confirmed, and a bad one that is taken back.

Signs with a key made for the show; every access point of it trusts that key. Never waits: each step is taken when it is asked for one.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt

from agent.wire import config, keyfile, topics
from agent.wire.claims import ConfigClaims
from agent.wire.messages import MAX_DOWN_BYTES, Malformed, decode_strict
from fleet import sign

AUTHOR = "scripts/run"
TRIED_S = 30  # as short as a push may ask for
STEP_WITHIN_S = 75.0
# No channel of Indonesia's: the radio could, hostapd must not.
BAD_CHANNEL = 100
LISTED = 2
MOST_WAITING = 1000


class Step(NamedTuple):
    """One push of the show: to whom, what it says, and how it should end."""

    below: str
    revision: int
    aps: tuple[str, ...]
    ending: str
    told: str


class Pushes:
    """The show from its first push to its last verdict. `names` are the access points to push to, at least three; `lines` is what there is to say so far."""

    def __init__(self, port: int, city: str, names: Sequence[str], key: sign.SecretKey) -> None:
        self.lines: list[str] = []
        self.is_over = False
        self.has_failed = False
        self._city = city
        self._key = key
        first, second, third = names[:3]
        self._steps = [
            Step(topics.CONFIG_PLAN, 1, (first,), "planned", f"revision 1, to be planned only, to {first}"),
            Step(topics.CONFIG_DESIRED, 1, (first, second, third), "confirmed", f"revision 1, another name for the network, to {first}, {second} and {third}"),
            Step(topics.CONFIG_DESIRED, 2, (second,), "rolled_back", f"revision 2, a bad one, to {second}: channel {BAD_CHANNEL}, which hostapd must refuse"),
        ]
        self._number = -1
        self._until = 0.0
        self._heard: dict[str, Mapping[str, Any]] = {}
        self._waiting: queue.Queue[tuple[str, bytes]] = queue.Queue(MOST_WAITING)
        version = {"callback_api_version": mqtt.CallbackAPIVersion.VERSION2} if hasattr(mqtt, "CallbackAPIVersion") else {}
        self._client = mqtt.Client(client_id="", protocol=mqtt.MQTTv311, clean_session=True, **version)
        self._client.on_connect = self._connected
        self._client.on_message = self._took
        self._client.connect_async("127.0.0.1", port, keepalive=30)
        self._client.loop_start()

    @property
    def has_begun(self) -> bool:
        """Say whether the first push is out."""
        return self._number >= 0

    def advance(self) -> None:
        """Take the next step when the one before has ended everywhere; call it a few times a second, once all access points are online."""
        if self.is_over:
            return
        if self._number < 0:
            self._begin(0)
        self._listen()
        step = self._steps[self._number]
        ended = [ap for ap in step.aps if self._state(ap) == step.ending]
        if len(ended) == len(step.aps):
            self._tell_end(step)
            if self._number + 1 < len(self._steps):
                self._begin(self._number + 1)
            else:
                self.is_over = True
        elif time.monotonic() > self._until:
            self._fail(step)

    def close(self) -> None:
        """Disconnect and end the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def _begin(self, number: int) -> None:
        self._number, self._until = number, time.monotonic() + STEP_WITHIN_S
        self._heard.clear()
        step = self._steps[number]
        self.lines.append(f"▶ {step.told}")
        for ap in step.aps:
            said = ConfigClaims(self._city, ap, step.revision, int(time.time()), AUTHOR, document(ap, step), TRIED_S)
            topic = f"{topics.root(self._city, ap)}/{step.below}"
            self._client.publish(topic, sign.push(self._key, said), qos=1, retain=step.below == topics.CONFIG_DESIRED)

    def _listen(self) -> None:
        """Keep what each access point said last of this step's revision."""
        step = self._steps[self._number]
        while not self._waiting.empty():
            topic, payload = self._waiting.get_nowait()
            parts = topics.parse(topic)
            wanted = topics.CONFIG_PLAN_RESULT if step.below == topics.CONFIG_PLAN else topics.CONFIG_REPORTED
            if parts is None or parts[2] != wanted or parts[1] not in step.aps:
                continue
            try:
                message = decode_strict(payload, MAX_DOWN_BYTES)
            except Malformed:
                continue
            if message.get("revision") == step.revision:
                self._heard[parts[1]] = message

    def _state(self, ap: str) -> object:
        return self._heard.get(ap, {}).get("state")

    def _tell_end(self, step: Step) -> None:
        message = self._heard[step.aps[0]]
        if step.ending == "planned":
            changes = message.get("changes", [])
            shown = ", ".join(f"{change['path']}: {_value(change.get('from'))} → {_value(change.get('to'))}" for change in changes[:LISTED])
            self.lines.append(f"● planned ({message.get('impact')}): {shown}")
        elif step.ending == "confirmed":
            self.lines.append(f"● confirmed by {len(step.aps)} of {len(step.aps)}, each over a new connection through the change")
        else:
            self.lines.append(f"▲ rolled back ({message.get('reason')}): revision {message.get('current')} is in force and on air as before")

    def _fail(self, step: Step) -> None:
        self.is_over = self.has_failed = True
        states = ", ".join(f"{ap} {self._heard.get(ap, {}).get('state', 'silent')} {self._heard.get(ap, {}).get('reason', '')}".strip() for ap in step.aps)
        self.lines.append(f"✖ not {step.ending} within {STEP_WITHIN_S:.0f} s: {states}")

    def _connected(self, client: mqtt.Client, _userdata: object, _flags: object, reason: object, *_: object) -> None:
        if reason == 0:
            client.subscribe([(topics.subscription(name, self._city), 1) for name in (topics.CONFIG_REPORTED, topics.CONFIG_PLAN_RESULT)])

    def _took(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        try:
            self._waiting.put_nowait((message.topic, bytes(message.payload)))
        except (queue.Full, UnicodeDecodeError):
            return


def _value(value: object) -> str:
    value = value.get("ssid", "…") if isinstance(value, dict) else value
    return "not set" if value is None else str(value)


def document(ap: str, step: Step) -> dict[str, object]:
    """Give the config of one step: the public network under another name, and for the bad one the channel."""
    found: dict[str, object] = {"ssids": {"public": {"ssid": f"Wi-Fi Warga {ap.upper()}", "security": "open", "bands": ["2g", "5g"], "isolate": True}}}
    return found | ({"radios": {"5g": {"channel": BAD_CHANNEL}}} if step.ending not in ("planned", *config.VERDICTS[:2]) else {})


def make_key(keys_dir: Path, own_dir: Path) -> sign.SecretKey:
    """Make the show's key: its public half goes where the access points look, the pair into `own_dir`, for pushes by hand while the show lasts."""
    key = sign.make_key()
    for folder in (keys_dir, own_dir):
        folder.mkdir()
    sign.write_pair(str(own_dir), "demo", key, b"")
    (keys_dir / "demo.pub").write_bytes(keyfile.public_key(key.public, "the demo's key"))
    return key
