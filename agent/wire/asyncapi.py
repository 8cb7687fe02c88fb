"""The AsyncAPI 3 document, made of the table of topics and the schemas, from the agent's point of view.

For scripts/wire_docs and the tests; the daemon never imports it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.wire import jws, messages
from agent.wire.schemas import PAYLOADS
from agent.wire.topics import PREFIX, TOPICS, Topic

SPECIFICATION = "3.0.0"
BINDING = "0.2.0"  # of the MQTT bindings

_ABOUT = """What a Wi-Fi access point's agent sends and hears over MQTT, version 1 of the contract.

Payloads are UTF-8 JSON with units in the names. A value the access point cannot give is absent. Receivers ignore members they do not know.
"""
_PARAMETERS = {
    "city": ("The city, 1 to 48 of a-z, 0-9 and -.", "malang"),
    "ap": ("The access point, 1 to 48 of a-z, 0-9 and -: its MQTT client id and its certificate's CN.", "rw-0501"),
    "code": ("The alert's code.", "radio-down"),
    "name": ("The command's name.", "locate"),
}


def document(version: str, examples: Mapping[str, Sequence[Mapping[str, object]]]) -> dict[str, Any]:
    """Make the document for one version of the agent; `examples` are payloads by the name of their schema."""
    live = [topic for topic in TOPICS if topic.schema is not None]
    return {
        "asyncapi": SPECIFICATION,
        "id": "urn:rwagent:wire:v1",
        "info": {
            "title": "RW Wi-Fi agent",
            "version": version,
            "description": f"{_ABOUT}\n{_reserved()}",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": messages.JSON,
        "servers": {"city": _server()},
        "channels": {_key(topic): _channel(topic) for topic in live},
        "operations": {name: operation for topic in live for name, operation in _operations(topic)},
        "components": {
            "messages": _messages(live, examples),
            "schemas": dict(PAYLOADS),
            "securitySchemes": {
                "certificate": {"type": "X509", "description": "Mutual TLS; the certificate's CN is the access point's name."},
                "password": {"type": "userPassword", "description": "The access point's name and a password, over TLS."},
            },
        },
    }


def _reserved() -> str:
    names = ", ".join(f"`{topic.name}`" for topic in TOPICS if topic.schema is None)
    return f"Reserved topics, whose payloads this version does not describe yet: {names}."


def _server() -> dict[str, Any]:
    return {
        "host": "mqtt.malang.example:8883",
        "protocol": "secure-mqtt",
        "protocolVersion": "5.0",
        "description": "The city's broker. MQTT 3.1.1 loses nothing: everything essential is in the payload.",
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("certificate", "password")],
        "bindings": {
            "mqtt": {
                "cleanSession": False,
                "lastWill": {"topic": f"{PREFIX}/{{city}}/{{ap}}/presence", "qos": 1, "retain": True, "message": "a presence in state lost"},
                "keepAlive": 30,
                "sessionExpiryInterval": 14_400,
                "maximumPacketSize": messages.MAX_REPORT_BYTES,
                "bindingVersion": BINDING,
            }
        },
    }


def _key(topic: Topic) -> str:
    first, *others = (level for level in topic.name.split("/") if not level.startswith("<"))
    return first + "".join(level.title() for level in others)


def _channel(topic: Topic) -> dict[str, Any]:
    below = topic.name.replace("<", "{").replace(">", "}")
    wanted = [name for name in _PARAMETERS if name in ("city", "ap") or f"{{{name}}}" in below]
    return {
        "address": f"{PREFIX}/{{city}}/{{ap}}/{below}",
        "description": topic.meaning,
        "parameters": {name: {"description": _PARAMETERS[name][0], "examples": [_PARAMETERS[name][1]]} for name in wanted},
        "messages": {topic.schema: {"$ref": f"#/components/messages/{topic.schema}"}},
    }


def _operations(topic: Topic) -> Iterator[tuple[str, dict[str, Any]]]:
    key = _key(topic)
    for action, ways in (("send", ("up", "both")), ("receive", ("down", "both"))):
        if topic.direction in ways:
            yield (
                f"{action}{key[0].upper()}{key[1:]}",
                {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{key}"},
                    "summary": topic.meaning,
                    "messages": [{"$ref": f"#/channels/{key}/messages/{topic.schema}"}],
                    "bindings": {"mqtt": {"qos": topic.qos, "retain": topic.retained, "bindingVersion": BINDING}},
                },
            )


def _messages(live: Sequence[Topic], examples: Mapping[str, Sequence[Mapping[str, object]]]) -> dict[str, Any]:
    """One message for each schema; of two topics with one schema the first says what it is."""
    first = {topic.schema: topic for topic in reversed(live)}
    return {name: _message(first[name], examples) for name in PAYLOADS if name in first}


def _message(topic: Topic, examples: Mapping[str, Sequence[Mapping[str, object]]]) -> dict[str, Any]:
    name = topic.schema or ""
    message: dict[str, Any] = {
        "name": name,
        "title": name,
        "summary": topic.meaning,
        "contentType": messages.JSON,
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "examples": [{"payload": payload} for payload in examples.get(name, ())],
    }
    if name in ("config-claims", "command-claims"):
        message["contentType"] = jws.CONTENT_TYPE
        message["description"] = (
            f"A JWS in compact form (RFC 7515; EdDSA, RFC 8037) of at most {jws.MAX_BYTES} bytes, header "
            f'{{"alg":"{jws.ALGORITHM}","typ":"{jws.TYPE}","kid":"<16 hex>"}}; the schema and the examples are of the claims it carries.'
        )
    if name == "report":
        message["description"] = f"With encoding = deflate the payload is zlib (first byte 0x78), content type {messages.JSON_DEFLATE}."
    return message
