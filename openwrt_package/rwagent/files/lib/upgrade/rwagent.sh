#!/bin/sh
# sysupgrade reads this in. Before it gathers the files to keep, a push that was never confirmed is taken back: the new system must not begin with it.

rwagent_withdraw() {
	# A list or a backup changes nothing here.
	[ "${CONF_BACKUP_LIST:-0}" -eq 0 ] && [ -z "${CONF_BACKUP-}" ] || return 0
	[ -e /usr/libexec/rwagent/withdraw ] || return 0
	sh /usr/libexec/rwagent/withdraw /etc/rwagent/state /var/run/rwagent-apply && return 0
	echo 'rwagent: a push could not be taken back (rwagent doctor says what to do).' >&2
	[ "${FORCE:-0}" -ne 1 ] || return 0
	echo 'rwagent: no upgrade now; sysupgrade -F does it all the same.' >&2
	exit 1
}

sysupgrade_init_conffiles="rwagent_withdraw ${sysupgrade_init_conffiles-}"
