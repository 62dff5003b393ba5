"""Description of the pixels in a Data Set, checked before decoding."""

from dataclasses import dataclass

from pydicom import Dataset

from veritag.errors import UnusableInstance


@dataclass(frozen=True, slots=True)
class Layout:
    """The Image Pixel module's description of the pixels, PS3.3 C.7.6.3."""

    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str

    @property
    def frame_bytes(self) -> int:
        """Size of one decoded frame."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8


def read_layout(ds: Dataset, keyword: str) -> Layout:
    """Return the description of the pixels in the element `keyword`.

    Raises
    ------
    UnusableInstance
        If a required element is missing or invalid.
    """
    float_bits = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(keyword)
    allocated = float_bits or _count(ds, "BitsAllocated")
    stored = float_bits or _count(ds, "BitsStored", allocated)
    high_bit = _number(ds, "HighBit", stored - 1)
    if not stored <= high_bit < allocated:
        # The only value that PS3.5 8.1.1 allows today; any other one is an error.
        high_bit = stored - 1
    layout = Layout(
        rows=_count(ds, "Rows"),
        columns=_count(ds, "Columns"),
        samples=_count(ds, "SamplesPerPixel", 1),
        frames=_count(ds, "NumberOfFrames", 1),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit,
        signed=_number(ds, "PixelRepresentation", 0) == 1,
        photometric=str(ds.get("PhotometricInterpretation") or "MONOCHROME2").strip(),
    )
    _require_valid(layout)
    return layout


def _require_valid(layout: Layout) -> None:
    if layout.bits_allocated not in (1, 8, 16, 32, 64):
        raise UnusableInstance(f"Bits Allocated is {layout.bits_allocated}")
    if layout.bits_stored > layout.bits_allocated:
        raise UnusableInstance(
            f"Bits Stored is {layout.bits_stored}, above Bits Allocated ({layout.bits_allocated})"
        )
    if layout.samples not in (1, 3):
        raise UnusableInstance(f"Samples per Pixel is {layout.samples}")


def _number(ds: Dataset, keyword: str, default: int | None = None) -> int:
    try:
        value = ds.get(keyword)
        if value is None or value == "":
            value = default
        return int(value)
    except (TypeError, ValueError, OverflowError, NotImplementedError):
        raise UnusableInstance(f"{keyword} is missing or not a number") from None


def _count(ds: Dataset, keyword: str, default: int | None = None) -> int:
    value = _number(ds, keyword, default)
    if value < 1:
        raise UnusableInstance(f"{keyword} is {value}")
    return value
