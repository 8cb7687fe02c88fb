# Stands in for OpenWrt's package.mk: BuildPackage writes down what a package says of itself, and installs it under $(OUT)/root/NAME.
# Each definition is expanded as often as there: once for what is written down, once more by the shell's recipe for an install.

PKG_BUILD_DIR?=$(BUILD_DIR)/$(PKG_NAME)-$(PKG_VERSION)
PKG_INSTALL_DIR?=$(PKG_BUILD_DIR)/ipkg-install
VERSION:=$(PKG_VERSION)-r$(PKG_RELEASE)

.DEFAULT_GOAL:=all
all:

$(OUT)/compiled-$(PKG_NAME):
	mkdir -p $(PKG_BUILD_DIR)
	$(call Build/Prepare)
	$(call Build/Compile)
	touch $@

# $(1) package, $(2) what
define Said
$(file >$(OUT)/said/$(1)/$(2),$($(3)))
endef

define BuildPackage
  SECTION:=
  CATEGORY:=
  TITLE:=
  URL:=
  DEPENDS:=
  EXTRA_DEPENDS:=
  USERID:=
  PKGARCH:=
  $(eval $(Package/$(1)))
  $(shell mkdir -p $(OUT)/said/$(1))
  $(foreach field,VERSION SECTION TITLE URL DEPENDS EXTRA_DEPENDS USERID PKGARCH PKG_NAME PKG_MAINTAINER PKG_LICENSE PKG_LICENSE_FILES,$(call Said,$(1),$(field),$(field)))
  $(foreach text,description conffiles preinst postinst prerm postrm,$(call Said,$(1),$(text),Package/$(1)/$(text)))
  all: installed-$(1)
  installed-$(1): $(OUT)/compiled-$(PKG_NAME)
	mkdir -p $(OUT)/root/$(1)
	$(call Package/$(1)/install,$$(OUT)/root/$(1))
endef
