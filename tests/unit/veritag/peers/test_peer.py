"""Peers: one line each, the same in variables and in TOML."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.system.effective_settings import effective_settings
from veritag.errors import ConfigurationError
from veritag.peers.peer import read_peers
from veritag.settings import load_settings

FULL = "pacs=PACS 1@[fd00::7]:4242;forward;tls;modality=CT|MR;calling=A B|C;since=2026-01-02"


def test_a_line_says_all_of_a_peer() -> None:
    """Name, AE title, address and every option are read."""
    (peer,) = read_peers(FULL)
    assert (peer.name, peer.ae_title) == ("pacs", "PACS 1")
    assert (peer.host, peer.port) == ("fd00::7", 4242)
    assert peer.forward
    assert peer.tls
    assert peer.modalities == ("CT", "MR")
    assert peer.calling_ae_titles == ("A B", "C")
    assert peer.since is not None
    assert peer.since.isoformat() == "2026-01-02T00:00:00+00:00"
    assert str(peer) == FULL


@pytest.mark.parametrize(
    ("modality", "senders", "wanted"),
    [
        ("CT", {"C"}, True),
        ("US", {"C"}, False),
        (None, {"C"}, False),
        ("MR", {"D"}, False),
    ],
)
def test_a_filter_asks_for_modality_and_sender(
    modality: str | None, senders: set[str], wanted: bool
) -> None:
    """Both must match; all instances pass an empty filter."""
    (peer,) = read_peers(FULL)
    (plain,) = read_peers("PACS@host:104")
    assert peer.wants(modality, senders) is wanted
    assert plain.wants(modality, senders)


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "PACS@host",
        "PACS@host:0",
        "PACS@host:65536",
        "PACS@ho st:104",
        "A TITLE THAT IS TOO LONG@host:104",
        "WITH SPACE@host:104",
        "PACS@host:104;forwards",
        "PACS@host:104;since=yesterday",
        "PACS@host:104;modality=",
        "PACS@host:104,PACS@other:104",
    ],
)
def test_a_wrong_line_is_named(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error contains the name of the variable."""
    monkeypatch.setenv("VERITAG_PEERS", line)
    with pytest.raises(ConfigurationError, match="VERITAG_PEERS"):
        load_settings()


def test_variables_and_toml_mean_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output of `veritag config` for a variable can be used in the file."""
    monkeypatch.setenv("VERITAG_PEERS", f"SCANNER1@10.0.0.1:104, {FULL}")
    by_variable = load_settings()
    shown = next(s for s in effective_settings(by_variable) if s.name == "peers")
    assert shown.value == ["SCANNER1@10.0.0.1:104", FULL]
    file = tmp_path / "veritag.toml"
    file.write_text(f"peers = {shown.value}\n".replace("'", '"'))
    monkeypatch.delenv("VERITAG_PEERS")
    monkeypatch.setenv("VERITAG_CONFIG", str(file))
    assert load_settings().peers == by_variable.peers


@given(st.text(max_size=60))
def test_any_text_is_peers_or_an_error_in_words(text: str) -> None:
    """Any text gives peers or a ValueError."""
    try:
        peers = read_peers(text)
    except ValueError:
        return
    assert all(0 < peer.port <= 65535 and peer.name for peer in peers)
