"""What is said of settings: in agent.toml's words, and in UCI's on a box whose agent.toml is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import doctor, uci_settings, where
from agent.settings import Faults, load

MADE = f"{uci_settings.HEADER}\n\n"


@pytest.mark.parametrize(
    ("said", "in_uci"),
    [
        ('set router.public_network = "guest" in agent.toml', "uci set rwagent.router.public_network='guest'; uci commit rwagent; /etc/init.d/rwagent reload"),
        ("name one of them in agent.toml's router.public_network, or", "name one of them in rwagent.router.public_network, or"),
        ("set broker.tls = true", "uci set rwagent.broker.tls=1; uci commit rwagent; /etc/init.d/rwagent reload"),
        ("if another device leads out, set router.uplink", "if another device leads out, set rwagent.router.uplink"),
        ("look at broker.host and broker.port", "look at rwagent.broker.host and rwagent.broker.port"),
        (where.CORRECT, where.CORRECT_UCI),
        *((same, same) for same in ("rwagent.report.interval_s", "mqtt.broker.host", "broker.hosts", "set paths.state_dir")),
    ],
)  # fmt: skip
def test_a_remedy_names_the_option(said: str, in_uci: str) -> None:
    """With its UCI path, and as it would be typed; what is no setting stays."""
    assert where.in_uci(said) == in_uci


def test_the_box_is_known_by_its_file(tmp_path: Path) -> None:
    """By its first line; where there is none yet, by what the box is."""
    config, uci, release = tmp_path / "agent.toml", tmp_path / "uci", tmp_path / "release"
    known = []
    for text in (None, "[agent]\n", MADE):
        if text is not None:
            config.write_text(text)
        known.append(where.is_in_uci(str(config), str(uci), str(release)))
    uci.touch(), release.touch(), config.unlink()
    assert (known, where.is_in_uci(str(config), str(uci), str(release))) == ([False, False, True], True)


def test_the_doctor_says_what_to_edit(tmp_path: Path) -> None:
    """The same fault, in both words."""
    config = tmp_path / "agent.toml"
    config.write_text('[agent]\ncity = "x"\n[report]\ninterval_s = 0\n')
    assert any("toml: report.interval_s is 0" in finding.what and finding.remedy == where.CORRECT for finding in doctor.examine(str(config)))
    config.write_text(MADE + config.read_text())
    assert any("toml: rwagent.report.interval_s is 0" in finding.what and "/etc/config/rwagent" in finding.remedy for finding in doctor.examine(str(config)))


def test_a_file_that_is_not_there_is_made_and_not_copied(tmp_path: Path) -> None:
    """What the settings' own door advises is known here."""
    with pytest.raises(Faults) as refused:
        load(str(tmp_path / "agent.toml"))
    assert where.COPY in str(refused.value) and where.COPY_UCI in where.in_uci(str(refused.value))


def test_a_refused_command_says_it_too(tmp_path: Path) -> None:
    """As `rwagent run` in the log."""
    config = tmp_path / "agent.toml"
    config.write_text(MADE + "[report]\ninterval_s = 0\n")
    with pytest.raises(Faults) as refused:
        load(str(config))
    assert "rwagent.report.interval_s is 0, expected a number" in where.explained(refused.value)
