"""A comparison as `veritag compare` does it, with progress on stderr."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress
from rich.table import Table

from model_training.compare.cell import PICTURED, SWEEPS, TABLE, TSNE, Cell, CellBudget
from model_training.compare.cell_inputs import CellInputs
from model_training.compare.comparison_store import ComparisonStore
from model_training.compare.images.labelled_images import (
    LabelledFile,
    LabelledImages,
    list_labelled,
    read_labelled,
)
from model_training.compare.images.patient_split import PatientSplit, split_by_patient
from model_training.compare.methods.run_cell import run_cell
from model_training.compare.plan import plan
from model_training.compare.report.page import report_page
from model_training.compare.report.summary import COLUMNS, best, label, rows_of
from model_training.network.encoder import inner_side
from model_training.network.training_config import TrainingConfig
from model_training.process.progress import progress_bars
from model_training.process.torch_runtime import choose_device
from veritag.errors import ConfigurationError
from veritag.pixels.preprocessing import Preprocessing

REPORT = "report.html"
SHOWN = (
    "nmi_region", "nmi_modality", "hs_region", "hs_modality", "ari_region",
    "acc_region", "silhouette", "clusters",
)  # fmt: skip


@dataclass(frozen=True)
class ComparisonRequest:
    """Options of a comparison; see `veritag compare --help`."""

    images: tuple[Path, ...]
    labels: Path | None = None
    out: Path = Path("out/compare")
    only: Sequence[str] = SWEEPS
    methods: Sequence[str] = ()
    budget: CellBudget = field(default_factory=CellBudget)
    device: str = "auto"
    minutes: float | None = None


def run_comparison(request: ComparisonRequest) -> ComparisonStore:
    """Run the cells without a result, and write the report.

    Raises
    ------
    ConfigurationError
        If an option is invalid, or --out holds results of other images.
    StopError
        If there are too few images, or only one kind of them.
    """
    _require_valid(request)
    device = choose_device(request.device)
    with progress_bars() as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every non-conforming value
        inputs = _inputs(request, device, progress)
        store = ComparisonStore(request.out, _setup(request, inputs))
        _run(request, inputs, store, progress)
        page = report_page(store, inputs["full"].images, with_tsne=TSNE in request.only)
        (request.out / REPORT).write_text(page, encoding="utf-8")
    return store


def result_table(store: ComparisonStore) -> Table:
    """Return the paper's Table 3 for a terminal; * marks the highest of a column."""
    rows = rows_of(store.of(TABLE))
    highest = best(rows)
    table = Table(title="Unseen patients, mean ± standard deviation over seeds")
    table.add_column("Method", no_wrap=True)
    for column in SHOWN:
        table.add_column(COLUMNS[column], justify="right", no_wrap=True)
    for row, figures in rows.items():
        shown = [
            figures[c].shown(c) + (" *" if highest.get(c) == row else "")
            if c in figures
            else "-"
            for c in SHOWN
        ]
        table.add_row(label(row), *shown)
    for cell, _ in store.failed(TABLE):
        table.add_row(f"{label(cell['row'])}, seed {cell['seed']}", "failed")
    return table


def _require_valid(request: ComparisonRequest) -> None:
    rows = {cell.row for cell in plan(request.budget)}
    unknown = set(request.methods) - rows
    if unknown:
        raise ConfigurationError(
            f"--method: {', '.join(sorted(unknown))} is none of {', '.join(sorted(rows))}"
        )
    unknown = set(request.only) - set(SWEEPS)
    if unknown:
        raise ConfigurationError(
            f"--only: {', '.join(sorted(unknown))} is none of {', '.join(SWEEPS)}"
        )
    stages = len(TrainingConfig().filters)
    for name in ("size", "sweep_size"):
        try:
            inner_side(getattr(request.budget, name), stages)
        except ValueError as error:
            option = name.replace("_", "-")
            raise ConfigurationError(f"--{option}: {error}") from None
    if request.labels is not None and len(request.images) != 1:
        raise ConfigurationError("--labels goes with one folder of --images")


