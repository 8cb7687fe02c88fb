#!/bin/sh

case "$PKG_NAME" in
rwagent)
	# The scripts in /usr/libexec/rwagent have no version of their own.
	rwagent version | grep -F "rwagent $PKG_VERSION,"
	;;

rwagent-probe)
	# It has no file.
	;;

*)
	echo "Untested package: $PKG_NAME" >&2
	exit 1
	;;
esac
