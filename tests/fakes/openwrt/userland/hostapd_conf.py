"""From a wifi-iface's options to what hostapd makes of them, as wifi-scripts' shell (to 24.10) and ucode (25.12) write its file; traps included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

TRUE = ("1", "on", "true", "yes", "enabled")
SSID_BYTES = 32
_DIRECTIVES = frozenset(
    {
        *("ssid", "ssid2", "wpa", "wpa_passphrase", "wpa_psk", "wpa_key_mgmt", "wpa_pairwise", "ignore_broadcast_ssid", "ap_isolate", "max_num_sta"),
        *("bridge", "interface", "auth_algs", "channel", "ieee80211w", "sae_password", "utf8_ssid", "wmm_enabled", "disassoc_low_ack", "dtim_period"),
        *("owe_transition_ifname", "bssid"),
    }
)
# 25.12's schema of a wifi-iface and a wifi-device, where it has a list of words or bounds.
_WORDS = {"macfilter": ("allow", "deny"), "ieee80211w": ("0", "1", "2"), "mode": ("ap", "sta", "adhoc", "mesh", "monitor", "wds")}
_DEVICE_WORDS = {
    "band": ("2g", "5g", "6g", "60g"),
    "htmode": (
        *("NOHT", "HT20", "HT40-", "HT40+", "HT40", "VHT20", "VHT40", "VHT80", "VHT160", "HE20", "HE40", "HE80", "HE160"),
        *("EHT20", "EHT40", "EHT80", "EHT160", "EHT320"),
    ),
}
_BOUNDS = {"dtim_period": (1, 255)}
_DEVICE_BOUNDS = {"cell_density": (0, 3), "beacon_int": (15, 65535), "mbssid": (0, 2), "log_level": (0, 4)}

Options = Mapping[str, str | list[str]]


class Refused(Exception):
    """Why hostapd does not take a radio's file."""


class Wanted(NamedTuple):
    """One BSS as hostapd would run it; `key` None with a cipher means that nobody can join."""

    ssid: str
    is_open: bool
    key: str | None
    is_hidden: bool
    sae: bool
    owe: bool


def text(options: Options, name: str, default: str = "") -> str:
    """Give an option as one text."""
    value = options.get(name, default)
    return value if isinstance(value, str) else " ".join(value)


def is_on(options: Options, name: str) -> bool:
    """Say whether an option is set to yes."""
    return text(options, name) in TRUE


def violation(options: Options, *, is_device: bool) -> str | None:
    """Say which option 25.12's schema does not bear; such a one ends the whole radio's setup."""
    words, bounds = (_DEVICE_WORDS, _DEVICE_BOUNDS) if is_device else (_WORDS, _BOUNDS)
    for name in options:
        value = text(options, name)
        if name in words and value not in words[name]:
            return f"{name}={value}"
        if name in bounds and not (value.isdigit() and bounds[name][0] <= int(value) <= bounds[name][1]):
            return f"{name}={value}"
    return None


def render(options: Options, is_ucode: bool) -> Wanted | None:
    """Give the BSS of these options; None when it is left out (a key that is none, up to 24.10), Refused when the file is not taken."""
    kind, _, _ = text(options, "encryption", "none").partition("+")
    wpa, sae, owe = _security(kind)
    key = text(options, "key")
    lines = [("wpa", str(wpa))]
    if wpa and not owe and not kind.startswith(("wpa", "psk-radius")):
        if not 8 <= len(key) <= 64 or (len(key) == 64 and key.strip("0123456789abcdefABCDEF")):
            if not is_ucode:
                return None
        else:
            lines += _raw("wpa_psk" if len(key) == 64 else "wpa_passphrase", key)
    lines.append(("ignore_broadcast_ssid", "1" if is_on(options, "hidden") else "0"))
    ssid = text(options, "ssid")
    lines += [("ssid2", ssid)] if is_ucode else _raw("ssid", ssid)
    return _taken(lines, sae, owe)


def _security(kind: str) -> tuple[int, bool, bool]:
    """Read the first word of `encryption`: what matches nothing is open, without an error anywhere."""
    if kind == "owe":
        return 2, False, True
    if kind in ("sae", "psk3", "sae-mixed", "psk3-mixed"):
        return 2, True, False
    if kind in ("psk2", "wpa2", "wpa3", "wpa3-mixed", "wpa3-192"):
        return 2, False, False
    return {"psk": 1, "wpa": 1, "psk-mixed": 3, "wpa-mixed": 3}.get(kind, 0), False, False


def _raw(name: str, value: str) -> list[tuple[str, str]]:
    """Write a value as it is: its line breaks are the file's."""
    pairs = []
    for line in f"{name}={value}".split("\n"):
        directive, equals, rest = line.partition("=")
        if line and not line.startswith("#"):
            pairs.append((directive, rest if equals else "\0"))
    return pairs


def _taken(lines: list[tuple[str, str]], sae: bool, owe: bool) -> Wanted:
    """Read the file as hostapd does: a later line wins; one that it does not know, and it takes none of the radio's."""
    found: dict[str, str] = {}
    for name, value in lines:
        if name not in _DIRECTIVES or value == "\0":
            raise Refused(f"unknown configuration item '{name}'")
        found["ssid" if name == "ssid2" else name] = value
    ssid = found["ssid"]
    if not ssid or len(ssid.encode("latin-1")) > SSID_BYTES:
        raise Refused("invalid SSID")
    is_open = found["wpa"] == "0"
    key = None if is_open else found.get("wpa_passphrase", found.get("wpa_psk"))
    return Wanted(ssid, is_open, key, found["ignore_broadcast_ssid"] == "1", sae and not is_open, owe and not is_open)
