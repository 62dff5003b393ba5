"""One frame of a Data Set as stored values, read by the fastest correct decoder."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from veritag.errors import NoPixels, OutOfMemory, UnusableInstance
from veritag.pixels.codestream import claimed_pixels
from veritag.pixels.layout import Layout, read_layout

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
GRAY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
# Types that cv2.resize accepts; all others are converted to float32 first.
SHRINKABLE = (np.dtype("u1"), np.dtype("u2"), np.dtype("i2"), np.dtype("f4"))


@dataclass(frozen=True, slots=True)
class Frame:
    """Stored values of one frame, of shape (rows, columns) or (rows, columns, 3).

    Attributes
    ----------
    inverted
        Whether higher values are darker.
    """

    pixels: NDArray[Any]
    inverted: bool


def stored_frame(ds: Dataset, *, max_frame_mb: int) -> Frame:
    """Return the middle frame of a Data Set.

    Raises
    ------
    NoPixels
        If the Data Set holds no picture.
    UnusableInstance
        If the pixels cannot be decoded or are too large; the reason holds no patient data.
    """
    try:
        return _stored_frame(ds, max_frame_mb)
    except (NoPixels, UnusableInstance):
        raise
    except NotImplementedError as error:
        raise _no_decoder(_syntax(ds)) from error
    except MemoryError as error:
        raise OutOfMemory("not enough memory to decode the frame") from error
    except RuntimeError as error:
        # The text joins the messages of all plugins of pydicom and helps no reader.
        raise UnusableInstance(
            "the pixels are damaged, or in a form that no installed decoder reads "
            f"({_syntax(ds).name})"
        ) from error
    except Exception as error:
        # Decoders raise any exception on malformed data; only this instance is lost.
        raise UnusableInstance(
            f"the pixels cannot be decoded: {_brief(error)}"
        ) from error


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


def _stored_frame(ds: Dataset, max_frame_mb: int) -> Frame:
    keyword = next((k for k in PIXELS if k in ds), None)
    if keyword is None:
        raise NoPixels("the object holds no Pixel Data")
    layout = read_layout(ds, keyword)
    _require_size(layout.frame_bytes, max_frame_mb)
    if not ds[keyword].value:
        raise NoPixels("the Pixel Data are empty")
    index = layout.frames // 2
    if keyword != "PixelData":
        pixels = _floats(ds[keyword].value, layout, index)
    else:
        # The decoder allocates what the codestream claims, whatever Rows and Columns say.
        _require_size(_claimed_bytes(ds, layout, index), max_frame_mb)
        pixels = _integers(ds, layout, index)
    inverted = (layout.photometric == "MONOCHROME1") != _has_negative_slope(ds, index)
    return Frame(np.ascontiguousarray(_shrinkable(pixels)), inverted)


def _require_size(frame_bytes: int, max_frame_mb: int) -> None:
    if frame_bytes > max_frame_mb << 20:
        raise UnusableInstance(
            f"a frame of {frame_bytes >> 20} MB is over the limit of {max_frame_mb} MB"
        )


def _claimed_bytes(ds: Dataset, layout: Layout, index: int) -> int:
    """Return the decoded size that a compressed frame claims, in bytes; 0 if unknown."""
    syntax = _syntax(ds)
    if not (syntax.is_transfer_syntax and syntax.is_encapsulated):
        return 0
    data = ds["PixelData"].value
    offsets = None
    if ds.get("ExtendedOffsetTable") and ds.get("ExtendedOffsetTableLengths"):
        offsets = (ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths)
    frame = get_frame(
        data, index, number_of_frames=layout.frames, extended_offsets=offsets
    )
    bytes_per_pixel = layout.samples * max(8, layout.bits_allocated) // 8
    return (claimed_pixels(frame) or 0) * bytes_per_pixel


def _syntax(ds: Dataset) -> UID:
    """Return the transfer syntax, or the encoding that pydicom detected."""
    uid = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
    if uid:
        return UID(uid)
    implicit, little = ds.original_encoding
    if little is False:
        return ExplicitVRBigEndian
    return ExplicitVRLittleEndian if implicit is False else ImplicitVRLittleEndian


def _no_decoder(syntax: UID) -> UnusableInstance:
    return UnusableInstance(f"no decoder for transfer syntax {syntax.name}")


def _integers(ds: Dataset, layout: Layout, index: int) -> NDArray[Any]:
    syntax = _syntax(ds)
    if not syntax.is_transfer_syntax:
        raise _no_decoder(syntax)
    native = not syntax.is_encapsulated and syntax != ExplicitVRBigEndian
    one_sample = layout.samples == 1 and layout.bits_allocated in (8, 16, 32)
    # The usual case, which needs no decoder of pydicom and is faster without.
    if native and one_sample:
        pixels = _native(ds["PixelData"].value, layout, index)
    else:
        pixels, _ = get_decoder(syntax).as_array(ds, index=index)
    if layout.photometric == PALETTE:
        return apply_color_lut(pixels, ds)
    if layout.samples == 1:
        pixels = _without_padding(pixels, ds, layout)
        if ds.get("ModalityLUTSequence"):
            # A LUT is not linear: it has to be applied before pixels are averaged.
            pixels = apply_modality_lut(pixels, ds)
    return pixels


def _slice(data: bytes, layout: Layout, index: int) -> memoryview:
    start, size = index * layout.frame_bytes, layout.frame_bytes
    if len(data) < start + size:
        raise UnusableInstance(
            f"the Pixel Data hold {len(data)} bytes where {start + size} are needed"
        )
    return memoryview(data)[start : start + size]


def _native(data: bytes, layout: Layout, index: int) -> NDArray[Any]:
    kind = "i" if layout.signed else "u"
    dtype = np.dtype(f"<{kind}{layout.bits_allocated // 8}")
    pixels = np.frombuffer(_slice(data, layout, index), dtype=dtype)
    pixels = pixels.reshape(layout.rows, layout.columns)
    above = layout.bits_allocated - 1 - layout.high_bit
    unused = layout.bits_allocated - layout.bits_stored
    if unused:
        # Unused bits can hold overlays (retired, PS3.5 8.1.1): shifted out to the left.
        # The shift back to the right is arithmetic and extends the sign.
        pixels = (pixels << dtype.type(above)) >> dtype.type(unused)
    return pixels


def _floats(data: bytes, layout: Layout, index: int) -> NDArray[Any]:
    dtype = np.dtype(f"<f{layout.bits_allocated // 8}")
    values = np.frombuffer(_slice(data, layout, index), dtype=dtype)
    return values.reshape(layout.rows, layout.columns)


def _without_padding(pixels: NDArray[Any], ds: Dataset, layout: Layout) -> NDArray[Any]:
    """Replace padding by the darkest value of the picture (PS3.3 C.7.5.1.1.2)."""
    value = ds.get("PixelPaddingValue")
    if not isinstance(value, int) or pixels.dtype.kind not in "iu":
        return pixels
    bits = pixels.dtype.itemsize * 8
    # Some senders encode the padding value with the other signedness than the pixels.
    wrapped = np.array(value % (1 << bits), dtype=f"u{bits // 8}").view(pixels.dtype)
    padding = pixels == wrapped
    image = pixels[~padding]
    if image.size in (0, pixels.size):
        return pixels
    darkest = image.max() if layout.photometric == "MONOCHROME1" else image.min()
    return np.where(padding, darkest, pixels)


def _has_negative_slope(ds: Dataset, index: int) -> bool:
    """Return whether the Rescale Slope of this frame inverts the gray scale."""
    slope = ds.get("RescaleSlope")
    if slope is None:
        slope = _functional_group_slope(ds, index)
    return slope is not None and slope != "" and float(slope) < 0


def _functional_group_slope(ds: Dataset, index: int) -> object:
    """Return the Rescale Slope of a frame of an Enhanced image (PS3.3 C.7.6.16.2.9)."""
    per_frame = ds.get("PerFrameFunctionalGroupsSequence") or ()
    groups = [*per_frame[index : index + 1]]
    groups += ds.get("SharedFunctionalGroupsSequence") or ()
    for group in groups:
        for item in group.get("PixelValueTransformationSequence") or ():
            return item.get("RescaleSlope")
    return None


def _shrinkable(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.dtype in SHRINKABLE:
        native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        if native.dtype.kind != "f":
            return native
    values = pixels.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        least = values[finite].min() if finite.any() else 0.0
        values = np.where(finite, values, least)
    # Scaled to -1..1, so that averages cannot overflow; the window undoes the scale.
    largest = float(np.abs(values).max()) or 1.0
    return (values / largest).astype(np.float32)
