"""Anatomy-like MR slices, in arbitrary signal.

Each function draws one slice; `level` runs from 0 (lowest, or one side) to 1. Numbers
drawn from `rng` belong to the patient and are the same on every slice.
"""

import numpy as np

from veritag.phantoms.canvas import (
    Canvas,
    band,
    box,
    ellipse,
    moved,
    polygon,
)
from veritag.phantoms.ct_sections import fill_ventricles


def mr_brain(canvas: Canvas, rng: np.random.Generator, level: float) -> None:
    """Draw an axial brain in a T1-like or T2-like contrast, cortex folded, no bright skull."""
    t2 = rng.random() < 0.5
    scalp, csf, grey, white = (620, 900, 560, 380) if t2 else (900, 120, 430, 640)
    round_, wide = rng.uniform(0.9, 1.06), rng.uniform(0.7, 1.4)
    size = 1 - 0.5 * max(0.0, level - 0.55) ** 1.4 - 0.12 * max(0.0, 0.3 - level)
    rx, ry = 0.68 * size * round_, 0.84 * size
    canvas.fill(ellipse(0, 0, rx, ry), scalp)
    canvas.fill(ellipse(0, 0, rx - 0.05, ry - 0.05), 50)
    canvas.fill(ellipse(0, 0, rx - 0.1, ry - 0.1), csf)
    canvas.fill(ellipse(0, 0, rx - 0.12, ry - 0.12, folds=34, depth=0.035), grey)
    canvas.fill(ellipse(0, 0, rx - 0.21, ry - 0.21, folds=21, depth=0.1), white)
    canvas.fill(band(polygon((0, -ry + 0.1), (0, -0.4), (0, -0.3)), 0.025), csf)
    canvas.fill(band(polygon((0, ry - 0.1), (0, 0.4), (0, 0.35)), 0.025), csf)
    if 0.3 < level < 0.75:
        canvas.fill_both_sides(ellipse(0.2, 0.02, 0.08, 0.14, -0.3), grey)
        canvas.fill_both_sides(ellipse(0.1, 0.1, 0.07, 0.08), grey)
    if level > 0.2:
        fill_ventricles(canvas, wide * (1 - abs(level - 0.5) * 1.5), csf)
    else:
        canvas.fill_both_sides(ellipse(0.27, -ry * 0.75, 0.14, 0.14), csf)
        canvas.fill_both_sides(
            ellipse(0.2, 0.42, 0.24, 0.2, folds=18, depth=0.06), grey
        )
    canvas.image += (canvas.image > 60) * 18 * canvas.texture(0.05)


def mr_knee(canvas: Canvas, rng: np.random.Generator, level: float) -> None:
    """Draw a sagittal knee: femur over tibia, patella in front, dark menisci and tendons."""
    fat, marrow, muscle = (
        rng.uniform(780, 950),
        rng.uniform(560, 760),
        rng.uniform(230, 330),
    )
    bend, girth = rng.normal(0, 0.06), rng.uniform(0.55, 0.66)
    bulge = 1 - 0.5 * abs(level - 0.5)
    spine = np.array(
        [(bend + 0.03, -1.2), (0, -0.4), (0, 0.3), (-bend * 0.5 + 0.04, 1.2)]
    )
    width = np.array([1.25, 1.35, 1.2, 1.0]) * girth
    canvas.fill(band(spine, width), fat)
    canvas.fill(band(moved(spine, 0.16 * girth, 0), width * 0.55), muscle)
    canvas.fill(
        band(polygon((-0.2, -1.2), (-0.24, -0.7), (-0.28, -0.45)), 0.16), muscle
    )
    shaft = polygon((bend - 0.02, -1.2), (-0.02, -0.6), (-0.03, -0.2))
    canvas.fill(band(shaft, np.array([0.34, 0.36, 0.55]) * 1.12), 60)
    canvas.fill(ellipse(-0.02, -0.16, 0.36 * bulge + 0.02, 0.27), 420)
    canvas.fill(ellipse(-0.02, -0.18, 0.33 * bulge + 0.02, 0.24), marrow)
    canvas.fill(band(shaft, np.array([0.3, 0.32, 0.5])), marrow)
    tibia = polygon((-0.02, 0.16), (-0.01, 0.4), (0.0, 0.7), (0.03, 1.2))
    canvas.fill(band(tibia, np.array([0.72, 0.6, 0.38, 0.34]) * bulge), 60)
    canvas.fill(
        band(moved(tibia, 0, 0.03), np.array([0.66, 0.54, 0.33, 0.29]) * bulge), marrow
    )
    canvas.fill(ellipse(-0.45, -0.3, 0.1, 0.19, -0.15), 60)
    canvas.fill(ellipse(-0.45, -0.3, 0.08, 0.165, -0.15), marrow)
    canvas.fill(band(polygon((-0.5, -0.12), (-0.46, 0.15), (-0.34, 0.36)), 0.05), 40)
    canvas.fill(polygon((-0.33, 0.08), (-0.33, 0.17), (-0.1, 0.14)), 40)
    canvas.fill(polygon((0.32, 0.06), (0.32, 0.17), (0.1, 0.14)), 40)
    if abs(level - 0.5) < 0.2:
        canvas.fill(band(polygon((0.16, -0.16), (0.0, 0.02), (-0.12, 0.16)), 0.06), 60)
    canvas.image += (canvas.image > 30) * 22 * canvas.texture(0.03)


def mr_lspine(canvas: Canvas, rng: np.random.Generator, level: float) -> None:
    """Draw a sagittal lumbar spine: a column of vertebrae and discs before the bright canal."""
    curve, height = rng.uniform(0.08, 0.2), rng.uniform(0.27, 0.32)
    fat, bone, worn = rng.uniform(750, 950), rng.uniform(330, 520), rng.random(8)
    canvas.image[:] = 90 + 25 * canvas.texture(0.12)
    canvas.fill(polygon((0.38, -1.3), (0.9, -1.3), (0.9, 1.3), (0.42, 1.3)), fat)
    y = np.linspace(-1.2, 1.2, 60)
    x = curve * np.cos(y * 1.5) * -1 + 0.05 + 0.28 * np.clip(y - 0.7, 0, 1) ** 1.3
    column = np.stack([x, y], axis=1)
    canvas.fill(band(moved(column, 0.38, 0), 0.36), 240)
    canvas.fill(band(moved(column, 0.21, 0), 0.13), 820 - 500 * abs(level - 0.5))
    canvas.fill(band(moved(column[:35], 0.2, 0), 0.05), 380)
    canvas.fill(band(moved(column, -0.22, 0), 0.07), 40)
    for k in range(8):
        middle = -1.12 + k * height
        at = float(np.interp(middle, y, x))
        slope = float(np.interp(middle, y, np.gradient(x, y)))
        canvas.fill(box(at, middle, 0.3, height * 0.74, -slope), bone)
        disc = middle + height / 2
        at = float(np.interp(disc, y, x))
        canvas.fill(
            ellipse(at, disc, 0.155, height * 0.13, -slope), 250 + 450 * worn[k]
        )
        canvas.fill(ellipse(at + 0.43, middle + 0.06, 0.13, 0.05, 0.5), bone * 0.9)
    canvas.image += 15 * canvas.texture(0.03)
