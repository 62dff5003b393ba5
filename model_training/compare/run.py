"""A comparison as `veritag compare` does it, with progress on stderr."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress
from rich.table import Table

from model_training.compare.bench import Bench
from model_training.compare.cells import (
    PICTURED,
    SWEEPS,
    TABLE,
    TSNE,
    Cell,
    CellBudget,
    plan,
)
from model_training.compare.images.labelled import (
    Labelled,
    LabelledSet,
    list_labelled,
    read_labelled,
)
from model_training.compare.images.parts import Parts, split
from model_training.compare.methods.run_cell import run_cell
from model_training.compare.report.page import report_page
from model_training.compare.report.summary import COLUMNS, best, label, rows_of
from model_training.compare.store import ComparisonStore
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
    """What is asked of a comparison; see `veritag compare --help`."""

    images: tuple[Path, ...]
    labels: Path | None = None
    out: Path = Path("out/compare")
    only: Sequence[str] = SWEEPS
    methods: Sequence[str] = ()
    budget: CellBudget = field(default_factory=CellBudget)
    device: str = "auto"
    minutes: float | None = None


def run_comparison(request: ComparisonRequest) -> ComparisonStore:
    """Run what is not yet among the results, and write the report.

    Raises
    ------
    ConfigurationError
        If an option makes no sense, or --out holds something else.
    StopError
        If there are too few images, or one kind of them.
    """
    _require_sense(request)
    device = choose_device(request.device)
    with progress_bars() as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every oddity of every file
        benches = _benches(request, device, progress)
        store = ComparisonStore(request.out, _setup(request, benches))
        _run(request, benches, store, progress)
        page = report_page(store, benches["full"].parts, with_tsne=TSNE in request.only)
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


def _require_sense(request: ComparisonRequest) -> None:
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


def _benches(
    request: ComparisonRequest, device: str, progress: Progress
) -> dict[str, Bench]:
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
    read = {
        size: _read(items, size, progress)
        for size in sorted({size for _, size in sizes.values()})
    }
    return {
        name: Bench(split(read[size], limit), device)
        for name, (limit, size) in sizes.items()
    }


def _read(items: Sequence[Labelled], size: int, progress: Progress) -> LabelledSet:
    bar = progress.add_task(f"reading at {size} pixels", total=len(items))
    data = read_labelled(
        items,
        Preprocessing(size=size),
        on_step=lambda n: progress.advance(bar, n),
    )
    for reason, count in data.snapshot.left_out.items():
        progress.console.print(f"left out {count}: {reason}", highlight=False)
    return data


def _setup(request: ComparisonRequest, benches: dict[str, Bench]) -> dict[str, Any]:
    full = benches["full"].parts
    return {
        "images": [_digest(bench.parts) for bench in benches.values()],
        **asdict(request.budget),
        "training": len(full.training),
        "held_out": len(full.held_out),
        "unseen": {name: int(mask.sum()) for name, mask in full.reports().items()},
        "patients": {
            part: len(set(getattr(full, part).patients.tolist()))
            for part in ("training", "held_out", "unseen")
        },
    }


def _digest(parts: Parts) -> str:
    return "-".join(part.snapshot.digest() for part in (parts.training, parts.unseen))


def _run(
    request: ComparisonRequest,
    benches: dict[str, Bench],
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
            bench = benches[cell.bench]
            bench.on_epoch = _teller(progress, bar, cell.key)
            bench.on_epoch("")
            _run_one(cell, bench, store, progress)
        progress.advance(bar)
    left = sum(cell not in store for cell in cells)
    if left:
        progress.console.print(
            f"{left} of {len(cells)} runs left after --minutes {request.minutes}; "
            "the same command goes on with them",
            highlight=False,
        )
    store.write()


def _run_one(
    cell: Cell, bench: Bench, store: ComparisonStore, progress: Progress
) -> None:
    result, outcome = run_cell(cell, bench)
    store.add(cell, result)
    pictured = (cell.sweep, cell.seed) == (TABLE, 1) and cell.row in PICTURED
    if outcome is not None and pictured:
        store.keep_embedding(cell.row, outcome)
    if not progress.console.is_terminal:
        # A log file shows no bars: a line for each run tells that it goes on.
        progress.console.print(_line(cell, result), highlight=False, soft_wrap=True)


def _line(cell: Cell, result: Mapping[str, Any]) -> str:
    if "failed" in result:
        return f"{cell.key}: {result['failed']}"
    told = [f"{k} {v}" for k, v in result["parts"]["all"].items() if k[:3] == "nmi"]
    return f"{cell.key}: {', '.join(told)}, {result['seconds']} s"


def _teller(progress: Progress, bar: Any, key: str) -> Callable[[str], None]:
    def tell(what: str) -> None:
        progress.update(bar, description=f"{key} {what}")

    return tell


def _in_time(request: ComparisonRequest, begun: float) -> bool:
    if request.minutes is None:
        return True
    return time.monotonic() - begun < request.minutes * 60
