# Stands in for the packages feed's python3-package.mk: which Python the release has, and how its interpreter on the build machine is run.

HOST_PYTHON3_BIN:=$(PYTHON)
PYTHON3_VERSION:=$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
PYTHON3_VERSION_MAJOR:=$(firstword $(subst ., ,$(PYTHON3_VERSION)))
PYTHON3_VERSION_MINOR:=$(lastword $(subst ., ,$(PYTHON3_VERSION)))
PYTHON3_PKG_DIR:=/usr/lib/python$(PYTHON3_VERSION)/site-packages

define Python3/Run
	cd "$(if $(strip $(1)),$(strip $(1)),.)" && PYTHONDONTWRITEBYTECODE=1 $(3) $(HOST_PYTHON3_BIN) $(2)
endef
