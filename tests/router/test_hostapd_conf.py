"""hostapd's file to UCI's words and back: what is ours is said, everything else stays byte for byte, nothing hostile gets in."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.change import Edit, Section, edited
from agent.errors import Unavailable
from agent.router import hostapd_conf

RADIO = "radio_wlan0"
FILE = b"""# the town hall's
driver=nl80211
ctrl_interface=/run/hostapd
interface=wlan0
bridge=br-lan
ssid=private
hw_mode=g
channel=6
ieee80211n=1
wmm_enabled=1
wpa=2
wpa_key_mgmt=WPA-PSK
rsn_pairwise=CCMP
wpa_passphrase=correct-horse

# for guests, do not touch
bss=wlan0-guest
ctrl_interface=/run/hostapd
ssid2="guest \xc3\xa9"
vendor_elements=dd0411223301
 odd line
# the end
"""
OURS = {
    "device": RADIO,
    "mode": "ap",
    "network": "br-guest",
    "ifname": "rw-public-2g",
    "ssid": "Malang RW 05",
    "encryption": "sae-mixed",
    "ieee80211w": "1",
    "key": "0123456789",
    "isolate": "1",
    "maxassoc": "64",
}


def tree(content: bytes) -> dict[str, Section]:
    return hostapd_conf.sections(hostapd_conf.parse(content), RADIO)


def apply(content: bytes, *edits: Edit) -> bytes:
    """The file as the edits leave it, and what it then says is what they meant."""
    before = tree(content)
    after = edited({"wireless": before}, edits)["wireless"]
    found = hostapd_conf.text(hostapd_conf.changed(hostapd_conf.parse(content), RADIO, before, after))
    assert tree(found) == after
    return found


def added(name: str = "rw_public_2g", **options: str) -> list[Edit]:
    return [Edit("wireless", name, type="wifi-iface"), *(Edit("wireless", name, option, value) for option, value in (OURS | options).items())]


def set_(section: str, option: str, value: str | None) -> Edit:
    return Edit("wireless", section, option, value)


def test_reads_what_runs() -> None:
    """A file is a radio and its networks, in UCI's words."""
    found = tree(FILE)
    assert list(found) == [RADIO, "wlan0", "wlan0_guest"]
    assert found[RADIO].options == {"type": ("mac80211",), "band": ("2g",), "channel": ("6",), "htmode": ("HT20",)}
    assert {name: one.value("ssid") for name, one in found.items()} == {RADIO: None, "wlan0": "private", "wlan0_guest": "guest é"}
    assert (found["wlan0"].value("encryption"), found["wlan0"].value("key"), found["wlan0"].value("network")) == ("psk2", "correct-horse", "br-lan")
    assert (found["wlan0_guest"].value("encryption"), found["wlan0_guest"].value("key")) == ("none", None)


def test_a_network_is_added_behind_the_others() -> None:
    """What stood there stays byte for byte, the new network comes behind it and has the control socket's line of the first."""
    made = apply(FILE, *added())
    assert made.startswith(FILE)
    assert made[len(FILE) :].decode().splitlines() == [
        "bss=rw-public-2g",
        "ctrl_interface=/run/hostapd",
        "wmm_enabled=1",
        "bridge=br-guest",
        "ssid=Malang RW 05",
        "wpa=2",
        "wpa_key_mgmt=WPA-PSK SAE",
        "rsn_pairwise=CCMP",
        "sae_require_mfp=1",
        "ieee80211w=1",
        "wpa_passphrase=0123456789",
        "ap_isolate=1",
        "max_num_sta=64",
    ]


def test_a_network_is_removed_whole() -> None:
    """Adding and removing leaves the file as it was."""
    assert apply(apply(FILE, *added()), Edit("wireless", "rw_public_2g")) == FILE


def test_comments_around_a_removed_network_stay() -> None:
    """What a technician wrote before and behind our network is his."""
    two = apply(apply(FILE, *added()) + b"# mine\n\n", *added("rw_two_2g", ifname="rw-two-2g"))
    assert apply(two, Edit("wireless", "rw_public_2g")).startswith(FILE + b"# mine\n\nbss=rw-two-2g\n")


def test_one_option_changes_one_line() -> None:
    """A change touches its own line and no other."""
    before = apply(FILE, *added())
    after = apply(before, set_("rw_public_2g", "key", "another-key"))
    assert after == before.replace(b"0123456789", b"another-key")


