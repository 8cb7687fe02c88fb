"""Where the settings of this box are edited: agent.toml, or UCI where that is made of it; and what is said of a setting in the words of either.

Pure but for a look at agent.toml. Used by the short-lived commands, never by the daemon.
"""

from __future__ import annotations

import os
import re

from agent import flash, settings_rules, uci_settings
from agent.settings import Faults

CORRECT = "correct the file; docs/agent.toml shows every key"
CORRECT_UCI = f"correct it in {uci_settings.FILE}, with uci or in LuCI, then run /etc/init.d/rwagent reload; docs/agent.toml explains every option"
COPY = "copy docs/agent.toml there, or name another with --config FILE"
COPY_UCI = f"it is made of {uci_settings.FILE}: /etc/init.d/rwagent restart, and what is missing stands in the log: logread -e rwagent"
_NAMES = "|".join(f"{table}\\.(?:{'|'.join(rules)})" for table, rules in uci_settings.SETTABLE.items())
_SETTING = re.compile(rf"(?P<set>\b[Ss]et )?(?:agent\.toml's )?(?<![\w.])(?P<name>{_NAMES})\b(?: = (?P<value>\"[^\"]*\"|true|false))?(?: in agent\.toml)?")
_FLAGS = {"true": "1", "false": "0"}


def is_in_uci(config: str, uci: str = uci_settings.FILE, release: str = settings_rules.OPENWRT_RELEASE) -> bool:
    """Say whether settings are made of UCI; where there are none yet, whether they will be."""
    try:
        content = flash.read(config)
    except OSError:
        return False
    return uci_settings.is_made(content) if content is not None else os.path.exists(uci) and os.path.exists(release)


def in_uci(text: str) -> str:
    """Say of settings in UCI's words what was said in those of agent.toml: rwagent.broker.host, and how it is set."""
    return _SETTING.sub(_named, text.replace(CORRECT, CORRECT_UCI).replace(COPY, COPY_UCI))


def _named(found: re.Match[str]) -> str:
    name, value = f"{uci_settings.PACKAGE}.{found['name']}", found["value"]
    if value is None:
        return f"{found['set'] or ''}{name}"
    plain = _FLAGS.get(value) or f"'{value[1:-1]}'"
    return f"uci set {name}={plain}; uci commit {uci_settings.PACKAGE}; /etc/init.d/rwagent reload" if found["set"] else f"{name}={plain}"


def explained(error: Faults) -> str:
    """Say faulty settings in the words of where they are edited."""
    return in_uci(str(error)) if is_in_uci(error.file) else str(error)
