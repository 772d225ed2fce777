"""Twelve shapes, drawn by us, with boxes and masks: the same bytes on every machine.

Everything up to the last division is integer arithmetic. Floating-point cosines may differ in their last bit between
machines and a shape's edge would then move; integers cannot. Random numbers are integer draws of `RandomState`, whose
stream NumPy has promised never to change (NEP 19).
"""

import functools

import numpy as np

from course_cnn import _checks
from course_cnn.datasets._dataset import Dataset, unit

CLASS_NAMES = (
    "circle", "square", "triangle", "pentagon", "hexagon", "star",
    "cross", "ring", "heart", "crescent", "arrow", "diamond",
)  # fmt: skip
SOURCE = "Drawn by course_cnn from a seed. Licence: that of course_cnn (MIT); the images may be used for anything."

ONE = 4096  # the fixed-point 1: a shape fits in a circle of this radius
# ONE * cos of 0, 6, …, 90 degrees, rounded; tests compare it with NumPy's cosine.
COSINES = (4096, 4074, 4006, 3896, 3742, 3547, 3314, 3044, 2741, 2408, 2048, 1666, 1266, 852, 428, 0)
TEMPLATE = 512  # cells across a template
SAMPLES = 4  # sub-pixels across a pixel, 16 to a pixel
CONTRAST = 72  # least difference in brightness between shape and background, of 255


def load_shapes(*, n_train=2000, n_test=500, seed=0, size=32):
    """Draw shapes, (n, size, size, 3), with boxes and masks. See `datasets.load`."""
    n_train = _checks.integer("load", "n_train", n_train, minimum=1)
    n_test = _checks.integer("load", "n_test", n_test, minimum=0)
    size = _checks.integer("load", "size", size, minimum=16)
    seed = _checks.integer("load", "seed", seed, minimum=0)
    if seed >= 2**32:
        raise _checks.argument_error("load", "`seed` must be below 2**32", "Use for example seed=0", seed=seed)
    x_train, y_train, boxes_train, masks_train = _draw_many(np.random.RandomState([seed, 0]), n_train, size)
    x_test, y_test, boxes_test, masks_test = _draw_many(np.random.RandomState([seed, 1]), n_test, size)
    return Dataset(
        "shapes",
        x_train,
        y_train,
        x_test,
        y_test,
        CLASS_NAMES,
        SOURCE,
        boxes_train,
        boxes_test,
        masks_train,
        masks_test,
    )


def cosine(sixths):
    """ONE * cos(6° * sixths), an integer, by the symmetries of the cosine."""
    sixths %= 60
    sixths = min(sixths, 60 - sixths)
    return COSINES[sixths] if sixths <= 15 else -COSINES[30 - sixths]


def sine(sixths):
    """ONE * sin(6° * sixths), an integer."""
    return cosine(sixths - 15)


