"""Rooms and names: what keeps the code walkable as it grows."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("veritag", "services", "worker", "model_training")
MOST_MODULES = 15


def _modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT)


def test_no_folder_is_crowded() -> None:
    """No folder of the product has more modules than a reader takes in at a glance."""
    counts: dict[Path, int] = defaultdict(int)
    for path in _modules(*PRODUCT):
        counts[path.parent] += path.name != "__init__.py"
    crowded = {str(f): n for f, n in counts.items() if n > MOST_MODULES}
    assert crowded == {}


def test_every_room_says_what_it_holds() -> None:
    """The `__init__` of each package is a sentence, for whoever opens the folder."""
    silent = [
        str(path)
        for path in _modules(*PRODUCT)
        if path.name == "__init__.py"
        and not ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8")))
    ]
    assert silent == []


def test_no_two_classes_share_a_name() -> None:
    """A class is known by its name alone, in the product and its benchmarks."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in _modules(*PRODUCT, "benchmarks"):
        for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path))
    shared = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert shared == {}
