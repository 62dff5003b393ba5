"""Judged tags of a Data Set, and hints at them from other elements."""

from veritag.dicom.tags.hints import read_hints
from veritag.dicom.tags.identity import read_identity, read_uid
from veritag.dicom.tags.judged_tags import JUDGED_TAGS, read_tags

__all__ = ["JUDGED_TAGS", "read_hints", "read_identity", "read_tags", "read_uid"]
