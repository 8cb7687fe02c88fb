"""Family DNS: whether the public network's questions for names are sent to the resolvers that root wants, and whether those answer, asked of them anew."""

from __future__ import annotations

import os

from agent.errors import Unavailable
from agent.finding import Case, Finding
from agent.router.child import SCRIPTS, Program

NAME = "dns"
LIMIT_S = 20.0  # four resolvers that take their 3 seconds each, and the kernel


def check(case: Case, scripts: str = SCRIPTS, is_root: bool | None = None) -> list[Finding]:
    """Read the kernel's rules back and ask each resolver, as the script of that name does for a push; where none is wanted nothing is looked at."""
    paths = case.settings.paths
    file = place(case.settings.router.backend, paths.state_dir)
    try:
        is_wanted = os.stat(file).st_size > 0
    except OSError:
        is_wanted = False
    if not is_wanted or case.settings.router.backend == "simulated":
        return [Finding(NAME, "skipped", "no resolvers are wanted for the public network")]
    if not (os.geteuid() == 0 if is_root is None else is_root):
        return [Finding(NAME, "skipped", "whether the kernel sends the public network's questions to the resolvers can only be seen by root")]
    script = os.path.join(scripts, NAME)
    if not _is_well(script, "standing", file):
        remedy = f"sh {script} apply {file} {os.path.join(paths.apply_dir, NAME)} as root sets them again, or says why it cannot"
        return [Finding(NAME, "bad", "the kernel does not have the rules that send the public network's questions to the resolvers", remedy)]
    if not _is_well(script, "test", file):
        remedy = f"sh {script} test {file} as root says which; push other resolvers, or look whether the way out lets port 53 pass"
        return [Finding(NAME, "bad", "a resolver that the public network's questions are sent to does not answer", remedy)]
    return [Finding(NAME, "ok", "the public network's questions are sent to the resolvers, which answer")]


def place(backend: str, state_dir: str) -> str:
    """Say where the file lies that root's script works off, by the settings' router.backend and paths.state_dir."""
    return "/etc/rwagent/dns" if backend == "openwrt" else os.path.join(os.path.dirname(state_dir.rstrip("/")), NAME)


def _is_well(script: str, verb: str, file: str) -> bool:
    try:
        Program("sh", timeout_s=LIMIT_S).run(script, verb, file)
    except Unavailable:
        return False
    return True
