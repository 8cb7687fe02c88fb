#!/bin/sh
# shellcheck shell=dash disable=SC2034,SC2119,SC2120,SC2154  # rc.common sources it
# Stands in for /lib/functions/procd.sh: gathers what an init script says of its instances and triggers, and tells procd by one call of ubus.
# Written for these tests; JSON is put together as text. What is said in a word that is not known here ends the script: no test may pass by it.

PROCD_RELOAD_DELAY=1000

rc_refuse() {
    echo "procd.sh, the stand-in: $*" >&2
    exit 99
}

rc_quote() { # rc_quote TEXT: `quoted` is a string of JSON
    quoted=$1
    case $quoted in
        *[\\\"]* | *[[:cntrl:]]*)
            quoted=$(printf '%s.' "$quoted" | sed 's/[\\"]/\\&/g; s/	/\\t/g; s/\r/\\r/g' | awk '{ printf "%s%s", (NR > 1 ? "\\n" : ""), $0 }')
            quoted=${quoted%.}
            ;;
    esac
    quoted="\"$quoted\""
}

rc_list() { # rc_list WORD...: `listed` is them, quoted
    listed=''
    for rc_word in "$@"; do
        rc_quote "$rc_word"
        listed="$listed${listed:+,}$quoted"
    done
}

rc_table() { # rc_table NAME=VALUE...
    listed=''
    for rc_word in "$@"; do
        rc_quote "${rc_word%%=*}"
        rc_key=$quoted
        case $rc_word in *=*) rc_quote "${rc_word#*=}" ;; *) rc_quote '' ;; esac
        listed="$listed${listed:+,}$rc_key:$quoted"
    done
}

rc_ubus() { # rc_ubus METHOD MESSAGE
    ubus call service "$1" "$2"
    return 0
}

procd_lock() { :; }

procd_open_service() { # procd_open_service NAME [SCRIPT]
    rc_quote "$1"
    rc_service="\"name\":$quoted"
    rc_quote "${2-}"
    [ -z "${2-}" ] || rc_service="$rc_service,\"script\":$quoted"
    rc_instances='' rc_triggers='' rc_count=0
}

procd_close_service() {
    service_triggers
    rc_ubus "${1:-set}" "{$rc_service,\"instances\":{$rc_instances},\"triggers\":[$rc_triggers]}"
}

procd_open_instance() {
    rc_count=$((rc_count + 1))
    rc_quote "${1:-instance$rc_count}"
    rc_instance=$quoted
    rc_params='' rc_jail='' rc_mounts='' rc_respawns='' rc_kinds=''
    rc_l_command='' rc_l_netdev='' rc_l_file='' rc_l_respawn='' rc_l_watch='' rc_l_watchdog='' rc_l_error='' rc_l_env='' rc_l_data='' rc_l_limits=''
    [ -z "${TRACE_SYSCALLS-}" ] || rc_params=',"trace":true'
}

procd_set_param() { # procd_set_param WORD VALUE...: of a list or table said twice, what was said last counts
    rc_kind=$1
    shift
    case $rc_kind in
        env | data | limits) rc_table "$@" ;;
        command | netdev | file | respawn | watch | watchdog | error) rc_list "$@" ;;
        nice | term_timeout) rc_params="$rc_params,\"$rc_kind\":$(($1))" && return ;;
        reload_signal) rc_params="$rc_params,\"$rc_kind\":$(kill -l "$1")" && return ;;
        stdout | stderr | no_new_privs)
            case $1 in 1) rc_params="$rc_params,\"$rc_kind\":true" ;; *) rc_params="$rc_params,\"$rc_kind\":false" ;; esac
            return
            ;;
        pidfile | user | group | seccomp | capabilities | facility)
            rc_quote "$1"
            rc_params="$rc_params,\"$rc_kind\":$quoted"
            return
            ;;
        *) rc_refuse "procd_set_param $rc_kind is not known here" ;;
    esac
    [ "$rc_kind" != respawn ] || [ -n "$listed" ] || rc_list 3600 5 5
    eval "rc_l_$rc_kind=\$listed"
    case " $rc_kinds " in *" $rc_kind "*) ;; *) rc_kinds="$rc_kinds $rc_kind" ;; esac
}

procd_append_param() {
    case " $rc_kinds " in *" $1 "*) ;; *) procd_set_param "$@" && return ;; esac
    rc_kind=$1
    shift
    eval "rc_had=\$rc_l_$rc_kind"
    case $rc_kind in env | data | limits) rc_table "$@" ;; *) rc_list "$@" ;; esac
    eval "rc_l_$rc_kind=\$rc_had\${rc_had:+\${listed:+,}}\$listed"
}

procd_add_jail() { # procd_add_jail NAME FLAG...
    rc_quote "$1"
    rc_jail="\"name\":$quoted"
    shift
    for rc_word in "$@"; do
        case $rc_word in
            log | ubus | udebug | procfs | sysfs | ronly | requirejail | netns | userns | cgroupsns) rc_jail="$rc_jail,\"$rc_word\":true" ;;
            *) rc_refuse "procd_add_jail knows no $rc_word" ;;
        esac
    done
}

rc_mount() { # rc_mount 0|1 PATH...: without a jail nothing, as there
    rc_how=$1
    shift
    [ -n "$rc_jail" ] || return 0
    for rc_word in "$@"; do
        rc_quote "$rc_word"
        rc_mounts="$rc_mounts${rc_mounts:+,}$quoted:\"$rc_how\""
    done
}
procd_add_jail_mount() { rc_mount 0 "$@"; }
procd_add_jail_mount_rw() { rc_mount 1 "$@"; }

