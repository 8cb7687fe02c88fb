"""The shelf of the doctor's checks: one file each, and the table that names them in the order of the examination."""

from __future__ import annotations

from agent.checks import (
    acl,
    broker,
    caps,
    certificate,
    clock,
    daemon,
    dns,
    facts,
    files,
    offload,
    public_network,
    push,
    radios,
    rpcd,
    run_dir,
    storage,
    ubus,
    uplink,
    wifi,
)
from agent.finding import Check

CHECKS: dict[str, Check] = {
    one.NAME: one.check
    for one in (
        files,
        run_dir,
        storage,
        clock,
        ubus,
        acl,
        rpcd,
        facts,
        uplink,
        wifi,
        radios,
        public_network,
        offload,
        caps,
        dns,
        certificate,
        broker,
        daemon,
        push,
    )
}
# What no other box has: the doctor does not speak of them elsewhere.
ONLY_OPENWRT = frozenset(module.NAME for module in (ubus, acl, rpcd, facts, radios, public_network, offload))


def checks_for(backend: str) -> dict[str, Check]:
    """Give the checks of a box that is read by `backend`, in order; "" when it is not known what it is."""
    return {name: check for name, check in CHECKS.items() if backend == "openwrt" or name not in ONLY_OPENWRT}
