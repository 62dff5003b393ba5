"""Tiles from the pixels of Data Sets."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian

from veritag.errors import BundleRejected, NoPixels, UnusableInstance
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import make_picture, make_tile, tile_from_gray

PRE = Preprocessing(size=32)
EVERYTHING = Preprocessing(size=32, low_percentile=0, high_percentile=100)


def gray(pixels: NDArray[Any], **elements: Any) -> Dataset:
    """Return a native gray image."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    bits = pixels.dtype.itemsize * 8
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def ramp(dtype: str = "u2", side: int = 32) -> NDArray[Any]:
    """Return a picture that brightens from left to right."""
    return np.tile(np.arange(side, dtype=dtype), (side, 1))


def test_a_tile_is_square_bytes_over_the_whole_range() -> None:
    """The window stretches a picture from black to white."""
    tile = make_tile(gray(ramp()), PRE)
    assert tile.shape == (32, 32)
    assert tile.dtype == np.uint8
    assert (tile.min(), tile.max()) == (0, 255)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4"])
def test_the_stored_type_leaves_no_trace(dtype: str) -> None:
    """Equal pictures give equal tiles in all integer types."""
    tile = make_tile(gray(ramp(dtype)), PRE)
    np.testing.assert_array_equal(tile, make_tile(gray(ramp("u2")), PRE))


def test_signed_values_keep_their_order() -> None:
    """Negative stored values are darker than positive ones."""
    tile = make_tile(gray(ramp("i2") - np.int16(16)), PRE)
    np.testing.assert_array_equal(tile, make_tile(gray(ramp()), PRE))


def test_monochrome1_is_turned_over() -> None:
    """In MONOCHROME1 the lowest value is white."""
    upright = make_tile(gray(ramp()), EVERYTHING)
    turned = make_tile(
        gray(ramp(), PhotometricInterpretation="MONOCHROME1"), EVERYTHING
    )
    assert np.abs(turned.astype(int) + upright - 255).max() <= 1


def test_a_falling_rescale_turns_the_picture_over() -> None:
    """A negative Rescale Slope inverts the tile; a positive one does not change it."""
    upright = make_tile(gray(ramp()), PRE)
    rising = gray(ramp(), RescaleSlope="2.5", RescaleIntercept="-1024")
    falling = gray(ramp(), RescaleSlope="-1", RescaleIntercept="0")
    np.testing.assert_array_equal(make_tile(rising, PRE), upright)
    np.testing.assert_array_equal(make_tile(falling, PRE), upright[:, ::-1])


def test_an_enhanced_image_rescales_by_its_frames_functional_group() -> None:
    """The slope of the middle frame's functional group counts."""

    def group(slope: str) -> Dataset:
        transformation, item = Dataset(), Dataset()
        transformation.RescaleSlope = slope
        item.PixelValueTransformationSequence = [transformation]
        return item

    frames = np.stack([ramp(), ramp(), ramp()])
    ds = gray(frames, NumberOfFrames=3)
    ds.PerFrameFunctionalGroupsSequence = [group("1"), group("-1"), group("1")]
    np.testing.assert_array_equal(
        make_tile(ds, PRE), make_tile(gray(ramp()), PRE)[:, ::-1]
    )


def test_a_lut_sequence_is_applied_before_anything_is_averaged() -> None:
    """A Modality LUT that swaps black and white inverts the tile."""
    lut = Dataset()
    lut.LUTDescriptor = [32, 0, 16]
    lut.LUTData = list(range(31, -1, -1))
    lut.ModalityLUTType = "US"
    ds = gray(ramp("u1"), ModalityLUTSequence=[lut])
    np.testing.assert_array_equal(
        make_tile(ds, EVERYTHING), make_tile(gray(ramp("u1")[:, ::-1]), EVERYTHING)
    )


def test_the_middle_frame_is_shown() -> None:
    """The tile is that of the middle frame."""
    frames = np.stack([np.zeros_like(ramp()), ramp(), np.zeros_like(ramp())])
    tile = make_tile(gray(frames, NumberOfFrames=3), PRE)
    np.testing.assert_array_equal(tile, make_tile(gray(ramp()), PRE))


def test_padding_does_not_take_part_in_the_window() -> None:
    """Pixels with the Pixel Padding Value become as dark as the darkest other one."""
    pixels = ramp("i2").copy()
    pixels[:8] = -2000
    unpadded = make_tile(gray(ramp("i2")), PRE)
    for value in (-2000, 63536):  # the same bits, read as US
        tile = make_tile(gray(pixels, PixelPaddingValue=value), PRE)
        np.testing.assert_array_equal(tile[8:], unpadded[8:])
        assert tile[:8].max() == 0


