"""How a picture becomes a tile, as data: read with a bundle, carried out by `tile`.

Apart from the carrying out, so that whoever lists bundles needs no picture libraries.
"""

from dataclasses import dataclass

from veritag.errors import BundleRejected

VERSION = 1
MIN_SIZE = 8
MAX_SIZE = 1024


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes a tile; part of every bundle.

    Attributes
    ----------
    version
        Of the steps themselves; a bundle of another version is refused.
    size
        Side of the square tile, in pixels.
    low_percentile, high_percentile
        The window: what is drawn black and what is drawn white.
    """

    version: int = VERSION
    size: int = 64
    low_percentile: float = 1.0
    high_percentile: float = 99.0

    def require_supported(self, where: str) -> None:
        """Refuse a preprocessing that this version cannot do.

        Raises
        ------
        BundleRejected
            If version, size or window are not those of this module.
        """
        if self.version != VERSION:
            raise BundleRejected(
                f"{where}: preprocessing version {self.version!r}, this version does {VERSION}"
            )
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise BundleRejected(
                f"{where}: tile size {self.size!r} is not in {MIN_SIZE}..{MAX_SIZE}"
            )
        if not 0 <= self.low_percentile < self.high_percentile <= 100:  # noqa: PLR2004 -- per cent
            raise BundleRejected(f"{where}: the window's percentiles are out of order")
