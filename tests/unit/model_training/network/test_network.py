"""The layers, and rearrangements of them that must not change their outputs."""

import numpy as np
import pytest
import torch
from torch import nn

from model_training.network.augment import gray_pieces, jitter, random_flip, restyle
from model_training.network.clustering import fit_whitening
from model_training.network.encoder import Decoder, Doubled, DoubledToOne, Encoder
from model_training.network.network import ClusteringNetwork
from model_training.training.embedding import embed, settle_norms
from tests.unit.model_training.small_training import config, phantom_tiles


def network(*, batch_norm: bool) -> ClusteringNetwork:
    """Return a network with decoder, heads and norms with statistics of images."""
    torch.manual_seed(3)
    model = ClusteringNetwork(config(beta=1.0, batch_norm=batch_norm), {"Modality": 4})
    settle_norms(model, phantom_tiles().tiles)
    return model.eval()


def test_encoder_and_decoder_mirror_each_other() -> None:
    """A tile whose side is any multiple of 32 is decoded to its size, within [0, 1]."""
    for size in (32, 96):
        z = Encoder(size)(torch.rand(2, 1, size, size))
        again = Decoder(size)(z)
        assert z.shape == (2, 100)
        assert again.shape == (2, 1, size, size)
        assert 0 <= again.min() <= again.max() <= 1


def test_the_paper_s_parameters() -> None:
    """At 256 x 256 the encoder has the paper's layers: 101,920 weights in convolutions."""
    encoder = Encoder(256)
    assert sum(p.numel() for p in encoder.convolutions.parameters()) == 101_920
    assert encoder.dense.weight.shape == (100, 4096)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_pooling_before_rectifying_is_the_same(batch_norm: bool) -> None:
    """Values and gradients equal those of the paper's order of layers exactly."""
    ours = Encoder(32, (4, 8), 5, batch_norm=batch_norm).double()
    layers = list(ours.convolutions)
    paper = []
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            paper += [nn.ReLU(), layer]
        elif not isinstance(layer, nn.ReLU):
            paper.append(layer)
    x = torch.randn(6, 1, 32, 32, dtype=torch.float64)
    results = []
    for stages in (ours.convolutions, nn.Sequential(*paper)):
        tiles = x.clone().requires_grad_()
        y = stages(tiles)
        y.square().sum().backward()
        results.append((y, tiles.grad))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_the_last_stage_is_interpolation_and_convolution() -> None:
    """Values and gradients are those of the two layers in sequence."""
    torch.manual_seed(5)
    stage = DoubledToOne(6).double()
    layers = nn.Sequential(Doubled(), nn.Conv2d(6, 1, 3, padding=1).double())
    layers[1].load_state_dict(stage.state_dict())
    results = []
    for way in (stage, layers):
        maps = torch.arange(2 * 6 * 4 * 5).double().sin().view(2, 6, 4, 5)
        maps.requires_grad_()
        y = way(maps)
        y.square().sum().backward()
        results.append([y, maps.grad, *(p.grad for p in way.parameters())])
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_whitening_changes_the_embedding_and_nothing_read_from_it(
    batch_norm: bool,
) -> None:
    """Embeddings become uncorrelated; the outputs of heads and decoder stay."""
    model = network(batch_norm=batch_norm)
    tiles = torch.from_numpy(phantom_tiles().tiles).unsqueeze(1).float() / 255
    with torch.no_grad():
        _, tiles_before, logits = model(tiles)
        z = embed(model, phantom_tiles().tiles)
        whitening = fit_whitening(z)
        model.whiten(
            torch.from_numpy(whitening.mean), torch.from_numpy(whitening.matrix)
        )
        _, tiles_after, logits_after = model(tiles)
    after = embed(model, phantom_tiles().tiles)
    np.testing.assert_allclose(after, whitening.apply(z), rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(tiles_after, tiles_before, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        logits_after["Modality"], logits["Modality"], rtol=1e-2, atol=1e-3
    )


def test_norms_settle_on_what_the_tiles_are() -> None:
    """Running statistics become those of the tiles."""
    model = network(batch_norm=True)
    norm = model.encoder.norm
    assert isinstance(norm, nn.BatchNorm1d)
    norm.running_mean.fill_(100)  # type: ignore[union-attr]
    settle_norms(model, phantom_tiles().tiles)
    z = embed(model, phantom_tiles().tiles)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-3)
    assert norm.momentum == 0.1


def test_frozen_norms_learn_no_statistics() -> None:
    """Frozen norms do not update their statistics, on which the centers depend."""
    model = network(batch_norm=True)
    model.train()
    model.freeze_norms()
    before = {name: value.clone() for name, value in model.named_buffers()}
    model(torch.rand(8, 1, 32, 32))
    assert before
    assert all(torch.equal(v, before[name]) for name, v in model.named_buffers())


def test_augmentation_keeps_shape_and_range() -> None:
    """Augmented tiles keep shape and range, and with strength 0 their values."""
    tiles = torch.rand(8, 1, 32, 32)
    generator = torch.Generator().manual_seed(1)
    changed = jitter(random_flip(tiles, generator), generator)
    assert changed.shape == tiles.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    torch.testing.assert_close(jitter(tiles, generator, 0.0), tiles, atol=1e-4, rtol=0)


def test_restyled_tiles_stay_tiles_and_keep_their_order_of_grays() -> None:
    """Thousands of gray curves rise within [0, 1], and none gives NaN."""
    generator = torch.Generator().manual_seed(1)
    ramp = torch.linspace(0, 1, 32).expand(4000, 1, 32, 32)
    changed = restyle(ramp, generator)
    assert changed.shape == ramp.shape
    assert torch.isfinite(changed).all()
    assert 0 <= changed.min() <= changed.max() <= 1
    row = restyle(ramp[:64], generator, 0.0)[:, 0, 16, 1:-1]
    assert (row.diff(dim=1) >= -1e-5).all()


def test_no_draw_of_a_gray_curve_is_unusable() -> None:
    """Draws at either end of the unit interval bend the curve and nothing else."""
    for value in (0.0, 1.0 - 2**-24):
        pieces = gray_pieces(torch.full((3, 6), value), torch.ones(3, 1))
        assert torch.isfinite(pieces).all()
        torch.testing.assert_close(pieces.sum(1), torch.ones(3))
