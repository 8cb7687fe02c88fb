# The caps file as lines `ssid|uplink NAME DOWN UP STATION_DOWN STATION_UP IFNAME...`; or one line `bad REASON` at the first that is none of ours.
# `names` is what no name may match.
function bad(why) { print "bad line " NR " of the caps: " why; exit }
function rate(word) { return word == "-" || (word ~ /^[1-9][0-9]*$/ && length(word) <= 8) }
function device(word) {
    if (word !~ /^[A-Za-z0-9_.-]+$/ || length(word) > 15 || word == "." || word == ".." || word ~ /^rw[du]-/) return 0
    if (word in whose) bad(word " is named twice")
    return whose[word] = 1
}

NR == 1 { if ($0 != "v 1") bad("expected v 1"); next }
NR > 64 { bad("expected at most 64 lines") }
/^ |  | $/ { bad("expected words with one space between them") }
$1 == "ssid" && NF >= 7 {
    if ($2 ~ names || length($2) > 8 || $2 == "uplink") bad("expected a name of 1 to 8 of a-z and 0-9, other than uplink")
    if ($2 in seen) bad($2 " is named twice")
    seen[$2] = 1
    for (i = 3; i <= 6; i++) if (!rate($i)) bad("expected kbit/s (1 to 99999999) or - as word " i)
    if ($3 $4 $5 $6 == "----") bad("expected a rate")
    for (i = 7; i <= NF; i++) if (!device($i)) bad("expected the name of a network device as word " i)
    print
    next
}
$1 == "uplink" && NF == 4 {
    if ("uplink" in seen) bad("uplink is named twice")
    seen["uplink"] = 1
    if (!rate($2) || !rate($3) || $2 $3 == "--") bad("expected kbit/s (1 to 99999999), or one of both -")
    if (!device($4)) bad("expected the name of a network device as word 4")
    print "uplink uplink", $2, $3, "- -", $4
    next
}
{ bad("expected `ssid NAME DOWN UP STATION_DOWN STATION_UP IFNAME...` or `uplink DOWN UP DEVICE`") }
