"""The one source of every payload's shape: the JSON Schemas (2020-12) and, through asyncapi.py, the AsyncAPI document are made from it.

For the city, the tests and scripts/wire_docs; the daemon never imports it. The published form is open
(a receiver tolerates members it does not know); `shapes.strict` makes the closed form that catches drift.
"""

from __future__ import annotations

from agent.wire.messages import MAX_MISSING
from agent.wire.schemas_command import PAYLOADS as COMMANDS
from agent.wire.schemas_config import CLAIMS, PLAN_RESULT, REPORTED
from agent.wire.schemas_presence import PRESENCE
from agent.wire.shapes import (
    AP,
    AT,
    BOOT,
    KID_PATTERN,
    SESSION,
    YEAR_2100,
    Schema,
    V,
    array,
    dbm,
    extra,
    flag,
    gauge,
    known,
    moment,
    of,
    one_of,
    ratio,
    record,
    text,
    whole,
)
from agent.wire.topics import NAME_PATTERN

DIALECT = "https://json-schema.org/draft/2020-12/schema"

ALERT_CODES = (
    "radio-down",
    "ssid-not-on-air",
    "uplink-down",
    "dhcp-pool-full",
    "flash-full",
    "memory-low",
    "conntrack-full",
    "offload-bypasses-caps",
    "caps-not-standing",
    "certificate-expiring",
    "clock-untrusted",
    "push-refused",
    "config-held",
    "identity-taken",
)
LAYERS = ("ok", "link", "address", "gateway", "dns", "internet")
CLOCKS = ("ntp", "floor", "none")
BANDS = ("2g", "5g", "6g")

SEQ = whole("Number of this message among the reports and events of this boot, from 1. Drop what you already have by (boot, seq).", 1)
UPTIME = gauge("Seconds since the router booted, suspend included (CLOCK_BOOTTIME): the same moment as `at`, and right even when the clock is not.")
CLOCK = one_of(CLOCKS, "Trust in `at`: ntp (set from the network), floor (set from a file's date: not to be trusted), none.")
BAND = one_of(BANDS, "Frequency band: 2.4, 5 or 6 GHz.")
RADIO_NAME = text("The operator's name of the radio (UCI's radio0, else the phy).", 64)
LAYER = one_of(LAYERS, "The first layer of the way out that fails, or ok.")
RESET = flag("True when a counter went back or moved faster than 1.25 x the link: then the rates of this span are absent, never a spike.")

STATIONS = record(
    "Authorised stations, each counted once over all BSSs. Source: nl80211 or hostapd. No station is ever named.",
    {
        "now": gauge("Stations at the last sample (in a merged report: the mean)."),
        "max": gauge("Most stations at one sample of the span."),
        "joins": whole("Stations that came, as differences between samples."),
        "leaves": whole("Stations that went, as differences between samples."),
        "weak_ratio": ratio("Share of the stations whose signal is below -75 dBm; absent when no signal is known."),
    },
)

BSS = record(
    "One network on one radio.",
    {
        "ifname": text("The network device.", 64),
        "radio": RADIO_NAME,
        "band": BAND,
        "ssid": text("The network's name; bytes that are not UTF-8 or not printable stand as backslash escapes.", 256),
        "bssid": text("The access point's own address on this radio.", 17, pattern="^([0-9a-f]{2}:){5}[0-9a-f]{2}$"),
        "up": flag("Whether the network is on air."),
        "stations": gauge("Authorised stations at the last sample."),
        "stations_max": gauge("Most authorised stations at one sample of the span."),
        "signal_p50_dbm": dbm("Median signal of the stations in the span's last sample.", -128, 30),
        "signal_p10_dbm": dbm("Signal that 10 % of the stations do not reach, in the span's last sample.", -128, 30),
        "rx_bps": gauge("Throughput from the stations, bits per second, mean of the span. Source: the device's byte counter."),
        "tx_bps": gauge("Throughput to the stations, bits per second, mean of the span. Source: the device's byte counter."),
        "tx_retry_ratio": ratio("Frames sent again, of all frames sent to stations."),
        "pair": text("Same name on the two BSSs of one owe-transition network.", 64),
    },
    ["ifname", "up"],
)

