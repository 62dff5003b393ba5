"""Rules of the house that a linter does not know."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("veritag", "services", "worker", "model_training")


def _tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("test_*.py"))


def _sources() -> list[Path]:
    return sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))


@pytest.mark.parametrize("path", _tests(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_test_says_what_is_true(path: Path) -> None:
    """Each test function carries a sentence."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_only_the_metrics_module_registers_metrics() -> None:
    """The list of Prometheus metrics is closed."""
    kinds = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    foreign = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in _sources()
        if path != ROOT / "veritag" / "process" / "metrics.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module == "prometheus_client"
        and kinds & {alias.name for alias in node.names}
    ]
    assert foreign == []


def test_every_package_file_belongs_to_a_listed_package() -> None:
    """The wheel takes whole packages: each folder of code has its `__init__`."""
    bare = {
        str(path.parent.relative_to(ROOT))
        for path in _sources()
        if not (path.parent / "__init__.py").is_file()
        and "migrations" not in path.parts
    }
    assert bare == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        (
            "services.listener.commands",
            {"torch", "onnxruntime", "fastapi", "sklearn", "cv2", "pynetdicom"},
        ),
        ("services.review.app", {"torch", "onnxruntime", "pynetdicom", "sklearn"}),
        ("worker.app", {"torch", "fastapi", "pynetdicom", "sklearn"}),
        (
            "veritag.cli",
            {"torch", "onnxruntime", "fastapi", "pynetdicom", "sqlalchemy"},
        ),
    ],
)
def test_a_room_loads_only_its_own_libraries(module: str, forbidden: set[str]) -> None:
    """A fresh interpreter that imports the room has none of the others' packages."""
    code = f"import sys, {module}; print(' '.join({sorted(forbidden)!r} & sys.modules.keys()))"
    code = code.replace(f"{sorted(forbidden)!r}", f"set({sorted(forbidden)!r})")
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == []
