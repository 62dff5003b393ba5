"""The records in SQL: received instances, verdicts, findings, decisions, training runs.

One room per subject: `reception`, `inspection`, `review`, `training`, `delivery`. Each
function takes the `Records` handle first. No other package imports SQLAlchemy.
"""

from veritag.records.engine import Records

__all__ = ["Records"]
