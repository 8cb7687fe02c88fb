"""hostapd's configuration file, to and from a tree in UCI's words. Pure: takes text and gives text.

Every line that is not ours to change stays as it is, byte for byte: comments, options without a word in UCI, other people's networks.
A value that could end its line, or mean something else to hostapd than what was pushed, is refused and never written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.change import Section
from agent.errors import Unavailable
from agent.router import hostapd_radio
from agent.router.hostapd_lines import last, put

# UCI's word, hostapd's. What stands in one line on both sides.
LINES = {
    "network": "bridge",
    "hidden": "ignore_broadcast_ssid",
    "isolate": "ap_isolate",
    "maxassoc": "max_num_sta",
    "ieee80211w": "ieee80211w",
    "owe_transition_ifname": "owe_transition_ifname",
    "owe_transition_bssid": "owe_transition_bssid",
    "disabled": "start_disabled",
}
FLAGS = ("hidden", "isolate", "disabled")
# These lines, and no other of SECURITY, are one of UCI's encryptions.
ENCRYPTIONS: dict[str, tuple[str, ...]] = {
    "none": (),
    "owe": ("wpa=2", "wpa_key_mgmt=OWE", "rsn_pairwise=CCMP"),
    "psk2": ("wpa=2", "wpa_key_mgmt=WPA-PSK", "rsn_pairwise=CCMP"),
    "sae-mixed": ("wpa=2", "wpa_key_mgmt=WPA-PSK SAE", "rsn_pairwise=CCMP", "sae_require_mfp=1"),
    "sae": ("wpa=2", "wpa_key_mgmt=SAE", "rsn_pairwise=CCMP"),
}
# All that decides who may join and how it is encrypted, but for the secrets: what remains of an old encryption would weaken the new one.
SECURITY = ("wpa", "wpa_key_mgmt", "rsn_pairwise", "wpa_pairwise", "sae_require_mfp", "ieee8021x", "osen")
SECRETS = ("wpa_passphrase", "wpa_psk", "sae_password")
# With these, the key in the file is not the only one that opens the network.
OTHER_KEYS = ("wpa_psk_file", "wpa_psk_radius", "sae_password_file", "wep_key0", "wep_key1", "wep_key2", "wep_key3")
AS_IT_IS = "lines "  # an encryption that UCI has no word for
SHARED = ("ctrl_interface", "ctrl_interface_group", "wmm_enabled")  # what a new network has like the file's first one

_OURS = re.compile(r"rw-([a-z0-9]{1,8})-(?:(2g|5g|6g)([2-9]?)|(2g|5g|6g)o|([256])o([2-9]))", re.ASCII)
_IFNAME = re.compile(r"[A-Za-z0-9_.-]{1,15}", re.ASCII)
_ASCII = re.compile(r"[ -~]{1,32}", re.ASCII)
_KEY = re.compile(r"[ -~]{8,63}|[0-9a-fA-F]{64}", re.ASCII)
_WORD = re.compile(r"[!-~]{1,64}", re.ASCII)


class Block(NamedTuple):
    """One network: its interface and its lines, with their ends, from `bss=` to the last line that says something. The first one has the radio's lines too."""

    ifname: str
    lines: tuple[str, ...]


class Conf(NamedTuple):
    """One file: the networks, and after each of them the empty lines and comments that stand before the next."""

    blocks: tuple[Block, ...]
    gaps: tuple[tuple[str, ...], ...]


def parse(content: bytes) -> Conf:
    """Read a file; Unavailable when it names no interface, or one interface twice."""
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    ended = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    starts = [index for index, line in enumerate(ended) if line.startswith("bss=")]
    blocks, gaps = [], []
    for start, end, word in zip([0, *starts], [*starts, len(ended)], ["interface", *["bss"] * len(starts)], strict=True):
        said = max((index + 1 for index in range(start, end) if _says(ended[index])), default=start)
        part = tuple(ended[start:said])
        ifname = last(part, word)
        if ifname is None or not _IFNAME.fullmatch(ifname):
            raise Unavailable("hostapd's file names no interface" if ifname is None else "hostapd's file has an interface's name that is none")
        blocks.append(Block(ifname, part))
        gaps.append(tuple(ended[said:end]))
    names = [section_of(block.ifname) for block in blocks]
    if len(set(names)) < len(names):
        raise Unavailable("hostapd's file has two interfaces of one name")
    return Conf(tuple(blocks), tuple(gaps))


def text(conf: Conf) -> bytes:
    """Write the file."""
    parts = [line for block, gap in zip(conf.blocks, conf.gaps, strict=True) for line in (*block.lines, *gap)]
    return "".join(parts).encode("utf-8", "surrogateescape")