def _draw_many(rng, n, size):
    """Draw n images: (x float32, labels, boxes, masks). Classes differ by at most one in number."""
    draw = functools.partial(rng.randint, dtype=np.int32)  # a fixed dtype: the default one differs between systems
    labels = np.argsort(draw(2**31 - 1, size=n), kind="stable").astype(np.int64) % len(CLASS_NAMES)
    radii = draw(2 * size, 13 * size // 4 + 1, size=n)  # in eighths of a pixel: across, 1/2 to 13/16 of the image
    angles = draw(-5, 6, size=n)  # -30 to 30 degrees in steps of 6
    shapes, backgrounds = _contrasting(draw(256, size=(n, 2, 32, 3)))
    slopes = draw(-24, 25, size=(n, 2))  # how much brighter the background gets from edge to edge

    images, masks = np.empty((n, size, size, 3), np.uint8), np.empty((n, size, size), bool)
    ramp = np.arange(size) * 2 + 1 - size
    for k in range(n):
        centre = draw(radii[k], 8 * size - radii[k] + 1, size=2)
        share = _coverage(labels[k], centre, int(radii[k]), int(angles[k]), size)
        light = (slopes[k, 0] * ramp[:, None] + slopes[k, 1] * ramp) // (2 * size)
        background = backgrounds[k] + light[..., None]
        painted = (share[..., None] * shapes[k] + (SAMPLES**2 - share[..., None]) * background) // SAMPLES**2
        noise = rng.randint(-12, 13, size=painted.shape, dtype=np.int8)
        images[k] = np.clip(painted + noise, 0, 255)
        masks[k] = share >= SAMPLES**2 // 2
    return unit(images), labels, _boxes(masks), masks


def _contrasting(colours):
    """Of 32 pairs of colours (n, 2, 32, 3), take each image's first pair with enough contrast: two arrays (n, 3)."""
    brightness = colours @ np.array([77, 150, 29]) // 256  # ITU-R BT.601 luma
    difference = np.minimum(np.abs(brightness[:, 0] - brightness[:, 1]), CONTRAST)
    first = difference.argmax(axis=1)  # the first to reach CONTRAST
    chosen = colours[np.arange(len(colours)), :, first]
    return chosen[:, 0], chosen[:, 1]


def _coverage(label, centre, radius, angle, size):
    """Count the sub-pixels of each pixel that lie in the shape, 0 to 16: int array (size, size).

    Every sub-pixel is turned and scaled back to the template and looked up there. Lengths are in eighths of a pixel.
    """
    position = np.arange(size * SAMPLES, dtype=np.int32) * 2 + 1
    down, right = position[:, None] - centre[0], position[None, :] - centre[1]
    cell = radius * (2 * ONE // TEMPLATE)
    row = (cosine(angle) * down - sine(angle) * right) // cell + TEMPLATE // 2
    column = (sine(angle) * down + cosine(angle) * right) // cell + TEMPLATE // 2
    inside = _templates()[label, np.clip(row, -1, TEMPLATE), np.clip(column, -1, TEMPLATE)]
    return inside.reshape(size, SAMPLES, size, SAMPLES).sum(axis=(1, 3))


def _boxes(masks):
    """The tight box around each mask: (row0, col0, row1, col1), row1 and col1 excluded."""
    sides = []
    for axis in (2, 1):
        touched = masks.any(axis=axis)
        sides.append((touched.argmax(axis=1), touched.shape[1] - touched[:, ::-1].argmax(axis=1)))
    (row0, row1), (col0, col1) = sides
    return np.stack([row0, col0, row1, col1], axis=1).astype(np.int64)


@functools.cache
def _templates():
    """Draw each shape once, large and upright: bool (12, 514, 514). The last row and column, also [-1], are empty."""
    u = (np.arange(TEMPLATE) * 2 + 1 - TEMPLATE) * (ONE // TEMPLATE)  # cell centres, to the right
    v = u[:, None]  # and downward

    def disc(radius, right=0, down=0):
        return (u - right) ** 2 + (v - down) ** 2 <= radius**2

    def polygon(*corners):
        """Even-odd rule: inside is where a ray to the right crosses the outline an odd number of times."""
        odd = np.zeros((TEMPLATE, TEMPLATE), bool)
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            left_of = (u - x0) * (y1 - y0) < (v - y0) * (x1 - x0)
            odd ^= ((y0 > v) != (y1 > v)) & (left_of == (y1 > y0))
        return odd

    def spokes(*sixths, tenths=10):
        return [(cosine(s) * tenths // 10, -sine(s) * tenths // 10) for s in sixths]

    tips, dents = spokes(15, 27, 39, 51, 63), spokes(21, 33, 45, 57, 69, tenths=4)
    drawn = {
        "circle": disc(ONE),
        "square": polygon((-2896, -2896), (2896, -2896), (2896, 2896), (-2896, 2896)),
        "triangle": polygon(*spokes(15, 35, 55)),
        "pentagon": polygon(*tips),
        "hexagon": polygon(*spokes(5, 15, 25, 35, 45, 55)),
        "star": polygon(*(corner for pair in zip(tips, dents, strict=True) for corner in pair)),
        "cross": (abs(u) <= 1200) & (abs(v) <= 3900) | (abs(v) <= 1200) & (abs(u) <= 3900),
        "ring": disc(ONE) & ~disc(2300),
        "heart": disc(1850, right=-1750, down=-1100)
        | disc(1850, right=1750, down=-1100)
        | polygon((0, 3700), (-3137, 117), (-1750, -1100), (0, -1500), (1750, -1100), (3137, 117)),
        "crescent": disc(ONE) & ~disc(3400, right=1900),
        "arrow": polygon((-3900, -900), (300, -900), (300, -2700), (4096, 0), (300, 2700), (300, 900), (-3900, 900)),
        "diamond": polygon((0, -4096), (2200, 0), (0, 4096), (-2200, 0)),
    }
    return np.stack([np.pad(drawn[name], (0, 2)) for name in CLASS_NAMES])
