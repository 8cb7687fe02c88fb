"""The program `uci` and what it does to files, as openwrt/uci's cli.c, file.c, delta.c and list.c have it: with its locks, its races and its quirks.

Imported alone by the program (`python -I -S`), hence from nothing of ours. All text is latin-1: a character here is a byte there.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator

OK, INVALID, NOT_FOUND, IO, PARSE, DUPLICATE = 0, 2, 3, 4, 5, 6
SENTENCES = {INVALID: "Invalid argument", NOT_FOUND: "Entry not found", IO: "I/O error", PARSE: "Parse error", DUPLICATE: "Duplicate entry"}
UNKNOWN_COMMAND = 255
EXIT = 254
SPACE = " \t\n\v\f\r"
DELTA_SIGNS = {"+": "add", "-": "remove", "@": "rename", "^": "reorder", "|": "add_list", "~": "del_list"}
SIGN_OF = {command: sign for sign, command in DELTA_SIGNS.items()} | {"set": ""}
MOST_ARGUMENTS = 4

USAGE = """Usage: uci [<options>] <command> [<arguments>]

Commands:
	batch
	export     [<config>]
	import     [<config>]
	changes    [<config>]
	commit     [<config>]
	add        <config> <section-type>
	add_list   <config>.<section>.<option>=<string>
	del_list   <config>.<section>.<option>=<string>
	show       [<config>[.<section>[.<option>]]]
	get        <config>.<section>[.<option>]
	set        <config>.<section>[.<option>]=<value>
	delete     <config>[.<section>[[.<option>][=<id>]]]
	rename     <config>.<section>[.<option>]=<name>
	revert     <config>[.<section>[.<option>]]
	reorder    <config>.<section>=<position>