RADIO = record(
    "One radio (wiphy).",
    {
        "radio": RADIO_NAME,
        "phy": text("The kernel's name of it.", 64),
        "band": BAND,
        "channel": whole("Primary channel.", 1, 233),
        "width_mhz": whole("Channel width, MHz.", 1, 320),
        "tx_power_dbm": dbm("Transmit power.", -30, 40),
        "noise_dbm": dbm("Noise floor. Source: the channel survey.", -128, 0),
        "airtime_busy_ratio": ratio("Share of the time listened within the span that the channel was busy, own sending included. Source: the channel survey."),
        "airtime_tx_ratio": ratio("Share of the time listened within the span that this radio was sending. Source: the channel survey."),
        "up": flag("Whether the radio works."),
        "wanted": extra(
            flag(
                "Only while `up` is false: whether the radio is meant to be on air now. False when the router is not set up to use it, "
                "and while it listens for radar before it may send; such a radio raises no alert. Absent means true."
            )
        ),
    },
    ["radio", "up"],
)


def _counter(what: str) -> Schema:
    return whole(f"{what} since the device was made. Source: the kernel's device statistics.", 0, 2**64 - 1)


INTERFACE = record(
    "One network device; rx and tx as the access point sees them.",
    {
        "name": text("The network device.", 64),
        "role": one_of(("uplink", "lan", "bss", "other"), "What the device is for."),
        "up": flag("Whether the device is up and has carrier."),
        "link_mbps": whole("Negotiated speed, Mbit/s; absent for a device without one.", 1, 1_000_000),
        "duplex": one_of(("full", "half"), "Negotiated duplex."),
        "rx_bytes_total": _counter("Bytes received"),
        "tx_bytes_total": _counter("Bytes sent"),
        "rx_bps": gauge("Throughput received, bits per second, mean of the span by the monotonic clock."),
        "tx_bps": gauge("Throughput sent, bits per second, mean of the span by the monotonic clock."),
        "rx_peak_bps": gauge("Highest 1-second throughput received; only measured while the mean is above 30 % of the contract, or with peaks = true."),
        "tx_peak_bps": gauge("Highest 1-second throughput sent; measured when rx_peak_bps is."),
        "rx_errors_total": _counter("Receive errors"),
        "rx_dropped_total": _counter("Packets dropped on receipt"),
        "tx_errors_total": _counter("Send errors"),
        "tx_dropped_total": _counter("Packets dropped on sending"),
        "reset": RESET,
    },
    ["name", "role", "up"],
)

UPLINK = record(
    "The way out, probed layer by layer.",
    {
        "state": LAYER,
        "gateway_ms": gauge("Latency of a TCP connect (a reset counts) or ICMP echo to the gateway, milliseconds."),
        "dns_ms": gauge("Latency of one UDP query to the uplink's resolver, milliseconds."),
        "internet_ms": gauge("Latency of one TCP connect to the probe's goal, milliseconds."),
        "loss_ratio": ratio("Probes lost of the last 20."),
        "address": text("The uplink's address (IPv4 or IPv6).", 64),
        "gateway": text("The default gateway's address.", 64),
    },
)

DHCP = record(
    "Address leases of the networks served.",
    {
        "leases": gauge("Leases in use now, over all networks served."),
        "pool": whole("Addresses in the pools of all networks served."),
        "fullest_ratio": extra(
            gauge(
                "Leases of the fullest pool over its size: with several networks one is full long before the sum is. Above 1 where addresses "
                "given out for good lie beside the pool. Absent where no pool's size or network is known."
            )
        ),
    },
)

CAPS = record(
    "The bandwidth caps, read back from the kernel (its qdiscs, classes and filters) once per report. Absent where none is wanted.",
    {
        "standing": extra(flag("Whether the kernel has all that is wanted.")),
        "missing": extra(array("What it has not, in words.", text("One thing.", 256), 32)),
        "bypassed": extra(flag("Only when true: the hardware forwards packets past every queue, and so past the caps.")),
    },
    ["standing", "missing"],
)

