"""Which of many images are learnt from."""

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
    per_series=st.integers(1, 6),
    per_kind=st.integers(1, 20),
    most=st.integers(0, 60),
    enough=st.integers(0, 60),
    seed=st.integers(0, 3),
)


def columns(rows: list[tuple[int, int, bool]]) -> tuple[np.ndarray, ...]:
    """Return ids, series, kinds and whether reviewed; a series is of one kind."""
    series = np.array([s + 10 * k for s, k, _ in rows], np.int64)
    kinds = np.array([k for _, k, _ in rows], np.int64)
    reviewed = {s for s, (_, _, r) in zip(series.tolist(), rows, strict=True) if r}
    always = np.isin(series, list(reviewed))
    return np.arange(1, len(rows) + 1), series, kinds, always


@settings(max_examples=300, deadline=None)
@given(COLUMNS, CONFIGS)
def test_caps_hold_and_the_room_is_used(
    rows: list[tuple[int, int, bool]], config: SamplingConfig
) -> None:
    """No cap is exceeded, reviewed series are in, and no place is left without need."""
    ids, series, kinds, always = columns(rows)
    chosen = choose_images(ids, series, kinds, config, always=always)
    of_series = Counter(series[chosen].tolist())
    cap = series_cap(series, config)
    assert all(count <= cap for count in of_series.values())
    for one in set(series[always].tolist()):
        assert of_series[one] == min(cap, int((series == one).sum()))
    rest = chosen & ~always
    of_kind = Counter(kinds[rest].tolist())
    assert all(count <= config.per_kind for count in of_kind.values())
    room = max(0, config.most - int((chosen & always).sum()))
    in_caps = rank_within(series, hash_ids(ids, config.seed)) < series_cap(
        series, config
    )
    offered = Counter(kinds[in_caps & ~always].tolist())
    usable = sum(min(count, config.per_kind) for count in offered.values())
    assert rest.sum() == min(room, usable)


@settings(max_examples=100, deadline=None)
@given(COLUMNS, CONFIGS)
def test_a_rare_kind_gives_nothing_while_a_common_one_has_more(
    rows: list[tuple[int, int, bool]], config: SamplingConfig
) -> None:
    """Where a kind lost images to the total, no other kind has over one more than it."""
    ids, series, kinds, _ = columns(rows)
    chosen = choose_images(ids, series, kinds, config)
    in_caps = rank_within(series, hash_ids(ids, config.seed)) < series_cap(
        series, config
    )
    offered, kept = Counter(kinds[in_caps].tolist()), Counter(kinds[chosen].tolist())
    for kind, count in offered.items():
        if kept[kind] < min(count, config.per_kind):
            assert max(kept.values(), default=0) <= kept[kind] + 1


@settings(max_examples=50, deadline=None)
@given(COLUMNS, CONFIGS, st.randoms(use_true_random=False))
def test_the_choice_depends_on_ids_and_seed_alone(
    rows: list[tuple[int, int, bool]], config: SamplingConfig, random: object
) -> None:
    """In whatever order the records tell of instances, the same are chosen."""
    ids, series, kinds, always = columns(rows)
    order = np.arange(len(rows))
    random.shuffle(order)  # type: ignore[attr-defined]
    first = ids[choose_images(ids, series, kinds, config, always=always)]
    again = choose_images(
        ids[order], series[order], kinds[order], config, always=always[order]
    )
    assert set(first.tolist()) == set(ids[order][again].tolist())


def test_one_long_series_does_not_fill_its_kind() -> None:
    """Of a CT of 400 slices no more are taken than the cap on a series."""
    series = np.array([0] * 400 + list(range(1, 51)))
    config = SamplingConfig(enough=0)
    chosen = choose_images(np.arange(450), series, np.zeros(450, np.int64), config)
    assert chosen[:400].sum() == config.per_series
    assert chosen[400:].all()


def test_a_small_archive_is_learnt_from_whole() -> None:
    """Where all images together are few, the cap on a series takes none away."""
    series = np.array([0] * 400 + list(range(1, 51)))
    chosen = choose_images(
        np.arange(450), series, np.zeros(450, np.int64), SamplingConfig()
    )
    assert chosen.all()
    assert series_cap(series, SamplingConfig(enough=250)) == 200


def test_another_seed_chooses_others() -> None:
    """The same thousand images under two seeds overlap by chance only."""
    ids, one = np.arange(1000), np.zeros(1000, np.int64)
    masks = [
        choose_images(ids, ids, one, SamplingConfig(most=100, seed=seed))
        for seed in (1, 2)
    ]
    assert all(mask.sum() == 100 for mask in masks)
    assert (masks[0] & masks[1]).sum() < 40


def test_most_images_stay_when_new_ones_come() -> None:
    """After a tenth more instances, nine tenths of the choice are the same."""
    ids, one = np.arange(1, 11_001), np.zeros(11_000, np.int64)
    config = SamplingConfig(most=1000, per_kind=10**9)
    before = set(
        ids[:10_000][choose_images(ids[:10_000], ids[:10_000], one[:10_000], config)]
    )
    after = set(ids[choose_images(ids, ids, one, config)])
    assert len(before & after) > 850


def test_the_cap_is_the_greatest_that_fits() -> None:
    """Ten, three and one image into a room of nine: a cap of five; hand-worked."""
    assert fair_cap(np.array([10, 3, 1]), 9) == 5
    assert fair_cap(np.array([10, 3, 1]), 14) == 10
    assert fair_cap(np.array([10, 3, 1]), 2) == 0
    assert fair_cap(np.array([], np.int64), 5) == 0
