"""Dashboard and alerts ask only for what the processes really export."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from services.listener import store_status
from services.listener.connections import admission
from tests.unit.deploy.promql import read_query
from veritag.findings import FindingCode, VerdictStatus
from veritag.process import metrics
from veritag.records.states import CommitmentState, GateOutcome, RunStatus

SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}
# Prometheus adds these to every series; `accelerator` comes from prometheus.yml.
TARGET_LABELS = {"job", "instance", "accelerator"}


def _exported() -> dict[str, set[str]]:
    """Return every series name with its labels."""
    series: dict[str, set[str]] = {"up": set(TARGET_LABELS)}
    for metric in vars(metrics).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        labels = {*metric._labelnames, *TARGET_LABELS}
        for suffix in SUFFIXES[str(metric._type)]:
            le = {"le"} if suffix == "_bucket" else set()
            series[metric._name + suffix] = labels | le
    for family in REGISTRY.collect():  # the process's own memory and the like
        if family.name.startswith("process_"):
            series |= {sample.name: set(TARGET_LABELS) for sample in family.samples}
    return series


EXPORTED = _exported()
VALUES: Mapping[str, set[str]] = {
    "code": set(FindingCode),
    "status": set(VerdictStatus),
    "provider": {"CUDAExecutionProvider", "CPUExecutionProvider"},
    "accelerator": {"gpu"},
    "state": set(RunStatus),
    "outcome": {*GateOutcome, CommitmentState.REPORTED, CommitmentState.FAILED},
    "reason": {
        status.reason
        for status in vars(store_status).values()
        if isinstance(status, store_status.Status)
    }
    | admission.REASONS,
}


@pytest.fixture(scope="module")
def expressions(
    alerts: list[dict[str, Any]], panels: list[dict[str, Any]]
) -> dict[str, str]:
    """Every expression under the name of its alert or panel."""
    queries = {alert["alert"]: alert["expr"] for alert in alerts}
    for panel in panels:
        for target in panel["targets"]:
            queries[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    return queries


def test_every_metric_is_exported(expressions: dict[str, str]) -> None:
    """No panel and no alert asks for a metric that no process exports."""
    unknown = {
        name: read_query(expression).metrics - set(EXPORTED)
        for name, expression in expressions.items()
    }
    assert not {name: names for name, names in unknown.items() if names}
    assert all(read_query(expression).metrics for expression in expressions.values())


def test_every_label_exists(expressions: dict[str, str]) -> None:
    """Conditions and groupings name labels that the metrics have."""
    wrong = []
    for name, expression in expressions.items():
        query = read_query(expression)
        wrong += [
            f"{name}: {m.metric}{{{m.label}}}"
            for m in query.matchers
            if m.label not in EXPORTED[m.metric]
        ]
        # every metric that is grouped must have the label, or the group is empty
        wrong += [
            f"{name}: {metric} by {label}"
            for label in query.grouping
            for metric in query.metrics
            if label not in EXPORTED[metric]
        ]
    assert not wrong


def test_every_legend_names_a_label_of_its_query(panels: list[dict[str, Any]]) -> None:
    """A legend shows only labels that the query keeps."""
    for panel in panels:
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert shown <= read_query(target["expr"]).grouping, panel["title"]


def test_every_label_value_can_occur(
    expressions: dict[str, str], prometheus: dict[str, Any]
) -> None:
    """Conditions on closed lists name, or match, at least one of their values."""
    values = {
        **VALUES,
        "job": {job["job_name"] for job in prometheus["scrape_configs"]},
    }
    for name, expression in expressions.items():
        for matcher in read_query(expression).matchers:
            pattern = (
                matcher.value if "~" in matcher.operator else re.escape(matcher.value)
            )
            known = values[matcher.label]
            assert any(re.fullmatch(pattern, v) for v in known), f"{name}: {matcher}"


def test_every_alternative_of_a_code_pattern_can_occur(
    expressions: dict[str, str],
) -> None:
    """A pattern over finding codes holds no alternative that matches nothing."""
    for expression in expressions.values():
        for matcher in read_query(expression).matchers:
            if matcher.label == "code" and matcher.operator == "=~":
                for pattern in matcher.value.split("|"):
                    assert any(re.fullmatch(pattern, code) for code in FindingCode)


def test_every_metric_is_watched(expressions: dict[str, str]) -> None:
    """What we export is shown in a panel or watched by an alert."""
    queried = {m for e in expressions.values() for m in read_query(e).metrics}
    families = {
        m._name for m in vars(metrics).values() if isinstance(m, MetricWrapperBase)
    }
    covered = {f for f in families if any(name.startswith(f) for name in queried)}
    assert not families - covered


def test_the_dashboard_uses_the_provisioned_data_source(
    panels: list[dict[str, Any]],
) -> None:
    """Every query goes to the data source that provisioning brings."""
    for panel in panels:
        sources = [panel["datasource"], *(t["datasource"] for t in panel["targets"])]
        assert {s["uid"] for s in sources} == {"veritag-prometheus"}, panel["title"]


def test_panels_have_their_own_place(panels: list[dict[str, Any]]) -> None:
    """No two panels lie on the same square of the dashboard's grid."""
    squares = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(squares) == len(set(squares))
    assert max(x for x, _ in squares) < 24