HOST = record(
    "The router's own health.",
    {
        "cpu_ratio": ratio("CPU time not idle over the span, all cores. Source: /proc/stat."),
        "softirq_ratio": ratio("CPU time in software interrupts (forwarding) over the span. Source: /proc/stat."),
        "load1": gauge("Load average of one minute."),
        "memory_total_bytes": whole("Memory, bytes."),
        "memory_available_bytes": gauge("Memory available without swapping, bytes."),
        "flash_free_bytes": gauge("Free space where settings are kept, bytes."),
        "flash_total_bytes": whole("Size of that file system, bytes."),
        "tmp_free_bytes": gauge("Free space of the RAM file system, bytes."),
        "temperature_c": gauge("Hottest sensor, degrees Celsius.", -60, maximum=200),
        "conntrack": gauge("Connections the firewall tracks now."),
        "conntrack_max": whole("Most connections it can track."),
        "processes": gauge("Processes."),
    },
)

COLLECTOR = record(
    "One collector in this span.",
    {"ms": gauge("Longest time it took at one sample, milliseconds."), "error": text("Why its part, or some of it, is missing.", 200)},
)

AGENT = record(
    "The agent itself.",
    {
        "rss_bytes": gauge("Resident memory of the daemon, bytes."),
        "cpu_s": gauge("CPU seconds used since the daemon started."),
        "loop_lag_ms": gauge("Latest start of a due sample in the span, milliseconds late."),
        "outbox": gauge("Messages kept until acknowledged."),
        "outbox_bytes": gauge("Memory they take, bytes."),
        "oldest_seq": whole("Oldest seq still held: what is older and never came is gone, that time is unknown.", 1),
        "dropped": whole("Messages given up for lack of room, in this boot."),
        "thinned": whole("Reports merged into longer ones for lack of room or age, in this boot."),
        "reconnects": whole("MQTT connections made after the first, by this daemon."),
        "ack_p95_ms": gauge("95th percentile of the time from PUBLISH to PUBACK, milliseconds."),
        "flash_writes": whole("Writes to flash by this daemon."),
        "ignored": extra(whole("Messages from outside refused as malformed, oversize or foreign, by this daemon.")),
        "collectors": of("object", "How each collector fared, by its name.", additionalProperties=COLLECTOR, propertyNames={"pattern": "^[a-z_]{1,32}$"}),
    },
    ["oldest_seq", "collectors"],
)

REPORT = record(
    "One interval of telemetry. A value the router cannot give is absent: not 0, not null. A collector that fails costs its own part only.",
    {
        "v": V,
        "ap": AP,
        "boot": BOOT,
        "seq": SEQ,
        "from_seq": whole("Only in a merged report: it counts as all of from_seq to seq.", 1),
        "at": AT,
        "uptime_s": UPTIME,
        "clock": CLOCK,
        "span_s": gauge("Length of the span that ends at `at`, seconds by the monotonic clock; summed in a merged report."),
        "late": flag("First sent more than two intervals after its `at`."),
        "stations": STATIONS,
        "bss": array("Every network on every radio.", BSS, 64),
        "radios": array("Every radio, dead ones too.", RADIO, 16),
        "interfaces": array("Network devices, uplink first.", INTERFACE, 128),
        "uplink": UPLINK,
        "dhcp": DHCP,
        "caps": extra(CAPS),
        "host": HOST,
        "alerts": array("Codes of the open alerts: the truth, whatever is retained.", known(ALERT_CODES, "An alert's code."), 64),
        "agent": AGENT,
        "max": extra(
            of(
                "object",
                "Only in a merged report, whose gauges are means: the highest value of each gauge, by its path (`host.cpu_ratio`, `radios.radio0.noise_dbm`).",
                additionalProperties={"type": "number"},
            )
        ),
    },
    ["v", "ap", "boot", "seq", "uptime_s", "clock", "span_s", "late", "agent"],
)

INFO = record(
    "Who this access point is and what it can do.",
    {
        "v": V,
        "ap": AP,
        "model": text("The box, as its maker calls it.", 128),
        "board": text("The board's name in OpenWrt, or the machine's.", 128),
        "os": text("Operating system and version.", 128),
        "kernel": text("Kernel release.", 128),
        "agent": text("The agent's version.", 64),
        "python": text("Python's version.", 64),
        "backend": known(("openwrt", "linux", "simulated"), "How the agent reads this box."),
        "commands": array("Commands it takes.", text("A command's name.", 48, pattern=NAME_PATTERN), 64),
        "sections": array("Config sections it can apply.", text("A section's name.", 48), 64),
        "collectors": array("Collectors that run.", text("A collector's name.", 32), 64),
        "radios": array("Its radios.", record("A radio.", {"radio": RADIO_NAME, "band": BAND}, ["radio"]), 16),
        "uplink": text("The uplink's interface, as the settings name it.", 64),
        "certificate_expires_at": moment("End of the client certificate's validity; absent without one."),
        "keys": array("Ids of the public keys whose pushes it accepts.", text("A key's id.", 16, pattern=KID_PATTERN), 64),
    },
    ["v", "ap", "agent", "python", "backend", "collectors", "radios"],
)

