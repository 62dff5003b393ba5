"""Parameters that turn a picture into a tile; part of every bundle.

Separate from `tile`, so that programs which list bundles load no image libraries.
"""

from dataclasses import dataclass

from veritag.errors import BundleRejected

VERSION = 1
MIN_SIZE = 8
MAX_SIZE = 1024


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Parameters that turn a picture into a tile.

    Attributes
    ----------
    version
        Version of the steps; a bundle with another version is rejected.
    size
        Side of the square tile, in pixels.
    low_percentile, high_percentile
        The window: percentiles of the picture that become black and white.
    """

    version: int = VERSION
    size: int = 64
    low_percentile: float = 1.0
    high_percentile: float = 99.0

    def require_supported(self, where: str) -> None:
        """Reject a preprocessing that this version does not support.

        Raises
        ------
        BundleRejected
            If the version, size or window is not supported.
        """
        if self.version != VERSION:
            raise BundleRejected(
                f"{where}: preprocessing version {self.version!r} is not supported, only {VERSION}"
            )
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise BundleRejected(
                f"{where}: tile size {self.size!r} is not in {MIN_SIZE}..{MAX_SIZE}"
            )
        if not 0 <= self.low_percentile < self.high_percentile <= 100:  # noqa: PLR2004 -- per cent
            raise BundleRejected(
                f"{where}: the percentiles of the window are not in increasing order"
            )