def test_no_change_changes_nothing() -> None:
    """An edit to what is there already leaves the bytes alone."""
    assert apply(FILE, set_("wlan0", "ssid", "private"), set_(RADIO, "channel", "6")) == FILE


def test_an_adopted_network_returns_to_what_it_was() -> None:
    """The first network is taken over and given back, byte for byte."""
    taken = apply(FILE, set_("wlan0", "ssid", "Kota"), set_("wlan0", "key", "0123456789"), set_("wlan0", "disabled", "1"))
    assert b"start_disabled=1" in taken
    assert apply(taken, set_("wlan0", "ssid", "private"), set_("wlan0", "key", "correct-horse"), set_("wlan0", "disabled", None)) == FILE


def test_an_encryption_without_a_word_comes_back() -> None:
    """What UCI has no word for is remembered by its lines."""
    eap = FILE.replace(b"wpa_key_mgmt=WPA-PSK\n", b"wpa_key_mgmt=WPA-EAP\n").replace(b"wpa_passphrase=correct-horse\n", b"")
    was = tree(eap)["wlan0"].value("encryption")
    opened = apply(eap, set_("wlan0", "encryption", "none"))
    assert b"wpa" not in opened.partition(b"bss=")[0]
    assert apply(opened, set_("wlan0", "encryption", was)) == eap


@pytest.mark.parametrize("encryption", ["none", "owe", "psk2", "sae-mixed", "sae"])
def test_every_encryption_reads_back(encryption: str) -> None:
    """Each has lines of its own, and nothing of the one before stays."""
    start = apply(FILE, *added())
    once = apply(start, set_("rw_public_2g", "encryption", encryption), set_("rw_public_2g", "key", None))
    back = apply(once, set_("rw_public_2g", "encryption", "sae-mixed"), set_("rw_public_2g", "key", "0123456789"))
    assert sorted(back.splitlines()) == sorted(start.splitlines())
    if encryption == "none":
        assert b"wpa=" not in once[len(FILE) :]


def test_an_unknown_encryption_is_refused() -> None:
    """It is not written as an open network, as UCI would have it."""
    with pytest.raises(Unavailable, match="encryption"):
        apply(FILE, *added(encryption="psk2+typo"))
    with pytest.raises(Unavailable, match="encryption"):
        apply(FILE, *added(encryption="lines wpa=2|ssid=evil"))


WORST = ("a\nb", "a\r\nwpa=0", '"', 'a"b', "\x00", "é", "a|b", "a" * 33, "#", " ", "\\", 'P"x"', "'", "\u2028")
HOSTILE = st.text(min_size=1, max_size=40) | st.sampled_from(WORST)


@given(HOSTILE)
@example("a\nb")
def test_any_ssid_is_itself_or_refused(ssid: str) -> None:
    """No name ends its line: it reads back as it was, with exactly the lines that a plain one has, or it is refused."""
    try:
        made = apply(FILE, *added(ssid=ssid))
    except Unavailable:
        assert not 1 <= len(ssid.encode("utf-8", "surrogatepass")) <= 32 or any("\ud800" <= char <= "\udfff" for char in ssid)
        return
    assert made.count(b"\n") - made.count(b"utf8_ssid=1\n") == apply(FILE, *added()).count(b"\n")


@given(HOSTILE, st.sampled_from(["key", "network", "maxassoc", "ieee80211w", "hidden", "owe_transition_ifname"]))
@example("0123456789\nwpa=0", "key")
@example("1\nssid=x", "network")
def test_any_other_value_adds_no_line(value: str, option: str) -> None:
    """A value that could end its line is refused."""
    before = apply(FILE, *added(**{option: {"key": "0123456789"}.get(option, "1")}))
    try:
        after = hostapd_conf.text(
            hostapd_conf.changed(
                hostapd_conf.parse(before), RADIO, tree(before), edited({"wireless": tree(before)}, [set_("rw_public_2g", option, value)])["wireless"]
            )
        )
    except Unavailable:
        return
    assert after.count(b"\n") == before.count(b"\n")
    assert value.isprintable() and value.isascii()


LINES = st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line and not line.startswith((b"bss=", b"interface="))), max_size=6)


