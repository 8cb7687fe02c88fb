# The lines of a tc batch that make the kernel as it is wanted; nothing when it is so. Besides, behind "# ": `again` (it was read while it changed),
# `forget NAME` (its stations have no leaves any more), `taken DEVICE` (somebody else's qdisc is where ours has to be).
#
# Reads lines of caps_file.awk first, then what the kernel has in parts: `@ qdiscs`, `@ device NAME OURS` (is its clsact ours?), `@ known NAME` (its
# stations' leaves are known), `@ ask table|hook DEVICE HOOK` and `@ ask tree IFB` in the order in which `@ answers` has them, each behind its qdisc.
# `pref` is that of our filters on devices.

# --- what there is

# kbit: what tc prints, which leaves fractions out above 1 Gbit/s
function kbit(text) { return text * (text ~ /Gbit$/ ? 1000000 : text ~ /Mbit$/ ? 1000 : text ~ /Kbit$/ ? 1 : 0.001) }
function is_rate(text, rate) { return kbit(text) == rate || (rate >= 1000000 && kbit(text) == int(rate / 1000) * 1000) }
function is_right(id, rate, ceil) { return is_rate(rates[ifb, id], rate) && is_rate(ceils[ifb, id], ceil) }
# after: the word behind a word; tc puts a star before `flowid` where the search may go on
function after(word,   i) { for (i = 1; i < NF; i++) if ($i == word || $i == "*" word) return $(i + 1); return "" }
function is_station(id) { return id ~ /^1:10[0-9a-f][0-9a-f]$/ }
# is_place: a class that we make, where we make it
function is_place(id) { return id == "1:1" ? $4 == "root" : (id ~ /^1:([23]|1[0-3][0-9a-f])$/ || is_station(id)) && $4 == "parent" && $5 == "1:1" }

/^[ \t]/ && !is_own { next }   # of a filter that nobody asked about, for there are many
$1 == "@" {
    is_own = 0
    part = $2
    if (part == "device") made[$3] = $4
    else if (part == "known") known[$3] = 1
    else if (part == "ask") { asked++; what[asked] = $3; whose[asked] = $4; which[asked] = $5 }
    next
}
part == "" { if (NF) line[++count] = $0; next }
part == "qdiscs" && $6 == "root" { roots[$5] = $2 " " $3 " " after("default"); next }
part == "qdiscs" && ($2 == "clsact" || $2 == "ingress") { hooked[$5] = $2; next }
part == "qdiscs" && $6 == "parent" { leaves[$5, $7] = $2; next }
part != "answers" { next }
$1 == "qdisc" {
    if (what[answered + 1] == "tree" ? $2 $3 == "htb1:" : $2 == "clsact") { answered++; of = whose[answered]; hook = which[answered]; is_own = 0 }
    next
}
# The flows of an fq_codel are classes too, while they are there.
what[answered] == "tree" && $1 == "class" {
    if ($2 != "htb") next
    classes[of] = classes[of] " " $3
    rates[of, $3] = after("rate")
    ceils[of, $3] = after("ceil")
    if (!is_place($3)) strange[of] = 1
    next
}
what[answered] == "tree" && $1 == "filter" {
    at = after("pref")
    if (at !~ /^([56]|10|2[0-2])$/) strange[of] = 1
    if (at == 20 && after("flowid") ~ /^1:1[0-3][0-9a-f]$/) buckets[of]++
    if (at != 5 && at != 6 && after("link") != "") links[of]++
    if ((at == 5 || at == 6) && after("flowid") ~ /^1:[23]$/) lows[of]++
    next
}
# The filters that u32 shows at one hook are those of both: its own ones are in the table that it begins with.
what[answered] == "table" && $1 == "filter" && after("pref") == pref { table[of, hook] = after("fh"); next }
what[answered] != "hook" { next }
$1 == "filter" {
    is_own = 0
    if (after("pref") != pref) { foreign[of] = 1; next }
    present[of, hook] = 1
    found = after("fh")
    if (found !~ /^[0-9a-f]*:[0-9a-f]*:[0-9a-f]+$/ || table[of, hook] == "" || index(found, table[of, hook]) != 1) next
    is_own = 1
    own[of, hook]++
    if (after("protocol") == "all") takes[of, hook]++
    next
}
# Each of both once: all that passes is taken, by a key that everything fits; and it is sent on, by the only action.
$1 == "match" { keys[of, hook]++; if ($2 == "00000000/00000000") takes[of, hook]++ }
/action order/ { actions[of, hook]++ }
/\(Egress Redirect to device / { to = after("device"); sub(/\)$/, "", to); target[of, hook] = to }

