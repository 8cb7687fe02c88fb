"""mosquitto as the city's broker: its configuration and access list, both made from city.toml and the contract, and the process that runs with them.

Promises that nobody comes in without a certificate, that an access point has its own topics and no other, and that the queue of an ingester that is away
holds what the city sends meanwhile. Works with mosquitto 2.0.11 and later.
"""

from __future__ import annotations

import contextlib
import math
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from agent.wire import topics
from fleet import files, store
from fleet.city import FILE, INGEST, OPERATOR, City
from fleet.errors import Refused

FILES = ("mosquitto.conf", "acl", "ca.pem", "operators.pem", "crl.pem", "server.pem", "server.key")
COPIED = ("ca.pem", "operators.pem", "crl.pem")
OLDEST = (2, 0)
# What is published once or more for each report: presence, events, alerts, a config's progress.
HEADROOM = 2
BYTES_PER_MESSAGE = 4096  # a report of every field is 3,200 (DESIGN.md 7)
INFLIGHT = 1000
LARGEST_PACKET = 128 << 10
MOST_IN_AN_INT = (1 << 31) - 1
OWN_FILES = 100  # file descriptors besides the access points'
AUTOSAVE_S = 60
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))

# What goes up and is read by its own sender too: a late will in `presence`, and `config/reported` that comes back through a changed router (DESIGN.md 3.3).
READ_BACK = (topics.PRESENCE, topics.CONFIG_REPORTED)
# What goes down is the operator's, but for what the ingester says.
INGESTS = (topics.ACK,)

TEMPLATE = """\
# The broker of {city}; made from {file}, and made anew at each start: change {file} instead.
# Start it with `rwctl broker run`, or in this directory: the paths below begin here.
{user}

# Nobody comes in without a certificate, and then has the topics of the access list.
allow_anonymous false
acl_file acl

# What waits for the ingester while it is away: {access_points} access points, a report each {interval_s} s,
# {away_minutes} minutes, times {headroom} for all that is no report. mosquitto's own limit is 1000; beyond a limit it drops messages that it has
# acknowledged, and tells nobody.
max_queued_messages {messages}
# The same in bytes, {each} for each message: the most memory that one absent client may take.
max_queued_bytes {bytes}
# The ingester acknowledges by the batch, after it has stored it; with 20, the default, it would wait for the broker.
max_inflight_messages {inflight}
# Sessions that nobody comes back to are forgotten.
persistent_client_expiration {days}d
# A push or a report is at most {kib} KiB with its topic; whoever sends more is disconnected before it is read.
max_packet_size {packet}
set_tcp_nodelay true

# Retained messages, sessions and queues survive a restart, and a power cut but for the last {autosave_s} seconds; what is lost then is sent again.
persistence true
persistence_location data/
autosave_interval {autosave_s}

# Who came and went, never what was said.
log_dest stderr
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S
connection_messages true

# For access points. The CN is user name and client id in one, so none can take another's place.
listener {port} {listen}
cafile ca.pem
crlfile crl.pem
certfile server.pem
keyfile server.key
require_certificate true
use_identity_as_username true
use_username_as_clientid true

# For the city's own programs, whose certificates are of an authority of their own: no access point's opens this one.
listener {city_port} {city_host}
cafile operators.pem
certfile server.pem
keyfile server.key
require_certificate true
use_identity_as_username true
"""


def queued_messages(city: City) -> int:
    """How many messages must wait for an ingester that is away as long as city.toml says; with headroom."""
    return HEADROOM * _reports_while_away(city)


def queued_bytes(city: City) -> int:
    """How many bytes they may be."""
    return queued_messages(city) * BYTES_PER_MESSAGE


