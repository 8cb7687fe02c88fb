"""The radio's lines: channel, width, generation and country, read and written."""

from __future__ import annotations

import pytest

from agent.errors import Unavailable
from agent.router import hostapd_radio

FIVE = ("interface=wlan1\n", "hw_mode=a\n", "channel=36\n", "ieee80211n=1\n", "ht_capab=[SHORT-GI-20]\n")


def put(lines: tuple[str, ...], **options: str | None) -> str:
    return "".join(hostapd_radio.put_options(lines, options))


@pytest.mark.parametrize(
    ("htmode", "said"),
    [
        ("NOHT", "ht_capab=[SHORT-GI-20]\n"),
        ("HT20", "ieee80211n=1\nht_capab=[SHORT-GI-20]\n"),
        ("HT40", "ieee80211n=1\nht_capab=[HT40+][SHORT-GI-20]\n"),
        ("VHT80", "ieee80211n=1\nht_capab=[HT40+][SHORT-GI-20]\nieee80211ac=1\nvht_oper_chwidth=1\nvht_oper_centr_freq_seg0_idx=42\n"),
        (
            "HE160",
            "ieee80211n=1\nht_capab=[HT40+][SHORT-GI-20]\nieee80211ax=1\nieee80211ac=1\nvht_oper_chwidth=2\nvht_oper_centr_freq_seg0_idx=50\n"
            "he_oper_chwidth=2\nhe_oper_centr_freq_seg0_idx=50\n",
        ),
    ],
)
def test_a_width_is_written_and_reads_back(htmode: str, said: str) -> None:
    """Each generation brings those below it, and a width its side, its code and its centre."""
    made = put(FIVE, htmode=htmode)
    assert made.removeprefix("interface=wlan1\nhw_mode=a\nchannel=36\n") == said
    assert hostapd_radio.options(made.splitlines(keepends=True))["htmode"] == htmode


@pytest.mark.parametrize(
    ("channel", "side", "centre"),
    [(36, "+", 42), (40, "-", 42), (52, "+", 58), (104, "-", 106), (116, "+", 122), (149, "+", 155), (161, "-", 155), (165, "+", 171)],
)
def test_a_channel_brings_its_side_and_centre(channel: int, side: str, centre: int) -> None:
    """A wide radio that changes its channel is no radio of the old channel's pair."""
    wide = tuple(put(FIVE, htmode="VHT80").splitlines(keepends=True))
    made = put(wide, channel=str(channel))
    assert f"[HT40{side}]" in made
    assert f"vht_oper_centr_freq_seg0_idx={centre}\n" in made


def test_a_width_back_to_20_leaves_nothing_behind() -> None:
    """What a width needs goes with it."""
    wide = tuple(put(FIVE, htmode="HE80").splitlines(keepends=True))
    assert "chwidth" not in put(wide, htmode="HT20") and "[HT40" not in put(wide, htmode="HT20")


@pytest.mark.parametrize(("lines", "channel"), [((*FIVE, "channel=0\n"), "auto"), ((*FIVE, "channel=acs_survey\n"), "auto"), (FIVE, "36")])
def test_a_channel_that_hostapd_chooses_is_auto(lines: tuple[str, ...], channel: str) -> None:
    """Both ways to say so, and the last line counts."""
    assert hostapd_radio.options(lines)["channel"] == channel
    assert "channel=0\n" in put(lines, channel="auto")


def test_bands() -> None:
    """Of 5 and 6 GHz only the operating class tells."""
    assert hostapd_radio.options(FIVE)["band"] == "5g"
    assert hostapd_radio.options((*FIVE, "op_class=131\n"))["band"] == "6g"
    assert "band" not in hostapd_radio.options(("interface=wlan0\n",))


def test_on_2_ghz_a_wide_channel_has_room() -> None:
    """Above channel 7 the second half is below."""
    two = ("hw_mode=g\n", "channel=11\n", "ieee80211n=1\n")
    assert "[HT40-]" in put(two, htmode="HT40")
    assert "[HT40+]" in put(two, htmode="HT40", channel="1")


@pytest.mark.parametrize(
    ("option", "value"), [("channel", "1 1"), ("channel", "-1"), ("country", "id"), ("htmode", "HT80"), ("htmode", "EHT20"), ("txpower", "20")]
)
def test_what_has_no_line_is_refused(option: str, value: str) -> None:
    """Nothing of that is written."""
    with pytest.raises(Unavailable):
        put(FIVE, **{option: value})
