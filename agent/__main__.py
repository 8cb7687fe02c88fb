"""The command line, `rwagent` and `python -m agent`; and the first of the two process images of `rwagent run`.

Reads settings with everything that takes, then replaces itself by the lean `agent.daemon`, or by `agent.safe` when that crashed
again and again. Changes nothing on the router.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from agent import __version__, settings
from agent.errors import Rejected, Unavailable
from agent.settings import Faults, Settings

if TYPE_CHECKING:
    from argparse import ArgumentParser

DONE, FAILED, BAD_INPUT = 0, 1, 2
NORMAL, SAFE = "agent.daemon", "agent.safe"
PACKAGES = ("paho-mqtt", "psutil", "netifaces", "netifaces-plus", "requests", "tomli")

EPILOG = """examples:
  rwagent run                                      report to the broker until stopped; SIGHUP reads the settings again
  rwagent once --config /tmp/agent.toml            print one report as JSON; needs no broker
  rwagent status                                   say whether the running agent is connected, and if not, why
  rwagent doctor                                   check everything from the settings to the broker, and say what to do
  rwagent enroll rw-0501.tar.gz                    make this box the access point that the city's bundle is for
  rwagent config show                              say what is desired, how the last push ended, and where the box differs
  rwagent version                                  print the versions of the agent and its packages

exit codes: 0 done, 1 it failed or something is wrong, 2 bad usage or settings"""


class Options(NamedTuple):
    """What the command line says; `last_good_fd` is between two images of a reloading daemon."""

    command: str
    config: str
    json: bool = False
    word: str = ""
    file: str = ""
    force: bool = False
    last_good_fd: int | None = None


class Command(NamedTuple):
    """One word of the command line."""

    run: Callable[[Options], int]
    help: str
    example: str
    has_json: bool = False
    words: tuple[str, ...] = ()
    takes_bundle: bool = False


def main(arguments: list[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _plain_run(words) or _parsed(words)
    try:
        return COMMANDS[options.command].run(options)
    except Faults as error:
        # Imported here because a start without a fault must not pay for it.
        from agent import where

        return _complain(where.explained(error), BAD_INPUT)
    except (Rejected, Unavailable) as error:
        return _complain(f"rwagent {options.command}: {error}", FAILED)
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:
        # The reader of our output left; Python must not find out again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _plain_run(words: list[str]) -> Options | None:
    """Understand the two ways in which a service is started, without what argparse costs; None for everything else."""
    if words == ["run"]:
        return Options("run", settings.DEFAULT_FILE)
    return Options("run", words[2]) if len(words) == 3 and words[:2] == ["run", "--config"] and not words[2].startswith("-") else None


def _parsed(words: list[str]) -> Options:
    parser = _parser()
    found, rest = parser.parse_known_args(words)
    # argparse takes a FILE that may be left out only directly behind its word: `plan --json FILE` leaves it over.
    if COMMANDS[found.command].words and not found.file and len(rest) == 1 and not rest[0].startswith("-"):
        found.file = rest.pop()
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return Options(**vars(found))


def _parser() -> ArgumentParser:
    import argparse

    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="rwagent", description="The agent of one public Wi-Fi access point.", epilog=EPILOG, formatter_class=raw)
    words = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        epilog = f"example:\n  {command.example}"
        word = words.add_parser(name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}.", epilog=epilog, formatter_class=raw)
        word.add_argument("--config", metavar="FILE", default=settings.DEFAULT_FILE, help=f"the agent's settings (default: {settings.DEFAULT_FILE})")
        if command.has_json:
            word.add_argument("--json", action="store_true", help="print JSON, for machines")
        if command.words:
            word.add_argument("word", choices=command.words, help="which")
            word.add_argument("file", nargs="?", default="", metavar="FILE", help="for plan: a config as JSON or TOML, or a signed push")
        if command.takes_bundle:
            word.add_argument("file", metavar="FILE", help="the bundle: ID.tar.gz, made by rwctl enroll")
            word.add_argument("--force", action="store_true", help="also when this box is another access point, or another city's")
        if name == "run":
            word.add_argument("--last-good-fd", type=int, help=argparse.SUPPRESS)
    return parser


def _run(options: Options) -> int:
    # Ignored until the daemon listens for it: a reload sent while it starts must not end it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Process 1 of a jail does not get what it has no handler for: it would go on, be killed some seconds later, and that be a crash.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(DONE))
    file = os.path.abspath(options.config)
    chosen = _settings_or_last_good(file, options.last_good_fd)
    module, told = _begin(chosen.paths.run_dir)
    _leave_directory()
    handed = ["--settings-fd", str(settings.hand_over(settings.dump(chosen))), "--config", file, *told]
    os.execve(sys.executable, [*settings.interpreter(), "-m", module, *handed], settings.environment())


def _begin(run_dir: str) -> tuple[str, list[str]]:
    """Note that a run begins, before anything of it can crash; give the module that runs, and what it is told of the runs before."""
    from agent import run_dir as directory
    from agent import starts
    from agent.router.clock import boot

    try:
        lock = directory.hold(run_dir)
    except Rejected:
        return NORMAL, []  # the daemon finds out as well, and says so
    # Held from now on: who comes between two images must not take the mark for that of a run that crashed.
    os.set_inheritable(lock, True)
    told = ["--lock-fd", str(lock), "--run-dir", run_dir]
    # Until the daemon listens for them: who ends it while it starts does not make it crash.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    try:
        start = starts.begin(run_dir, boot(), time.clock_gettime(time.CLOCK_BOOTTIME))
    except (OSError, Unavailable) as error:
        start = starts.Start(starts.Record(), unnoted=error)
    if start.unnoted is not None:
        _complain(f"rwagent run: {run_dir}: crashes are not counted: {start.unnoted}", DONE)
    return SAFE if start.record.is_safe else NORMAL, told + starts.handed(start)


def _settings_or_last_good(file: str, last_good_fd: int | None) -> Settings:
    """Load the file; a running agent whose new file is faulty says so and goes on as before."""
    if last_good_fd is None:
        return settings.load(file)
    last_good = settings.read_fd(last_good_fd)
    os.close(last_good_fd)
    try:
        return settings.load(file)
    except Faults as error:
        kept = settings.restore(last_good)
        _complain(f"{error}\n{file}: not taken, going on with the settings as they were", DONE)
        return kept


def _leave_directory() -> None:
    """Go to / unless the agent itself was imported from the working directory: -m looks there first, also for packages that are not ours."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if ours != os.getcwd():
        os.chdir("/")


