"""Anatomy-like CT slices, in Hounsfield units.

Each function draws one slice; `level` runs from 0 (lowest, or one side) to 1. Numbers
drawn from `rng` belong to the patient and are the same on every slice.
"""

import numpy as np

from veritag.phantoms.canvas import (
    Canvas,
    arc,
    band,
    ellipse,
    polygon,
)

_AIR, _FAT, _MUSCLE, _LUNG = -1000.0, -95.0, 55.0, -840.0


def _table(canvas: Canvas, y: float) -> None:
    canvas.fill(band(arc(0, y - 0.75, 1.1, 0.85, 50, 130), 0.025), -250)


def ct_head(canvas: Canvas, rng: np.random.Generator, level: float) -> None:
    """Draw an axial head: skull, brain, ventricles; orbits and petrous bones low down."""
    canvas.image[:] = _AIR
    round_ = rng.uniform(0.92, 1.08)
    thick, brain = rng.uniform(0.05, 0.085), rng.uniform(32, 40)
    wide = rng.uniform(0.7, 1.3)
    size = 1 - 0.55 * max(0.0, level - 0.55) ** 1.5 - 0.1 * max(0.0, 0.3 - level)
    rx, ry = 0.62 * size * round_, 0.8 * size
    canvas.fill(band(arc(0, -0.1, rx + 0.09, ry + 0.14, 20, 160), 0.03), -300)
    canvas.fill(ellipse(0, 0, rx, ry), 45)
    canvas.fill(ellipse(0, 0, rx - 0.035, ry - 0.035), 1100)
    inner_x, inner_y = rx - 0.035 - thick, ry - 0.035 - thick
    canvas.fill(ellipse(0, 0, inner_x, inner_y), 12)
    canvas.fill(ellipse(0, 0, inner_x, inner_y, folds=26, depth=0.025), brain)
    canvas.image += np.where(
        canvas.image == np.float32(brain), 3 * canvas.texture(0.06), 0
    )
    canvas.fill(band(polygon((0, -inner_y), (0, -0.25)), 0.015), 65)
    canvas.fill(band(polygon((0, inner_y), (0, 0.25)), 0.015), 65)
    if level < 0.33:
        _skull_base(canvas, ry)
    else:
        fill_ventricles(canvas, wide * (1 - abs(level - 0.55) * 1.6), 8.0)
    _table(canvas, 0.95)


def _skull_base(canvas: Canvas, ry: float) -> None:
    canvas.fill_both_sides(ellipse(0.28, -ry * 0.72, 0.17, 0.16), -80)
    canvas.fill_both_sides(ellipse(0.29, -ry * 0.76, 0.11, 0.12), 25)
    canvas.fill(ellipse(0, -ry * 0.72, 0.09, 0.2), _AIR)
    canvas.fill_both_sides(
        polygon((0.08, 0.02), (0.5, 0.1), (0.5, 0.22), (0.12, 0.12)), 900
    )
    canvas.fill_both_sides(ellipse(0.42, 0.2, 0.07, 0.07), -600)


def fill_ventricles(canvas: Canvas, wide: float, value: float) -> None:
    """Draw the ventricles of the brain, `wide` times the usual width."""
    wide = max(wide, 0.15)
    canvas.fill_both_sides(
        ellipse(0.08 * wide + 0.02, -0.17, 0.055 * wide, 0.16, 0.25), value
    )
    canvas.fill_both_sides(
        ellipse(0.14 * wide + 0.03, 0.2, 0.06 * wide, 0.17, -0.4), value
    )
    canvas.fill(ellipse(0, 0.02, 0.018 * wide, 0.09), value)


def _trunk(canvas: Canvas, rx: float, ry: float, fat: float) -> None:
    canvas.image[:] = _AIR
    _table(canvas, ry + 0.24)
    canvas.fill(ellipse(0, 0, rx, ry), _FAT)
    canvas.fill(ellipse(0, 0, rx - fat, ry - fat), _MUSCLE)


def _vertebra(canvas: Canvas, y: float) -> None:
    canvas.fill(ellipse(0, y, 0.115, 0.095), 300)
    canvas.fill(
        band(polygon((-0.2, y + 0.15), (0, y + 0.16), (0.2, y + 0.15)), 0.05), 380
    )
    canvas.fill(band(polygon((0, y + 0.14), (0, y + 0.2), (0, y + 0.28)), 0.04), 420)
    canvas.fill(ellipse(0, y + 0.115, 0.045, 0.035), 30)


