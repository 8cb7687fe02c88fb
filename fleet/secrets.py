"""The Wi-Fi keys of documents, apart from them: the store has `secret:NAME` where a key stood, the file of that name has the key.

No key is ever in an exception or a log. The same key always has the same name, which tells nothing without this directory's salt.
"""

from __future__ import annotations

import hmac
import os
import pathlib
import re
from collections.abc import Callable, Mapping

from fleet import files
from fleet.city import City
from fleet.errors import BadInput, Refused
from fleet.layers import Document, Path, dotted

MEMBER = "key"
PREFIX = "secret:"
SALT = "salt"
SALT_BYTES, NAME_DIGITS = 32, 16
_REFERENCE = re.compile(rf"{PREFIX}[0-9a-f]{{{NAME_DIGITS}}}")


class Secrets:
    """The keys of one city."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._salt = b""
        self._known: dict[str, str] = {}  # by name

    def __repr__(self) -> str:
        return f"Secrets({len(self._known)} keys)"

    def taken_out(self, document: Mapping[str, object]) -> Document:
        """Give the document with names where keys stood; the keys are remembered until `keep`. BadInput for a key that is such a name."""
        return _replaced(document, self._name)

    def put_back(self, document: Mapping[str, object], whose: Callable[[Path], str]) -> Document:
        """Give the document with its keys again; Refused, naming whose value it is, when the file of one is missing."""
        return _replaced(document, lambda path, value: self._key(path, value, whose))

    def keep(self, document: Mapping[str, object]) -> None:
        """Write the keys that a document names and no file has yet; on disk when this returns."""
        missing: dict[str, str] = {}

        def note(_path: Path, value: str) -> str:
            name = value.removeprefix(PREFIX)
            if name in self._known and not self._file(name).exists():
                missing[name] = self._known[name]
            return value

        _replaced(document, note)
        if not missing:
            return
        self._city.secrets.mkdir(mode=files.FOLDER, exist_ok=True)
        with files.locked(self._city.secrets):
            self._keep_salt()
            for name, key in missing.items():
                files.put(self._file(name), f"{key}\n".encode(), files.PRIVATE)

    def _name(self, path: Path, value: str) -> str:
        if _REFERENCE.fullmatch(value):
            raise BadInput(f"{dotted(path)} is the name under which the city keeps a key, expected the key itself")
        name = hmac.digest(self._read_salt(), value.encode("utf-8", "surrogatepass"), "sha256").hex()[:NAME_DIGITS]
        self._known[name] = value
        return f"{PREFIX}{name}"

    def _key(self, path: Path, value: str, whose: Callable[[Path], str]) -> str:
        name = value.removeprefix(PREFIX)
        if name not in self._known:
            try:
                self._known[name] = files.read_private(self._file(name)).decode().removesuffix("\n")
            except (Refused, UnicodeDecodeError) as error:
                # Not the text of a decoding error: it shows bytes.
                why = f" ({error})" if isinstance(error, Refused) else " (it is no text)"
                raise Refused(
                    f"{dotted(path)} of {whose(path)}: its key cannot be read{why}; bring {self._city.secrets} back from a copy, or push that layer anew"
                ) from None
        return self._known[name]

    def _read_salt(self) -> bytes:
        if not self._salt:
            path = self._city.secrets / SALT
            self._salt = files.read_private(path) if path.exists() else os.urandom(SALT_BYTES)
        return self._salt

    def _keep_salt(self) -> None:
        path = self._city.secrets / SALT
        if not path.exists():
            files.put(path, self._read_salt(), files.PRIVATE)
        elif files.read_private(path) != self._read_salt():
            raise Refused(f"{path}: another rwctl has just made the first key's name; run this again")

    def _file(self, name: str) -> pathlib.Path:
        return self._city.secrets / name


def _replaced(value: Mapping[str, object], put: Callable[[Path, str], str], above: Path = ()) -> Document:
    found: Document = {}
    for name, inner in value.items():
        path = (*above, name)
        if isinstance(inner, Mapping):
            found[name] = _replaced(inner, put, path)
        else:
            found[name] = put(path, inner) if name == MEMBER and isinstance(inner, str) else inner
    return found
