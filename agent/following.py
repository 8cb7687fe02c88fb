"""What a derived file is made of changes between pushes, too: the way out becomes another device, an upgrade says the same in other words. The file follows.

No journal and no trial: each file is replaced whole, and by nothing but what the configuration in force asks for anyway.
"""

from __future__ import annotations

import logging
import os

from agent import derived, trial
from agent.change import Facts, Tree
from agent.flash import Flash
from agent.router.store import Store

LOG = logging.getLogger(__name__)


def follow(store: Store, flash: Flash, tree: Tree) -> None:
    """Put the derived files in place as this tree asks for them on the box as it is now, and have them carried out; OSError, Unavailable when that fails.

    One that names a device which is not known at the moment (no default route yet) stays as it is.
    """
    paths = store.paths()
    before = {name: content for name, content in trial.read_all(store).items() if name in derived.DERIVED}
    if not any(before.values()) and not derived.is_asked_for(tree):
        return
    facts = store.facts(tree)
    differing = {name: content for name, content in derived.made(tree, facts) if name in before and _is_known(name, facts) and content != (before[name] or b"")}
    for name, content in differing.items():
        LOG.warning("%s is not as the configuration asks for it any more, it is made anew", name)
        flash.make_directory(os.path.dirname(paths[name]))
        flash.put(paths[name], content)
    if differing:
        store.reload(list(differing))


def _is_known(name: str, facts: Facts) -> bool:
    return bool(derived.DERIVED[name].device(facts))