def access_list(city: City) -> str:
    """Make the access list: a line for each topic of the contract, and nothing but these."""
    root = f"{topics.PREFIX}/{city.name}"
    own = [f"pattern {_own_access(topic):<9} {root}/%u/{_levels(topic)}" for topic in topics.TOPICS]
    down = [topic for topic in topics.TOPICS if topic.direction == "down"]
    return "\n".join(
        [
            f"# Who may say and hear what; made from {FILE}, and made anew at each start.",
            "# %u is the CN of the certificate, so an access point has its own topics and no others.",
            *own,
            "",
            "# The city's ingester hears everything and says what it has stored.",
            f"user {INGEST}",
            f"topic read {root}/#",
            *(f"topic write {root}/+/{_levels(topic)}" for topic in down if topic.name in INGESTS),
            "",
            "# The city's operators hear everything and push.",
            f"user {OPERATOR}",
            f"topic read {root}/#",
            *(f"topic write {root}/+/{_levels(topic)}" for topic in down if topic.name not in INGESTS),
            "",
        ]
    )


def configuration(city: City, user: str | None) -> str:
    """Make mosquitto.conf; `user` is whom it becomes when it is started by root. All its paths are relative to its directory."""
    broker, limits = city.broker, city.limits
    return TEMPLATE.format(
        city=city.name,
        file=FILE,
        user=f"user {user}" if user else "# Not started by root: it runs as whoever starts it.",
        access_points=limits.access_points,
        interval_s=city.report.interval_s,
        away_minutes=limits.away_minutes,
        headroom=HEADROOM,
        messages=queued_messages(city),
        each=BYTES_PER_MESSAGE,
        bytes=queued_bytes(city),
        inflight=INFLIGHT,
        days=max(14, math.ceil(limits.away_minutes / 1440) + 1),
        kib=LARGEST_PACKET >> 10,
        packet=LARGEST_PACKET + 1024,
        autosave_s=AUTOSAVE_S,
        **broker._asdict(),
    )


def write(city: City) -> list[str]:
    """Write what mosquitto reads, but for the broker's own certificate; give the names of the files that changed."""
    folder, changed = city.broker_folder, []
    texts = {"mosquitto.conf": configuration(city, user(city)).encode(), "acl": access_list(city).encode()}
    # In this order everywhere: else a list of revoked certificates could be overwritten by the one before.
    with files.locked(city.ca), files.locked(folder):
        texts |= {name: files.read(city.ca / name) for name in COPIED}
        for name, text in texts.items():
            path = folder / name
            if not path.exists() or files.read(path) != text:
                files.put(path, text, files.PRIVATE)
                changed.append(name)
    return changed


def user(city: City) -> str | None:
    """Give the user that a mosquitto started by root becomes: whose the directory is. None when we are not root."""
    if os.geteuid() != 0:
        return None
    number = city.broker_folder.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        raise Refused(f"{city.broker_folder}: belongs to user {number}, which has no name here; run: chown -R root {city.broker_folder}") from None


def outgrown(city: City, more: int = 0) -> str:
    """Say that the broker's queues are made for fewer access points than are enrolled, with so many more; "" when they are not."""
    with contextlib.closing(store.open_city(city)) as connection:
        (enrolled,) = connection.execute("SELECT count(*) FROM inventory WHERE revoked_at IS NULL").fetchone()
    file, fleet, many = city.folder / FILE, city.limits.access_points, enrolled + more
    if many <= fleet:
        return ""
    remedy = f"set access_points = {_rounded(many)} and start the broker anew"
    return f"{file}: fleet.access_points is {fleet} and {many} are enrolled: the broker would drop messages; {remedy}"


def refuse_misfits(city: City, memory_bytes: int | None = None) -> None:
    """Refuse to start a broker that would lose messages: its limits are smaller than the city. All reasons at once."""
    memory = memory_bytes if memory_bytes is not None else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    faults = list(_misfits(city, memory))
    if faults:
        raise Refused("\n".join(faults))