def test_bits_beside_the_stored_ones_are_ignored() -> None:
    """Overlays in unused high bits do not change the tile."""
    overlaid = ramp() | np.uint16(0x8000)
    ds = gray(overlaid, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(make_tile(ds, PRE), make_tile(gray(ramp()), PRE))


def test_the_aspect_is_kept() -> None:
    """A wide picture gets bars above and below."""
    tile = make_tile(gray(ramp("u1", 64)[:32]), PRE)
    assert tile[:8].max() == 0
    assert tile[-8:].max() == 0
    assert tile[8:24].max() == 255


def test_a_constant_picture_gives_a_constant_tile() -> None:
    """An empty range of values causes no division by zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tile = make_tile(gray(np.full((20, 30), 700, dtype="u2")), PRE)
    assert tile.min() == tile.max()


def test_float_pixels_survive_what_is_not_a_number() -> None:
    """Float Pixel Data with NaN, infinity and huge values gives a tile."""
    values = ramp("u1").astype("f4") * np.float32(1e36)
    values[0, :3] = [np.nan, np.inf, -np.inf]
    ds = gray(ramp())
    del ds.PixelData
    ds.FloatPixelData = values.tobytes()
    tile = make_tile(ds, PRE)
    np.testing.assert_array_equal(tile[1:], make_tile(gray(ramp()), PRE)[1:])


def test_a_plain_picture_takes_the_same_way() -> None:
    """A picture file and a Data Set with the same pixels give the same tile."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (90, 70)).astype(np.uint8)
    np.testing.assert_array_equal(
        tile_from_gray(pixels, PRE), make_tile(gray(pixels), PRE)
    )


def test_a_picture_for_people_is_a_tile_of_another_size() -> None:
    """`make_picture` draws like `make_tile`."""
    ds = gray(ramp())
    np.testing.assert_array_equal(
        make_picture(ds, 96), make_tile(ds, Preprocessing(size=96))
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
        "examples_palette.dcm",
        "examples_ybr_color.dcm",
        "image_dfl.dcm",
        "liver_1frame.dcm",
        "rtdose.dcm",
    ],
)
def test_real_files_become_tiles(name: str) -> None:
    """Compressed, colored, palette, multi-frame, binary and float files all work."""
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} does not ship inside pydicom")
    tile = make_tile(dcmread(str(path)), PRE)
    assert tile.shape == (32, 32)
    assert tile.min() < tile.max()


@pytest.mark.filterwarnings("ignore")
def test_compressing_without_loss_leaves_the_tile() -> None:
    """The same picture gives the same tile in every lossless transfer syntax."""
    names = ("MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm")
    paths = [get_testdata_file(name, download=False) for name in names]
    tiles = [make_tile(dcmread(str(path)), PRE) for path in paths]
    np.testing.assert_array_equal(tiles[0], tiles[1])
    np.testing.assert_array_equal(tiles[0], tiles[2])


@pytest.mark.filterwarnings("ignore")
def test_every_file_gives_a_tile_or_a_reason() -> None:
    """Each file of pydicom gives a tile or one of two errors of Veritag."""
    outcomes: list[object] = []
    for path in sorted(
        (Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm")
    ):
        try:
            outcomes.append(make_tile(dcmread(path, force=True), PRE).shape)
        except (NoPixels, UnusableInstance) as error:
            outcomes.append(str(error))
    assert outcomes.count((32, 32)) > 50
    assert all(outcomes)


def test_an_object_without_pixels_says_so() -> None:
    """An object without Pixel Data and one with empty Pixel Data hold no picture."""
    with pytest.raises(NoPixels, match="no Pixel Data"):
        make_tile(Dataset(), PRE)
    with pytest.raises(NoPixels, match="empty"):
        make_tile(gray(ramp(), PixelData=b""), PRE)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Rows": 0}, "Rows is 0"),
        ({"Columns": None}, "Columns is missing"),
        ({"BitsStored": 17}, "17, above Bits Allocated .16."),
        ({"BitsAllocated": 12}, "Bits Allocated is 12"),
        ({"SamplesPerPixel": 7}, "Samples per Pixel is 7"),
        ({"NumberOfFrames": "5"}, "hold 2048 bytes where 6144 are needed"),
        ({"PixelData": b"\x00" * 99}, "hold 99 bytes where 2048 are needed"),
    ],
)
def test_a_wrong_description_is_named(elements: dict[str, Any], reason: str) -> None:
    """Each error in the description of the pixels has its own reason."""
    with pytest.raises(UnusableInstance, match=reason):
        make_tile(gray(ramp(), **elements), PRE)