# --- what is to be done

function put(text) { print text }
function leaf_id(i) { return sprintf("1:%x", 256 + i) }
function top() { return "htb rate " total "kbit ceil " total "kbit burst " burst(total) " cburst " burst(total) " quantum " turn(total) }
function frames() { return "htb rate 1kbit ceil " clamp(total, 1, 256) "kbit burst 1600 cburst 3028 quantum 1514 prio 0" }
function filter(at, rest) { put("filter add dev " ifb " parent 1: pref " at " protocol " rest) }
function table_of(at, handle, size) { filter(at, "all handle " handle ": u32 divisor " size) }
function spread(at, protocol, mask, link) { filter(at, protocol " u32 match u32 0 0 hashkey mask " mask " link " link ":") }
function lead(at, bucket, rest) { filter(at, "all u32 ht " bucket ": match u32 0 0 " rest) }

function make_leaf(id, ceil, flows) {
    put("class add dev " ifb " parent 1:1 classid " id " " leaf(total, ceil))
    put("qdisc add dev " ifb " parent " id " " queue(kind, share(ceil), flows))
}
# share: what a queue is long enough for; of the way out a third, for there each leaf may have all of it, and hardly ever has
function share(ceil) { return is_uplink && !is_single ? ceil / 3 : ceil }
function make_known() {
    table_of(10, 10, 256)
    spread(10, "all", is_down ? "0xff at -12" : "0xff0000 at -4", 10)
}
function make_tree(   i) {
    if (roots[ifb] ~ /^htb 1: /) put("qdisc del dev " ifb " root")
    put("qdisc replace dev " ifb " root handle 1: htb default 2")
    put("class add dev " ifb " parent 1: classid 1:1 " top())
    make_leaf("1:2", each, is_uplink ? 1024 : 64)
    if (is_single) return
    for (i = 0; i < 64; i++) make_leaf(leaf_id(i), each, 32)
    if (is_uplink) spread_addresses()
    else spread_stations()
}
function spread_stations(   i) {
    if (is_down) {
        # The keys of a station must get through to it also while its own queue is full, and come from this box alone.
        put("class add dev " ifb " parent 1:1 classid 1:3 " frames())
        filter(5, "0x888e u32 match u32 0 0 flowid 1:3")
        filter(6, "all u32 match u8 1 1 at -14 flowid 1:2")
    }
    make_known()
    table_of(20, 20, 64)
    for (i = 0; i < 64; i++) lead(20, sprintf("20:%x", i), "flowid " leaf_id(i))
    spread(20, "all", is_down ? "0x3f at -12" : "0x3f0000 at -4", 20)
}
# The way out has its own MAC only, and one queue for all would be the loudest one's: three bits of a packet's source choose the table, three of its
# destination the leaf in it. With fq_codel, which tells the flows apart, none of this is needed.
function spread_addresses(   i, j) {
    table_of(20, 20, 8)
    table_of(20, 21, 8)
    for (i = 0; i < 8; i++) {
        table_of(20, 30 + i, 8)
        for (j = 0; j < 8; j++) lead(20, 30 + i ":" j, "flowid " leaf_id(8 * i + j))
        lead(20, "20:" i, "hashkey mask 0x7 at 16 link " 30 + i ":")
        lead(20, "21:" i, "hashkey mask 0x7 at 36 link " 30 + i ":")
    }
    spread(21, "ip", "0x7 at 12", 20)
    spread(22, "ipv6", "0x7 at 20", 21)
}
function set_leaf(id, ceil) {
    if (!is_other && is_right(id, 1, ceil)) return
    put("class change dev " ifb " parent 1:1 classid " id " " leaf(total, ceil))
    if ((ifb, id) in leaves) put("qdisc change dev " ifb " parent " id " " queue(leaves[ifb, id], share(ceil)))
}
function set_rates(   i, many, ids) {
    is_other = !is_right("1:1", total, total)
    if (is_other) put("class change dev " ifb " parent 1: classid 1:1 " top())
    many = split(classes[ifb], ids, " ")
    for (i = 1; i <= many; i++) {
        if (ids[i] == "1:1") continue
        if (ids[i] == "1:3") {
            if (!is_right("1:3", 1, clamp(total, 1, 256))) put("class change dev " ifb " parent 1:1 classid 1:3 " frames())
        } else set_leaf(ids[i], each)
    }
}
# forget: the stations that have a leaf of their own get one again at the next look
function forget(   i, many, ids, found) {
    many = split(classes[ifb], ids, " ")
    for (i = 1; i <= many; i++) found = found || is_station(ids[i])
    if (!found) return
    put("filter del dev " ifb " parent 1: pref 10")
    for (i = 1; i <= many; i++) if (is_station(ids[i])) put("class del dev " ifb " classid " ids[i])
    make_known()
}
# is_whole: its classes and filters are there, and no others; rates apart
function is_whole(   i) {
    if (roots[ifb] !~ /^htb 1: (0x)?2$/ || strange[ifb] || !((ifb, "1:1") in rates) || !((ifb, "1:2") in leaves)) return 0
    if (is_single) return !links[ifb]
    for (i = 0; i < 64; i++) if (!((ifb, leaf_id(i)) in leaves)) return 0
    if (buckets[ifb] != 64 || links[ifb] != (is_uplink ? 18 : 2)) return 0
    return !is_down || is_uplink || (lows[ifb] == 2 && (ifb, "1:3") in rates)
}