def program(path: str = PATH) -> str:
    """Find mosquitto; Refused when there is none or one that is too old."""
    found = shutil.which("mosquitto", path=path)
    if found is None:
        raise Refused(
            "mosquitto is not installed; run:  sudo apt-get install mosquitto"
            "   and keep the service that comes with it off:  sudo systemctl disable --now mosquitto"
        )
    said = subprocess.run([found, "-h"], capture_output=True, text=True, timeout=10, check=False).stdout
    version = re.search(r"version (\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST:
        raise Refused(f"{found}: is {said.splitlines()[0] if said else 'not understood'}, expected mosquitto {'.'.join(map(str, OLDEST))} or later")
    return found


def refuse_taken_ports(city: City) -> None:
    """Refuse to start where somebody listens already."""
    broker, pid = city.broker, running(city)
    if pid is not None:
        raise Refused(f"this city's broker runs already (process {pid}); end it first:  kill {pid}")
    if broker.port == broker.city_port:
        raise Refused(f"{city.folder / FILE}: broker.port and broker.city_port are both {broker.port}; our mosquitto has a listener for each")
    for what, host, port in (("port", broker.listen, broker.port), ("city_port", broker.city_host, broker.city_port)):
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            raise Refused(
                f"{host}:{port} cannot be listened on ({error.strerror}); see who does:  ss -ltnp 'sport = :{port}'"
                f"   or change broker.{what} in {city.folder / FILE}"
            ) from None


def become(city: City, binary: str) -> None:
    """Become mosquitto: this process, with its signals and its exit code. Never returns."""
    folder = city.broker_folder
    with files.locked(folder):
        files.put(folder / "mosquitto.pid", f"{os.getpid()}\n".encode(), files.PUBLIC)
    # From inside the directory, because its user need not be able to come in from above: the city's directory is its owner's alone.
    os.chdir(folder)
    os.execv(binary, [binary, "-c", "mosquitto.conf"])


def allow_connections(city: City) -> None:
    """Let this process, and the mosquitto it becomes, hold a connection to each access point; Refused when the system does not."""
    needed = city.limits.access_points + OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
        except (ValueError, OSError):
            raise Refused(
                f"{city.limits.access_points} access points need {needed} open files, and this process may have {hard}; run:  ulimit -n {needed}"
                f"   (a service: LimitNOFILE={needed})"
            ) from None


def running(city: City) -> int | None:
    """Give the process that is this city's mosquitto; None when it does not run."""
    try:
        pid = int((city.broker_folder / "mosquitto.pid").read_text(encoding="ascii"))
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
        # The number may be another process's by now: it counts only if it is a mosquitto in that very directory.
        is_here = os.path.samestat(os.stat(f"/proc/{pid}/cwd"), city.broker_folder.stat())
    except (OSError, ValueError):
        return None
    return pid if name.startswith("mosquitto") and is_here else None


def reload(city: City) -> bool:
    """Have our mosquitto read its list of revoked certificates again; False when it does not run here."""
    pid = running(city)
    if pid is None:
        return False
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise Refused(f"mosquitto (process {pid}) could not be told that a certificate is revoked; run:  sudo kill -HUP {pid}") from None
    return True


def _misfits(city: City, memory: int) -> Iterator[str]:
    file, fleet, away = city.folder / FILE, city.limits.access_points, city.limits.away_minutes
    if too_many := outgrown(city):
        yield too_many
    queued = f"{file}: {fleet} access points, away for {away} minutes:"
    if queued_messages(city) > MOST_IN_AN_INT:
        yield f"{queued} {queued_messages(city)} messages, and mosquitto queues at most {MOST_IN_AN_INT}; make away_minutes smaller"
    elif (needed := _reports_while_away(city) * BYTES_PER_MESSAGE) > memory:
        possible = max(1, away * memory // needed)
        yield f"{queued} up to {needed >> 20} MiB would wait, and this machine has {memory >> 20}; set away_minutes = {possible}"


def _reports_while_away(city: City) -> int:
    return math.ceil(city.limits.access_points * city.limits.away_minutes * 60 / city.report.interval_s)


def _rounded(number: int) -> int:
    """Room to grow: a tenth more, in hundreds."""
    return math.ceil(number * 1.1 / 100) * 100


def _own_access(topic: topics.Topic) -> str:
    if topic.direction == "both" or topic.name in READ_BACK:
        return "readwrite"
    return "write" if topic.direction == "up" else "read"


def _levels(topic: topics.Topic) -> str:
    return "/".join("+" if level.startswith("<") else level for level in topic.name.split("/"))
