"""Anatomy-like projections and ultrasound; bright is dense, as on a light box.

In a projection thickness adds up, so organs are added to one another. `level` selects
the view where a kind has several. Numbers drawn from `rng` belong to the patient.
"""

import numpy as np

from veritag.phantoms.canvas import (
    Canvas,
    Outline,
    arc,
    band,
    box,
    ellipse,
    mirrored,
    polygon,
)


def cr_chest(canvas: Canvas, rng: np.random.Generator, level: float) -> None:
    """Draw a frontal chest: dark lungs under ribs, heart shadow, diaphragm, clavicles."""
    wide, heart = rng.uniform(0.9, 1.08), rng.uniform(0.85, 1.25)
    lung, bone = rng.uniform(0.5, 0.62), rng.uniform(0.1, 0.16)
    breath = 0.05 * level
    canvas.dome(box(0, 0.25, 1.75 * wide, 2.2), 0.8, 0.3)
    canvas.add(
        polygon((-0.2, -1.1), (0.2, -1.1), (0.35, -0.7), (-0.35, -0.7)), 0.35, 0.08
    )
    for side in (-1, 1):
        field = np.concatenate(
            [
                arc(side * 0.38 * wide, -0.1, side * 0.33 * wide, 0.72, 180, 370),
                polygon(
                    (side * 0.74 * wide, 0.52 + breath), (side * 0.4, 0.36 + breath)
                ),
                polygon((side * 0.12, 0.48 + breath)),
            ]
        )
        canvas.add(field, -lung, 0.025)
    for k in range(9):
        y = -0.62 + 0.14 * k
        rib = arc(0.3, y + 0.1, 0.5 * wide, 0.1 + 0.02 * k, -140, 35)
        for outline in (band(rib, 0.045), mirrored(band(rib, 0.045))):
            canvas.add(outline, bone * 0.7, 0.008)
    canvas.add(ellipse(0.12, 0.26, 0.3 * heart, 0.28 * heart, 0.5), 0.42, 0.03)
    canvas.add(box(0.02, -0.2, 0.24, 1.0), 0.3, 0.03)
    canvas.add(box(0, 0.1, 0.13, 2.2), 0.15, 0.02)
    for side in (-1, 1):
        collar = polygon(
            (side * 0.08, -0.64), (side * 0.35, -0.72), (side * 0.72, -0.83)
        )
        canvas.add(band(collar, 0.06), bone * 1.6, 0.008)
    canvas.image += 0.012 * canvas.texture(0.03)


def _finger(
    canvas: Canvas, base: Outline, tip: Outline, joints: int, width: float
) -> None:
    line = base + np.linspace(0, 1.06, 12)[:, None] * (tip - base)
    canvas.dome(band(line, np.linspace(1.5, 1.0, 12) * width), 0.32, 0.05)
    cuts = np.array([0.0, 0.47, 0.75, 0.96, 1.0][: joints + 1])
    cuts = cuts / cuts[-1]
    for start, stop in zip(cuts[:-1] + 0.02, cuts[1:] - 0.015, strict=True):
        along = np.linspace(start, stop, 9)
        shape = 0.62 + 0.5 * np.abs(np.linspace(-1, 1, 9)) ** 2.5
        bone = base + along[:, None] * (tip - base)
        canvas.dome(band(bone, shape * width * 0.75), 0.42, 0.03)


