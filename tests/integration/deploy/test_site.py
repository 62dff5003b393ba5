"""The documentation site builds without warnings and stands on its own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
# What a browser fetches by itself, by element; links of `a` are followed by people.
FETCHED = {
    "link": "href",
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "object": "data",
}


class _FetchedAddresses(HTMLParser):
    """Addresses that a browser fetches to show one page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(FETCHED.get(tag, ""))
        if address:
            self.addresses.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _fetched(site: Path) -> Iterator[tuple[Path, str]]:
    for page in sorted(site.rglob("*.html")):
        parser = _FetchedAddresses()
        parser.feed(page.read_text("utf-8"))
        for address in parser.addresses:
            yield page, address


def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    """Styles, scripts and pictures of every page are files of the site."""
    foreign = [
        (page.name, address)
        for page, address in _fetched(site)
        if re.match(r"(?:\w+:)?//", address)
    ]
    assert foreign == []


def test_what_pages_fetch_is_there(site: Path) -> None:
    """Every picture, style and script of a page is a file that exists."""
    missing = [
        (page.name, address)
        for page, address in _fetched(site)
        if page.name != "404.html" and not (page.parent / address).is_file()
    ]
    assert missing == []


def test_styles_fetch_nothing_from_elsewhere(site: Path) -> None:
    """No style sheet loads a font or a picture from another host."""
    foreign = [
        (style.name, address)
        for style in site.rglob("*.css")
        for address in re.findall(
            r"(?:url\(|@import)\s*[\"']?((?:\w+:)?//[^\"')]+)", style.read_text("utf-8")
        )
    ]
    assert foreign == []


def test_links_between_pages_lead_to_files(site: Path) -> None:
    """Every link of the pages that stays on the site leads to a file of it."""
    broken = [
        (page.name, target)
        for page in site.rglob("*.html")
        if page.name != "404.html"
        for target in re.findall(r'<a [^>]*href="([^"#]+)', page.read_text("utf-8"))
        if not re.match(r"\w+:", target)
        and not (page.parent / target / "index.html").is_file()
        and not (page.parent / target).is_file()
    ]
    assert broken == []


def test_no_font_is_fetched() -> None:
    """The theme uses the fonts of the system, and no page draws with a script."""
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    config = yaml.safe_load(re.sub(r"!!python/\S+", "", text))
    assert config["theme"]["font"] is False
    assert config["plugins"] == ["search"]
    assert "extra_javascript" not in config