EVENT_DATA = {
    "boot": record(
        "The agent's first start in this boot of the router.",
        {
            "cause": text("Why it booted, where known.", 128),
            "previous_uptime_s": gauge("How long the boot before lasted, where known."),
            "agent": extra(text("The agent's version.", 64)),
        },
    ),
    "uplink": record(
        "The way out changed.",
        {"from": LAYER, "to": LAYER, "for_s": gauge("How long the former state lasted, seconds.")},
        ["from", "to"],
    ),
    "radio": record("A radio went or came.", {"radio": RADIO_NAME, "up": flag("Whether it works now.")}, ["radio", "up"]),
    "config": record("A push went a step.", {"revision": whole("Of the desired config."), "step": text("Which step.", 48)}, ["revision", "step"]),
    "clock": record(
        "The clock was set, or trust in it changed.",
        {"from": CLOCK, "to": CLOCK, "step_s": gauge("How far it was moved, seconds; negative: back.", -YEAR_2100)},
        ["from", "to"],
    ),
    "agent": record(
        "The agent itself changed.",
        {
            "state": extra(known(("restart", "safe-mode"), "restart (of the agent, not of the box) or safe-mode (it is over).")),
            "agent": extra(text("The agent's version.", 64)),
            "safe_mode_for_s": extra(gauge("How long the safe mode lasted that ended with this start. Seconds.")),
            "crashes": extra(whole("How many crashes led to it, and came after the tries to leave it.", 1)),
        },
    ),
}

EVENT = record(
    "Something happened.",
    {
        "v": V,
        "ap": AP,
        "boot": BOOT,
        "seq": SEQ,
        "at": AT,
        "uptime_s": UPTIME,
        "clock": extra(CLOCK),
        "kind": known(tuple(EVENT_DATA), "What kind of thing."),
        "data": of("object", "What exactly, by kind."),
    },
    ["v", "ap", "boot", "seq", "uptime_s", "kind", "data"],
) | {
    "allOf": [
        {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": {"properties": {"data": data}}} for kind, data in EVENT_DATA.items()
    ]
}

ALERT = record(
    "An open problem, retained; an empty payload on its topic clears it. The list in each report is the truth.",
    {
        "v": V,
        "code": known(ALERT_CODES, "Which problem; also the last level of the topic."),
        "since": moment("When it began; absent while the clock is unknown."),
        "data": of("object", "What was measured, by code."),
    },
    ["v", "code", "data"],
)

ACK = record(
    "What the city has committed to disk of one boot. What it covers the access point forgets; what it names missing is sent again.",
    {
        "boot": BOOT,
        "through": whole("All seq up to this one are committed, except `missing`."),
        "missing": array(
            "Ranges not committed, each [first, last], rising, none after `through`. Absent means none.",
            of("array", "First and last seq.", items=whole("A seq.", 1), minItems=2, maxItems=2),
            MAX_MISSING,
        ),
    },
    ["boot", "through"],
)

ECHO = record(
    "The agent's liveness test to itself; everybody else ignores it.",
    {"v": V, "session": SESSION, "number": extra(whole("Counts the tests of this session."))},
    ["v", "session", "number"],
)

PAYLOADS: dict[str, Schema] = {
    "presence": PRESENCE,
    "info": INFO,
    "report": REPORT,
    "event": EVENT,
    "alert": ALERT,
    "ack": ACK,
    "echo": ECHO,
    "config-claims": CLAIMS,
    "config-reported": REPORTED,
    "config-plan-result": PLAN_RESULT,
} | COMMANDS


def published(name: str) -> Schema:
    """Give one payload's JSON Schema as it is published: open to members of later versions."""
    return {"$schema": DIALECT, "$id": f"urn:rwagent:wire:v1:{name}", "title": name, **PAYLOADS[name]}
