#!/bin/bash
# wifi-scenario.sh: a real Wi-Fi access point with real stations, in software.
# Run it as root where the kernel has mac80211_hwsim, for instance in vmrun.
#
#   wifi-scenario.sh [OPTION...]              bring up, print JSON, take down
#   wifi-scenario.sh [OPTION...] -- CMD...    bring up, run CMD, take down;
#                                             the exit status is CMD's
#   wifi-scenario.sh --json                   only print the JSON (from CMD)
#
#   -n N         stations (default 3)
#   -r N         radios of the access point, 1 (default) or 2: the second is in the
#                5 GHz band, channel 36, with one BSS "private5" (wlan1) on br-lan
#   -j N         only the first N stations join a network (default: all)
#   -G GID       the group that may use hostapd's control sockets (default 0)
#   --guest OWE|OPEN   security of the guest network (default OWE)
#   -o DIR       also save what the Wi-Fi tools print, as DIR/*.txt
#
# Network namespaces (each radio, a phy, is moved into its own):
#
#   wan           ap                              sta1, sta2, ...
#   wan0 <------> wan0                            wlan0: odd ones on the private
#   203.0.113.2   203.0.113.1                     network (WPA2-PSK), even ones
#   iperf3 -s     br-lan   192.0.2.1/24           on the guest network; address
#                   wlan0        BSS "private"    and host name by DHCP
#                 br-guest 198.51.100.1/24
#                   wlan0-guest  BSS "guest"
#
# hostapd (its file in $WIFI_DIR/etc, control sockets in $WIFI_DIR/hostapd, the
# global one in $WIFI_DIR/global) and dnsmasq (leases in $WIFI_DIR/leases) run
# in ap; ap routes between the three. CMD gets
# WIFI_DIR and WIFI_STATIONS (how many) in its environment, and reaches a
# namespace with: ip netns exec NAME ...
set -euo pipefail

die() { echo "wifi-scenario: $*" >&2; exit 1; }

stations=3 radios=1 joining='' group=0 guest=OWE save='' mode=run
while (( $# )); do
    case $1 in
        -n) stations=$2; shift 2 ;;
        -r) radios=$2; shift 2 ;;
        -j) joining=$2; shift 2 ;;
        -G) group=$2; shift 2 ;;
        --guest) guest=$2; shift 2 ;;
        -o) save=$(cd "$2" && pwd); shift 2 ;;
        --json) mode=json; shift ;;
        -h|--help) sed -n '2,/^set -e/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
        --) shift; break ;;
        *) die "no such option: $1" ;;
    esac
done
PATH=$PATH:/usr/sbin:/sbin
joining=${joining:-$stations}
channel=6 freq=2437
# The key of "private" with the passphrase correct-horse-battery, computed here and not by every station in an emulated guest.
psk=fba89b7e7b5271f085c38d2a8cd6107102cbd20165900e1a2a146e1e7302a81a

# Like ip netns exec, but without a new /sys, which takes longer than the command.
in_ns() { local ns=$1; shift; nsenter --net=/run/netns/"$ns" "$@"; }
say() { echo "wifi-scenario: $(cut -d' ' -f1 /proc/uptime) $*" >&2; }

# Wait up to $1 seconds for the rest, a command, to succeed.
until_true() {
    local end=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        (( SECONDS < end )) || return 1
        sleep 0.1
    done
}

# --- what the tools say, as JSON --------------------------------------------

