"""Collectors that misbehave in every way we can think of; each takes the place of a good one and keeps its understanding.

A spell lasts `SPELL` calls, then the collector is good again: nothing of it may stay behind.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from agent.collectors import COLLECTORS
from agent.errors import Unavailable
from agent.router.contract import Router

SPELL = 3
HUGE = 10_000_000
MAC = "02:AB:cd:ef:01:23"
Collect = Callable[[Router], Any]


def distorted(value: Any, distort: Callable[[Any], Any]) -> Any:
    """Give a reading of the right shape with every value in it distorted."""
    if isinstance(value, dict):
        return {key: distorted(each, distort) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return type(value)._make(distorted(each, distort) for each in value)
    if isinstance(value, (list, tuple)):
        return type(value)(distorted(each, distort) for each in value)
    return distort(value)


def _raise(_good: Collect, _router: Router) -> Any:
    raise RuntimeError("a bug, with a line\nbreak and \x1b[31mcolour")


def _raise_a_mac(_good: Collect, _router: Router) -> Any:
    return {}[MAC]


def _raise_unavailable(_good: Collect, _router: Router) -> Any:
    raise Unavailable("there is no such thing")


def _recurse(good: Collect, router: Router) -> Any:
    return _recurse(good, router)


def _spin(_good: Collect, _router: Router) -> Any:
    while True:
        pass


def _swallow(_good: Collect, _router: Router) -> Any:
    while True:
        try:
            while True:
                time.sleep(0.001)
        except Exception:
            continue


def _block(_good: Collect, _router: Router) -> Any:
    fifo = os.path.join(tempfile.mkdtemp(dir="."), "fifo")
    os.mkfifo(fifo)
    with open(fifo, "rb") as file:
        return file.read()


def _giving(value: Any) -> Callable[[Collect, Router], Any]:
    return lambda _good, _router: value


def _huge_words(good: Collect, router: Router) -> Any:
    huge = "x" * HUGE
    return distorted(good(router), lambda value: huge if isinstance(value, str) else value)


def _distorting(distort: Callable[[Any], Any]) -> Callable[[Collect, Router], Any]:
    return lambda good, router: distorted(good(router), distort)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


WAYS: dict[str, Callable[[Collect, Router], Any]] = {
    "raises": _raise,
    "tells": _raise_a_mac,
    "unavailable": _raise_unavailable,
    "recurses": _recurse,
    "spins": _spin,
    "swallows": _swallow,
    "blocks": _block,
    "none": _giving(None),
    "text": _giving("banana"),
    "number": _giving(42),
    "list": _giving([1, "two", None]),
    "huge": lambda _good, _router: "x" * HUGE,
    "nothings": _distorting(lambda _: None),
    "words": _distorting(lambda _: "banana"),
    "bytes": _distorting(lambda _: b"\xff\x00"),
    "lists": _distorting(lambda _: [[]]),
    "hugewords": _huge_words,
    "nan": _distorting(lambda value: math.nan if _is_number(value) else value),
    "infinite": _distorting(lambda value: math.inf if _is_number(value) else value),
    "endless": _distorting(lambda value: 10**400 if _is_number(value) else value),
}


def bad(name: str, way: str) -> SimpleNamespace:
    """Make the collector `name` misbehave in one way for a spell."""
    good, calls = COLLECTORS[name], [0]

    def collect(router: Router) -> Any:
        calls[0] += 1
        return WAYS[way](good.collect, router) if calls[0] <= SPELL else good.collect(router)

    return SimpleNamespace(NAME=name, collect=collect, Span=good.Span)