def section_of(ifname: str) -> str:
    """Give the section's name of an interface: rw_public_2g for ours, else the interface's with underscores."""
    found = _OURS.fullmatch(ifname)
    if found is None:
        return re.sub("[^A-Za-z0-9_]", "_", ifname)
    ssid, band, number, half_band, half_digit, half_number = found.groups()
    parts = ["rw", ssid, band or half_band or f"{half_digit}g", number or half_number, "" if band else "owe"]
    return "_".join(part for part in parts if part)


def is_ours(section: str, ifname: str) -> bool:
    """Say whether a network carries a name that only we give, in both places."""
    return _OURS.fullmatch(ifname) is not None and section_of(ifname) == section


def sections(conf: Conf, radio: str) -> dict[str, Section]:
    """Give the file in UCI's words: the radio, and a section for each network in the file's order."""
    # Of the radio's lines the last in the whole file counts, wherever it stands.
    everything = [line for block in conf.blocks for line in block.lines]
    found = {radio: Section("wifi-device", radio, {name: (value,) for name, value in hostapd_radio.options(everything).items()})}
    for block in conf.blocks:
        name = section_of(block.ifname)
        options = {"device": radio, "mode": "ap", "ifname": block.ifname} | _options(block.lines)
        found[name] = Section("wifi-iface", name, {option: (value,) for option, value in options.items()})
    return found


def changed(conf: Conf, radio: str, before: Mapping[str, Section], after: Mapping[str, Section]) -> Conf:
    """Make the file say what `after` says where it differs from `before`; Unavailable for what hostapd's file cannot say, or must not."""
    for name in before:
        if name not in after:
            conf = _without(conf, name)
    for name, section in after.items():
        options = {option: section.value(option) for option in section.options}
        if name not in before:
            conf = _with(conf, name, options)
        was = _as_read(conf, radio, name)
        differing = {option: options.get(option) for option in {**options, **was} if was.get(option) != options.get(option)}
        if name == radio and differing:
            if any(last(block.lines, word) is not None for block in conf.blocks[1:] for word in hostapd_radio.WORDS):
                raise Unavailable("hostapd's file has a radio's line below a network's `bss=`: put it above the first")
            conf = _replaced(conf, 0, hostapd_radio.put_options(conf.blocks[0].lines, differing))
        elif differing:
            index = _index(conf, name)
            conf = _replaced(conf, index, _put_options(conf.blocks[index].lines, differing, options))
    return conf


# --- one network -------------------------------------------------------------------------------------------------


def _options(lines: Sequence[str]) -> dict[str, str]:
    found = {}
    ssid = _ssid(lines)
    if ssid is not None:
        found["ssid"] = ssid
    found["encryption"] = _encryption(lines)
    key = _key(lines)
    if key is not None:
        found["key"] = key
    for option, word in LINES.items():
        value = last(lines, word)
        if value is not None:
            found[option] = ("0" if value == "0" else "1") if option in FLAGS else value
    return found


def _ssid(lines: Sequence[str]) -> str | None:
    """Read the name from whichever of both lines is the last, in all three ways to write it."""
    for line in reversed(lines):
        word, _, value = line.rstrip("\n").partition("=")
        if word == "ssid":
            return value
        if word == "ssid2":
            if value.startswith('"'):
                return value[1:].rpartition('"')[0]
            try:
                return bytes.fromhex(value).decode("utf-8", "surrogateescape")
            except ValueError:  # P"…" or none: not ours to understand
                return value
    return None


def _encryption(lines: Sequence[str]) -> str:
    said = tuple(line.rstrip("\n") for line in lines if line.partition("=")[0] in SECURITY)
    if said == ("wpa=0",):
        return "none"
    return next((name for name, known in ENCRYPTIONS.items() if sorted(known) == sorted(said)), AS_IT_IS + "|".join(said))


def _key(lines: Sequence[str]) -> str | None:
    return next((value for word in SECRETS if (value := last(lines, word)) is not None), None)


def _put_options(lines: tuple[str, ...], differing: Mapping[str, str | None], options: Mapping[str, str | None]) -> tuple[str, ...]:
    for option, value in differing.items():
        if option in ("device", "mode", "ifname"):
            raise Unavailable(f"hostapd's file: {option} of a network that is there cannot be changed")
        if option == "ssid":
            lines = put(lines, ("ssid", "ssid2", "utf8_ssid"), ssid_lines(value) if value is not None else ())
        elif option == "encryption":
            lines = put(lines, SECURITY, _security_lines(value))
        elif option == "key":
            lines = put(_only_key(lines), SECRETS, _key_lines(value))
        elif option in LINES:
            lines = put(lines, (LINES[option],), () if value is None else (f"{LINES[option]}={_word(option, value)}",))
        elif value is not None:
            raise Unavailable(f"hostapd's file has no line for {option}")
    return lines