print_json() {
    # Debian's own python3: another one on PATH may be a slow wrapper.
    /usr/bin/python3 -I - "$WIFI_DIR" <<'PYTHON'
import json, re, subprocess, sys

directory = sys.argv[1]

def ap(*command):
    return subprocess.run(["nsenter", "--net=/run/netns/ap", *command], check=True,
                          stdout=subprocess.PIPE, text=True).stdout

def number(text):
    """'-30 [-30] dBm' -> -30, '54.0 MBit/s' -> 54.0, 'yes' -> True, else the text."""
    if text in ("yes", "no"):
        return text == "yes"
    found = re.match(r"(-?\d+(?:\.\d+)?)(?=$|\s)", text)
    if not found:
        return text
    value = found.group(1)
    return float(value) if "." in value else int(value)

def station_dump(interface):
    stations = {}
    current = None
    for line in ap("iw", "dev", interface, "station", "dump").splitlines():
        head = re.match(r"Station (\S+) \(on (\S+)\)", line)
        if head:
            current = stations.setdefault(head.group(1), {})
        elif ":" in line:
            key, value = line.strip().split(":", 1)
            current[re.sub(r"\W+", "_", key.strip()).strip("_")] = number(value.strip())
    return stations

def hostapd_stations(interface):
    stations = {}
    current = None
    text = ap("hostapd_cli", "-p", directory + "/hostapd", "-i", interface, "all_sta")
    for line in text.splitlines():
        if re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", line):
            current = stations.setdefault(line, {})
        elif "=" in line and current is not None:
            key, value = line.split("=", 1)
            current[key] = number(value)
    return stations

leases = {}
with open(directory + "/leases") as lines:
    for line in lines:
        expiry, mac, address, name = line.split()[:4]
        leases[mac] = {"ip": address, "hostname": None if name == "*" else name}

result = []
for interface in ("wlan0", "wlan0-guest"):
    info = ap("iw", "dev", interface, "info")
    dump = station_dump(interface)
    known = hostapd_stations(interface)
    result.append({
        "interface": interface,
        "ssid": re.search(r"ssid (.*)", info).group(1),
        "bssid": re.search(r"addr (\S+)", info).group(1),
        "channel": int(re.search(r"channel (\d+)", info).group(1)),
        "stations": [dict(mac=mac, **leases.get(mac, {}), iw=dump[mac],
                          hostapd=known.get(mac)) for mac in sorted(dump)],
    })
json.dump({"bss": result}, sys.stdout, indent=2)
print()
PYTHON
}

if [[ $mode == json ]]; then
    : "${WIFI_DIR:?only from a command that wifi-scenario.sh runs}"
    print_json
    exit 0
fi

# --- down -------------------------------------------------------------------

[[ $(id -u) == 0 ]] || die 'root is needed'
WIFI_DIR=$(mktemp -d)
export WIFI_DIR WIFI_STATIONS=$stations

