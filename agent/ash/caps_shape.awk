# The classes and queues of a tree, for caps_plan.awk and caps_join.awk; rates in kbit/s, `kind` is the queue that this kernel has.
#
# An amount of bytes is what passes in BURST_MS, so that a late timer costs nothing; a turn among the leaves is 2 ms. What a leaf is guaranteed is next to
# nothing: HTB gives it whether or not the class above has it.
BEGIN { BURST_MS = 10 }

function clamp(value, least, most) { value = int(value); return value < least ? least : value > most ? most : value }
function burst(rate) { return clamp(rate * BURST_MS / 8, 3028, 2000000) }
function turn(total) { return clamp(total / 4, 1514, 60000) }
function leaf(total, ceil) { return "htb rate 1kbit ceil " ceil "kbit burst 1600 cburst " burst(ceil) " quantum " turn(total) " prio 1" }

# queue: 150 ms at most where the kernel has no fq_codel; else its target is never less than what one frame takes. `flows` only when it is made.
function queue(kind, rate, flows) {
    if (kind != "fq_codel") return "pfifo limit " clamp(rate * 150 / 8 / 1514, 24, 1000)
    return "fq_codel limit 1000 memory_limit 2000000 noecn target " clamp(18168000 / rate, 5000, 500000) "us interval " \
        clamp(18168000 / rate + 95000, 100000, 600000) "us" (flows ? " flows " flows : "")
}

# ceilings: of a way (3 down, 4 up) of the line at hand: `total` for all, `each` for one station.
function ceilings(way) {
    total = $way == "-" ? 10000000 : $way
    each = $(way + 2) == "-" || $(way + 2) + 0 > total + 0 ? total : $(way + 2)
}