function is_led(device, hook, ifb) {
    return own[device, hook] == 1 && keys[device, hook] == 1 && takes[device, hook] == 2 && actions[device, hook] == 1 && target[device, hook] == ifb
}
# steer: what passes one hook of a device goes to an IFB, or nowhere else
function steer(device, hook, ifb) {
    if (ifb == "" ? !present[device, hook] : is_led(device, hook, ifb)) return
    if (present[device, hook]) put("filter del dev " device " " hook " pref " pref)
    if (ifb != "") put("filter add dev " device " " hook " pref " pref " protocol all u32 match u32 0 0 action mirred egress redirect dev " ifb)
}

# set_way: which tree is meant from here on: of the line at hand the way down (3) or up (4); 0 where it has no cap
function set_way(way) {
    is_down = way == 3
    ifb = (is_down ? "rwd-" : "rwu-") name
    ceilings(way)
    return $way $(way + 2) != "--"
}
function settle(   way, i, down, up) {
    for (way = 3; way <= 4; way++) if (set_way(way) && !is_whole()) known[name] = 0
    for (way = 3; way <= 4; way++) {
        if (!set_way(way)) continue
        if (!is_whole()) { make_tree(); put("# forget " name); continue }
        if (!known[name]) forget()
        set_rates()
    }
    down = $3 $5 == "--" ? "" : "rwd-" name
    up = $4 $6 == "--" ? "" : "rwu-" name
    for (i = 7; i <= NF; i++) {
        if (!($i in made)) continue
        belongs[$i] = 1
        if (hooked[$i] == "ingress") { put("# taken " $i); continue }
        if (hooked[$i] == "") put("qdisc add dev " $i " clsact")
        steer($i, "egress", is_uplink ? up : down)
        steer($i, "ingress", is_uplink ? down : up)
    }
}
END {
    if (answered != asked) { put("# again"); exit }
    for (n = 1; n <= count; n++) {
        $0 = line[n]
        name = $2
        is_uplink = $1 == "uplink"
        is_single = is_uplink && kind == "fq_codel"
        settle()
    }
    for (device in made) {
        if (device in belongs || hooked[device] != "clsact") continue
        steer(device, "egress", "")
        steer(device, "ingress", "")
        if (made[device] == "yes" && !foreign[device]) put("qdisc del dev " device " clsact")
    }
}