def _once(options: Options) -> int:
    # Each command loads only its own parts, so that `version` and a refusal work on a box where a package is missing.
    from agent.once import one_report

    _print(json.dumps(one_report(settings.load(options.config)), indent=2, ensure_ascii=False))
    return DONE


def _status(options: Options) -> int:
    from agent import status

    seen = status.read(settings.load(options.config).paths.run_dir)
    _print(status.to_json(seen) if options.json else status.render(seen))
    return DONE if status.is_connected(seen) else FAILED


def _doctor(options: Options) -> int:
    from agent import doctor

    findings = doctor.examine(options.config)
    _print(doctor.to_json(findings) if options.json else doctor.render(findings))
    return FAILED if doctor.is_ill(findings) else DONE


def _config(options: Options) -> int:
    from agent import config_command

    if bool(options.file) != (options.word == "plan"):
        return _complain("usage: rwagent config show | plan FILE | history  [--config FILE] [--json]", BAD_INPUT)
    chosen = settings.load(options.config)
    if options.word == "plan":
        answer = config_command.plan(chosen, options.file, options.json)
    else:
        answer = (config_command.history if options.word == "history" else config_command.show)(chosen, options.json)
    _print(answer.text)
    return DONE if answer.is_well else FAILED


def _enroll(options: Options) -> int:
    from agent import enroll

    done = enroll.enroll(options.file, options.config, options.force)
    _print(enroll.to_json(done) if options.json else done.text)
    return FAILED if done.faults else DONE


def _version(_options: Options) -> int:
    packages = [f"{name} {version}" for name in PACKAGES if (version := _installed(name))]
    python = ".".join(map(str, sys.version_info[:3]))
    _print(", ".join([f"rwagent {__version__}", f"Python {python}", *packages]))
    return DONE


def _installed(package: str) -> str | None:
    # Imported here: it costs a third of the CPU that `rwagent run` takes to start.
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _complain(text: str, code: int) -> int:
    sys.stderr.write(text + "\n")
    return code


COMMANDS = {
    "run": Command(_run, "report to the broker until stopped", "rwagent run --config /etc/rwagent/agent.toml"),
    "once": Command(_once, "print one report as JSON; needs no broker", "rwagent once"),
    "status": Command(_status, "say whether the running agent is connected, and if not, why", "rwagent status --json", has_json=True),
    "doctor": Command(_doctor, "check everything from the settings to the broker, and say what to do", "rwagent doctor", has_json=True),
    "enroll": Command(
        _enroll, "make this box the access point that the city's bundle is for", "rwagent enroll /tmp/rw-0501.tar.gz", has_json=True, takes_bundle=True
    ),
    "config": Command(
        _config,
        "say what is configured here (show), what a document would change (plan FILE), and how the last pushes ended (history)",
        "rwagent config plan /tmp/rw-0501.toml",
        has_json=True,
        words=("show", "plan", "history"),
    ),
    "version": Command(_version, "print the versions of the agent and its packages", "rwagent version"),
}


if __name__ == "__main__":
    sys.exit(main())
