#!/bin/sh
# The packages feed's test of what was installed, in a container of each architecture: test.sh PACKAGE VERSION.

case "${PKG_NAME:-$1}" in
rwagent)
	rwagent --help >/dev/null || exit 1
	rwagent-apply --help >/dev/null || exit 1

	# Each module is there and imports, with what the package depends on.
	python3 -I - <<'EOF' || exit 1
import importlib
import os

import agent

top = os.path.dirname(agent.__file__)
for directory, _, files in os.walk(top):
    for file in files:
        name, suffix = os.path.splitext(file)
        assert suffix == ".pyc" or directory != top, file
        if suffix == ".pyc":
            parts = os.path.relpath(directory, os.path.dirname(top)).split(os.sep)
            importlib.import_module(".".join(parts if name == "__init__" else [*parts, name]))
EOF

	# Not enrolled yet, it says what is missing.
	python3 -I -m agent.render
	[ $? -eq 3 ] || { echo "agent.render does not say that this box is not enrolled"; exit 1; }
	for script in /etc/init.d/rwagent*; do
		sh -n "$script" || exit 1
	done
	;;

rwagent-probe)
	python3 -c 'import requests' || exit 1
	;;

*)
	echo "Untested package: ${PKG_NAME:-$1}" >&2
	exit 1
	;;
esac
