"""Checks after every batch of cases."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from services.listener import store_status
from services.listener.connections import admission
from tests.fuzz.cases import digest, uid_of
from veritag.dicom.part10 import read_file_meta

Acknowledged = Sequence[tuple[int, int, bool, list[str]]]

# Every value that a listener or an indexer may give a label.
LABELS = {
    "reason": {*store_status.REASONS, *admission.REASONS},
    "answer": {"accepted", "refused"},
    "kind": {"identical", "conflict"},
}
# Labels of metrics of Python itself, whose values depend on its build.
_OF_PYTHON = {"generation", "implementation", "major", "minor", "patchlevel", "version"}


def check_files(
    seed: int,
    files: Iterable[Path],
    acknowledged: Acknowledged,
    valid: set[str],
    *,
    once: bool,
) -> list[str]:
    """Return where the files of a spool or an archive and the answers differ.

    Parameters
    ----------
    once
        Whether what was stored several times is there once, as in the archive.
    valid
        Digests of valid instances that were sent in between, each once.
    """
    names = {}
    counts: Counter[str] = Counter()
    for path in files:
        meta = read_file_meta(path)
        content = _data_digest(path, meta.dataset_offset)
        counts[content] += 1
        names[content] = meta.sop_instance_uid
    problems = []
    for one in valid:
        problems += (
            []
            if counts[one] == 1
            else [f"a valid instance is there {counts[one]} times"]
        )
        del counts[one]
    for number, stored, sure, candidates in acknowledged:
        count = sum(counts.pop(candidate, 0) for candidate in set(candidates))
        minimum = min(stored, 1) if once else stored
        if count < minimum or (sure and count > stored):
            problems.append(
                f"case {seed}/{number}: {stored} answered 0x0000, {count} are there"
            )
    # The Data Sets of an unanswered case with false lengths are not known.
    unanswered = {
        uid_of(seed, n).decode() for n, _, sure, _ in acknowledged if not sure
    }
    unexpected = [names[one] for one in counts if names[one] not in unanswered]
    problems += [f"there and never acknowledged: {name}" for name in unexpected]
    return problems


def _data_digest(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        return digest(file.read())


def check_metrics(text: str) -> list[str]:
    """Return which labels of the metrics page are of no closed set."""
    problems = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for name, value in sample.labels.items():
                if not _is_known(name, value):
                    problems.append(f"{sample.name} has {name}={value!r}")
    return problems


def _is_known(name: str, value: str) -> bool:
    if name in LABELS:
        return value in LABELS[name]
    if name == "le":
        return value == "+Inf" or float(value) >= 0
    return name in _OF_PYTHON
