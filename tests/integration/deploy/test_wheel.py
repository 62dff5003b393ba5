"""The wheel holds the whole product and nothing else."""

import configparser
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.real_parts import require

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("veritag", "services", "worker", "model_training")
# Files that are read at run time, some of each kind.
DATA = {
    "veritag/starter/bundle.json",
    "veritag/starter/model.onnx",
    "veritag/terms/body_parts.tsv",
    "veritag/terms/manufacturers.tsv",
    "veritag/records/migrations/env.py",
    "veritag/records/migrations/versions/0001_first_schema.py",
    "services/review/templates/base.html",
    "services/review/static/review.css",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without the network by the hatchling that is installed."""
    require(find_spec("hatchling"), "hatchling is not installed")
    folder = tmp_path_factory.mktemp("dist")
    options = ("--wheel", "--no-isolation", "--outdir", str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "build", *options, str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("veritag-*.whl")
    return zipfile.ZipFile(path)


def _packaged(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def test_wheel_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    """What lies in the folders of the packages is what is installed."""
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert _packaged(wheel) == expected


def test_wheel_holds_what_is_read_at_run_time(wheel: zipfile.ZipFile) -> None:
    """Starter bundle, tables of terms, migrations, templates and styles are in it."""
    assert _packaged(wheel) >= DATA


def test_wheel_registers_the_commands_of_every_room(wheel: zipfile.ZipFile) -> None:
    """Each entry point of the project is in the wheel and names a module of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (name,) = (n for n in wheel.namelist() if n.endswith("/entry_points.txt"))
    registered = configparser.ConfigParser()
    registered.read_string(wheel.read(name).decode())
    rooms = dict(registered["veritag.commands"])
    assert rooms == project["entry-points"]["veritag.commands"]
    modules = {f"{module.replace('.', '/')}.py" for module in rooms.values()}
    assert modules <= _packaged(wheel)
