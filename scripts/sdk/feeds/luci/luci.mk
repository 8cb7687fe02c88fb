# Stands in for the LuCI feed's luci.mk: an application's htdocs/ goes to /www, its root/ to /, and the menu and rpcd are told when it comes.

PKG_NAME?=$(notdir $(CURDIR))
PKG_RELEASE?=1

include $(INCLUDE_DIR)/package.mk

define Package/$(PKG_NAME)
  SECTION:=luci
  CATEGORY:=LuCI
  TITLE:=$(LUCI_TITLE)
  URL:=$(LUCI_URL)
  DEPENDS:=$(LUCI_DEPENDS)
  PKGARCH:=all
endef

define Package/$(PKG_NAME)/description
  $(strip $(LUCI_DESCRIPTION))
endef

define Package/$(PKG_NAME)/postinst
[ -n "$${IPKG_INSTROOT}" ] || {
	rm -f /tmp/luci-indexcache.*
	rm -rf /tmp/luci-modulecache/
	/etc/init.d/rpcd reload 2>/dev/null
	exit 0
}
endef

define Package/$(PKG_NAME)/install
	if [ -d htdocs ]; then $(INSTALL_DIR) $(1)/www && cp -pR htdocs/. $(1)/www/; fi
	if [ -d root ]; then cp -pR root/. $(1)/; fi
endef

$(eval $(call BuildPackage,$(PKG_NAME)))
