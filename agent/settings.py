"""The agent's own file, agent.toml, as one immutable value; and that value's way into the lean daemon's process.

Promises never to give half a file: either everything is allowed, or all faults are raised at once.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from typing import Any, Literal, NamedTuple, NoReturn

from agent.errors import Rejected

MAX_FILE_BYTES = 65536
DEFAULT_FILE = "/etc/rwagent/agent.toml"


class BrokerSettings(NamedTuple):
    """Where the broker is and how to prove who we are; "" for a file or name that is not used.

    `certificate_ends` is no key of the file: Unix seconds, read from the certificate, so that the daemon need not know how.
    """

    host: str
    port: int
    tls: bool
    allow_plaintext: bool
    ca_file: str
    cert_file: str
    key_file: str
    username: str
    password_file: str
    keepalive_s: int
    certificate_ends: int | None = None


class ReportSettings(NamedTuple):
    """How often to report and to sample, in seconds, and how reports are sent."""

    interval_s: float
    sample_s: float
    encoding: Literal["json", "deflate"]
    peaks: bool


class ProbeSettings(NamedTuple):
    """What the uplink's probe asks: every `interval_s` seconds (0: never), a name, and one of some (host, port)."""

    interval_s: float
    dns_name: str
    internet: tuple[tuple[str, int], ...]


class RouterSettings(NamedTuple):
    """Which box this is; `lease_file` "" means the usual places, `uplink` "auto" the default route's device.

    `hostapd_config`: the directory of hostapd's files that a push may change (backend linux), one file for each radio.
    """

    backend: Literal["openwrt", "linux", "simulated"]
    uplink: str
    public_network: str
    contract_mbps: float
    adopt: tuple[str, ...]
    hostapd_dir: str
    ubus_socket: str
    lease_file: str
    hostapd_config: str


class SimulatedSettings(NamedTuple):
    """The simulated router: `speed` times as fast as the world (0: no waiting), `start` in Unix seconds ("": now)."""

    seed: int
    speed: float
    stations_peak: int
    start: str


class PushSettings(NamedTuple):
    """Where the trusted public keys lie, and the secrets that a push may name but never carry."""

    keys_dir: str
    secrets_dir: str


class OutboxSettings(NamedTuple):
    """How much RAM unsent messages may take."""

    max_bytes: int


class PathSettings(NamedTuple):
    """Where state lies: `state_dir` on flash, `run_dir` in RAM, and in RAM too, for root alone, `apply_dir`."""

    state_dir: str
    run_dir: str
    apply_dir: str


class Settings(NamedTuple):
    """Everything agent.toml says, defaults filled in."""

    id: str
    city: str
    broker: BrokerSettings
    report: ReportSettings
    probe: ProbeSettings
    router: RouterSettings
    simulated: SimulatedSettings
    push: PushSettings
    outbox: OutboxSettings
    paths: PathSettings


class Fault(NamedTuple):
    """One thing wrong with the file: the key ("" for the file as a whole), the value as shown, and what is allowed or to be done."""

    key: str
    value: str
    allowed: str

    def sentence(self) -> str:
        """Say it in one line."""
        return f"{self.key} is {self.value}, {self.allowed}" if self.key else f"{self.value}, {self.allowed}"


class Faults(Rejected):
    """Settings refused, with every fault there is; its text has one line for each."""

    def __init__(self, file: str, faults: list[Fault]) -> None:
        super().__init__("\n".join(f"{file}: {fault.sentence()}" for fault in faults))
        self.file = file
        self.faults = tuple(faults)


def load(path: str) -> Settings:
    """Read agent.toml and the files it names; raise Faults with all that is wrong."""
    # Only the first process of `rwagent run` and the short-lived commands need the rules.
    from agent.settings_rules import resolve

    settings, faults = resolve(parse_toml(path, read_file(path)))
    if settings is None:
        raise Faults(path, faults)
    return settings


def dump(settings: Settings) -> str:
    """Give settings as the text that `restore` takes."""
    return json.dumps({name: value if isinstance(value, str) else value._asdict() for name, value in settings._asdict().items()})


