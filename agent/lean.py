"""Import a package without the modules it asks for and we never reach: each costs the daemon private memory for its whole life.

Measured (CPython 3.11, x86-64, private dirty): paho's urllib, uuid, platform and hashlib 720 KiB; psutil's
subprocess, datetime, glob and pwd 730 KiB, its named tuples 150; logging's traceback 240 KiB and 5 ms at the start. Only a
package's own door may use this, with the reason beside it; logging's and socket's is this module, which the daemon imports first.
"""

from __future__ import annotations

import collections
import importlib
import sys
import typing
from collections.abc import Iterable
from types import ModuleType, TracebackType
from typing import Any, Literal

_NAMEDTUPLE: Any = collections.namedtuple


class _Absent(ModuleType):
    """Stands in for a module; what the package asks of it after all fails as if it were not there."""


class _Late(ModuleType):
    """Stands in for a module that is loaded when something of it is first asked for."""

    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module(self.__name__), name)


class Without:
    """While entered, `import name` gives an empty stand-in for each of `names` that is not loaded yet; afterwards the real module again.

    `names` maps each module to the attributes that the package reads while it is imported, or to None: the
    stand-in then becomes the real module as soon as it is used. False: the import fails, as where it is not installed.
    """

    def __init__(self, **names: dict[str, object] | Literal[False] | None) -> None:
        self._names = {name.replace("__", "."): attributes for name, attributes in names.items()}
        self._put: list[str] = []

    def __enter__(self) -> None:
        for name, attributes in self._names.items():
            if name in sys.modules:
                continue
            if attributes is False:
                sys.modules[name] = None  # type: ignore[assignment]  # what the import system takes for "not there"
            else:
                stand_in = _Late(name) if attributes is None else _Absent(name)
                stand_in.__dict__.update(attributes or {}, __path__=[])
                sys.modules[name] = stand_in
            self._put.append(name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in self._put:
            del sys.modules[name]


class _LateTuple:
    """Stands in for a named tuple's class, which is made when something is made of it, or asked of it, for the first time."""

    def __init__(self, typename: str, field_names: str | Iterable[str], **more: Any) -> None:
        names = field_names.replace(",", " ").split() if isinstance(field_names, str) else field_names
        self._fields = tuple(names)
        self._typename, self._more = typename, more
        self._class: Any = None

    def _real(self) -> Any:
        if self._class is None:
            self._class = _NAMEDTUPLE(self._typename, self._fields, **self._more)
        return self._class

    def __call__(self, *values: object, **named: object) -> object:
        return self._real()(*values, **named)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real(), name)

    def __mro_entries__(self, _bases: object) -> tuple[type, ...]:
        return (self._real(),)


def _late_or_real(typename: str, field_names: str | Iterable[str], **more: Any) -> object:
    # Who says a module is typing.NamedTuple, which puts its own into the class at once.
    return (_NAMEDTUPLE if "module" in more else _LateTuple)(typename, field_names, **more)


class LateTuples:
    """While entered, `collections.namedtuple` makes no class before it is needed: a class takes 4 KiB, and a package may have one for each reading."""

    def __enter__(self) -> None:
        vars(collections)["namedtuple"] = _late_or_real

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        vars(collections)["namedtuple"] = _NAMEDTUPLE


def leave_hints_unread() -> None:
    """Keep typing from compiling each annotation of each named tuple of ours (390 KiB), which only `get_type_hints` would run.

    For a process image of our own: in any other, somebody may ask for them.
    """
    # ForwardRef finds this name before the builtin one. Python 3.14 compiles none before it is asked for.
    vars(typing)["compile"] = lambda *_source: None


# logging prints exceptions with traceback, and prints none until something is very wrong; socket's sendfile waits by selectors, and nobody here calls it.
with Without(traceback=None, selectors=None):
    import logging as logging
    import socket as socket