procd_close_instance() {
    for rc_kind in $rc_kinds; do
        eval "listed=\$rc_l_$rc_kind"
        case $rc_kind in env | data | limits) rc_params="$rc_params,\"$rc_kind\":{$listed}" ;; *) rc_params="$rc_params,\"$rc_kind\":[$listed]" ;; esac
    done
    [ -z "$rc_jail" ] || rc_params="$rc_params,\"jail\":{$rc_jail,\"mount\":{$rc_mounts}}"
    rc_instances="$rc_instances${rc_instances:+,}$rc_instance:{${rc_params#,}}"
}

procd_add_instance() {
    procd_open_instance
    procd_set_param command "$@"
    procd_close_instance
}

procd_open_trigger() { :; }
procd_close_trigger() { :; }

rc_trigger() { # rc_trigger EVENT MILLISECONDS RULE
    rc_quote "$1"
    rc_triggers="$rc_triggers${rc_triggers:+,}[$quoted,$3,$2]"
}

rc_conditional() { # rc_conditional EVENT KEY VALUE COMMAND...
    rc_event=$1
    rc_list eq "$2" "$3"
    rc_condition=$listed
    shift 3
    rc_list run_script "$@"
    rc_trigger "$rc_event" "$PROCD_RELOAD_DELAY" "[\"if\",[$rc_condition],[$listed]]"
}

procd_add_raw_trigger() { # procd_add_raw_trigger EVENT MILLISECONDS COMMAND...
    rc_event=$1 rc_delay=$2
    shift 2
    rc_list run_script "$@"
    rc_trigger "$rc_event" "$rc_delay" "[[$listed]]"
}

procd_add_config_trigger() { # procd_add_config_trigger EVENT PACKAGE COMMAND...
    rc_event=$1 rc_of=$2
    shift 2
    rc_conditional "$rc_event" package "$rc_of" "$@"
}

procd_add_interface_trigger() { # procd_add_interface_trigger EVENT INTERFACE COMMAND...
    rc_event=$1 rc_of=$2
    shift 2
    rc_conditional "$rc_event" interface "$rc_of" "$@"
}

procd_add_reload_trigger() {
    for rc_package in "$@"; do procd_add_config_trigger config.change "$rc_package" "/etc/init.d/$rc_name" reload; done
}

procd_add_reload_interface_trigger() { procd_add_interface_trigger 'interface.*' "$1" "/etc/init.d/$rc_name" reload; }

rc_message() { # rc_message SERVICE INSTANCE: `message` is its beginning
    message=''
    rc_quote "$1"
    [ -z "$1" ] || message="\"name\":$quoted"
    rc_quote "$2"
    [ -z "$2" ] || [ "$2" = '*' ] || message="$message,\"instance\":$quoted"
}

procd_kill() { # procd_kill SERVICE [INSTANCE]
    rc_message "$1" "${2-}"
    rc_ubus delete "{$message}"
}

procd_send_signal() { # procd_send_signal SERVICE [INSTANCE] [SIGNAL]
    rc_number=${3-}
    case $rc_number in [A-Z]*) rc_number=$(kill -l "$rc_number" 2>/dev/null) || return 1 ;; esac
    rc_message "$1" "${2-}"
    [ -z "$rc_number" ] || message="$message,\"signal\":$rc_number"
    rc_ubus signal "{$message}"
}

procd_set_config_changed() { # procd_set_config_changed PACKAGE
    rc_quote "$1"
    ubus call service event "{\"type\":\"config.change\",\"data\":{\"package\":$quoted}}"
}

rc_states() { # rc_states SERVICE [INSTANCE]: a line for each instance, true or false; exit status 3: procd does not know the service
    rc_known=$(ubus call service list "{\"name\":\"$1\"}")
    case $rc_known in *\""$1"\"*) ;; *) return 3 ;; esac
    # Of the first level of `instances`: three tabs and a name, then what is deeper.
    printf '%s\n' "$rc_known" | awk -v only="${2-}" '
        /^\t\t\t"/ { name = $1; gsub(/[":]/, "", name) }
        /^\t\t\t\t"running": / && (only == "" || only == "*" || only == name) { sub(/,$/, "", $2); print $2 }'
}

procd_running() { # procd_running SERVICE [INSTANCE]
    [ "$(rc_states "$1" "${2-}" | head -n 1)" = true ]
}

procd_status() { # procd_status SERVICE [INSTANCE]
    rc_found=$(rc_states "$1" "${2-}") || { echo inactive && return 3; }
    rc_up=0 rc_all=0
    for rc_one in $rc_found; do
        rc_all=$((rc_all + 1))
        [ "$rc_one" != true ] || rc_up=$((rc_up + 1))
    done
    if [ "$rc_all" -eq 0 ] && [ -n "${2-}" ]; then echo "unknown instance $2" && return 4; fi
    if [ "$rc_all" -eq 0 ]; then echo 'active with no instances' && return 0; fi
    if [ "$rc_up" -eq 0 ]; then echo 'not running' && return 5; fi
    if [ "$rc_up" -eq "$rc_all" ]; then echo running; else echo "running ($rc_up/$rc_all)"; fi
}
