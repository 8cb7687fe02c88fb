# Stands in for OpenWrt's rules.mk as far as our feed's Makefiles use it, so that scripts/build_package runs the very same Makefiles without the SDK.
# Given: OUT (where it all goes), RELEASE, PYTHON (that release's interpreter), CONFIG_USE_APK (y or nothing).

INCLUDE_DIR:=$(TOPDIR)/include
BUILD_DIR:=$(OUT)/build

comma:=,

CP:=cp -fpR
LN:=ln -sf
FIND:=find
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_DATA:=install -m0644
INSTALL_CONF:=install -m0600
