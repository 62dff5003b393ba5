"""Reports of a run: text, Markdown and JSON."""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.fault_run import Result
from tests.faults.ledger import OUT_OF_RESOURCES, SUCCESS

Row = Sequence[object]


def summary(result: Result) -> dict[str, Any]:
    """Return the report as JSON data."""
    ledger = result.ledger
    statuses = {f"0x{s:04X}": n for s, n in sorted(ledger.statuses.items())}
    return {
        "plan": {
            "seed": result.plan.seed,
            "database": result.plan.database,
            "senders": result.plan.senders,
        },
        "seconds": round(result.seconds, 1),
        "kills": sum(1 for i in result.incidents if i.processes_killed),
        "processes_killed": sum(i.processes_killed for i in result.incidents),
        "starts_of_up": result.starts,
        "instances": len(ledger.fates),
        "acknowledged_instances": len(ledger.acknowledged),
        "statuses": statuses,
        "unanswered": ledger.lost,
        "longest_silence_seconds": round(ledger.longest_silence, 1),
        "faults": faults(result),
        "claims": [
            {"claim": c.text, "checked": c.checked, "broken": list(c.broken)}
            for c in result.claims
        ],
        "notes": result.notes,
        "holds": result.holds and not result.notes,
    }


def faults(result: Result) -> list[dict[str, Any]]:
    """Return one row per kind of fault."""
    times: defaultdict[str, list[float | None]] = defaultdict(list)
    for incident in result.incidents:
        times[incident.fault].append(incident.recovered)
    return [_row(name, found) for name, found in sorted(times.items())]


def _row(name: str, found: Sequence[float | None]) -> dict[str, Any]:
    known = [seconds for seconds in found if seconds is not None]
    return {
        "fault": name,
        "times": len(found),
        "median_seconds": round(statistics.median(known), 1) if known else None,
        "longest_seconds": round(max(known), 1) if known else None,
        "not_ready_again": len(found) - len(known),
    }


def markdown(result: Result) -> str:
    """Return two tables and the sentences around them."""
    report = summary(result)
    refused = result.ledger.statuses[OUT_OF_RESOURCES]
    head = (
        f"{report['acknowledged_instances']:,} instances sent by "
        f"{report['plan']['senders']} senders in {report['seconds'] / 60:.0f} minutes, "
        f"records in {report['plan']['database']}, seed {report['plan']['seed']}: "
        f"{report['kills']} kills ended {report['processes_killed']} processes. "
        f"{result.ledger.statuses[SUCCESS]:,} C-STOREs were answered 0x0000, {refused} "
        f"0xA700, {report['unanswered']} not at all; the longest time without a 0x0000 "
        f"was {report['longest_silence_seconds']} s."
    )
    parts = [
        head,
        _table(
            ("fault", "times", "ready again after (median)", "longest"),
            [
                (
                    f["fault"],
                    f["times"],
                    _seconds(f["median_seconds"]),
                    _seconds(f["longest_seconds"]),
                )
                for f in report["faults"]
            ],
        ),
        _table(
            ("claim", "checked", ""),
            [
                (c["claim"], f"{c['checked']:,}", "; ".join(c["broken"]) or "holds")
                for c in report["claims"]
            ],
        ),
        *report["notes"],
    ]
    return "\n\n".join(parts) + "\n"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def _table(head: Row, rows: Sequence[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def write(result: Result, path: Path) -> None:
    """Write Markdown there and JSON beside it."""
    path.write_text(markdown(result), encoding="utf-8")
    text = json.dumps(summary(result), indent=1)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