down() {
    local pid ns
    # Only what was started here; each wrote its own pid.
    cat "$WIFI_DIR"/*.pid 2>/dev/null | while read -r pid; do kill "$pid" 2>/dev/null || true; done
    sleep 0.2
    for ns in ap wan $(seq -f 'sta%g' "$stations"); do ip netns del "$ns" 2>/dev/null || true; done
    modprobe -r mac80211_hwsim 2>/dev/null || true
    rm -rf "$WIFI_DIR"
}
trap down EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# --- up ---------------------------------------------------------------------

# The first radios are the access point's; the stations have the others. A kernel with
# hwsim built in takes their number on its command line instead. With regtest=5 (a
# regulatory domain of the driver's own) 5 GHz may be used without a database of them.
if [[ ! -e /sys/class/mac80211_hwsim ]]; then
    modprobe mac80211_hwsim "radios=$((stations + radios))" support_p2p_device=0 "regtest=$((radios > 1 ? 5 : 0))" ||
        die 'this kernel has no mac80211_hwsim'
fi
phys=()
for radio in /sys/class/mac80211_hwsim/hwsim*; do
    phys+=("$(basename "$radio"/ieee80211/phy*)")
done
(( ${#phys[@]} >= stations + radios )) || die "only ${#phys[@]} radios"
# hwsimN sorts as text; with more than ten radios the order is still one-to-one.

for ns in ap wan $(seq -f 'sta%g' "$stations"); do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
done

# give_radio PHY NS NAME: moves the radio, and names its interface there.
give_radio() {
    local dev
    dev=$(basename /sys/class/ieee80211/"$1"/device/net/*)
    ip link set "$dev" down
    iw phy "$1" set netns name "$2"
    [[ $dev == "$3" ]] || ip -n "$2" link set "$dev" name "$3"
}
# The last first: none of them has a name there that an earlier one shall get.
for ((i = radios - 1; i >= 0; i--)); do give_radio "${phys[i]}" ap "wlan$i"; done
for ((i = 1; i <= stations; i++)); do give_radio "${phys[i + radios - 1]}" "sta$i" wlan0; done

ip link add wan0 netns ap type veth peer name wan0 netns wan
ip -n ap addr add 203.0.113.1/24 dev wan0
ip -n wan addr add 203.0.113.2/24 dev wan0
ip -n ap link set wan0 up
ip -n wan link set wan0 up
ip -n wan route add default via 203.0.113.1
for net in lan:192.0.2.1 guest:198.51.100.1; do
    ip -n ap link add "br-${net%%:*}" type bridge
    ip -n ap addr add "${net#*:}/24" dev "br-${net%%:*}"
    ip -n ap link set "br-${net%%:*}" up
done
in_ns ap sysctl -q -w net.ipv4.ip_forward=1

case $guest in
    OWE) guest_ap=$'wpa=2\nwpa_key_mgmt=OWE\nrsn_pairwise=CCMP\nieee80211w=2\nwpa_disable_eapol_key_retries=1'
         guest_sta=$'key_mgmt=OWE\n ieee80211w=2' ;;
    OPEN) guest_ap='' guest_sta=key_mgmt=NONE ;;
    *) die "--guest is OWE or OPEN, not '$guest'" ;;
esac
mkdir "$WIFI_DIR/etc"
cat >"$WIFI_DIR/etc/wlan0.conf" <<CONF
driver=nl80211
ctrl_interface=$WIFI_DIR/hostapd
ctrl_interface_group=$group
interface=wlan0
bridge=br-lan
ssid=private
hw_mode=g
channel=$channel
ieee80211n=1
wmm_enabled=1
wpa=2
wpa_key_mgmt=WPA-PSK
rsn_pairwise=CCMP
wpa_psk=$psk
wpa_disable_eapol_key_retries=1
bss=wlan0-guest
ctrl_interface=$WIFI_DIR/hostapd
ctrl_interface_group=$group
bridge=br-guest
ssid=guest
wmm_enabled=1
$guest_ap
CONF
hostapd_files=("$WIFI_DIR/etc/wlan0.conf") last=wlan0-guest
if (( radios > 1 )); then
    cat >"$WIFI_DIR/etc/wlan1.conf" <<CONF
driver=nl80211
ctrl_interface=$WIFI_DIR/hostapd
ctrl_interface_group=$group
interface=wlan1
bridge=br-lan
ssid=private5
hw_mode=a
channel=36
ieee80211n=1
wmm_enabled=1
wpa=2
wpa_key_mgmt=WPA-PSK
rsn_pairwise=CCMP
wpa_psk=$psk
CONF
    hostapd_files+=("$WIFI_DIR/etc/wlan1.conf") last=wlan1
fi
in_ns ap nice -n -15 hostapd -B -g "$WIFI_DIR/global/hostapd" -P "$WIFI_DIR/hostapd.pid" -f "$WIFI_DIR/hostapd.log" "${hostapd_files[@]}" ||
    { cat "$WIFI_DIR/hostapd.log" >&2; die 'hostapd does not start'; }
until_true 20 test -S "$WIFI_DIR/hostapd/$last" ||
    { cat "$WIFI_DIR/hostapd.log" >&2; die 'no access point'; }
say 'access point is up'

in_ns ap dnsmasq --conf-file=/dev/null --port=0 --user=root --no-ping \
    --dhcp-authoritative --bind-interfaces --interface=br-lan --interface=br-guest \
    --dhcp-range=set:lan,192.0.2.100,192.0.2.200,1h \
    --dhcp-range=set:guest,198.51.100.100,198.51.100.200,1h \
    --dhcp-leasefile="$WIFI_DIR/leases" --pid-file="$WIFI_DIR/dnsmasq.pid"
in_ns wan iperf3 -s -D -I "$WIFI_DIR/iperf3.pid" --logfile "$WIFI_DIR/iperf3.log"

# What udhcpc calls with what it was given.
cat >"$WIFI_DIR/udhcpc.sh" <<'SCRIPT'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr replace "$ip/$mask" dev "$interface"
ip route replace default via "${router%% *}"
SCRIPT
chmod +x "$WIFI_DIR/udhcpc.sh"

# ap_cli IFNAME COMMAND… and sta_cli STATION COMMAND…: the control sockets of both sides.
ap_cli() { local dev=$1; shift; in_ns ap hostapd_cli -p "$WIFI_DIR/hostapd" -i "$dev" "$@"; }
sta_cli() { local sta=$1; shift; in_ns "sta$sta" wpa_cli -p "$WIFI_DIR/sta$sta" -i wlan0 "$@"; }

# hostapd has the last word: on a slow guest it repeats the first message of the handshake, and a
# station that gets the repetition after the end shows 4WAY_HANDSHAKE for ever although all is well.
is_on() { ap_cli "$1" sta "$2" | grep -q '^flags=.*\[AUTHORIZED\]'; }
is_gone() { ! ap_cli "$1" sta "$2" | grep -q '^flags='; }

# on_air STATION: associated and with an address, or begun anew from nothing on both sides. A handshake that went wrong once
# because the guest was too slow for its timers does not heal by `reassociate`: each side has its own idea of how far they are.
on_air() {
    local i=$1 dev=wlan0-guest mac attempt
    (( i % 2 == 0 )) || dev=wlan0
    mac=$(ip -n "sta$i" -o link show wlan0 | sed 's/.* link\/ether \([^ ]*\) .*/\1/')
    for attempt in 1 2 3 4 5 6; do
        if (( attempt > 1 )); then
            say "station $i begins anew"
            sta_cli "$i" disconnect >/dev/null || true
            ap_cli "$dev" deauthenticate "$mac" >/dev/null || true
            until_true 10 is_gone "$dev" "$mac" || true
            sta_cli "$i" reconnect >/dev/null || true
        fi
        until_true 20 is_on "$dev" "$mac" || continue
        if in_ns "sta$i" busybox udhcpc -i wlan0 -q -n -t 8 -T 2 -x "hostname:sta$i" -s "$WIFI_DIR/udhcpc.sh" >/dev/null 2>&1; then return 0; fi
    done
    cat "$WIFI_DIR/sta$i.log" "$WIFI_DIR/hostapd.log" >&2
    sta_cli "$i" status >&2 || true
    die "station $i does not associate, or gets no address"
}