def test_a_huge_frame_is_refused_before_it_is_decoded() -> None:
    """Rows and Columns alone decide, not the length of the Pixel Data."""
    ds = gray(ramp(), Rows=65535, Columns=65535)
    with pytest.raises(UnusableInstance, match="over the limit of 64 MB"):
        make_tile(ds, PRE, max_frame_mb=64)


JPEG_OF_ALL = b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00"
J2K_OF_ALL = b"\xff\x4f\xff\x51\x00\x29\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00"


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [("1.2.840.10008.1.2.4.50", JPEG_OF_ALL), ("1.2.840.10008.1.2.4.90", J2K_OF_ALL)],
)
def test_a_codestream_that_claims_gigabytes_is_refused(
    syntax: str, frame: bytes
) -> None:
    """A frame whose codestream claims 65,535 rows is refused despite small Rows."""
    ds = gray(ramp("u1"), PixelData=encapsulate([frame.ljust(64, b"\x00")]))
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    with pytest.raises(UnusableInstance, match="over the limit of 64 MB"):
        make_tile(ds, PRE, max_frame_mb=64)


def test_the_reason_tells_nothing_of_the_patient() -> None:
    """A reason holds no patient data."""
    ds = gray(
        ramp(), PatientName="SECRET^NAME", PatientID="SECRET", PixelData=b"\x00\x00"
    )
    with pytest.raises(UnusableInstance) as caught:
        make_tile(ds, PRE)
    assert "SECRET" not in str(caught.value)


SHORTS = st.integers(0, 65535)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(
    description=st.fixed_dictionaries(
        {
            "Rows": st.one_of(st.integers(0, 70), SHORTS),
            "Columns": st.one_of(st.integers(0, 70), SHORTS),
            "SamplesPerPixel": st.integers(0, 4),
            "BitsAllocated": st.sampled_from([0, 1, 7, 8, 12, 16, 32, 64, 65535]),
            "BitsStored": st.one_of(st.integers(0, 33), SHORTS),
            "HighBit": st.one_of(st.integers(0, 33), SHORTS),
            "PixelRepresentation": st.integers(0, 3),
            "NumberOfFrames": st.integers(-3, 2**31 - 1),
            "PlanarConfiguration": st.integers(0, 2),
            "PixelPaddingValue": SHORTS,
            "PhotometricInterpretation": st.sampled_from(
                [
                    "MONOCHROME1",
                    "MONOCHROME2",
                    "RGB",
                    "PALETTE COLOR",
                    "YBR_FULL_422",
                    "",
                    "?",
                ]
            ),
            "RescaleSlope": st.sampled_from(["", "0", "-1", "1e300", "nan"]),
        }
    ),
    length=st.one_of(st.integers(0, 5000), st.sampled_from([2048, 4900])),
    syntax=st.sampled_from(
        [
            "1.2.840.10008.1.2",
            "1.2.840.10008.1.2.1",
            "1.2.840.10008.1.2.2",
            "1.2.840.10008.1.2.4.70",
            "1.2.840.10008.1.2.5",
            "1.2.3",
        ]
    ),
)
def test_hostile_descriptions_give_a_tile_or_a_reason(
    description: dict[str, Any], length: int, syntax: str
) -> None:
    """Any header gives a tile or one of two errors of Veritag."""
    ds = gray(ramp())
    for keyword, value in description.items():
        setattr(ds, keyword, value)
    ds.PixelData = bytes(i % 251 for i in range(length))
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    try:
        tile = make_tile(ds, PRE, max_frame_mb=16)
    except (NoPixels, UnusableInstance) as error:
        outcome: object = str(error)
    else:
        outcome = tile.shape == (32, 32)
    assert outcome


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 200),
    columns=st.integers(1, 200),
    seed=st.integers(0, 1000),
    size=st.sampled_from([8, 32, 64]),
)
def test_every_shape_fits_into_the_tile(
    rows: int, columns: int, seed: int, size: int
) -> None:
    """A picture of any shape gives a tile of the requested size."""
    pixels = np.random.default_rng(seed).integers(0, 4096, (rows, columns)).astype("u2")
    tile = make_tile(gray(pixels), Preprocessing(size=size))
    assert tile.shape == (size, size)


@pytest.mark.parametrize(
    "pre",
    [
        Preprocessing(version=99),
        Preprocessing(size=0),
        Preprocessing(size=100_000),
        Preprocessing(low_percentile=60, high_percentile=40),
    ],
)
def test_a_foreign_preprocessing_is_refused(pre: Preprocessing) -> None:
    """An unsupported preprocessing is rejected; the error names the bundle."""
    with pytest.raises(BundleRejected, match="here"):
        pre.require_supported("here")
