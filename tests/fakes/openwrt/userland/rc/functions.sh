#!/bin/sh
# shellcheck shell=dash disable=SC1090,SC2013,SC2034,SC2086,SC2154  # sourced; words are split as the original splits them
# Stands in for /lib/functions.sh: reading UCI, users and groups, and what a package's scripts run. Written for these tests.

N='
'

config_load() { # config_load PACKAGE
    [ -z "$IPKG_INSTROOT" ] || return 0
    CONFIG_SECTIONS='' CONFIG_SECTION='' fn_sections=0
    fn_text=$(uci -q -S -n export "$1") || return 1
    # What `uci export` prints is quoted for a shell.
    eval "$fn_text"
}

reset_cb() {
    config_cb() { :; }
    option_cb() { :; }
    list_cb() { :; }
}
reset_cb
package() { :; }

config() { # config TYPE [NAME]
    fn_sections=$((fn_sections + 1))
    CONFIG_SECTION=${2:-cfg$fn_sections}
    CONFIG_SECTIONS="$CONFIG_SECTIONS${CONFIG_SECTIONS:+ }$CONFIG_SECTION"
    config_set "$CONFIG_SECTION" TYPE "$1"
    config_cb "$1" "$CONFIG_SECTION"
}
option() {
    config_set "$CONFIG_SECTION" "$1" "$2"
    option_cb "$1" "$2"
}
list() {
    eval "fn_count=\$((\${CONFIG_${CONFIG_SECTION}_${1}_LENGTH:-0} + 1)) fn_all=\${CONFIG_${CONFIG_SECTION}_${1}-}"
    config_set "$CONFIG_SECTION" "${1}_LENGTH" "$fn_count"
    config_set "$CONFIG_SECTION" "${1}_ITEM$fn_count" "$2"
    config_set "$CONFIG_SECTION" "$1" "$fn_all${fn_all:+ }$2"
    list_cb "$1" "$2"
}

config_set() { eval "CONFIG_${1}_${2}=\$3"; }

config_get() { # config_get VARIABLE SECTION OPTION [DEFAULT], or config_get SECTION OPTION
    case "$2${3:-$1}" in *[!A-Za-z0-9_]*) return 0 ;; esac
    if [ -z "${3-}" ]; then eval "echo \"\${CONFIG_${1}_${2}-}\""; else eval "$1=\${CONFIG_${2}_${3}:-\${4-}}"; fi
}

config_get_bool() { # config_get_bool VARIABLE SECTION OPTION [DEFAULT]
    config_get fn_bool "$2" "$3" "${4-}"
    case $fn_bool in
        1 | on | true | yes | enabled) fn_bool=1 ;;
        0 | off | false | no | disabled) fn_bool=0 ;;
        *) fn_bool=${4-} ;;
    esac
    eval "$1=\$fn_bool"
}

