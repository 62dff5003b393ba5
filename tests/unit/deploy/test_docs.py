"""The pages say what is true: settings, commands, and links that lead somewhere."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase
from typer.main import get_group

from veritag.cli import build_app
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
        is_shown = name.endswith("_port") and field.default is not None
        if is_shown or name == "ae_title":
            assert str(field.default) in text, name


def test_the_demo_and_the_tests_are_make_targets(root: Path) -> None:
    """The two commands of the README exist."""
    makefile = (root / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    shown = re.findall(
        r"^make ([\w-]+)", (root / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert shown[:2] == ["demo", "test"]
    assert set(shown) <= targets


def test_decisions_are_numbered_and_listed(root: Path) -> None:
    """Each decision has the next number, the same sections, and a line in the index."""
    folder = root / "docs/decisions"
    index = (folder / "README.md").read_text("utf-8")
    records = sorted(folder.glob("0*.md"))
    numbers = [record.name[:4] for record in records]
    assert numbers == [f"{number:04}" for number in range(1, len(records) + 1)]
    for record in records:
        text = record.read_text("utf-8")
        assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
        ]
        title = text.partition("\n")[0].partition(": ")[2]
        assert f"| [{record.name[:4]}]({record.name}) | {title} |" in index


def test_architecture_lists_every_room(root: Path) -> None:
    """The table of rooms has each package of the first two levels."""
    page = (root / "docs/architecture.md").read_text("utf-8")
    table = page.partition("## Rooms")[2].partition("\n## ")[0]
    rooms = {
        f"{init.parent.relative_to(root).as_posix()}/"
        for package in ("veritag", "services", "model_training")
        for init in (root / package).glob("*/__init__.py")
    }
    assert {room for room in rooms | {"worker/"} if f"`{room}`" not in table} == set()


def test_architecture_shows_the_floors(root: Path) -> None:
    """The page shows the floors in the order in which import-linter holds them."""
    page = (root / "docs/architecture.md").read_text("utf-8")
    table = page.partition("## Floors")[2].partition("\n\n`services`")[0]
    rows = re.findall(r"^\|([^|]+)\|([^|]+)\|$", table, re.MULTILINE)[2:]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    contracts = {c["name"]: c for c in project["tool"]["importlinter"]["contracts"]}
    for column, package, name in (
        (0, "veritag", "Floors of the shared language"),
        (1, "model_training", "Floors of the training"),
    ):
        shown = [set(re.findall(r"`(\w+)`", row[column])) for row in rows]
        held = [
            {room.strip().removeprefix(f"{package}.") for room in floor.split("|")}
            for floor in contracts[name]["layers"]
        ]
        assert [floor for floor in shown if floor] == held


def test_options_of_commands_exist(root: Path) -> None:
    """Every option behind a `veritag` command in the pages is one of that command."""
    wrong = []
    for name in PAGES:
        text = (root / name).read_text("utf-8").replace("\\\n", " ")
        for command, arguments in re.findall(r"veritag ([a-z]+)( [^`\n#]*)?", text):
            options = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", arguments))
            wrong += [
                f"{name}: veritag {command} {option}"
                for option in options - _options(command)
            ]
    assert wrong == []


def _options(name: str) -> set[str]:
    """Return the options of a command and of its sub-commands, `--help` among them."""
    command = get_group(build_app()).commands.get(name)
    commands = [command, *getattr(command, "commands", {}).values()]
    return {"--help"} | {
        option
        for each in commands
        if each is not None
        for parameter in each.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