supplicant() {
    in_ns "sta$1" nice -n -15 wpa_supplicant -B -D nl80211 -i wlan0 -c "$WIFI_DIR/sta$1.conf" -P "$WIFI_DIR/sta$1.pid" -f "$WIFI_DIR/sta$1.log"
}

# One after the other: each has the guest's processors to itself while its handshake runs.
for ((i = 1; i <= stations; i++)); do
    if (( i > joining )); then
        echo "ctrl_interface=$WIFI_DIR/sta$i" >"$WIFI_DIR/sta$i.conf"
        supplicant "$i"
        continue
    fi
    if (( i % 2 )); then
        network=$'ssid="private"\n key_mgmt=WPA-PSK\n psk='$psk
    else
        network=$'ssid="guest"\n '$guest_sta
    fi
    # One channel to scan: the stations find the network at once.
    cat >"$WIFI_DIR/sta$i.conf" <<CONF
ctrl_interface=$WIFI_DIR/sta$i
network={
 $network
 scan_freq=$freq
}
CONF
    supplicant "$i"
    on_air "$i"
    say "station $i is on"
done
say "$joining stations are on"

# --- use --------------------------------------------------------------------

if [[ -n $save ]]; then
    for ((i = 1; i <= stations; i++)); do   # some traffic, so that rates are known
        in_ns "sta$i" ping -q -c 5 -i 0.2 203.0.113.2 >/dev/null || true
    done
    # hwsim knows the use of a channel only once it has been scanned.
    in_ns ap iw dev wlan0 scan ap-force >/dev/null || true
    in_ns ap iw dev >"$save/iw-dev.txt"
    in_ns ap iw phy >"$save/iw-phy.txt"
    in_ns ap iw reg get >"$save/iw-reg-get.txt" 2>&1 || true
    for dev in wlan0 wlan0-guest; do
        in_ns ap iw dev $dev info >"$save/iw-$dev-info.txt"
        in_ns ap iw dev $dev station dump >"$save/iw-$dev-station-dump.txt"
        in_ns ap iw dev $dev survey dump >"$save/iw-$dev-survey-dump.txt"
        in_ns ap hostapd_cli -p "$WIFI_DIR/hostapd" -i $dev all_sta >"$save/hostapd_cli-$dev-all_sta.txt"
        in_ns ap hostapd_cli -p "$WIFI_DIR/hostapd" -i $dev status >"$save/hostapd_cli-$dev-status.txt"
    done
    in_ns sta1 iw dev wlan0 link >"$save/iw-sta1-link.txt"
    in_ns sta1 iw dev wlan0 scan >"$save/iw-sta1-scan.txt" || true
    in_ns sta1 iw dev wlan0 survey dump >"$save/iw-sta1-survey-dump.txt"
    in_ns sta1 wpa_cli -p "$WIFI_DIR/sta1" -i wlan0 status >"$save/wpa_cli-sta1-status.txt"
    in_ns ap ip -s -s link >"$save/ip-s-link.txt"
    in_ns ap ip -j -s link >"$save/ip-j-s-link.txt"
    in_ns ap ip neigh >"$save/ip-neigh.txt"
    in_ns ap bridge fdb show >"$save/bridge-fdb.txt"
    ip netns exec ap sh -c 'grep -H . /sys/class/net/*/statistics/*' >"$save/sys-class-net-statistics.txt"
    cp "$WIFI_DIR/leases" "$save/dnsmasq-leases.txt"
    cat "$WIFI_DIR/hostapd.log" >"$save/hostapd-log.txt"
    print_json >"$save/scenario-json.txt"
fi
if (( $# )); then
    status=0
    "$@" || status=$?
    exit $status
fi
print_json