def ssid_lines(ssid: str) -> tuple[str, ...]:
    """Write a name so that no byte of it can end the line or be taken for anything else; Unavailable unless it is 1 to 32 bytes of UTF-8."""
    try:
        raw = ssid.encode("utf-8")
    except UnicodeEncodeError:
        raise Unavailable("an SSID is not UTF-8") from None
    if not 1 <= len(raw) <= 32:
        raise Unavailable(f"an SSID of {len(raw)} bytes, expected 1 to 32")
    if _ASCII.fullmatch(ssid):
        return (f"ssid={ssid}",)
    return (f"ssid2={raw.hex()}", "utf8_ssid=1")


def _security_lines(encryption: str | None) -> tuple[str, ...]:
    if encryption is not None and encryption.startswith(AS_IT_IS):
        said = tuple(encryption.removeprefix(AS_IT_IS).split("|"))
        # Nothing but what was read from such a file comes back this way.
        if all(line.partition("=")[0] in SECURITY and line.isprintable() for line in said):
            return said
    if encryption is None or encryption not in ENCRYPTIONS:
        raise Unavailable("an encryption that is none of ours")
    return ENCRYPTIONS[encryption]


def _only_key(lines: tuple[str, ...]) -> tuple[str, ...]:
    secrets = {line.rstrip("\n").partition("=")[2] for line in lines if line.partition("=")[0] in SECRETS}
    # SAE's may carry more than the password, behind a bar: for whom it is, in which VLAN.
    is_plain = "|" not in (last(lines, "sae_password") or "")
    if len(secrets) > 1 or not is_plain or any(last(lines, word) is not None for word in OTHER_KEYS):
        raise Unavailable("a network with more than one key is none that a push can take over")
    return lines


def _key_lines(key: str | None) -> tuple[str, ...]:
    if key is None:
        return ()
    if not _KEY.fullmatch(key):
        raise Unavailable("a key that is not 8 to 63 printable ASCII characters")
    return (f"wpa_psk={key}",) if len(key) == 64 else (f"wpa_passphrase={key}",)


def _word(option: str, value: str) -> str:
    if not _WORD.fullmatch(value):
        raise Unavailable(f"hostapd's file: {option} has a value that is no word")
    return value


# --- the file's networks -----------------------------------------------------------------------------------------


def _with(conf: Conf, name: str, options: Mapping[str, str | None]) -> Conf:
    ifname = options.get("ifname") or ""
    if not is_ours(name, ifname) or options.get("mode") != "ap":
        raise Unavailable(f"hostapd's file: {name} is no network of ours")
    first = conf.blocks[0].lines
    shared = tuple(f"{word}={value}\n" for word in SHARED if (value := last(first, word)) is not None)
    *gaps, end = conf.gaps
    # The comments at the file's end stay before it, and the last line gets the end that it may lack.
    blocks, end = _ended(conf.blocks, end)
    block = Block(ifname, (f"bss={ifname}\n", *shared))
    return Conf((*blocks, block), (*gaps, end, ()))


def _ended(blocks: tuple[Block, ...], gap: tuple[str, ...]) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    if gap:
        return blocks, (*gap[:-1], gap[-1].removesuffix("\n") + "\n")
    *lines, end = blocks[-1].lines
    return (*blocks[:-1], blocks[-1]._replace(lines=(*lines, end.removesuffix("\n") + "\n"))), gap


def _without(conf: Conf, name: str) -> Conf:
    index = next((index for index, block in enumerate(conf.blocks) if section_of(block.ifname) == name), 0)
    if index == 0 or not is_ours(name, conf.blocks[index].ifname):
        raise Unavailable(f"hostapd's file: {name} is not ours to remove")
    # What stood between it and the next stays, behind the network before it.
    gaps = [*conf.gaps[: index - 1], (*conf.gaps[index - 1], *conf.gaps[index]), *conf.gaps[index + 1 :]]
    return Conf((*conf.blocks[:index], *conf.blocks[index + 1 :]), tuple(gaps))


def _replaced(conf: Conf, index: int, lines: tuple[str, ...]) -> Conf:
    return conf._replace(blocks=(*conf.blocks[:index], conf.blocks[index]._replace(lines=lines), *conf.blocks[index + 1 :]))


def _index(conf: Conf, name: str) -> int:
    return next(index for index, block in enumerate(conf.blocks) if section_of(block.ifname) == name)


def _as_read(conf: Conf, radio: str, name: str) -> dict[str, str | None]:
    section = sections(conf, radio)[name]
    return {option: section.value(option) for option in section.options}


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")
