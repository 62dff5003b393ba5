"""Packages that a process must not load, each found in a fresh interpreter.

The listener's are in tests/unit/services/listener/test_imports.py.
"""

import json
import subprocess
import sys

import pytest

from veritag.pixels.thumbnail import DRAWING_MODULES
from worker.preparation import prepare

_LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

CHILD = "veritag.pixels.decoding_main"
MODELS = {"torch", "onnxruntime", "sklearn", "onnx"}
PIXELS = {"numpy", "cv2", "pydicom", "PIL", "gdcm"}
RECORDS = {"sqlalchemy", "alembic", "celery", "kombu", "redis", "fastapi"}


def loaded_by(*modules: str) -> set[str]:
    """Return the top-level modules of an interpreter that has imported these."""
    listed = subprocess.run(
        [sys.executable, "-c", _LOADED, *modules],
        capture_output=True,
        check=True,
        text=True,
    )
    return set(json.loads(listed.stdout))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "unneeded"),
    [
        pytest.param(
            (CHILD, prepare.__module__),
            MODELS | RECORDS | {"pydantic", "prometheus_client"},
            id="decoding for the worker",
        ),
        pytest.param(
            (CHILD, *DRAWING_MODULES),
            MODELS | RECORDS | {"pydantic", "prometheus_client"},
            id="decoding for review and scheduler",
        ),
        pytest.param(
            ("services.indexer.service",),
            MODELS | PIXELS | {"alembic", "fastapi"},
            id="indexer",
        ),
        pytest.param(
            ("services.scheduler.scheduler",),
            MODELS | PIXELS | {"alembic", "fastapi"},
            id="scheduler",
        ),
        pytest.param(
            ("model_training.promotion.trainer",),
            MODELS | PIXELS | {"alembic", "fastapi"},
            id="trainer",
        ),
        pytest.param(
            ("services.review.app",), MODELS | {"cv2", "celery", "kombu"}, id="review"
        ),
        pytest.param(
            ("veritag.cli", "services.system.up"),
            MODELS | PIXELS | RECORDS,
            id="supervisor",
        ),
    ],
)
def test_a_process_loads_only_what_it_needs(
    modules: tuple[str, ...], unneeded: set[str]
) -> None:
    """An idle process takes little memory because it does not load these packages."""
    assert loaded_by(*modules) & unneeded == set()
