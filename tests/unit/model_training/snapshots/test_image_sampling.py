"""The choice of images to learn from, and its caps."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model_training.snapshots.image_sampling import (
    SamplingConfig,
    choose_images,
    fair_cap,
    hash_ids,
    rank_within,
    series_cap,
)

COLUMNS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=80
)
CONFIGS = st.builds(
    SamplingConfig,
    max_per_series=st.integers(1, 6),
    max_per_kind=st.integers(1, 20),
    max_images=st.integers(0, 60),
    min_images=st.integers(0, 60),
    seed=st.integers(0, 3),
)


def columns(rows: list[tuple[int, int, bool]]) -> tuple[np.ndarray, ...]:
    """Return ids, series, kinds and whether reviewed; a series is of one kind."""
    series = np.array([s + 10 * k for s, k, _ in rows], np.int64)
    kinds = np.array([k for _, k, _ in rows], np.int64)
    settled = {s for s, (_, _, r) in zip(series.tolist(), rows, strict=True) if r}
    reviewed = np.isin(series, list(settled))
    return np.arange(1, len(rows) + 1), series, kinds, reviewed


@settings(max_examples=300, deadline=None)
@given(COLUMNS, CONFIGS)
def test_caps_hold_and_the_room_is_used(
    rows: list[tuple[int, int, bool]], config: SamplingConfig
) -> None:
    """No cap is exceeded, reviewed series are in, and the room is used up."""
    ids, series, kinds, reviewed = columns(rows)
    chosen = choose_images(ids, series, kinds, config, reviewed=reviewed)
    of_series = Counter(series[chosen].tolist())
    cap = series_cap(series, config)
    assert all(count <= cap for count in of_series.values())
    for number in set(series[reviewed].tolist()):
        assert of_series[number] == min(cap, int((series == number).sum()))
    others = chosen & ~reviewed
    of_kind = Counter(kinds[others].tolist())
    assert all(count <= config.max_per_kind for count in of_kind.values())
    room = max(0, config.max_images - int((chosen & reviewed).sum()))
    in_caps = rank_within(series, hash_ids(ids, config.seed)) < series_cap(
        series, config
    )
    available = Counter(kinds[in_caps & ~reviewed].tolist())
    usable = sum(min(count, config.max_per_kind) for count in available.values())
    assert others.sum() == min(room, usable)


@settings(max_examples=100, deadline=None)
@given(COLUMNS, CONFIGS)
def test_a_rare_kind_gives_nothing_while_a_common_one_has_more(
    rows: list[tuple[int, int, bool]], config: SamplingConfig
) -> None:
    """Where the total caps a kind, no other kind has over one image more than it."""
    ids, series, kinds, _ = columns(rows)
    chosen = choose_images(ids, series, kinds, config)
    in_caps = rank_within(series, hash_ids(ids, config.seed)) < series_cap(
        series, config
    )
    available, kept = Counter(kinds[in_caps].tolist()), Counter(kinds[chosen].tolist())
    for kind, count in available.items():
        if kept[kind] < min(count, config.max_per_kind):
            assert max(kept.values(), default=0) <= kept[kind] + 1


@settings(max_examples=50, deadline=None)
@given(COLUMNS, CONFIGS, st.randoms(use_true_random=False))
def test_the_choice_depends_on_ids_and_seed_alone(
    rows: list[tuple[int, int, bool]], config: SamplingConfig, random: object
) -> None:
    """The order of the records does not change which instances are chosen."""
    ids, series, kinds, reviewed = columns(rows)
    order = np.arange(len(rows))
    random.shuffle(order)  # type: ignore[attr-defined]
    first = ids[choose_images(ids, series, kinds, config, reviewed=reviewed)]
    again = choose_images(
        ids[order], series[order], kinds[order], config, reviewed=reviewed[order]
    )
    assert set(first.tolist()) == set(ids[order][again].tolist())


def test_one_long_series_does_not_fill_its_kind() -> None:
    """A CT of 400 slices gives no more images than the cap on a series."""
    series = np.array([0] * 400 + list(range(1, 51)))
    config = SamplingConfig(min_images=0)
    chosen = choose_images(np.arange(450), series, np.zeros(450, np.int64), config)
    assert chosen[:400].sum() == config.max_per_series
    assert chosen[400:].all()


def test_a_small_archive_is_learnt_from_whole() -> None:
    """Where there are few images in all, the cap on a series removes none."""
    series = np.array([0] * 400 + list(range(1, 51)))
    chosen = choose_images(
        np.arange(450), series, np.zeros(450, np.int64), SamplingConfig()
    )
    assert chosen.all()
    assert series_cap(series, SamplingConfig(min_images=250)) == 200


def test_another_seed_chooses_others() -> None:
    """The same thousand images under two seeds overlap by chance only."""
    ids, zeros = np.arange(1000), np.zeros(1000, np.int64)
    masks = [
        choose_images(ids, ids, zeros, SamplingConfig(max_images=100, seed=seed))
        for seed in (1, 2)
    ]
    assert all(mask.sum() == 100 for mask in masks)
    assert (masks[0] & masks[1]).sum() < 40


def test_most_images_stay_when_new_ones_come() -> None:
    """After a tenth more instances, nine tenths of the choice are the same."""
    ids, zeros = np.arange(1, 11_001), np.zeros(11_000, np.int64)
    config = SamplingConfig(max_images=1000, max_per_kind=10**9)
    before = set(
        ids[:10_000][choose_images(ids[:10_000], ids[:10_000], zeros[:10_000], config)]
    )
    after = set(ids[choose_images(ids, ids, zeros, config)])
    assert len(before & after) > 850


def test_the_cap_is_the_greatest_that_fits() -> None:
    """Groups of 10, 3 and 1 fit into a room of 9 under a cap of 5; worked by hand."""
    assert fair_cap(np.array([10, 3, 1]), 9) == 5
    assert fair_cap(np.array([10, 3, 1]), 14) == 10
    assert fair_cap(np.array([10, 3, 1]), 2) == 0
    assert fair_cap(np.array([], np.int64), 5) == 0
