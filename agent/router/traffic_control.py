"""Whether the kernel has the caps that are wanted: its qdiscs, classes and filters, as it tells them itself. Unprivileged; only asks, starts no process.

What must be so is what agent/ash/caps makes: filters on each network device lead its packets into one intermediate device (IFB) for each way, where an
HTB lets pass what the cap says, and every packet without a class of its own is in one that is no wider than a station's.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from agent.errors import Unavailable
from agent.router.caps import UPLINK, Cap
from agent.router.rtnetlink import ROOT, TC_BYTES, Kernel, Tc, attribute

MOST_MISSING = 16
TO, FROM = "rwd-", "rwu-"  # what the IFBs of the way down and of the way up are called, before the cap's name
PREFERENCE = 47000
QDISC, WHOLE, KEYS = 0x10000, 0x10001, 0x10003  # 1: and the classes in it for the whole cap, 1:1, and for a station's keys, 1:3
MOST_KEYS_KBIT = 256
STATIC = frozenset(range(0x10100, 0x10140))  # by a station's address, for those that have no leaf of their own
_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # TC_H_CLSACT with TC_H_MIN_INGRESS, TC_H_MIN_EGRESS
_OURS = PREFERENCE << 16 | socket.htons(3)  # for ETH_P_ALL
_TABLE = 0xFFF00000  # of a u32 filter's handle the part that names its table; as a handle TC_U32_ROOT, the table that all begins with
_BYTES_OF_KBIT = 125
_HTB, _U32 = (struct.pack("=HH4s", 8, 1, kind) for kind in (b"htb", b"u32"))  # the attribute TCA_KIND
_OPTIONS = 2  # TCA_OPTIONS
_HTB_PARMS, _HTB_INIT = 1, 2
_HTB_RATES = struct.Struct("=8xI8xI")  # struct tc_htb_opt: the rates of its two struct tc_ratespec, bytes per second
_HTB_GLOBAL = struct.Struct("=3I")  # struct tc_htb_glob: version, rate2quantum, defcls
_U32_CLASS, _U32_SELECTOR, _U32_ACTIONS = 1, 5, 7
_U32_KEYS, _U32_MASK = struct.Struct("=2xB13x"), struct.Struct("=16xI")  # struct tc_u32_sel: nkeys; behind it the mask of its first key
_FIRST, _ACT_KIND, _ACT_OPTIONS = 1, 1, 2  # of a filter's actions the first, and its TCA_ACT_KIND, TCA_ACT_OPTIONS
_MIRRED_PARMS, _MIRRED_TO = 2, struct.Struct("=20xiI")  # struct tc_mirred behind tc_gen: eaction, ifindex
_EGRESS_REDIRECT = 1


class _Class(NamedTuple):
    parent: int
    rate: int
    ceiling: int


def standing(wanted: Sequence[Cap], sys_class_net: str = "/sys/class/net", ask: Callable[[], Kernel] = Kernel) -> list[str]:
    """Name what is not as wanted, [] when all of it stands; Unavailable when the kernel cannot be asked.

    A network device that is not there now is not missed; an IFB of ours that no cap wants is one thing too many. At most MOST_MISSING are named.
    """
    with ask() as kernel:
        found = [text for cap in wanted for text in _cap(kernel, cap)]
    wanted_names = {way + cap.name for cap in wanted for way in (TO, FROM)}
    found += [f"{name} is there, but no cap wants it" for name in _ours(sys_class_net) if name not in wanted_names]
    return found if len(found) <= MOST_MISSING else [*found[: MOST_MISSING - 1], f"and {len(found) - MOST_MISSING + 1} more"]


def _ours(sys_class_net: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(sys_class_net) if name.startswith((TO, FROM)))
    except OSError as error:
        raise Unavailable(f"{sys_class_net} cannot be read: {error.strerror}") from None


def _cap(kernel: Kernel, cap: Cap) -> Iterator[str]:
    """Look at both ways of a cap. A station's packets come in where the uplink's go out."""
    places = (_INGRESS, _EGRESS) if cap.name == UPLINK else (_EGRESS, _INGRESS)
    rates = ((cap.down_kbit, cap.station_down_kbit), (cap.up_kbit, cap.station_up_kbit))
    for name, place, (kbit, station_kbit) in zip((TO + cap.name, FROM + cap.name), places, rates, strict=True):
        if kbit is None and station_kbit is None:
            continue
        ifb = kernel.link(name)
        if ifb is None:
            yield f"{name} is missing"
            continue
        if not ifb.is_up:
            yield f"{name} is down"
        yield from (f"{name} {what}" for what in _shaper(kernel, ifb.ifindex, kbit, station_kbit))
        for device in cap.devices:
            link = kernel.link(device)
            if link is not None and not _is_led(kernel, link.ifindex, place, ifb.ifindex):
                yield f"{device} does not lead to {name}"


def _shaper(kernel: Kernel, ifindex: int, kbit: int | None, station_kbit: int | None) -> Iterator[str]:
    """Look at the HTB of one IFB. In one that has no class for the rest, packets that no filter knows pass by all of it."""
    qdisc = kernel.root(ifindex)
    if qdisc is None or qdisc.handle != QDISC or not _options(qdisc, _HTB):
        yield "has no HTB"
        return
    classes = {one.handle: _class(one) for one in kernel.classes(ifindex, QDISC)}
    whole = classes.pop(WHOLE, None)
    if kbit is not None and (whole is None or whole.parent != ROOT or {whole.rate, whole.ceiling} != {kbit * _BYTES_OF_KBIT}):
        yield f"does not let {kbit} kbit/s pass"
    if QDISC | _default(qdisc) not in classes:
        yield "has no class for the rest"
    if any(one.parent == ROOT for one in classes.values()):
        yield "has a class beside the whole"
    each = min(rate for rate in (kbit, station_kbit) if rate is not None)
    wrong = sum(not _is_right(handle, one, each) for handle, one in classes.items())
    if wrong:
        yield f"has {wrong} classes that are not of {each} kbit/s"
    yield from _sorting(kernel.filters(ifindex, QDISC), classes, station_kbit is not None)


def _sorting(filters: Sequence[Tc], classes: Mapping[int, _Class], is_by_station: bool) -> Iterator[str]:
    """Look at the filters of an HTB. What one of them leads to 1: itself passes by all of its classes (sch_htb.c, HTB_DIRECT)."""
    led_to = {_led_to(one) for one in filters}
    if not led_to <= classes.keys() | {0} or not all(_is_of(one, _U32) for one in filters):
        yield "has a filter that leads past its classes"
    lacking = len(STATIC - (classes.keys() & led_to)) if is_by_station else 0
    if lacking:
        yield f"leads no station to {lacking} of its {len(STATIC)} classes for them"


def _is_right(handle: int, found: _Class, kbit: int) -> bool:
    """Say whether a class below the whole lets pass what it should."""
    return found.ceiling <= MOST_KEYS_KBIT * _BYTES_OF_KBIT if handle == KEYS else found.ceiling == kbit * _BYTES_OF_KBIT


def _is_led(kernel: Kernel, ifindex: int, place: int, to: int) -> bool:
    """Say whether all that passes one place of a device is led to another one.

    What is listed of u32 at one place are the filters of both; the table that a place begins with says which are its own.
    """
    own = kernel.filter(ifindex, place, _OURS, _TABLE)
    return own is not None and any(one.handle & _TABLE == own.handle and _leads_all(one, to) for one in kernel.filters(ifindex, place))


def _options(found: Tc, kind: bytes) -> bytes:
    """Give the options of a qdisc, class or filter of that kind, b"" for one of another. The kernel tells the kind before all else."""
    return attribute(found.raw, _OPTIONS, TC_BYTES + len(kind)) if _is_of(found, kind) else b""


def _is_of(found: Tc, kind: bytes) -> bool:
    return found.raw.startswith(kind, TC_BYTES)


def _default(qdisc: Tc) -> int:
    """Give the number of the class for packets that no filter knows; 0 means none."""
    told = attribute(_options(qdisc, _HTB), _HTB_INIT)
    return int(_HTB_GLOBAL.unpack_from(told)[2]) & 0xFFFF if len(told) >= _HTB_GLOBAL.size else 0


def _class(found: Tc) -> _Class:
    told = attribute(_options(found, _HTB), _HTB_PARMS)
    rate, ceiling = _HTB_RATES.unpack_from(told) if len(told) >= _HTB_RATES.size else (0, 0)
    return _Class(found.parent, rate, ceiling)


def _led_to(found: Tc) -> int:
    """Give the class that a filter leads to, 0 for none."""
    return int.from_bytes(attribute(_options(found, _U32), _U32_CLASS)[:4], sys.byteorder)


def _leads_all(found: Tc, ifindex: int) -> bool:
    """Say whether a filter is ours, takes every packet, and leads it to that device."""
    if found.info != _OURS:
        return False
    options = _options(found, _U32)
    action = attribute(attribute(options, _U32_ACTIONS), _FIRST)
    return _takes_all(attribute(options, _U32_SELECTOR)) and attribute(action, _ACT_KIND) == b"mirred\0" and _redirects(action, ifindex)


def _takes_all(selector: bytes) -> bool:
    """Say whether a u32 selector has no key that some packet could fail."""
    if len(selector) < _U32_MASK.size:
        return len(selector) >= _U32_KEYS.size and not _U32_KEYS.unpack_from(selector)[0]
    return _U32_KEYS.unpack_from(selector)[0] == 1 and not _U32_MASK.unpack_from(selector)[0]


def _redirects(action: bytes, ifindex: int) -> bool:
    told = attribute(attribute(action, _ACT_OPTIONS), _MIRRED_PARMS)
    return len(told) >= _MIRRED_TO.size and _MIRRED_TO.unpack_from(told) == (_EGRESS_REDIRECT, ifindex)
