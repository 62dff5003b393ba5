"""What has been received, inspected, found and decided, in SQL.

One module per noun; each function takes the `Records` handle first. SQLAlchemy is
imported nowhere else.
"""

from veritag.records.engine import Records

__all__ = ["Records"]
