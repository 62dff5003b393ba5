"""The pages say what is true: settings, commands, and links that lead somewhere."""

import re
import runpy
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from veritag.process import metrics

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    str(page.relative_to(ROOT))
    for page in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")))
]
# A path that begins with a folder of the repository, up to a file's ending or a slash.
_PATH = re.compile(
    r"(?<![\w./-])((?:veritag|services|worker|model_training|benchmarks|tests|docs|deploy)"
    r"/(?:[\w.-]+/)*(?:[\w.-]+\.[a-z]+\b)?)"
)


def _anchors(page: Path) -> set[str]:
    """Return the anchors that a page's titles make."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", t).strip().lower().replace(" ", "-") for t in titles}


def test_settings_page_is_up_to_date(root: Path) -> None:
    """The page of settings is what the script writes from the settings."""
    script = runpy.run_path(str(root / "docs/make_settings.py"))
    page = (root / "docs/settings.md").read_text("utf-8")
    assert page == script["settings_page"](), "run: python docs/make_settings.py"


def test_metrics_page_is_up_to_date(root: Path) -> None:
    """The page of metrics is what the script writes from the metrics."""
    script = runpy.run_path(str(root / "docs/make_metrics.py"))
    page = (root / "docs/metrics.md").read_text("utf-8")
    assert page == script["metrics_page"](), "run: python docs/make_metrics.py"


def test_metrics_page_names_every_metric(root: Path) -> None:
    """No metric is missing from the page."""
    page = (root / "docs/metrics.md").read_text("utf-8")
    names = [
        metric._name
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
    ]
    assert [name for name in names if f"`{name}" not in page] == []


@pytest.mark.parametrize("name", PAGES)
def test_named_files_exist(root: Path, name: str) -> None:
    """Every file or folder of the code that a page names is there."""
    text = (root / name).read_text("utf-8")
    missing = {
        path for path in _PATH.findall(text) if not (root / path.rstrip("/")).exists()
    }
    assert missing == set()


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(root: Path, name: str) -> None:
    """Every link inside the project names a file, and a title in it, that exist."""
    page = root / name
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in _anchors(linked), target


def test_readme_is_short(root: Path) -> None:
    """The README is read in one go."""
    assert len((root / "README.md").read_text("utf-8").splitlines()) < 250


def test_readme_names_every_command(root: Path, commands: set[str]) -> None:
    """The table of commands is the list of commands, no more and no less."""
    text = (root / "README.md").read_text("utf-8")
    table = text.partition("## Commands")[2].partition("\n\n##")[0]
    cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    named = {
        words.removeprefix("veritag ").split()[0]
        for cell in cells
        for words in re.findall(r"`([^`]+)`", cell)
    }
    assert named == commands


def test_readme_gives_the_ports_of_the_settings(root: Path) -> None:
    """Ports and AE title in the README are the defaults."""
    from veritag.settings import Settings

    text = (root / "README.md").read_text("utf-8")
    for name, field in Settings.model_fields.items():
        is_told = name.endswith("_port") and field.default is not None
        if is_told or name == "ae_title":
            assert str(field.default) in text, name


def test_the_demo_and_the_tests_are_make_targets(root: Path) -> None:
    """The two commands of the README exist."""
    makefile = (root / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    told = re.findall(
        r"^make ([\w-]+)", (root / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert told[:2] == ["demo", "test"]
    assert set(told) <= targets
