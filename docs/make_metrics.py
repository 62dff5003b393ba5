"""Writes `docs/metrics.md` from the metrics themselves; a test keeps it up to date.

python docs/make_metrics.py
"""  # noqa: INP001 - a script beside the page that it writes

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from veritag.process import metrics

PAGE = Path(__file__).with_name("metrics.md")

HEAD = """\
# Metrics

Written by `python docs/make_metrics.py` from `veritag/process/metrics.py`.

Every process serves `/metrics` for Prometheus on its own port
([operations.md](operations.md#where-to-look)). Each exports all metrics without labels;
those that another process measures stay 0, so a query names the job
(`job="veritag-listener"`) or takes the maximum. Labels have closed lists of values: no
UID, no patient data, no AE title that a peer may choose. A counter starts at 0 when its
process starts. The metrics of the Python process itself (`process_resident_memory_bytes`,
`process_cpu_seconds_total` and others) come from the Prometheus client.

The alert rules are in
[deploy/prometheus/alerts.yml](../deploy/prometheus/alerts.yml), what to do in
[operations.md](operations.md#when-an-alert-fires).
"""

TABLE = """
| metric | type | labels | unit | what it is |
|---|---|---|---|---|
"""

_SECTION = re.compile(r"^# --- (?P<title>.+) ---$")
_METRIC = re.compile(r"^(?P<name>[A-Z_]+) = (?:Counter|Gauge|Histogram)\(")


def _rows() -> Iterator[str]:
    """Yield titles of sections and rows of metrics, in the order of the module."""
    for line in inspect.getsource(metrics).splitlines():
        if section := _SECTION.match(line):
            yield f"\n## {section['title']}\n{TABLE}"
        elif metric := _METRIC.match(line):
            yield _row(getattr(metrics, metric["name"]))


def _row(metric: MetricWrapperBase) -> str:
    kind = str(metric._type)  # noqa: SLF001 - the client has no public way
    name = metric._name + ("_total" if kind == "counter" else "")  # noqa: SLF001
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001
    cells = (f"`{name}`", kind, labels, _unit(name), metric._documentation)  # noqa: SLF001
    return f"| {' | '.join(cells)} |\n"


def _unit(name: str) -> str:
    """Return the unit, which Prometheus wants in the name."""
    if "timestamp_seconds" in name:
        return "Unix time"
    base = name.removesuffix("_total")
    return next((u for u in ("seconds", "bytes") if base.endswith(f"_{u}")), "")


def metrics_page() -> str:
    """Return the page as it must be."""
    return HEAD + "".join(_rows())


if __name__ == "__main__":
    PAGE.write_text(metrics_page(), encoding="utf-8")