def restore(text: str) -> Settings:
    """Make settings of `dump`'s text; Rejected when another version of the agent wrote it."""
    try:
        saved = json.loads(text)
        probe, router = saved["probe"], saved["router"]
        probe["internet"] = tuple((host, port) for host, port in probe["internet"])
        router["adopt"] = tuple(router["adopt"])
        tables = {
            "broker": BrokerSettings(**saved["broker"]),
            "report": ReportSettings(**saved["report"]),
            "probe": ProbeSettings(**probe),
            "router": RouterSettings(**router),
            "simulated": SimulatedSettings(**saved["simulated"]),
            "push": PushSettings(**saved["push"]),
            "outbox": OutboxSettings(**saved["outbox"]),
            "paths": PathSettings(**saved["paths"]),
        }
        return Settings(**(saved | tables))
    except (ValueError, KeyError, TypeError):
        raise Rejected("the settings handed over are not of this version of the agent") from None


def hand_over(text: str) -> int:
    """Put `dump`'s text into anonymous memory that the next process image inherits; give its file descriptor."""
    fd = os.memfd_create("rwagent-settings", 0)
    with open(fd, "wb", closefd=False) as file:
        file.write(text.encode())
    return fd


def read_fd(fd: int) -> str:
    """Read what `hand_over` wrote, from its beginning; Rejected when the descriptor is not such a one."""
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        with open(fd, "rb", closefd=False) as file:
            return file.read().decode()
    except (OSError, ValueError) as error:
        raise Rejected(f"file descriptor {fd} holds no settings: {error}") from None


# One arena, for the daemon's other threads live for seconds; and what glibc's heap has free at its top goes back: 280 KiB less private memory.
# Not every KiB of it: what each report takes and leaves would go to and fro, for a twentieth of the CPU.
MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_TOP_PAD_": "0", "MALLOC_TRIM_THRESHOLD_": "131072"}


def environment() -> dict[str, str]:
    """Give the environment for the daemon's process image; what the operator has set stands."""
    return MALLOC | dict(os.environ)


def interpreter() -> list[str]:
    """Give this interpreter and the flags that decide what it imports, for a new process image of the same agent."""
    flags = sys.flags
    letters = (
        ("I", flags.isolated),
        ("E", flags.ignore_environment and not flags.isolated),
        ("s", flags.no_user_site and not flags.isolated),
        ("P", getattr(flags, "safe_path", False) and not flags.isolated),
        ("S", flags.no_site),
        ("B", flags.dont_write_bytecode),
        ("O", flags.optimize == 1),
        ("OO", flags.optimize == 2),
    )
    options = [f"-X{name}" if value is True else f"-X{name}={value}" for name, value in sys._xoptions.items()]
    return [sys.executable, *(f"-{letter}" for letter, is_set in letters if is_set), *options, *(f"-W{option}" for option in sys.warnoptions)]


def begin_anew(file: str, fd: int) -> NoReturn:
    """Become `rwagent run` anew; `fd` holds the settings as they are: what a faulty new file falls back to."""
    os.set_inheritable(fd, True)
    # Another SIGHUP until the next image listens for it must not end it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.execv(sys.executable, [*interpreter(), "-m", "agent", "run", "--config", file, "--last-good-fd", str(fd)])


def read_file(path: str) -> str:
    """Read a file's text, or raise Faults. Opened without blocking, so that a FIFO cannot hold up the start."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _whole_file(path, "there is no such file", "copy docs/agent.toml there, or name another with --config FILE") from None
    except OSError as error:
        raise _whole_file(path, f"cannot be read ({error.strerror})", "expected a file this user may read: run as root or as the agent's user") from None
    except ValueError:
        raise _whole_file("--config", "no file can have this name", "expected a path without NUL bytes") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _whole_file(path, "is not a regular file", "expected a TOML file")
        text = os.read(fd, MAX_FILE_BYTES + 1)
    finally:
        os.close(fd)
    if len(text) > MAX_FILE_BYTES:
        raise _whole_file(path, f"has more than {MAX_FILE_BYTES} bytes", "expected the agent's settings")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise _whole_file(path, f"is not UTF-8 in line {line}", "expected a TOML file in UTF-8") from None


def _whole_file(path: str, what: str, expected: str) -> Faults:
    return Faults(path, [Fault("", what, expected)])


def parse_toml(path: str, text: str) -> dict[str, Any]:
    """Read a TOML file's text, or raise Faults."""
    # Imported here because the parser would cost the daemon 2 MB of private memory for its whole life.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # TOMLDecodeError, and what it lets through: numbers too long for int(), and tables too deep.
        what = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "a number too long, or lists too deep"
        raise _whole_file(path, f"is not TOML: {what}", 'expected lines such as: host = "mqtt.example"') from None
    return document
