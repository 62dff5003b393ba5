"""How several processes share rows and batches."""

import numpy as np
import pytest

from model_training.training.distributed import Ranks, join_ranks


def test_a_process_alone_waits_for_nobody() -> None:
    """Without torchrun every exchange returns its argument."""
    ranks = join_ranks("cpu")
    rows = np.arange(5)
    assert ranks == Ranks(0, 1)
    assert (
        ranks.batch_part(rows).tolist()
        == ranks.row_block(rows).tolist()
        == rows.tolist()
    )
    assert ranks.from_main("x") == "x"
    ranks.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_row_is_some_process_s(size: int) -> None:
    """Parts of all rows and of batches cover each row; none is empty."""
    rows = np.arange(5)
    everyone = [Ranks(rank, size) for rank in range(size)]
    parts = [ranks.row_block(rows) for ranks in everyone]
    assert np.concatenate(parts).tolist() == rows.tolist()
    shares = [ranks.batch_part(rows) for ranks in everyone]
    assert all(len(share) for share in shares)
    assert set(np.concatenate(shares).tolist()) == set(rows.tolist())
