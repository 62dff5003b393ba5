"""Veritag checks DICOM metadata against the pixels it describes."""

__version__ = "0.1.0"