def ct_chest(canvas: Canvas, rng: np.random.Generator, level: float) -> None:
    """Draw an axial chest: two black lungs with vessels, heart, aorta, ribs, spine."""
    rx, ry, fat = (
        rng.uniform(0.84, 0.94),
        rng.uniform(0.58, 0.68),
        rng.uniform(0.03, 0.08),
    )
    heart, phase = rng.uniform(0.85, 1.15), rng.uniform(0, 1)
    _trunk(canvas, rx, ry, fat)
    lung = 0.72 + 0.28 * np.sin(np.pi * min(1.0, 0.25 + 0.75 * level))
    lung_x, lung_y = 0.31 * lung * rx / 0.9, 0.47 * lung * ry / 0.63
    for side in (-1, 1):
        canvas.fill(ellipse(side * 0.42, 0.0, lung_x, lung_y, side * 0.12), _LUNG)
    _lung_vessels(canvas, lung_x, lung_y)
    if level < 0.62:
        canvas.fill(ellipse(0.12, -0.12, 0.3 * heart, 0.23 * heart, 0.45), 60)
        canvas.fill(ellipse(0.17, -0.1, 0.13 * heart, 0.1 * heart, 0.45), 130)
    else:
        canvas.fill(ellipse(0.02, -0.1, 0.2, 0.22), 40)
        canvas.fill(ellipse(0, 0.05, 0.045, 0.045), _AIR)
    canvas.fill(ellipse(0.1, 0.22, 0.065, 0.065), 150)
    _vertebra(canvas, 0.3)
    canvas.fill(ellipse(0, -ry + fat + 0.05, 0.12, 0.03), 350)
    for k in range(9):
        angle = 20 + 36 * k + 30 * (phase + level * 2 % 1)
        for edge in arc(0, 0, rx - fat - 0.04, ry - fat - 0.04, angle, angle + 9)[::39]:
            canvas.fill(
                ellipse(edge[0], edge[1], 0.045, 0.025, np.radians(angle + 90)), 480
            )


def _lung_vessels(canvas: Canvas, lung_x: float, lung_y: float) -> None:
    for _ in range(40):
        side = canvas.rng.choice((-1, 1))
        u, v = canvas.rng.uniform(-0.75, 0.75, 2)
        r = canvas.rng.uniform(0.005, 0.02)
        canvas.fill(ellipse(side * 0.42 + u * lung_x, v * lung_y, r, r), 20)


def ct_abdomen(canvas: Canvas, rng: np.random.Generator, level: float) -> None:
    """Draw an axial abdomen: liver, spleen, kidneys, bowel with gas, spine in fat."""
    rx, ry, fat = (
        rng.uniform(0.8, 0.95),
        rng.uniform(0.56, 0.7),
        rng.uniform(0.04, 0.13),
    )
    liver, kidney = rng.uniform(95, 125), rng.uniform(150, 210)
    gas = rng.uniform(0.08, 0.13)
    _trunk(canvas, rx, ry, fat)
    wall = fat + 0.07
    canvas.fill(ellipse(0, -0.02, rx - wall, ry - wall), _FAT)
    grow = np.clip(0.35 + level, 0.4, 1.1)
    canvas.fill(ellipse(-0.36 * rx / 0.85, -0.1, 0.38 * grow, 0.4 * grow, 0.5), liver)
    canvas.fill(ellipse(-0.02, -0.24, 0.26 * grow, 0.15 * grow, -0.15), liver)
    for x, y in ((-0.35, -0.15), (-0.25, 0.02), (-0.45, 0.08)):
        canvas.fill(ellipse(x, y, 0.03, 0.015, 0.6), liver + 45)
    canvas.fill(ellipse(0.58 * rx / 0.85, 0.1, 0.11, 0.24 * grow, -0.3), liver + 10)
    if level < 0.75:
        for side in (-1, 1):
            canvas.fill(ellipse(side * 0.34, 0.26, 0.12, 0.145, side * 0.5), kidney)
            canvas.fill(ellipse(side * 0.31, 0.25, 0.04, 0.07, side * 0.5), -20)
    canvas.fill(ellipse(0.36, -0.22, 0.2, 0.13, 0.3), 30)
    canvas.fill(ellipse(0.36, -0.26, gas * 1.4, gas * 0.6, 0.1), -900)
    _bowel(canvas, level, gas)
    _vertebra(canvas, 0.24)
    canvas.fill_both_sides(ellipse(0.2, 0.42, 0.13, 0.08), _MUSCLE)
    canvas.fill(ellipse(0.05, 0.1, 0.055, 0.055), 190)
    canvas.fill(ellipse(-0.08, 0.1, 0.06, 0.045), 140)


def _bowel(canvas: Canvas, level: float, gas: float) -> None:
    loops = 4 if level > 0.5 else 9
    for _ in range(loops):
        x, y = canvas.rng.uniform(0.0, 0.5), canvas.rng.uniform(-0.4, 0.1)
        canvas.fill(ellipse(x, y, 0.075, 0.06), 35)
        if canvas.rng.random() < gas * 4:
            canvas.fill(ellipse(x, y - 0.015, 0.04, 0.03), -850)
