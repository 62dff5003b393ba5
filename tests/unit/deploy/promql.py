"""Reads metric and label names out of PromQL; enough for the queries we write."""

import re
from dataclasses import dataclass

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)?\s*\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_NAME = re.compile(r"(?<![\w.])[a-zA-Z_:][\w:]*")
_WORDS = frozenset(
    "absent and avg by count day_of_week histogram_quantile hour increase max "
    "max_over_time min offset on or predict_linear rate sum time unless without".split()
)


@dataclass(frozen=True)
class Matcher:
    """One condition in braces."""

    metric: str
    label: str
    operator: str
    value: str


@dataclass(frozen=True)
class Query:
    """The names that one expression uses."""

    metrics: frozenset[str]
    matchers: tuple[Matcher, ...]
    grouping: frozenset[str]


def read_query(expression: str) -> Query:
    """Return the metrics, the conditions and the labels grouped by."""
    matchers = tuple(
        Matcher(metric, *parts)
        for metric, inside in _SELECTOR.findall(expression)
        for parts in _MATCHER.findall(inside)
    )
    grouping = {
        label.strip()
        for labels in _GROUPING.findall(expression)
        for label in labels.split(",")
        if label.strip()
    }
    names = _GROUPING.sub(" ", _SELECTOR.sub(r" \1 ", expression))
    names = _RANGE.sub(" ", _STRING.sub(" ", names))
    metrics = frozenset(_NAME.findall(names)) - _WORDS
    return Query(metrics, matchers, frozenset(grouping))