Options:
	-c <path>  set the search path for config files (default: /etc/config)
	-C <path>  set the search path for config override files (default: /var/run/uci)
	-d <str>   set the delimiter for list values in uci show
	-f <file>  use <file> as input instead of stdin
	-m         when importing, merge data into an existing package
	-n         name unnamed sections on export (default)
	-N         don't name unnamed sections
	-p <path>  add a search path for config change files
	-P <path>  add a search path for config change files and use as default
	-t <path>  set save path for config change files
	-q         quiet mode (don't print error messages)
	-s         force strict mode (stop on parser errors, default)
	-S         disable strict mode
	-X         do not use extended syntax on 'show'

"""


class Error(Exception):
    """What libuci throws: a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def is_name(text: str, more: str = "") -> bool:
    """Say whether this may name a section or an option; a package may have `more`, a dash."""
    return bool(text) and all((c.isascii() and c.isalnum()) or c == "_" or c in more for c in text)


def is_type(text: str) -> bool:
    """Say whether this may be a section's type, or a package's name."""
    return bool(text) and all("!" <= c <= "~" for c in text)


def is_text(text: str) -> bool:
    """Say whether a command may bear this as a value."""
    return all(c >= " " or c in "\t\n\r" for c in text)


def made_up(count: int, kind: str) -> str:
    """Make up the name of the section that is the `count`th of its package: by Bernstein's hash of its type."""
    number = 5381
    for c in kind:
        number = (number * 33 + ord(c) - (256 if ord(c) > 127 else 0)) & 0xFFFFFFFF
    return f"cfg{count:02x}{number & 0xFFFF:04x}"


def quoted(text: str) -> str:
    """Put a value into quotes."""
    return "'" + text.replace("'", "'\\''") + "'"


class Section:
    """A section; an option is a text, or a list of texts."""

    def __init__(self, name: str, kind: str, is_anonymous: bool) -> None:
        self.name, self.type, self.is_anonymous = name, kind, is_anonymous
        self.options: dict[str, str | list[str]] = {}


class Change:
    """One staged step."""

    def __init__(self, command: str, section: str, option: str | None, value: str | None) -> None:
        self.command, self.section, self.option, self.value = command, section, option, value

    def line(self, package: str) -> str:
        """Write it as the save directory has it."""
        where = f"{SIGN_OF[self.command]}{package}.{self.section}" + (f".{self.option}" if self.option is not None else "")
        return where + "\n" if self.command == "remove" and self.value is None else f"{where}={quoted(self.value or '')}\n"

    def shown(self, package: str) -> str:
        """Write it as `uci changes` does."""
        where = f"{package}.{self.section}" + (f".{self.option}" if self.option is not None else "")
        if self.command == "remove":
            return f"-{where}\n"
        return where + {"add_list": "+=", "del_list": "-="}.get(self.command, "=") + quoted(self.value or "") + "\n"


class Package:
    """A package in memory: its sections in order, what was staged by others (`saved`) and by this process (`delta`)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sections: list[Section] = []
        self.count = 0
        self.path: str | None = None
        self.is_override = False
        self.has_delta = False
        self.saved: list[Change] = []
        self.delta: list[Change] = []

    def find(self, name: str | None) -> Section | None:
        """Give the first section of that name."""
        return next((one for one in self.sections if one.name == name), None)

    def make(self, kind: str, name: str | None) -> Section:
        """Add a section at the end; None makes a name up."""
        self.count += 1
        section = Section(name or made_up(self.count, kind), kind, not name)
        self.sections.append(section)
        return section

    def exported(self, with_header: bool, names_all: bool = False) -> str:
        """Write the file."""
        parts = [f"package {self.name}\n"] if with_header else []
        for section in self.sections:
            name = f" {quoted(section.name)}" if names_all or not section.is_anonymous else ""
            parts.append(f"\nconfig {quoted(section.type)[1:-1]}{name}\n")
            for option, value in section.options.items():
                if isinstance(value, list):
                    parts += [f"\tlist {option} {quoted(one)}\n" for one in value]
                else:
                    parts.append(f"\toption {option} {quoted(value)}\n")
        return "".join([*parts, "\n"])


class Pointer:
    """What `package.section.option=value` means; `is_whole` when all that it names is there."""

    def __init__(self, text: str) -> None:
        where, equals, value = text.partition("=")
        words = where.split(".")
        self.value = value if equals else None
        self.package_name = words[0]
        self.section_name = words[1] if len(words) > 1 else None
        self.option = words[2] if len(words) > 2 else None
        self.is_extended = self.section_name is not None and not is_name(self.section_name)
        self.package: Package | None = None
        self.section: Section | None = None
        self.is_whole = False
        bad_option = self.option is not None and not is_name(self.option)
        if len(words) > 3 or not is_type(self.package_name) or bad_option or not is_text(self.value or ""):
            raise Error(PARSE)

    @property
    def found(self) -> str | list[str] | None:
        """The option's value."""
        return self.section.options.get(self.option) if self.section and self.option is not None else None


class Reader:
    """libuci's parser of lines: quotes, backslashes, comments, values over several lines."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.buffer, self.at, self.line = "", 0, 0
        self.reason: str | None = None
        self.byte = 0
        self.is_over = False

    def next_line(self, keep: int = 0) -> None:
        """Read the next line behind what is kept."""
        piece = next(self._lines, "")
        self.is_over = not piece
        if "\0" in piece:
            piece = piece.partition("\0")[0]
        self.buffer = self.buffer[:keep] + piece
        self.line += piece.endswith("\n")

    def fail(self, reason: str) -> None:
        """Throw a parse error."""
        self.reason, self.byte = reason, self.at
        raise Error(PARSE)

    @property
    def current(self) -> str:
        """The character at hand, "" at the end."""
        return self.buffer[self.at : self.at + 1]

    def skip_space(self) -> None:
        """Go on to what is no space."""
        while self.current and self.current in SPACE:
            self.at += 1

    def word(self) -> str:
        """Read one argument."""
        parts: list[str] = []
        start = self.at
        while True:
            c = self.current
            if c == "'":
                self._single(parts)
            elif c == '"':
                self._double(parts)
            elif c == "#":
                self.buffer = self.buffer[: self.at]
                break
            elif c in ("", ";"):
                break
            elif c != "\\" or self._backslash():
                parts.append(self.current)
                self.at += 1
            if not self.current or self.current in SPACE:
                break
        if self.current and self.current != ";":
            self.at += 1
        elif self.current and start + len(parts) == self.at:
            self.buffer = self.buffer[: self.at]  # libuci ends the word in its place, and with it the line
        return "".join(parts)

    def argument(self, is_required: bool = False, is_a_name: bool = False, more: str = "") -> str:
        """Read the next argument, "" where there is none."""
        self.skip_space()
        if self.current == ";":
            self.at += 1
            text = ""
        else:
            text = self.word()
        if not text and is_required:
            self.fail("insufficient arguments")
        if text and is_a_name and not is_name(text, more):
            self.fail("invalid character in name field")
        return text

    def command(self) -> str | None:
        """Read a line's command: only spaces and tabs end it; None where there is no more."""
        start = self.at
        while start < len(self.buffer) and self.buffer[start] in " \t":
            start += 1
        if start == len(self.buffer):
            return None
        end = start
        while end < len(self.buffer) and self.buffer[end] not in " \t":
            end += 1
        self._after = end + 1
        return self.buffer[start:end]

    def step_over_command(self, reason: str) -> None:
        """Go on to a command's arguments."""
        if self._after > len(self.buffer):
            self.fail(reason)
        self.at = self._after

    def _backslash(self) -> bool:
        self.at += 1
        if self.current in ("", "\n") or self.buffer[self.at :] == "\r\n":
            self.next_line(self.at)
            return False
        return True

    def _single(self, parts: list[str]) -> None:
        self.at += 1
        while self.current != "'":
            if not self.current:
                self.next_line(self.at)
                if not self.current:
                    self.fail("EOF with unterminated '")
            else:
                parts.append(self.current)
                self.at += 1
        self.at += 1

    def _double(self, parts: list[str]) -> None:
        self.at += 1
        while self.current != '"':
            if not self.current:
                self.next_line(self.at)
                if not self.current:
                    self.fail('EOF with unterminated "')
            elif self.current != "\\" or self._backslash():
                parts.append(self.current)
                self.at += 1
        self.at += 1


class Context:
    """libuci's context: where files are, what is loaded, how strict. `before_flush` is called where another process may come between."""

    def __init__(self, config: str, override: str | None, save: str) -> None:
        self.config, self.override, self.save = config, override, save
        self.delta_paths = [save]
        self.is_strict, self.prints_errors, self.names_all = True, False, False
        self.reader: Reader | None = None
        self.loaded: dict[str, Package] = {}
        self.before_flush: Callable[[], None] | None = None
        self.writes: Callable[[int, bytes], object] = os.write
        self._info = ""

    # Errors.

    def sentence(self, code: int, prefix: str = "uci: ") -> str:
        """Say what went wrong; like the real one's, the tail of a sentence is kept for the next."""
        if code == PARSE and self.reader is not None:
            self._info = f" ({self.reader.reason or 'unknown'}) at line {self.reader.line}, byte {self.reader.byte}"
        self._info += "\n"
        return f"{prefix}{SENTENCES.get(code, 'Unknown error')}{self._info}"

    # Files.

    def set_save(self, directory: str) -> None:
        """Stage there from now on."""
        self.delta_paths = [one for one in self.delta_paths if one != directory] + [directory]
        self.save = directory

    def configs(self) -> list[str]:
        """Name what lies in the directory."""
        names = sorted(name for name in _listed(self.config) if not name.startswith("."))
        if not names:
            raise Error(NOT_FOUND)
        return [name for name in names if "." not in name and is_type(name) and not os.path.isdir(os.path.join(self.config, name))]

    def path_of(self, name: str) -> tuple[str, bool]:
        """Give where a package is read: the RAM's file where there is one."""
        if name.startswith((".", "/")):
            if name[0] == "." and name[1:2] != "/":
                raise Error(NOT_FOUND)
            return name, False
        if not is_type(name):
            raise Error(INVALID)
        if self.override and os.path.exists(os.path.join(self.override, name)):
            return os.path.join(self.override, name), True
        return os.path.join(self.config, name), False

    def open(self, path: str, is_writing: bool, is_made: bool) -> int:
        """Open and lock a file as libuci does; its mode is that of the configuration of its name."""
        mode = 0o600
        if is_made:
            try:
                mode = stat.S_IMODE(os.stat(os.path.join(self.config, os.path.basename(path))).st_mode)
            except OSError:
                pass
        if not is_writing and not os.path.isfile(path):
            raise Error(NOT_FOUND)
        try:
            fd = os.open(path, (os.O_RDWR if is_writing else os.O_RDONLY) | (os.O_CREAT if is_made else 0), mode)
        except OSError:
            raise Error(IO) from None
        fcntl.flock(fd, fcntl.LOCK_EX if is_writing else fcntl.LOCK_SH)
        return fd

    def load(self, name: str) -> Package:
        """Load a package with what is staged."""
        path, is_override = self.path_of(name)
        fd = self.open(path, False, False)
        is_outside = name.startswith((".", "/"))
        name = name.rpartition("/")[2] if is_outside else name
        try:
            package = self.parse(_read(fd), name)
        finally:
            os.close(fd)
        package.path, package.is_override, package.has_delta = path, is_override, not is_outside
        self.loaded[name] = package
        if package.has_delta:
            self.load_delta(package, False)
        return package

    def parse(self, text: str, name: str, into: Package | None = None) -> Package:
        """Parse a file into one package; `into` an existing one, its changes noted."""
        found = self._import(text, name, into, True)
        return found[0] if found else Package(name)

    def import_all(self, text: str) -> list[Package]:
        """Parse what names its packages itself."""
        return self._import(text, None, None, False)

    def _import(self, text: str, name: str | None, into: Package | None, is_single: bool) -> list[Package]:
        self.reader = reader = Reader(_lines(text))
        packages: list[Package] = [into] if into else []
        current: list[Section | None] = [None]
        while not reader.is_over:
            reader.at = 0
            reader.next_line()
            try:
                self._parse_line(reader, packages, current, name, is_single, into is not None)
            except Error as error:
                if self.prints_errors:
                    sys.stderr.write(self.sentence(error.code, ""))
                if error.code != PARSE or self.is_strict:
                    raise
        self.reader = None
        return packages

    def _parse_line(self, reader: Reader, packages: list[Package], current: list[Section | None], name: str | None, is_single: bool, notes: bool) -> None:
        reader.skip_space()
        while (word := reader.command()) is not None and not word.startswith("#"):
            if word in ("p", "package"):
                reader.step_over_command("package without name")
                told = reader.argument(True, True, "-")
                self._expect_end(reader)
                if not is_single:
                    if any(one.name == told for one in packages):
                        raise Error(DUPLICATE)
                    packages.append(Package(told))
                    current[0] = None
            elif word in ("c", "config"):
                if not packages:
                    if name is None:
                        reader.fail("attempting to import a file without a package name")
                    packages.append(Package(name or ""))
                current[0] = self._parse_config(reader, packages[-1], notes)
            elif word in ("o", "option", "l", "list"):
                section = current[0]
                if section is None:
                    reader.fail("option/list command found before the first section")
                    return
                self._parse_option(reader, packages[-1], section, word[0] == "l", notes)
            else:
                reader.fail("invalid command")

    def _expect_end(self, reader: Reader) -> None:
        reader.skip_space()
        if reader.argument() and self.is_strict:
            reader.fail("too many arguments")

    def _parse_config(self, reader: Reader, package: Package, notes: bool) -> Section:
        reader.step_over_command("config without name")
        kind = reader.argument(True)
        if not is_type(kind):
            reader.fail("invalid character in type field")
        name = reader.argument(False, True)
        self._expect_end(reader)
        there = package.find(name) if name else None
        if there is None:
            made = package.make(kind, name or None)
            if notes and package.has_delta:
                package.delta.append(Change("set" if name else "add", made.name, None, kind))
            return made
        if there.type != kind:
            if self.is_strict:
                reader.fail("section of different type overwrites prior section with same name")
            there.is_anonymous &= len(there.type) == len(kind)
            there.type = kind
        return there

    def _parse_option(self, reader: Reader, package: Package, section: Section, is_list: bool, notes: bool) -> None:
        reader.step_over_command("option without name")
        option, value = reader.argument(True, True), reader.argument()
        self._expect_end(reader)
        if is_list:
            add_to_list(section, option, value)
        elif not value or section.options.get(option) == value:
            return
        else:
            section.options[option] = value
        if notes and package.has_delta:
            package.delta.append(Change("add_list" if is_list else "set", section.name, option, value))

    # What is staged.

    def load_delta(self, package: Package, flushes: bool) -> int:
        """Do what is staged; give how many steps were understood. `flushes`: it is to be written, forget it."""
        done = 0
        for directory in self.delta_paths:
            try:
                fd = self.open(os.path.join(directory, package.name), False, False)
            except Error:
                continue
            text = _read(fd)
            os.close(fd)
            done += self._parse_delta(text, package)
        if not flushes:
            return done
        if self.before_flush:
            self.before_flush()
        try:
            fd = self.open(os.path.join(self.save, package.name), True, False)
        except Error:
            return done
        if done:
            os.ftruncate(fd, 0)
        os.close(fd)
        return done

    def _parse_delta(self, text: str, package: Package) -> int:
        done = 0
        for change, name in _delta(text):
            if name != package.name:
                continue
            package.saved.append(change)
            done += _repeat(package, change)
        self.reader = None
        return done

    def save_delta(self, package: Package) -> None:
        """Stage what this process did."""
        if not package.has_delta:
            self.commit(package)
            return
        if not package.delta:
            return
        if not os.path.exists(self.save):
            try:
                os.mkdir(self.save, stat.S_IMODE(os.stat(self.config).st_mode) if os.path.exists(self.config) else 0o700)
            except OSError:
                pass
        elif not os.path.isdir(self.save):
            raise Error(IO)
        fd = self.open(os.path.join(self.save, package.name), True, True)
        os.lseek(fd, 0, os.SEEK_END)
        _write(fd, "".join(change.line(package.name) for change in package.delta))
        os.close(fd)
        package.delta.clear()

    def commit(self, package: Package, overwrites: bool = False) -> None:
        """Write the file anew, with everything that anybody staged: under its lock, by a temporary file and a rename."""
        if package.path is None:
            package.path = self.path_of(package.name)[0]
        path = package.path
        lock = self.open(path, True, True)
        try:
            if package.has_delta:
                if not overwrites:
                    self.save_delta(package)
                    fresh = self.parse(_read(lock), package.name)
                    fresh.path, fresh.is_override, fresh.has_delta = path, package.is_override, True
                    package = fresh
                if not self.load_delta(package, True):
                    return
            made = self._temporary(package)
        finally:
            os.close(lock)
        try:
            real = os.path.realpath(path, strict=True)
            os.chmod(made, stat.S_IMODE(os.stat(real).st_mode))
            os.rename(made, real)
        except OSError:
            os.unlink(made)
            raise Error(IO) from None

    def _temporary(self, package: Package) -> str:
        directory = self.override if package.is_override and self.override else self.config
        for _ in range(100):
            made = os.path.join(directory, f".{package.name}.uci-{os.urandom(3).hex()}")
            try:
                fd = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            except OSError:
                raise Error(IO) from None
            try:
                # Nobody looks whether this succeeds: on a full disk it is a short file that takes the old one's place.
                self.writes(fd, package.exported(False, self.names_all).encode("latin-1"))
                os.fsync(fd)
            except OSError:
                pass
            os.close(fd)
            return made
        raise Error(IO)

    def revert(self, pointer: Pointer) -> None:
        """Take staged steps back."""
        package, section, option = pointer.package_name, pointer.section_name, pointer.option
        try:
            fd = self.open(os.path.join(self.save, package), True, False)
        except Error:
            return
        kept: list[str] = []
        try:
            for change, _ in _delta(_read(fd), throws=True):
                if section is not None and (change.section != section or (option is not None and change.option != option)):
                    kept.append(change.line(package))
        except Error:
            os.close(fd)
            return
        os.lseek(fd, 0, 0)
        os.ftruncate(fd, 0)
        _write(fd, "".join(kept))
        os.close(fd)

    # The commands of one section or option.

    def look_up(self, text: str) -> Pointer:
        """Find what a command names."""
        pointer = Pointer(text)
        pointer.package = package = self.loaded.get(pointer.package_name) or self.load(pointer.package_name)
        if pointer.section_name is None:
            pointer.is_whole = True
            return pointer
        pointer.section = self._by_place(package, pointer) if pointer.is_extended else package.find(pointer.section_name)
        if pointer.section is not None:
            pointer.is_whole = pointer.option is None or pointer.found is not None
        return pointer

    def _by_place(self, package: Package, pointer: Pointer) -> Section | None:
        text = pointer.section_name or ""
        kind, bracket, place = text[1:].partition("[")
        try:
            index = int(place[:-1]) if place[:-1] else 0
        except ValueError:
            raise Error(INVALID) from None
        if not text.startswith("@") or not bracket or not place.endswith("]") or (kind and not is_type(kind)):
            raise Error(INVALID)
        fitting = [one for one in package.sections if not kind or one.type == kind]
        index += len(fitting) if index < 0 else 0
        if not 0 <= index < len(fitting):
            return None
        pointer.section_name = fitting[index].name
        return fitting[index]


def add_to_list(section: Section, option: str, value: str) -> None:
    """Add to a list; a single value becomes the first of one."""
    there = section.options.get(option, [])
    section.options[option] = [*([there] if isinstance(there, str) else there), value]


def change(package: Package, pointer: Pointer, command: str, notes: bool) -> None:
    """Do one step in memory; `notes`: and remember it to be staged."""
    section, option, value = pointer.section, pointer.option, pointer.value
    if command in ("rename", "remove") and not pointer.is_whole:
        raise Error(NOT_FOUND)
    if (command != "remove" and value is None) or (section is None and command != "set" and command != "add"):
        raise Error(INVALID)
    noted = value
    if command in ("set", "add"):
        if section is None and (option is not None or pointer.section_name is None):
            raise Error(INVALID)
        if not value:
            if not pointer.is_whole:
                return
            command, noted = "remove", None
        elif not _set(package, pointer, value):
            return
    if command == "remove" and section is not None:
        noted = _remove(package, section, option, value)
    elif command == "rename" and section is not None:
        _rename(section, option, value or "")
    elif command == "add_list" and section is not None and option is not None:
        add_to_list(section, option, value or "")
    elif command == "del_list" and section is not None:
        there = section.options.get(option or "")
        if not isinstance(there, list):
            return
        section.options[option or ""] = [one for one in there if one != value]
    if notes and package.has_delta:
        package.delta.append(Change(command, pointer.section_name or "", option, noted))


def _set(package: Package, pointer: Pointer, value: str) -> bool:
    section, option = pointer.section, pointer.option
    if section is None:
        if not is_type(value):
            raise Error(INVALID)
        pointer.section = package.make(value, pointer.section_name)
        return True
    if option is None:
        if not is_type(value):
            raise Error(INVALID)
        was, section.type = section.type, value
        section.is_anonymous &= len(was) == len(value)  # in a new place in memory it has its name, made up or not
        return was != value
    was_value = section.options.get(option)
    section.options[option] = value
    return was_value != value


def _remove(package: Package, section: Section, option: str | None, value: str | None) -> str | None:
    there = section.options.get(option) if option is not None else None
    if option is None:
        package.sections.remove(section)
    elif isinstance(there, list) and value:
        index = _number(value)
        if index is None or not 0 <= index < len(there):
            return None
        del there[index]
        return value
    else:
        del section.options[option]
    return None


def _rename(section: Section, option: str | None, name: str) -> None:
    if option is None:
        section.name, section.is_anonymous = name, False
        return
    section.options = {name if one == option else one: value for one, value in section.options.items()}


def reorder(package: Package, section: Section, place: int, notes: bool) -> None:
    """Move a section."""
    before = package.sections.index(section)
    package.sections.remove(section)
    package.sections.insert(place, section)
    if notes and package.has_delta and package.sections.index(section) != before:
        package.delta.append(Change("reorder", section.name, None, str(place)))


def _repeat(package: Package, staged: Change) -> bool:
    """Do a staged step again; say whether it could be done."""
    pointer = Pointer(package.name)
    pointer.package, pointer.section_name, pointer.option, pointer.value = package, staged.section, staged.option, staged.value
    pointer.section = package.find(staged.section)
    pointer.is_whole = pointer.section is not None and (staged.option is None or pointer.found is not None)
    try:
        if staged.command == "reorder":
            if pointer.section is None:
                return False
            reorder(package, pointer.section, _number(staged.value or "") or 0, False)
            return True
        change(package, pointer, staged.command, False)
    except Error:
        return False
    if staged.command == "add" and staged.option is None and pointer.section is not None:
        pointer.section.is_anonymous = True
    return True


def _delta(text: str, *, throws: bool = False) -> Iterator[tuple[Change, str]]:
    """Read what is staged, each step with its package's name; what is not understood is left out, or thrown."""
    reader = Reader(_lines(text))
    while not reader.is_over:
        reader.at = 0
        reader.next_line()
        try:
            word = reader.argument()
            if reader.current or not word:
                continue
            command = DELTA_SIGNS.get(word[0], "set")
            pointer = Pointer(word if command == "set" else word[1:])
        except Error:
            if throws:
                raise
            continue
        is_bad = pointer.section_name is None or pointer.is_extended or (command != "remove" and pointer.value is None)
        is_bad = is_bad or (command == "reorder" and pointer.option is not None) or (command in ("add_list", "del_list") and pointer.option is None)
        is_bad = is_bad or (command == "rename" and not is_name(pointer.value or ""))
        if is_bad and throws:
            raise Error(INVALID)
        if not is_bad:
            yield Change(command, pointer.section_name or "", pointer.option, pointer.value), pointer.package_name


def _number(text: str) -> int | None:
    digits = text.lstrip(SPACE)
    end = 1 if digits[:1] in ("+", "-") else 0
    while end < len(digits) and digits[end].isdigit():
        end += 1
    return int(digits[:end]) if digits[:end].strip("+-") else None


def _lines(text: str) -> list[str]:
    return [line + "\n" for line in text.split("\n")[:-1]] + ([text.rpartition("\n")[2]] if not text.endswith("\n") and text else [])


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _read(fd: int) -> str:
    parts = []
    while piece := os.read(fd, 1 << 16):
        parts.append(piece)
    return b"".join(parts).decode("latin-1")


def _write(fd: int, text: str) -> None:
    try:
        os.write(fd, text.encode("latin-1"))
    except OSError:
        pass  # stdio's failure, that nobody looks at


class Program:
    """One run of the program."""

    def __init__(self, context: Context, write: Callable[[str], object], warn: Callable[[str], object], read: Callable[[], str]) -> None:
        self.context = context
        self._write, self._warn, self._read_input = write, warn, read
        self.is_quiet = self.merges = self.commits_not = self.is_batch = False
        self.is_extended = True
        self.delimiter = " "
        self.faults: dict[str, object] = {}

    def run(self, argv: list[str]) -> int:
        """Do one command; 255 for one that there is not."""
        command, count = argv[0].lower(), len(argv)
        command = {"ren": "rename", "del": "delete"}.get(command, command)
        if command == "batch" and not self.is_batch:
            return self._batch()
        if command in ("show", "export", "commit", "changes"):
            return UNKNOWN_COMMAND if count > 2 else self._for_packages(command, argv[1:])
        if command in ("get", "set", "rename", "revert", "reorder", "delete", "add_list", "del_list"):
            return UNKNOWN_COMMAND if count != 2 else self._section(command, argv[1])
        if command == "add":
            return UNKNOWN_COMMAND if count != 3 else self._add(argv[1], argv[2])
        if command == "import":
            return self._import(argv[1:])
        if command == "help":
            self._warn(USAGE)
            return 0
        return UNKNOWN_COMMAND

    def _complain(self, code: int) -> int:
        text = self.context.sentence(code)
        if not self.is_quiet:
            self._warn(text)
        return 1

    def _batch(self) -> int:
        self.is_batch = True
        lines = Reader(_lines(self._read_input()))
        while not lines.is_over:
            if self.context.reader is not lines:  # what loads a file begins to count anew
                self.context.reader = lines
                lines.line, lines.byte, lines.reason = 0, 0, None
            lines.at = 0
            status = self._batch_line(lines)
            if status == EXIT:
                return 0
            if status == UNKNOWN_COMMAND and not self.is_quiet:
                self._warn("Unknown command\n")
            self.context.loaded.clear()
        return 0

    def _batch_line(self, lines: Reader) -> int:
        lines.next_line()
        words: list[str] = []
        while True:
            if len(words) == MOST_ARGUMENTS:
                if not self.is_quiet:
                    self._warn("Too many arguments\n")
                return 1
            try:
                word = lines.argument()
            except Error as error:
                self._complain(error.code)
                return 0
            if not word:
                break
            words.append(word)
        if not words:
            return 0
        return EXIT if words[0].lower() == "exit" else self.run(words)

    def _for_packages(self, command: str, names: list[str]) -> int:
        if names:
            return self._package(command, names[0])
        try:
            configs = self.context.configs()
        except Error as error:
            return self._complain(error.code)
        for name in configs:
            self._package(command, name)
        return 0

    def _package(self, command: str, name: str) -> int:
        context = self.context
        try:
            pointer = context.look_up(name)
            package = pointer.package
            assert package is not None
            context.loaded.pop(package.name, None)
            if command == "changes":
                self._write("".join(one.shown(package.name) for one in package.saved))
            elif command == "export":
                self._write(package.exported(True, context.names_all))
            elif command == "commit" and not self.commits_not:
                context.commit(package)
            elif command == "show":
                if not pointer.is_whole:
                    raise Error(NOT_FOUND)
                self._write(self.shown(pointer, package))
        except Error as error:
            return self._complain(error.code)
        return 0

    def shown(self, pointer: Pointer, package: Package) -> str:
        """Write what `show` prints."""
        if pointer.section is not None and pointer.option is not None:
            return self._option(f"{package.name}.{pointer.section.name}.{pointer.option}", pointer.found or "")
        if pointer.section is not None:
            return self._whole(package, pointer.section, pointer.section.name)
        counts: dict[str, int] = {}
        parts = []
        for section in package.sections:
            place = counts.get(section.type, 0)
            counts[section.type] = place + 1
            name = f"@{section.type}[{place}]" if section.is_anonymous and self.is_extended else section.name
            parts.append(self._whole(package, section, name))
        return "".join(parts)

    def _whole(self, package: Package, section: Section, name: str) -> str:
        where = f"{package.name}.{name}"
        return f"{where}={section.type}\n" + "".join(self._option(f"{where}.{option}", value) for option, value in section.options.items())

    def _option(self, where: str, value: str | list[str]) -> str:
        return f"{where}={quoted(value) if isinstance(value, str) else self.delimiter.join(map(quoted, value))}\n"

    def _section(self, command: str, text: str) -> int:
        context = self.context
        try:
            pointer = context.look_up(text)
        except Error as error:
            return self._complain(error.code)
        package = pointer.package
        assert package is not None
        if pointer.value is not None and command in ("get", "revert"):
            return 1
        try:
            if command == "get":
                return self._get(pointer)
            if command == "revert":
                context.revert(pointer)
                return 0
            if command == "reorder":
                if pointer.section is None or not pointer.value:
                    raise Error(NOT_FOUND)
                reorder(package, pointer.section, _number(pointer.value) or 0, True)
            else:
                if command == "delete" and pointer.value is not None and _number(pointer.value) is None:
                    return 1
                change(package, pointer, {"delete": "remove"}.get(command, command), True)
            context.save_delta(package)
        except Error as error:
            return self._complain(error.code)
        return 0

    def _get(self, pointer: Pointer) -> int:
        if not pointer.is_whole:
            raise Error(NOT_FOUND)
        value = pointer.found
        if isinstance(value, list):
            self._write(self.delimiter.join(quoted(one) if any(c in one for c in " \t\r\n") else one for one in value) + "\n")
        elif value is not None or pointer.section is not None:
            self._write(f"{value if value is not None else pointer.section.type if pointer.section else ''}\n")
        return 0

    def _add(self, name: str, kind: str) -> int:
        try:
            package = self.context.load(name)
            section = package.make(kind, None)
            package.delta.append(Change("add", section.name, None, kind))
            self.context.save_delta(package)
        except Error as error:
            self._complain(error.code)
            return error.code
        self._write(f"{section.name}\n")
        return 0

    def _import(self, names: list[str]) -> int:
        if len(names) > 1 or (not names and self.merges):
            return UNKNOWN_COMMAND
        context = self.context
        try:
            text = self._read_input()
            if not names:
                for one in context.import_all(text):
                    context.commit(one, overwrites=True)
                return 0
            if not is_type(names[0]):
                raise Error(INVALID)
            into = None
            if self.merges:
                try:
                    into = context.load(names[0])
                except Error:
                    pass
            package = context.parse(text, names[0], into)
            if into is not None:
                context.save_delta(package)
            else:
                context.commit(package, overwrites=True)
        except Error as error:
            return self._complain(error.code)
        return 0


def options(argv: list[str]) -> tuple[list[tuple[str, str]], list[str]] | None:
    """Read the options as getopt does; None for one that there is not."""
    found: list[tuple[str, str]] = []
    rest = argv[1:]
    while rest and rest[0].startswith("-") and rest[0] != "-":
        if rest[0] == "--":
            return found, rest[1:]
        word, rest = rest[0][1:], rest[1:]
        while word:
            letter, word = word[0], word[1:]
            if letter in "cCdfpPt":
                if not word and not rest:
                    return None
                found.append((letter, word or rest[0]))
                rest = rest if word else rest[1:]
                break
            if letter not in "LmnNqsSX":
                return None
            found.append((letter, ""))
    return found, rest


def open_program(folder: str, argv: list[str], write: Callable[[str], object], warn: Callable[[str], object]) -> tuple[Program, list[str]] | int:
    """Make the program of one command line, on the box at `folder`; an exit status when it ends with its options."""
    read = options(argv)
    if read is None or not read[1]:
        warn(USAGE)
        return 0
    context = Context(f"{folder}/etc/config", f"{folder}/var/run/uci", f"{folder}/tmp/.uci")
    source = ["-"]

    def text() -> str:
        if source[0] == "-":
            return sys.stdin.buffer.read().decode("latin-1")
        with open(source[0], encoding="latin-1", newline="") as file:
            return file.read()

    program = Program(context, write, warn, text)
    for letter, value in read[0]:
        if letter == "c":
            context.config = value
        elif letter == "C":
            context.override = value or None
        elif letter == "d":
            program.delimiter = value
        elif letter == "f":
            source[0] = value
        elif letter == "p" and value not in context.delta_paths:
            context.delta_paths.insert(len(context.delta_paths) - 1, value)
        elif letter in "Pt":
            context.set_save(value)
            program.commits_not |= letter == "P"
        elif letter in "sS":
            context.is_strict, context.prints_errors = letter == "s", letter == "S" or context.prints_errors
        elif letter in "nN":
            context.names_all = letter == "n"
        program.merges |= letter == "m"
        program.is_quiet |= letter == "q"
        program.is_extended &= letter != "X"
    return program, read[1]


def main(folder: str, faults: Callable[[Program, list[str]], int | None] | None = None) -> int:
    """Run as the program; `faults` may change it, and end it."""
    out: list[str] = []
    argv = [os.fsencode(word).decode("latin-1") for word in sys.argv]

    def warn(text: str) -> None:
        sys.stderr.buffer.write(text.encode("latin-1"))

    opened = open_program(folder, argv, out.append, warn)
    if isinstance(opened, int):
        return opened
    program, words = opened
    ended = faults(program, words) if faults else None
    if ended is not None:
        return ended
    status = program.run(words)
    if status == UNKNOWN_COMMAND:
        warn(USAGE)
    try:
        sys.stdout.buffer.write("".join(out).encode("latin-1"))
        sys.stdout.buffer.flush()
    except OSError:
        pass
    return status
