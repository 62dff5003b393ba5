"""The losses against numbers worked by hand, and at numeric limits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_training.network.clustering import soft_assignment
from model_training.network.losses import (
    LEAST_LOG,
    SMOOTHING,
    clustering_loss,
    divergence,
    log_soft_assignment,
    pairwise_loss,
    reconstruction_loss,
    tag_loss,
)

MUST, CANNOT = torch.tensor([True]), torch.tensor([False])


def logs(*rows: list[float]) -> torch.Tensor:
    """Return logarithms of probabilities, -inf of 0."""
    return torch.tensor(rows, dtype=torch.float64).log()


def test_soft_assignment_has_the_kernel_of_the_paper() -> None:
    """Squared distances 1 and 4 give 1/2 and 1/5, so 0.714 and 0.286, eq. 11.

    Code that squares the kernel gives 0.862 and 0.138.
    """
    z, centers = torch.zeros(1, 2), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    q = log_soft_assignment(z, centers).exp()[0].tolist()
    assert q == pytest.approx([5 / 7, 2 / 7], abs=1e-6)
    assert q != pytest.approx([0.862, 0.138], abs=0.05)


def test_degrees_of_freedom_bend_the_kernel() -> None:
    """With three degrees of freedom the exponent is -2: (4/3)^-2 against (7/3)^-2."""
    z, centers = torch.zeros(1, 1), torch.tensor([[1.0], [2.0]])
    near, far = (4 / 3) ** -2, (7 / 3) ** -2
    q = log_soft_assignment(z, centers, 3.0).exp()[0].tolist()
    assert q == pytest.approx([near / (near + far), far / (near + far)], abs=1e-6)


@pytest.mark.parametrize("degrees", [1.0, 2.5])
def test_soft_assignments_of_tensors_and_of_arrays_agree(degrees: float) -> None:
    """Both forms of eq. 11 give the same q, for near and for far centers."""
    rng = np.random.default_rng(4)
    z, centers = rng.normal(size=(9, 5)), rng.normal(size=(4, 5)) * 10
    centers[0] = z[0]
    log_q = log_soft_assignment(torch.tensor(z), torch.tensor(centers), degrees)
    np.testing.assert_allclose(
        log_q.exp().numpy(), soft_assignment(z, centers, degrees), rtol=1e-9
    )


def test_reconstruction_loss_by_hand() -> None:
    """Errors of 1 and 3 have a mean square of 5."""
    loss = reconstruction_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0]))
    assert loss.item() == pytest.approx(5.0)


def test_clustering_loss_by_hand() -> None:
    """KL of (0.9, 0.1) to (0.6, 0.4) and of equals, as a mean of two images, eq. 10."""
    target = torch.tensor([[0.9, 0.1], [0.5, 0.5]], dtype=torch.float64)
    loss = clustering_loss(target, logs([0.6, 0.4], [0.5, 0.5]))
    expected = (0.9 * math.log(0.9 / 0.6) + 0.1 * math.log(0.1 / 0.4)) / 2
    assert loss.item() == pytest.approx(expected)


def test_a_must_link_costs_how_far_its_images_are_apart() -> None:
    """KL(q_j || q_i) of (0.5, 0.5) to (0.8, 0.2) is 0.223, in this direction, eq. 14."""
    i, j = logs([0.8, 0.2]), logs([0.5, 0.5])
    expected = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    assert pairwise_loss(i, j, MUST).item() == pytest.approx(expected)
    assert pairwise_loss(j, i, MUST).item() == pytest.approx(0.193, abs=1e-3)


def test_a_cannot_link_costs_what_lacks_to_the_margin() -> None:
    """At 0.223 apart it costs 0.777 of a margin of 1, and nothing once beyond it."""
    i, j = logs([0.8, 0.2]), logs([0.5, 0.5])
    assert pairwise_loss(i, j, CANNOT).item() == pytest.approx(0.777, abs=1e-3)
    assert pairwise_loss(i, j, CANNOT, 0.2).item() == 0
    far = logs([0.999, 0.001]), logs([0.001, 0.999])
    assert pairwise_loss(*far, CANNOT).item() == 0


def test_pairs_of_both_kinds_are_a_mean() -> None:
    """One must-link of 0.223 and one cannot-link of 0.777 have a mean of 0.5."""
    i, j = logs([0.8, 0.2], [0.8, 0.2]), logs([0.5, 0.5], [0.5, 0.5])
    both = torch.tensor([True, False])
    assert pairwise_loss(i, j, both).item() == pytest.approx(0.5)


@pytest.mark.parametrize("kind", [MUST, CANNOT])
def test_probabilities_of_zero_are_cut_off(kind: torch.Tensor) -> None:
    """Where q is 0 a divergence is large and finite, and so are its gradients."""
    i, j = logs([1.0, 0.0]).requires_grad_(), logs([0.0, 1.0]).requires_grad_()
    loss = pairwise_loss(i, j, kind)
    loss.backward()
    assert 0 <= loss.item() <= -LEAST_LOG
    assert i.grad is not None
    assert torch.isfinite(i.grad).all()
    clustered = clustering_loss(torch.tensor([[0.5, 0.5]]).double(), logs([1.0, 0.0]))
    assert clustered.item() == pytest.approx(-0.5 * LEAST_LOG - math.log(2))


@given(
    st.lists(st.floats(-1e8, 1e8, width=32), min_size=6, max_size=6),
    st.booleans(),
)
def test_no_embedding_makes_a_loss_that_is_no_number(
    numbers: list[float], is_must: bool
) -> None:
    """Loss and gradients are finite at any distance from the centers."""
    z = torch.tensor(numbers, dtype=torch.float32).view(2, 3).requires_grad_()
    centers = torch.eye(3)
    log_q = log_soft_assignment(z, centers)
    pairs = pairwise_loss(log_q[:1], log_q[1:], torch.tensor([is_must]))
    loss = pairs + clustering_loss(torch.full((2, 3), 1 / 3), log_q)
    loss.backward()
    assert z.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


def test_a_divergence_of_equals_is_nothing() -> None:
    """KL(q || q) is exactly 0."""
    q = torch.rand(50, 7).log_softmax(1)
    assert float(divergence(q, q).abs().max()) == 0


def cross_entropy(logits: list[float], value: int, weights: list[float]) -> float:
    """Return the smoothed cross-entropy of one image by its definition."""
    log_p = np.array(logits) - np.log(np.exp(logits).sum())
    smooth = (np.array(weights) * log_p).sum() / len(logits)
    return float(-(1 - SMOOTHING) * weights[value] * log_p[value] - SMOOTHING * smooth)


def test_tag_loss_by_hand() -> None:
    """The loss is a weighted mean over the images that have the tag."""
    rows, class_weights = [[2.0, 0.0], [0.0, 1.0], [9.0, -9.0]], [1.0, 3.0]
    values, weights = torch.tensor([0, 1, -1]), torch.tensor([1.0, 5.0, 1.0])
    loss = tag_loss(torch.tensor(rows), values, torch.tensor(class_weights), weights)
    total = cross_entropy(rows[0], 0, class_weights)
    total += 5 * cross_entropy(rows[1], 1, class_weights)
    assert loss.item() == pytest.approx(total / (1 + 5 * 3), rel=1e-5)


def test_a_tag_that_nobody_carries_costs_nothing() -> None:
    """Without a value the loss and its gradients are 0."""
    logits = torch.randn(4, 3, requires_grad=True)
    loss = tag_loss(logits, torch.full((4,), -1), torch.ones(3), torch.ones(4))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()