def cr_hand(canvas: Canvas, rng: np.random.Generator, level: float) -> None:
    """Draw a hand on a dark plate: five rays of bones, carpus, radius and ulna."""
    spread, width = rng.uniform(0.85, 1.15), rng.uniform(0.12, 0.15)
    long = rng.uniform(0.92, 1.08)
    canvas.image[:] = 0.04 + 0.02 * level
    canvas.dome(box(0, 0.18, 0.62, 0.72), 0.3, 0.1)
    canvas.dome(box(0, 0.9, 0.44, 1.0), 0.3, 0.1)
    for k, reach in enumerate((0.9, 1.02, 1.06, 0.98)):
        x = (k - 1.5) * 0.14
        base = np.array([[x * 1.05, 0.28]])
        tip = np.array([[(k - 1.5) * 0.29 * spread, 0.28 - 1.07 * reach * long]])
        _finger(canvas, base, tip, 4, width)
    _finger(
        canvas,
        np.array([[0.2, 0.38]]),
        np.array([[0.68 * spread, -0.2]]),
        3,
        width * 1.1,
    )
    for k in range(8):
        x, y = (k % 4 - 1.5) * 0.11, 0.42 + 0.1 * (k // 4)
        canvas.dome(ellipse(x, y, 0.065, 0.058), 0.4, 0.03)
    for x, thick in ((0.08, 0.17), (-0.13, 0.11)):
        canvas.dome(
            band(polygon((x * 1.1, 0.64), (x, 0.8), (x, 1.3)), thick), 0.45, 0.04
        )
    canvas.image += 0.008 * canvas.texture(0.02)


def mg_breast(canvas: Canvas, rng: np.random.Generator, level: float) -> None:
    """Draw a breast against one edge of a black film; the muscle shows in the oblique view."""
    size, dense = rng.uniform(0.85, 1.15), rng.uniform(0.2, 0.5)
    side, oblique = rng.choice((-1, 1)), level >= 0.5
    edge = canvas.half_width
    outline = ellipse(edge, 0.05, 0.95 * edge * size * 1.15, 0.72 * size)
    canvas.image[:] = 0.02
    inside = canvas.mask(outline)
    canvas.dome(outline, 0.32, 0.1)
    gland = canvas.mask(ellipse(edge * 0.55, 0.05, 0.5 * edge, 0.42 * size), 0.12)
    strands = np.abs(canvas.texture(0.13)) + 0.7 * np.abs(canvas.texture(0.05))
    canvas.image += inside * gland * dense * (0.35 + 0.4 * strands)
    canvas.image += inside * 0.03 * canvas.texture(0.03)
    if oblique:
        canvas.add(
            polygon((edge + 0.2, -1.2), (edge * 0.25, -1.2), (edge + 0.2, 0.3)),
            0.4,
            0.02,
        )
    if side < 0:
        canvas.image = np.ascontiguousarray(canvas.image[:, ::-1])


def px_jaw(canvas: Canvas, rng: np.random.Generator, level: float) -> None:
    """Draw a panoramic jaw: two rows of teeth over the mandible's arch, spine at the sides."""
    smile, bone = rng.uniform(0.12, 0.26), rng.uniform(0.25, 0.35)
    missing = rng.random((2, 16)) < 0.08
    wide = canvas.half_width
    canvas.image[:] = 0.22 + 0.05 * canvas.texture(0.4) + 0.02 * level
    jaw = arc(0, -0.55, wide * 0.74, 1.25, 15, 165)
    canvas.add(band(jaw, 0.46), bone, 0.03)
    for side in (-1, 1):
        ramus = polygon(
            (side * wide * 0.7, 0.2),
            (side * wide * 0.74, -0.3),
            (side * wide * 0.7, -0.85),
        )
        canvas.add(band(ramus, 0.32), bone, 0.03)
        canvas.add(box(side * wide * 0.99, 0, 0.3, 2.2), 0.25, 0.08)
        canvas.add(ellipse(side * 0.45, -0.62, 0.34, 0.2), -0.14, 0.03)
    canvas.add(box(0, -0.42, wide * 1.0, 0.3), bone * 0.7, 0.05)
    for row, (direction, y0) in enumerate(((-1, 0.0), (1, 0.07))):
        for k in range(16):
            if missing[row, k]:
                continue
            x = (k - 7.5) / 7.5
            y = y0 - smile * x * x + 0.05
            thick = (0.13 if abs(x) > 0.4 else 0.1) * (0.9 + 0.2 * abs(x))
            at = x * wide * 0.52
            canvas.add(box(at, y + direction * 0.1, thick, 0.17), 0.42, 0.008)
            root = polygon(
                (at, y + direction * 0.15),
                (at, y + direction * 0.3),
                (at, y + direction * 0.42),
            )
            canvas.add(band(root, np.array([0.09, 0.06, 0.03])), 0.22, 0.01)
    canvas.image += 0.015 * canvas.texture(0.02)


def us_abdomen(canvas: Canvas, rng: np.random.Generator, level: float) -> None:
    """Draw an ultrasound fan on black: speckled liver, dark vessels, a bright diaphragm."""
    gain, half = rng.uniform(0.35, 0.5), rng.uniform(0.55, 0.7)
    vessels = rng.uniform(-0.5, 0.5, (5, 2))
    x, y = canvas.coordinates()
    depth, angle = np.hypot(x, y + 1.25), np.arctan2(x, y + 1.25)
    fan = (np.abs(angle) < half) & (depth > 0.38) & (depth < 2.1)
    canvas.image[:] = gain * (1.15 - 0.35 * depth)
    for u, v in vessels:
        canvas.fill(ellipse(u, v + 0.1 * level, 0.14, 0.035, u * 3), 0.04)
    canvas.fill(ellipse(0.3 - 0.3 * level, 0.1, 0.17, 0.12, 0.4), 0.03)
    canvas.fill(band(arc(0, -0.5, 0.95, 1.2, 40, 140), 0.05), 0.95)
    canvas.image[:] = canvas.smooth(canvas.image, 0.01)
    speckle = np.hypot(canvas.texture(0.012), canvas.texture(0.012)) * 0.8
    canvas.image *= fan * speckle
