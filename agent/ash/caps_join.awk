# The lines of a tc batch that give each station of one SSID that is there leaves of its own, and free those of who left; behind "# " the slots as they
# are then, `known MAC SLOT`. Reads what was known in that form, then `Station MAC` of each that is there, or `failed` where nobody could be asked; `cap`
# is the SSID's line of caps_file.awk. A slot is a number 0 to 255; only MACs, whole, get into a line.
function bucket(mac) { return substr(mac, 16, 2) }
function hex(mac, from) { return substr(mac, from, 2) }
function match_on(is_down, mac) {
    if (is_down) return "match u16 0x" hex(mac, 1) hex(mac, 4) " 0xffff at -14 match u32 0x" hex(mac, 7) hex(mac, 10) hex(mac, 13) hex(mac, 16) " 0xffffffff at -12"
    return "match u32 0x" hex(mac, 1) hex(mac, 4) hex(mac, 7) hex(mac, 10) " 0xffffffff at -8 match u16 0x" hex(mac, 13) hex(mac, 16) " 0xffff at -4"
}
BEGIN { $0 = cap }
BEGIN {
    for (way = 3; way <= 4; way++) {
        if ($way $(way + 2) == "--") continue
        ceilings(way)
        ifbs[way] = (way == 3 ? "rwd-" : "rwu-") $2
        totals[way] = total
        eachs[way] = each
    }
}
$1 == "known" { slot[$2] = $3; owner[$3] = $2; next }
$1 == "failed" { is_partial = 1; next }
$1 == "Station" && $2 ~ /^[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]$/ { here[$2] = 1 }
END {
    for (mac in slot) {
        if (mac in here || is_partial) continue
        n = slot[mac]
        for (way in ifbs) {
            print "filter del dev " ifbs[way] " parent 1: protocol all pref 10 handle 10:" bucket(mac) ":" sprintf("%x", n + 1) " u32"
            print "class del dev " ifbs[way] " classid 1:" sprintf("%x", 4096 + n)
        }
        delete owner[n]
        delete slot[mac]
    }
    n = 0
    for (mac in here) {
        if (mac in slot) continue
        while (n in owner) n++
        if (n > 255) break
        owner[n] = mac
        slot[mac] = n
        for (way in ifbs) {
            id = "1:" sprintf("%x", 4096 + n)
            print "class add dev " ifbs[way] " parent 1:1 classid " id " " leaf(totals[way], eachs[way])
            print "qdisc add dev " ifbs[way] " parent " id " " queue(kind, eachs[way], 64)
            print "filter add dev " ifbs[way] " parent 1: protocol all pref 10 handle ::" sprintf("%x", n + 1) " u32 ht 10:" bucket(mac) ": " match_on(way == 3, mac) " flowid " id
        }
    }
    for (mac in slot) print "# known " mac " " slot[mac]
}
