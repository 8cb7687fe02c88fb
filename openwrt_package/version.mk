# The version of both packages: the agent's own, which is said in one place.

RWAGENT_CLONE:=$(abspath $(CURDIR)/../..)
RWAGENT_VERSION:=$(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' $(RWAGENT_CLONE)/agent/__init__.py)

# apk takes no other: neither 1.2.3rc1 nor 1.2.3.dev1 could be built.
ifeq ($(shell sed -n 's/^__version__ = "\([0-9][0-9]*\(\.[0-9][0-9]*\)*\(_rc[0-9][0-9]*\)\{0,1\}\)"$$/\1/p' $(RWAGENT_CLONE)/agent/__init__.py),)
  $(error $(RWAGENT_CLONE)/agent/__init__.py: the version is "$(RWAGENT_VERSION)", expected numbers like 1.2.3, or 1.2.3_rc1: apk takes no other)
endif