config_foreach() { # config_foreach FUNCTION [TYPE] [ARGUMENT...]
    # shellcheck disable=SC3043  # the function called may do so too
    local fn_each="$1" fn_type="${2-}" fn_section fn_is
    shift
    [ $# -eq 0 ] || shift
    for fn_section in $CONFIG_SECTIONS; do
        eval "fn_is=\$CONFIG_${fn_section}_TYPE"
        if [ -z "$fn_type" ] || [ "$fn_is" = "$fn_type" ]; then "$fn_each" "$fn_section" "$@"; fi
    done
}

config_list_foreach() { # config_list_foreach SECTION OPTION FUNCTION [ARGUMENT...]
    # shellcheck disable=SC3043
    local fn_of="$1" fn_option="$2" fn_each="$3" fn_at=1 fn_length fn_item
    config_get fn_length "$1" "${2}_LENGTH" 0
    shift 3
    while [ "$fn_at" -le "$fn_length" ]; do
        config_get fn_item "$fn_of" "${fn_option}_ITEM$fn_at"
        "$fn_each" "$fn_item" "$@"
        fn_at=$((fn_at + 1))
    done
}

uci_get() { uci -q get "$1${2:+.$2}${3:+.$3}" || { [ -z "${4-}" ] || echo "$4"; }; }

append() { eval "$1=\${$1-}\${$1:+\${3:- }}\$2"; }
list_contains() { eval "case \" \$$1 \" in *\" \$2 \"*) ;; *) return 1 ;; esac"; }

# Users and groups

user_exists() { grep -qs "^$1:" "$IPKG_INSTROOT/etc/passwd"; }
group_exists() { grep -qs "^$1:" "$IPKG_INSTROOT/etc/group"; }

fn_free() { # fn_free FILE: the first number from 32768 on that nobody has
    fn_number=32768
    while cut -d: -f3 "$IPKG_INSTROOT/etc/$1" | grep -q "^$fn_number$"; do fn_number=$((fn_number + 1)); done
    echo "$fn_number"
}

group_add() { # group_add NAME NUMBER
    [ -f "$IPKG_INSTROOT/etc/group" ] || return 1
    echo "$1:x:$2:" >>"$IPKG_INSTROOT/etc/group"
}
group_add_next() { # group_add_next NAME: prints its number
    group_exists "$1" || group_add "$1" "$(fn_free group)"
    sed -n "s/^$1:[^:]*:\([^:]*\):.*/\1/p" "$IPKG_INSTROOT/etc/group"
}
group_add_user() { # group_add_user GROUP USER
    case ",$(sed -n "s/^$1:.*://p" "$IPKG_INSTROOT/etc/group")," in *",$2,"*) return 0 ;; esac
    sed -i "s/^\($1:.*[^:]\)$/\1,$2/; s/^\($1:.*:\)$/\1$2/" "$IPKG_INSTROOT/etc/group"
}
user_add() { # user_add NAME [NUMBER] [GROUP NUMBER] [DESCRIPTION] [HOME] [SHELL]
    [ -f "$IPKG_INSTROOT/etc/passwd" ] || return 1
    fn_uid=${2:-$(fn_free passwd)}
    echo "$1:x:$fn_uid:${3:-$fn_uid}:${4:-$1}:${5:-/var/run/$1}:${6:-/bin/false}" >>"$IPKG_INSTROOT/etc/passwd"
    echo "$1:x:0:0:99999:7:::" >>"$IPKG_INSTROOT/etc/shadow"
}

# What a package's scripts run: `pkgname` is its name on 25.12; on 24.10 it is that of the script.

fn_package() { # fn_package SCRIPT: `fn_name`, and `fn_list`, the file with the package's files
    fn_name=${pkgname:-$(basename "${1%.*}")}
    fn_list=$IPKG_INSTROOT/lib/apk/packages/$fn_name.list
    [ -e "$fn_list" ] || fn_list=$IPKG_INSTROOT/usr/lib/opkg/info/$fn_name.list
}

add_group_and_user() { # USER=UID:GROUP=GID... of what the package requires
    fn_package "${1-}"
    fn_users=$(sed -n 's/^Require-User: *//p' "$IPKG_INSTROOT/usr/lib/opkg/info/$fn_name.control" 2>/dev/null)
    [ ! -e "$IPKG_INSTROOT/lib/apk/packages/$fn_name.rusers" ] || fn_users=$(cat "$IPKG_INSTROOT/lib/apk/packages/$fn_name.rusers")
    for fn_one in $fn_users; do
        fn_user=${fn_one%%:*} fn_group='' fn_gid=''
        case $fn_one in *:*) fn_group=${fn_one#*:} fn_group=${fn_group%%:*} ;; esac
        case $fn_group in *=*) fn_gid=${fn_group#*=} fn_group=${fn_group%%=*} ;; esac
        if [ -n "$fn_group" ] && [ -n "$fn_gid" ]; then
            group_exists "$fn_group" || group_add "$fn_group" "$fn_gid"
        elif [ -n "$fn_group" ]; then
            fn_gid=$(group_add_next "$fn_group")
        fi
        case $fn_user in *=*) fn_uid=${fn_user#*=} fn_user=${fn_user%%=*} ;; *) fn_uid='' ;; esac
        [ -z "$fn_user" ] || user_exists "$fn_user" || user_add "$fn_user" "$fn_uid" "$fn_gid"
        [ -z "$fn_user" ] || [ -z "$fn_group" ] || group_add_user "$fn_group" "$fn_user"
    done
}

fn_services() { # fn_services FIRST SECOND: of each start script, not under an offline root; FIRST also there, and not in an upgrade
    for fn_script in $(grep -s '^/etc/init\.d/' "$fn_list"); do
        if [ -n "$IPKG_INSTROOT" ]; then
            /bin/sh "$IPKG_INSTROOT/etc/rc.common" "$IPKG_INSTROOT$fn_script" "$1"
        else
            [ "${PKG_UPGRADE-}" = 1 ] || "$fn_script" "$1"
            "$fn_script" "$2"
        fi
    done
}

fn_own() { # fn_own postinst|prerm: the package's own part, where the package has it in a file of its own (24.10)
    fn_part=$IPKG_INSTROOT/usr/lib/opkg/info/$fn_name.$1-pkg
    [ ! -f "$fn_part" ] || (. "$fn_part")
}

default_postinst() { # default_postinst SCRIPT...
    add_group_and_user "${1-}"
    fn_status=0
    if [ -z "$IPKG_INSTROOT" ]; then
        ! grep -qs '^/etc/sysctl\.d/' "$fn_list" || /etc/init.d/sysctl restart
        fn_defaults=$(grep -s '^/etc/uci-defaults/' "$fn_list")
        mkdir -p /tmp/.uci
        for fn_script in $fn_defaults; do
            (cd "${fn_script%/*}" && [ -f "$fn_script" ] && . "$fn_script") && rm -f "$fn_script"
        done
        [ -z "$fn_defaults" ] || uci commit
    fi
    fn_own postinst || fn_status=$?
    fn_services enable start
    return $fn_status
}

default_prerm() { # default_prerm SCRIPT...
    fn_package "${1-}"
    fn_status=0
    fn_own prerm || fn_status=$?
    fn_services disable stop
    return $fn_status
}

include() { # include DIRECTORY
    for fn_file in "$1"/*.sh; do
        [ ! -e "$fn_file" ] || . "$fn_file"
    done
}