def _inputs(
    request: ComparisonRequest, device: str, progress: Progress
) -> dict[str, CellInputs]:
    items = [
        item
        for folder in request.images
        for item in list_labelled(folder, request.labels)
    ]
    budget = request.budget
    sizes = {
        "full": (budget.limit, budget.size),
        "sweep": (budget.sweep_limit, budget.sweep_size),
    }
    images = {
        size: _read(items, size, progress)
        for size in sorted({size for _, size in sizes.values()})
    }
    return {
        name: CellInputs(split_by_patient(images[size], limit), device)
        for name, (limit, size) in sizes.items()
    }


def _read(
    items: Sequence[LabelledFile], size: int, progress: Progress
) -> LabelledImages:
    bar = progress.add_task(f"reading at {size} pixels", total=len(items))
    data = read_labelled(
        items,
        Preprocessing(size=size),
        on_step=lambda n: progress.advance(bar, n),
    )
    for reason, count in data.snapshot.left_out.items():
        progress.console.print(f"left out {count}: {reason}", highlight=False)
    return data


def _setup(request: ComparisonRequest, inputs: dict[str, CellInputs]) -> dict[str, Any]:
    full = inputs["full"].images
    return {
        "images": [_digest(one.images) for one in inputs.values()],
        **asdict(request.budget),
        "training": len(full.training),
        "held_out": len(full.held_out),
        "unseen": {
            name: int(mask.sum()) for name, mask in full.reported_masks().items()
        },
        "patients": {
            part: len(set(getattr(full, part).patients.tolist()))
            for part in ("training", "held_out", "unseen")
        },
    }


def _digest(parts: PatientSplit) -> str:
    return "-".join(part.snapshot.digest() for part in (parts.training, parts.unseen))


def _run(
    request: ComparisonRequest,
    inputs: dict[str, CellInputs],
    store: ComparisonStore,
    progress: Progress,
) -> None:
    cells = [
        cell
        for cell in plan(request.budget, request.only)
        if not request.methods or cell.row in request.methods
    ]
    bar = progress.add_task("comparing", total=len(cells))
    begun = time.monotonic()
    for cell in cells:
        if cell not in store and _in_time(request, begun):
            cell_inputs = inputs[cell.image_set]
            cell_inputs.on_epoch = _epoch_reporter(progress, bar, cell.key)
            cell_inputs.on_epoch("")
            _run_one(cell, cell_inputs, store, progress)
        progress.advance(bar)
    left = sum(cell not in store for cell in cells)
    if left:
        progress.console.print(
            f"{left} of {len(cells)} runs are left after --minutes {request.minutes}; "
            "the same command continues with them",
            highlight=False,
        )
    store.write()


def _run_one(
    cell: Cell, inputs: CellInputs, store: ComparisonStore, progress: Progress
) -> None:
    result, outcome = run_cell(cell, inputs)
    store.add(cell, result)
    pictured = (cell.sweep, cell.seed) == (TABLE, 1) and cell.row in PICTURED
    if outcome is not None and pictured:
        store.keep_embedding(cell.row, outcome)
    if not progress.console.is_terminal:
        # A log file shows no bars: one line for each run shows the progress.
        progress.console.print(_line(cell, result), highlight=False, soft_wrap=True)


def _line(cell: Cell, result: Mapping[str, Any]) -> str:
    if "failed" in result:
        return f"{cell.key}: {result['failed']}"
    figures = [f"{k} {v}" for k, v in result["parts"]["all"].items() if k[:3] == "nmi"]
    return f"{cell.key}: {', '.join(figures)}, {result['seconds']} s"


def _epoch_reporter(progress: Progress, bar: Any, key: str) -> Callable[[str], None]:
    def report(text: str) -> None:
        progress.update(bar, description=f"{key} {text}")

    return report


def _in_time(request: ComparisonRequest, begun: float) -> bool:
    if request.minutes is None:
        return True
    return time.monotonic() - begun < request.minutes * 60