@given(LINES, LINES, st.booleans())
def test_foreign_lines_stay_byte_for_byte(head: list[bytes], tail: list[bytes], is_ended: bool) -> None:
    """Whatever stands in a file, also what is no text: reading and writing keep it, and so do adding and removing a network."""
    content = b"\n".join([*head, b"interface=wlan0", b"ssid=a", *tail, b"bss=wlan0-1", *tail]) + b"\n" * is_ended
    assert hostapd_conf.text(hostapd_conf.parse(content)) == content
    made = hostapd_conf.text(hostapd_conf.changed(hostapd_conf.parse(content), RADIO, tree(content), edited({"wireless": tree(content)}, added())["wireless"]))
    gone = {name: one for name, one in tree(made).items() if name != "rw_public_2g"}
    back = hostapd_conf.text(hostapd_conf.changed(hostapd_conf.parse(made), RADIO, tree(made), gone))
    assert back.rstrip(b"\n") == content.rstrip(b"\n")
    assert made.startswith(content)


@pytest.mark.parametrize(
    ("ifname", "section"),
    [
        ("rw-public-2g", "rw_public_2g"),
        ("rw-public-5g2", "rw_public_5g_2"),
        ("rw-public-5go", "rw_public_5g_owe"),
        ("rw-public-5o2", "rw_public_5g_2_owe"),
        ("wlan0-guest", "wlan0_guest"),
        ("rw-TOO-2g", "rw_TOO_2g"),
    ],
)
def test_interfaces_and_sections(ifname: str, section: str) -> None:
    """Ours are called as on OpenWrt; another's by its interface."""
    assert hostapd_conf.section_of(ifname) == section
    assert hostapd_conf.is_ours(section, ifname) is (ifname != "wlan0-guest" and "TOO" not in ifname)


@pytest.mark.parametrize(
    "edits",
    [
        [Edit("wireless", "wlan0_guest")],
        [Edit("wireless", "wlan0")],
        [Edit("wireless", RADIO)],
        added("evil", ifname="wlan7"),
        added("wlan9", ifname="rw-public-2g"),
        [set_("wlan0", "ifname", "rw-public-2g")],
        [set_("wlan0", "macaddr", "02:00:00:00:00:00")],
        [set_(RADIO, "txpower", "20")],
        [set_(RADIO, "disabled", "1")],
        [set_(RADIO, "htmode", "EHT320")],
        [set_(RADIO, "htmode", "VHT80")],
        [set_(RADIO, "channel", "6\nssid=x")],
        [set_(RADIO, "country", "I\nD")],
    ],
)
def test_what_is_not_ours_or_has_no_line_is_refused(edits: list[Edit]) -> None:
    """Nothing of that is written."""
    with pytest.raises(Unavailable):
        apply(FILE, *edits)


@pytest.mark.parametrize("line", [b"wpa_psk_file=/etc/keys", b"sae_password=another", b"sae_password=correct-horse|mac=ff:ff:ff:ff:ff:ff", b"wep_key0=abcde"])
def test_a_network_with_more_keys_is_not_taken_over(line: bytes) -> None:
    """A new key that leaves an old one open is none."""
    content = FILE.replace(b"wpa_passphrase=correct-horse\n", b"wpa_passphrase=correct-horse\n" + line + b"\n")
    with pytest.raises(Unavailable, match="more than one key"):
        apply(content, set_("wlan0", "key", "0123456789"))


@pytest.mark.parametrize(
    "content", [b"", b"ssid=x\n", b"bss=a\n", b"interface=\n", b"interface=a b\n", b"interface=wlan0\nbss=wlan0\n", b"interface=a-b\nbss=a_b\n"]
)
def test_what_is_no_file_of_hostapd_is_said(content: bytes) -> None:
    """Without one name for each network nothing can be changed."""
    with pytest.raises(Unavailable):
        tree(content)


def test_a_key_of_64_digits_is_no_passphrase() -> None:
    """An adopted network's own key comes back as what it was."""
    content = FILE.replace(b"wpa_passphrase=correct-horse", b"wpa_psk=" + b"a1" * 32)
    changed = apply(content, set_("wlan0", "key", "0123456789"))
    assert b"wpa_psk" not in changed
    assert apply(changed, set_("wlan0", "key", "a1" * 32)) == content


def test_a_radio_line_below_a_network_is_not_overtaken() -> None:
    """hostapd takes the last one: a line written above it would do nothing."""
    below = FILE + b"channel=11\n"
    assert tree(below)[RADIO].value("channel") == "11"
    with pytest.raises(Unavailable, match="below"):
        apply(below, set_(RADIO, "channel", "1"))
