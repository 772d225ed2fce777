"""Hand-made image features, from edge kernels to whitened k-means patches, by scikit-image and scikit-learn.

What people computed from pixels before networks learned it (lecture 01). The libraries do the work; here stand the
lectures' conventions, the steps in between for looking at, and scikit-learn transformers that read images (n, h, w, c).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage import color, feature, filters
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from course_cnn import _checks

SMOOTHING = {"prewitt": (1, 1, 1), "sobel": (1, 2, 1), "scharr": (3, 10, 3)}  # along the edge
CANNY_GAUSSIAN = np.array(
    [[2, 4, 5, 4, 2], [4, 9, 12, 9, 4], [5, 12, 15, 12, 5], [4, 9, 12, 9, 4], [2, 4, 5, 4, 2]]
)  # divided by its sum, 159, it is close to a Gaussian of sigma 1.4 pixels
CANNY_GAUSSIAN.flags.writeable = False
BATCH = 2**20  # numbers per array while patches are turned into features: 8 MB in float64


def edge_kernel(name="sobel", direction="vertical"):
    """Give a 3×3 edge kernel in the lectures' whole numbers.

    Across the edge each is 1 0 -1; along it they smooth, `prewitt` by 1 1 1, `sobel` by 1 2 1, `scharr` by 3 10 3.

    Args:
        name: str, "prewitt", "sobel" or "scharr".
        direction: str, of the edge that is found: "vertical" answers positively to bright left of dark, "horizontal"
            (the transpose) to bright above dark. Turn the sign for the opposite convention.

    Returns:
        int array (3, 3), sum 0, to be used as it stands (cross-correlation, not flipped).

    Raises:
        ValueError: there is no such kernel or direction.

    Example:
        >>> edge_kernel("sobel").tolist()
        [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
        >>> row = np.array([10, 0, 0])                      # bright to dark, in each of three rows
        >>> [int((edge_kernel(name) * row).sum()) for name in ("prewitt", "sobel", "scharr")]
        [30, 40, 160]

    Source: Prewitt 1970; Sobel & Feldman 1968 (in Duda & Hart 1973); Scharr, dissertation, Heidelberg 2000.
    """
    _checks.choice("edge_kernel", "name", name, tuple(SMOOTHING))
    _checks.choice("edge_kernel", "direction", direction, ("vertical", "horizontal"))
    kernel = np.outer(SMOOTHING[name], (1, 0, -1))
    return kernel if direction == "vertical" else kernel.T


@dataclass(frozen=True)
class Edges:
    """How brightness changes at each pixel of an image.

    Attributes:
        across, down: float arrays (h, w), change per step to the right and per step down; a step from 0 to 1 gives 1.
        magnitude: float array (h, w), sqrt(across² + down²).
        orientation: float array (h, w), degrees in [-180, 180], where brightness rises: 0 to the right, 90 down. The
            edge itself runs at a right angle to it. Says nothing where the magnitude is 0.
    """

    across: np.ndarray
    down: np.ndarray
    magnitude: np.ndarray
    orientation: np.ndarray


def edges(image, *, kernel="sobel"):
    """Compute the gradient of an image: how strongly and in which direction its brightness rises.

    Args:
        image: float array in [0, 1], (h, w), (h, w, 1), or (h, w, 3), which is turned to grey first.
        kernel: str, "prewitt", "sobel" or "scharr", divided by the sum of its positive weights, so that the three
            compare. At the border the image is mirrored.

    Returns:
        `Edges`.

    Raises:
        ValueError: the image has other axes, is not floating or leaves [0, 1], or there is no such kernel.

    Example:
        >>> step = np.zeros((4, 6))
        >>> step[:, 3:] = 1                                            # dark to bright
        >>> found = edges(step)
        >>> found.magnitude[1].tolist(), float(found.orientation[1, 2])
        ([0.0, 0.0, 1.0, 1.0, 0.0, 0.0], 0.0)

    The same numbers as `skimage.filters.sobel_v`, `sobel_h` and their kind.
    """
    grey = _grey("edges", image)
    _checks.choice("edges", "kernel", kernel, tuple(SMOOTHING))
    scale = np.sum(SMOOTHING[kernel], dtype=grey.dtype)
    rising = -edge_kernel(kernel)  # the kernel answers to falling brightness, the gradient points to rising
    across = ndimage.correlate(grey, rising.astype(grey.dtype)) / scale
    down = ndimage.correlate(grey, rising.T.astype(grey.dtype)) / scale
    return Edges(across, down, np.hypot(across, down), np.rad2deg(np.arctan2(down, across)))


@dataclass(frozen=True)
class Canny:
    """The four stages of Canny's edge detector.

    Attributes:
        smoothed: float array (h, w), the image after the Gaussian.
        magnitude: float array (h, w), gradient of `smoothed`, in units of the whole-number Sobel kernel: a sharp step
            from 0 to 1 would give 4.
        thinned: float array (h, w), the magnitude where it is the largest across its edge, 0 elsewhere and on the
            outermost pixels.
        edges: bool array (h, w), the result: the pixels of `thinned` above the high threshold, and those above the low
            one that are connected with them.
    """

    smoothed: np.ndarray
    magnitude: np.ndarray
    thinned: np.ndarray
    edges: np.ndarray


def canny(image, *, sigma=1.0, low=0.1, high=0.2):
    """Find thin edges: smooth, take the gradient, thin it, keep what is strong or tied to what is strong.

    Args:
        image: float array in [0, 1], (h, w), (h, w, 1), or (h, w, 3), which is turned to grey first.
        sigma: float > 0, of the Gaussian, in pixels. Larger removes finer texture.
        low, high: floats, 0 < low <= high, thresholds on `magnitude`.

    Returns:
        `Canny`, every stage. Its `edges` are those of `skimage.feature.canny`.

    Raises:
        ValueError: the image has other axes, is not floating or leaves [0, 1], sigma is not above 0, or the thresholds
            are the wrong way round.

    Example:
        >>> step = np.zeros((8, 8))
        >>> step[:, 4:] = 1
        >>> canny(step).edges[3].astype(int).tolist()        # both sides of the step are equally steep
        [0, 0, 0, 1, 1, 0, 0, 0]

    Source: Canny, "A computational approach to edge detection", IEEE PAMI 8(6), 1986.
    """
    grey = _grey("canny", image)
    sigma = _checks.positive("canny", "sigma", sigma, 1.0)
    if not 0 < low <= high:
        remedy = "Use for example low=0.1, high=0.2"
        raise _checks.argument_error("canny", "thresholds must satisfy 0 < low <= high", remedy, low=low, high=high)
    inside = filters.gaussian(np.ones_like(grey), sigma, mode="constant")  # near the border, pixels outside count not
    smoothed = filters.gaussian(grey, sigma, mode="constant") / (inside + np.finfo(grey.dtype).eps)
    across, down = ndimage.sobel(smoothed, axis=1), ndimage.sobel(smoothed, axis=0)
    magnitude = np.sqrt(down * down + across * across)
    largest = feature.canny(grey, sigma, low_threshold=0, high_threshold=0)  # no thresholds: thinning alone
    thinned = np.where(largest, magnitude, 0)
    pieces, _ = ndimage.label(thinned >= low, structure=np.ones((3, 3)))  # connected, also over corners
    strong = np.unique(pieces[thinned >= high])
    return Canny(smoothed, magnitude, thinned, np.isin(pieces, strong[strong > 0]))


def hog(image, *, orientations=9, cell=8, block=2):
    """Describe an image by histograms of the directions of its edges, one histogram per cell.

    Each pixel votes for the direction of its gradient (0 to 180°: the sign of the contrast does not count) with the
    gradient's magnitude. The histograms of block × block neighbouring cells are then divided by their common length,
    so that brightness and contrast drop out; a cell in the middle appears in block² blocks.

    Args:
        image: float array in [0, 1], (h, w), (h, w, 1), or (h, w, 3), where the strongest channel of a pixel votes.
        orientations: int >= 1, directions per histogram.
        cell: int >= 2, side of a cell in pixels. Pixels that fill no cell, on the right and below, are left out.
        block: int >= 1, side of a block in cells.

    Returns:
        (features, picture): float array (blocks_h · blocks_w · block² · orientations,), where blocks_h is
        h // cell - block + 1; and float array (h, w), in each cell a star whose bright lines run along its edges.

    Raises:
        ValueError: the image has other axes, is not floating, leaves [0, 1] or is smaller than one block.

    Example:
        >>> features, picture = hog(np.eye(128)[:, :64])           # the window of the paper
        >>> features.shape, picture.shape
        ((3780,), (128, 64))

    Source: Dalal & Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
    """
    image = _image("hog", image)
    _check_hog("hog", image.shape[:2], orientations, cell, block)
    return _hog(image, orientations, cell, block, visualize=True)


@dataclass(frozen=True)
class Keypoints:
    """Places of an image that can be found again in another picture of the same thing.

    Attributes:
        positions: float array (k, 2), row and column in pixels.
        descriptors: array (k, d), what the surroundings of each look like: bool for "harris" and "orb" (256 yes-or-no
            comparisons), uint8 for "sift" (128 counts of gradient directions).
    """

    positions: np.ndarray
    descriptors: np.ndarray


def keypoints(image, *, method="orb", count=100):
    """Find corners and blobs, and describe the surroundings of each.

    Args:
        image: float array in [0, 1], (h, w), (h, w, 1), or (h, w, 3), which is turned to grey first; h and w at least
            64 pixels. Harris and ORB find nothing within some 20 pixels of the border.
        method: str. "harris": corners at one scale, described by BRIEF, which does not follow a rotation. "orb":
            corners at several scales, described along their own direction, so that they match when turned. "sift":
            blobs at several scales with histograms of gradients around them; the slowest and the most robust.
        count: int >= 1, at most this many. Harris and ORB give the strongest, SIFT those of the largest size.

    Returns:
        `Keypoints`, possibly none: an empty wall has no corner.

    Raises:
        ValueError: the image has other axes, is not floating, leaves [0, 1] or is too small, or the method is
            none of the three.

    Example:
        >>> square = np.zeros((96, 96))
        >>> square[30:66, 30:66] = 1
        >>> keypoints(square, method="harris").positions.astype(int).tolist()
        [[30, 30], [30, 65], [65, 30], [65, 65]]

    Source: Harris & Stephens 1988; Calonder et al. (BRIEF) 2010; Rublee et al. (ORB) 2011; Lowe (SIFT), IJCV 2004.
    """
    grey = _grey("keypoints", image)
    _checks.choice("keypoints", "method", method, ("orb", "harris", "sift"))
    count = _checks.integer("keypoints", "count", count, minimum=1)
    if min(grey.shape) < 64:
        raise _checks.argument_error(
            "keypoints", "`image` must be at least 64×64 pixels: descriptors look at 31×31 and more",
            "Enlarge it with skimage.transform.resize(image, (64, 64)) or take a larger picture",
            **{"image.shape": np.shape(image)},
        )  # fmt: skip
    if method == "harris":
        strength = feature.corner_harris(grey)
        corners = feature.corner_peaks(
            strength, min_distance=3, threshold_rel=0.01, exclude_border=16, num_peaks=count
        )  # nearer to the border there is no room for a descriptor
        brief = feature.BRIEF(patch_size=31)
        brief.extract(grey, corners)
        return _keypoints(corners, brief.descriptors, bool, 256)
    finder, dtype, size = (
        (feature.ORB(n_keypoints=count), bool, 256) if method == "orb" else (feature.SIFT(), "u1", 128)
    )
    try:
        finder.detect_and_extract(grey)
    except RuntimeError:  # how scikit-image says that there are none
        return _keypoints([], [], dtype, size)
    if method == "orb":
        return _keypoints(finder.keypoints, finder.descriptors, dtype, size)
    largest = np.argsort(-finder.sigmas, kind="stable")[:count]
    return _keypoints(finder.positions[largest], finder.descriptors[largest], dtype, size)


def match(first, second, *, max_ratio=0.8):
    """Pair the keypoints of two images whose surroundings look most alike.

    A pair must be each other's nearest, and clearly nearer than the second nearest (Lowe's ratio test).

    Args:
        first, second: `Keypoints`, found by the same method.
        max_ratio: float in (0, 1], nearest distance over second nearest distance at most. 1 switches the test off.

    Returns:
        int array (m, 2): first.positions[i] belongs with second.positions[j] for every row i, j.

    Raises:
        ValueError: the descriptors are of different kinds, or max_ratio lies outside (0, 1].

    Example:
        >>> image = np.zeros((96, 96))
        >>> image[30:66, 40:66] = 1
        >>> found = keypoints(image, method="harris")
        >>> match(found, found, max_ratio=1).tolist()
        [[0, 0], [1, 1], [2, 2], [3, 3]]

    Source: Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 60(2), 2004, section 7.1.
    """
    kinds = [(keypoints.descriptors.dtype.name, keypoints.descriptors.shape[1]) for keypoints in (first, second)]
    if kinds[0] != kinds[1]:
        raise _checks.argument_error(
            "match", "`first` and `second` must have descriptors of one kind", "Find both with the same method",
            first=kinds[0], second=kinds[1],
        )  # fmt: skip
    if not 0 < max_ratio <= 1:
        remedy = "Use for example max_ratio=0.8"
        raise _checks.argument_error("match", "`max_ratio` must lie in (0, 1]", remedy, max_ratio=max_ratio)
    if not len(first.descriptors) or not len(second.descriptors):
        return np.zeros((0, 2), int)
    return feature.match_descriptors(first.descriptors, second.descriptors, max_ratio=max_ratio)


class _ImageFeatures(TransformerMixin, BaseEstimator):
    """What the transformers share: images (n, h, w, c) in, all of one size, features (n, d) out."""

    def fit(self, x, y=None):
        """Get ready for images (n, h, w, c) of this size. `y` is not used. Returns self."""
        self.image_shape_ = self._checked(x).shape[1:]
        return self

    def transform(self, x):
        """Turn images (n, h, w, c) into features (n, d), dtype of x (float32 at least). n may be 0."""
        check_is_fitted(self)
        x = self._checked(x, least=0)
        if x.shape[1:] != self.image_shape_:
            height, width, _ = self.image_shape_
            raise _checks.argument_error(
                f"{type(self).__name__}.transform", f"`x` must hold images of the fitted size {self.image_shape_}",
                f"Resize them to {height}×{width} with as many channels, or fit again", **{"x.shape": x.shape},
            )  # fmt: skip
        return self._features(x)

    def _checked(self, x, least=1):
        function = f"{type(self).__name__}.{'fit' if least else 'transform'}"
        _checks.rank(function, "x", x, "(n, h, w, c)")
        x = _checked(function, "x", x)
        if len(x) < least:
            remedy = "Fit on one image at least"
            raise _checks.argument_error(function, "`x` holds no image", remedy, **{"x.shape": x.shape})
        return x


class Pixels(_ImageFeatures):
    """No features: the pixels themselves, one after the other. What every other feature has to beat.

    Example:
        >>> Pixels().fit_transform(np.zeros((3, 8, 8, 1))).shape
        (3, 64)
    """

    def _features(self, x):
        return x.reshape(len(x), np.prod(self.image_shape_))


class HOGFeatures(_ImageFeatures):
    """Histograms of oriented gradients, as `hog` computes them, for a scikit-learn pipeline.

    Args:
        orientations, cell, block: int, as in `hog`.

    Attributes:
        image_shape_: tuple, (h, w, c) of the images it was fitted to.

    Raises:
        ValueError: from fit or transform: the images have other axes or another size, are not floating, leave [0, 1] or
            are smaller than one block.
        sklearn.exceptions.NotFittedError: from transform before fit.

    Example:
        >>> HOGFeatures(orientations=8, cell=2).fit_transform(np.zeros((3, 8, 8, 1))).shape    # 3·3 blocks of 4 cells
        (3, 288)

    Source: Dalal & Triggs, CVPR 2005.
    """

    def __init__(self, orientations=9, cell=8, block=2):
        self.orientations = orientations
        self.cell = cell
        self.block = block

    def fit(self, x, y=None):
        """Check that the images (n, h, w, c) hold one block at least. `y` is not used. Returns self."""
        super().fit(x)
        _check_hog("HOGFeatures.fit", x.shape[1:3], self.orientations, self.cell, self.block)
        return self

    def _features(self, x):
        features = [_hog(image, self.orientations, self.cell, self.block) for image in x]
        blocks = [extent // self.cell - self.block + 1 for extent in self.image_shape_[:2]]
        return np.reshape(features, (len(x), np.prod(blocks) * self.block**2 * self.orientations)).astype(x.dtype)


class PatchFeatures(_ImageFeatures):
    """Features learned without labels: how near each patch of an image comes to each of k typical patches.

    fit draws patches at random, takes each one's mean and contrast out, whitens them (makes neighbouring pixels
    uncorrelated and all directions equally large) and finds their centroids by k-means. transform does the same to
    every patch of an image, gives centroid k the activation max(0, mean distance - distance to k) ("triangle"), about
    half of which are 0, and adds the activations up over each part of the image, a quarter as a rule.

    Args:
        n_centroids: int >= 1, number of typical patches; features per part of the image.
        patch_size: int >= 1, side of a patch in pixels.
        whiten: bool, False leaves the whitening out, to see what it does.
        n_patches: int >= n_centroids, patches to learn from, drawn from all images (a patch can be drawn twice).
        contrast: float > 0, added to the variance of a patch before dividing by its root, so that a flat patch stays
            flat instead of showing its noise. Pixels are in [0, 1]; the paper's 10 for [0, 255] is 0.00015 here.
        regularise: float > 0, added to the variance along each direction before whitening; the paper takes 0.1.
        grid: int >= 1, parts per side; 2 gives the paper's four quadrants.
        random_state: int, numpy RandomState or None, as in scikit-learn; an int gives the same features again.

    Attributes:
        centroids_: float array (n_centroids, patch_size, patch_size, c), in the whitened space, as images.
        mean_: float array (patch_size² · c,), mean of the normalised patches.
        whitening_: float array (patch_size² · c, patch_size² · c), symmetric (ZCA); the identity with whiten=False.
        image_shape_: tuple, (h, w, c) of the images it was fitted to.

    Raises:
        ValueError: from fit or transform: the images have other axes or another size, are not floating or leave [0, 1];
            the patch does not fit; there are fewer (different) patches than centroids; a setting is out of range.
        sklearn.exceptions.NotFittedError: from transform before fit.

    Example:
        >>> x = np.random.default_rng(0).random((20, 8, 8, 1))
        >>> PatchFeatures(n_centroids=10, patch_size=4, random_state=0).fit_transform(x).shape      # 4 quadrants · 10
        (20, 40)

    Memory: images go through in batches, so besides the result it takes around 100 MB for any number of images.

    Source: Coates, Ng & Lee, "An analysis of single-layer networks in unsupervised feature learning", AISTATS 2011,
    sections 3.2 and 3.3.
    """

    def __init__(
        self, n_centroids=100, patch_size=5, *, whiten=True, n_patches=20_000, contrast=0.01, regularise=0.1, grid=2,
        random_state=None,
    ):  # fmt: skip
        self.n_centroids = n_centroids
        self.patch_size = patch_size
        self.whiten = whiten
        self.n_patches = n_patches
        self.contrast = contrast
        self.regularise = regularise
        self.grid = grid
        self.random_state = random_state

    def fit(self, x, y=None):
        """Learn whitening and centroids from images (n, h, w, c). `y` is not used. Returns self."""
        x = self._checked(x)
        self._check_settings(x.shape[1:3])
        random = check_random_state(self.random_state)
        views = _patch_views(x, self.patch_size)
        chosen = [random.randint(extent, size=self.n_patches) for extent in views.shape[:3]]
        patches = self._normalise(views[tuple(chosen)].reshape(self.n_patches, -1).astype(float))
        different = len(np.unique(patches, axis=0))
        if different < self.n_centroids:
            raise _checks.argument_error(
                "PatchFeatures.fit", f"only {different} of the patches drawn are different, too few for the centroids",
                f"Use n_centroids={different} or images with more in them", n_centroids=self.n_centroids,
            )  # fmt: skip
        mean, whitening = patches.mean(axis=0), np.eye(patches.shape[1])
        if self.whiten:
            variance, directions = np.linalg.eigh(np.cov(patches, rowvar=False).reshape(whitening.shape))
            whitening = directions / np.sqrt(variance.clip(0) + self.regularise) @ directions.T
        means = KMeans(self.n_centroids, n_init=1, max_iter=100, random_state=random)
        centroids = means.fit((patches - mean) @ whitening).cluster_centers_
        self.image_shape_, self.mean_, self.whitening_ = x.shape[1:], mean, whitening
        self.centroids_ = centroids.reshape(-1, *views.shape[3:])
        return self

    def _features(self, x):
        centroids = self.centroids_.reshape(self.n_centroids, -1).astype(x.dtype)
        mean, whitening = self.mean_.astype(x.dtype), self.whitening_.astype(x.dtype)
        views = _patch_views(x, self.patch_size)
        _, rows, cols = views.shape[:3]
        features = np.empty((len(x), self.grid, self.grid, self.n_centroids), x.dtype)
        batch = max(1, BATCH // (rows * cols * max(centroids.shape)))
        for start in range(0, len(x), batch):
            patches = self._normalise(views[start : start + batch].reshape(-1, centroids.shape[1]))
            distance = _distances((patches - mean) @ whitening, centroids)
            active = np.maximum(distance.mean(axis=1, keepdims=True) - distance, 0).reshape(
                -1, rows, cols, len(centroids)
            )
            for i, part in enumerate(np.array_split(active, self.grid, axis=1)):
                for j, cell in enumerate(np.array_split(part, self.grid, axis=2)):
                    features[start : start + batch, i, j] = cell.sum(axis=(1, 2))
        return features.reshape(len(x), self.grid**2 * self.n_centroids)

    def _normalise(self, patches):
        """Take the mean out of each patch (m, d) and divide by its contrast."""
        patches = patches - patches.mean(axis=1, keepdims=True)
        return patches / np.sqrt(patches.var(axis=1, keepdims=True) + self.contrast)

    def _check_settings(self, size):
        function = "PatchFeatures.fit"
        for name in ("n_centroids", "patch_size", "n_patches", "grid"):
            _checks.integer(function, name, getattr(self, name), minimum=1)
        for name in ("contrast", "regularise"):
            _checks.positive(function, name, getattr(self, name), 0.1)
        largest = min(size) - self.grid + 1
        if self.patch_size > largest:
            fix = f"patch_size={largest}" if largest > 0 else f"grid={min(size)}, patch_size=1"
            raise _checks.argument_error(
                function, f"the patches of an image of {size[0]}×{size[1]} pixels must have {self.grid} places or more "
                "along each side", f"Use {fix} or larger images", patch_size=self.patch_size, grid=self.grid,
            )  # fmt: skip
        if self.n_patches < self.n_centroids:
            raise _checks.argument_error(
                function, "there must be as many patches as centroids, better 100 times as many",
                f"Use n_patches={100 * self.n_centroids}", n_patches=self.n_patches, n_centroids=self.n_centroids,
            )  # fmt: skip


def _patch_views(x, size):
    """View images (n, h, w, c) as their patches (n, h - size + 1, w - size + 1, size, size, c), without a copy."""
    return np.moveaxis(np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2)), 3, -1)


def _distances(points, centroids):
    """Return the distance from each of the points (m, d) to each of the centroids (k, d)."""
    squared = -2 * points @ centroids.T
    squared += np.einsum("md,md->m", points, points)[:, None]
    squared += np.einsum("kd,kd->k", centroids, centroids)
    return np.sqrt(np.maximum(squared, 0, out=squared), out=squared)


def _keypoints(positions, descriptors, dtype, size):
    """Pack what scikit-image found; nothing has its shape, too."""
    return Keypoints(np.reshape(positions, (-1, 2)).astype(float), np.reshape(descriptors, (-1, size)).astype(dtype))


def _hog(image, orientations, cell, block, *, visualize=False):
    return feature.hog(
        image, orientations, (cell, cell), (block, block), block_norm="L2-Hys", visualize=visualize, channel_axis=-1
    )


def _check_hog(function, size, orientations, cell, block):
    for name, value, minimum in (("orientations", orientations, 1), ("cell", cell, 2), ("block", block, 1)):
        _checks.integer(function, name, value, minimum=minimum)
    side = min(size)
    if side < cell * block:
        fits = max(1, min(block, side // 2))
        fix = f"block={fits}, cell={side // fits}" if side >= 2 else "images of at least 2×2 pixels and block=1, cell=2"
        raise _checks.argument_error(
            function, f"a block of {block}×{block} cells of {cell} pixels must fit into the {size[0]}×{size[1]} image",
            f"Use for example {fix}", cell=cell, block=block,
        )  # fmt: skip


def _grey(function, image):
    """Return the image as (h, w), colours weighted by how bright they look."""
    image = _image(function, image)
    return image[..., 0] if image.shape[2] == 1 else color.rgb2gray(image)


def _image(function, image):
    """Return the image as (h, w, c), or raise."""
    shape = image.shape if isinstance(image, np.ndarray) else None
    if shape is not None and len(shape) == 2:
        image = image[..., None]
    elif shape is None or len(shape) != 3 or shape[2] not in (1, 3):
        raise _checks.argument_error(
            function, "`image` must be one image, an array (h, w), (h, w, 1) or (h, w, 3)",
            "Pass one image of a batch, x[0], or np.asarray(image)",
            **({"type(image)": type(image).__name__} if shape is None else {"image.shape": tuple(shape)}),
        )  # fmt: skip
    if not image.size:
        remedy = "Pass an image of at least 1×1 pixel"
        raise _checks.argument_error(function, "`image` holds no pixel", remedy, **{"image.shape": tuple(shape)})
    return _checked(function, "image", image)


def _checked(function, name, x):
    """Return x in float32 or better, or raise unless it is floating and within [0, 1]; bytes are told what to do."""
    if not isinstance(x, np.ndarray):
        remedy = f"Pass np.asarray({name})"
        raise _checks.argument_error(
            function, f"`{name}` must be a NumPy array", remedy, **{f"type({name})": type(x).__name__}
        )
    if x.dtype.kind in "ui":
        raise _checks.argument_error(
            function, f"`{name}` must hold floating-point numbers in [0, 1]",
            f"Convert it, for bytes by {name} / 255", **{f"{name}.dtype": x.dtype.name},
        )  # fmt: skip
    _checks.floating(function, **{name: x})
    if x.size and not (x.min() >= 0 and x.max() <= 1):  # written so that NaN fails
        fix = f"{name} / 255" if x.min() >= 0 and 2 < x.max() <= 255 else f"np.clip({name}, 0, 1)"
        if not np.isfinite(x).all():
            fix = f"np.clip(np.nan_to_num({name}), 0, 1) if you know where they come from"
        raise _checks.argument_error(
            function, f"`{name}` must lie in [0, 1]", f"Bring it there, for example by {fix}",
            lowest=x.min().item(), highest=x.max().item(),
        )  # fmt: skip
    return x.astype(np.result_type(x, np.float32), copy=False)
