"""Hand-made and learned features: against scikit-image, against loops, against what the papers say they do."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import color, data, feature, filters, transform
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from course_cnn import classical, datasets

TRANSFORMERS = [
    classical.Pixels(),
    classical.HOGFeatures(orientations=4, cell=2),
    classical.PatchFeatures(6, 3, n_patches=300, random_state=0),
]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


@pytest.fixture(scope="module")
def photo():
    return data.camera()[100:300, 150:350] / 255


# Edge kernels, gradient, Canny


@pytest.mark.parametrize("name, answer", [("prewitt", 30), ("sobel", 40), ("scharr", 160)])
def test_edge_kernels_on_the_lectures_step(name, answer):
    """F124, F127, F128: a 6×6 step from 10 to 0 answers 30, 40 and 160 on both of its sides, and nothing elsewhere."""
    step = np.repeat([[10, 10, 10, 0, 0, 0]], 6, axis=0)
    found = ndimage.correlate(step, classical.edge_kernel(name), mode="nearest")
    np.testing.assert_array_equal(found, np.repeat([[0, 0, answer, answer, 0, 0]], 6, axis=0))
    down = ndimage.correlate(step.T, classical.edge_kernel(name, "horizontal"), mode="nearest")
    np.testing.assert_array_equal(down, found.T)
    assert not ndimage.correlate(step, classical.edge_kernel(name, "horizontal"), mode="nearest").any()


@pytest.mark.parametrize("name", ["prewitt", "sobel", "scharr"])
def test_edges_match_scikit_image(name, photo):
    found = classical.edges(photo, kernel=name)
    np.testing.assert_allclose(found.across, getattr(filters, f"{name}_v")(photo), atol=1e-12)
    np.testing.assert_allclose(found.down, getattr(filters, f"{name}_h")(photo), atol=1e-12)
    np.testing.assert_allclose(found.magnitude, np.hypot(found.across, found.down), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(degrees=st.integers(-180, 180))
def test_orientation_points_to_the_bright_side(degrees):
    rows, cols = np.mgrid[:9, :9] - 4.0
    angle = np.deg2rad(degrees)
    ramp = 0.5 + 0.05 * (cols * np.cos(angle) + rows * np.sin(angle))
    found = classical.edges(ramp)
    turn = (found.orientation[4, 4] - degrees + 180) % 360 - 180  # -180° and 180° are the same direction
    assert abs(turn) < 1e-6
    assert found.magnitude[4, 4] == pytest.approx(0.1)  # two pixels apart, 0.05 each


def test_canny_gaussian_is_the_lectures_kernel():
    """F089: the slide prints 1/159 times these whole numbers."""
    kernel = classical.CANNY_GAUSSIAN
    assert kernel.sum() == 159
    assert kernel[2, 2] == 15
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(kernel, kernel[::-1])
    spike = np.zeros((5, 5))
    spike[2, 2] = 1
    gaussian = ndimage.gaussian_filter(spike, 1.4, truncate=2 / 1.4)
    np.testing.assert_allclose(kernel / 159, gaussian, atol=0.004)
    with pytest.raises(ValueError, match="read-only"):
        kernel[0, 0] = 1


@settings(max_examples=40, deadline=None)
@given(
    h=st.integers(3, 24), w=st.integers(3, 24), sigma=st.sampled_from([0.5, 1, 1.4, 3]), low=st.floats(0.01, 1),
    more=st.floats(0, 1), dtype=st.sampled_from(["float32", "float64"]), seed=st.integers(0, 99),
)  # fmt: skip
def test_canny_is_scikit_images(h, w, sigma, low, more, dtype, seed):
    image = ndimage.gaussian_filter(noise(h, w, seed=seed), 1).astype(dtype)
    found = classical.canny(image, sigma=sigma, low=low, high=low + more)
    want = feature.canny(image, sigma, low_threshold=low, high_threshold=low + more)
    np.testing.assert_array_equal(found.edges, want)
    assert found.edges.dtype == bool


def test_canny_shows_every_stage(photo):
    found = classical.canny(photo, sigma=2, low=0.1, high=0.3)
    inner = (slice(12, -12), slice(12, -12))
    np.testing.assert_allclose(found.smoothed[inner], ndimage.gaussian_filter(photo, 2)[inner], atol=1e-6)
    np.testing.assert_allclose(found.magnitude[inner], 4 * filters.sobel(found.smoothed)[inner] * np.sqrt(2), atol=1e-6)
    kept = found.thinned > 0
    np.testing.assert_array_equal(found.thinned[kept], found.magnitude[kept])
    assert 0.02 < kept.mean() < 0.3
    assert (found.thinned[found.edges] >= 0.1).all()  # nothing below the low threshold
    assert found.edges[found.thinned >= 0.3].all()  # everything above the high one
    weak = found.edges & (found.thinned < 0.3)
    assert weak.any()  # and some in between, carried by their neighbours
    assert not np.array_equal(found.edges, found.thinned >= 0.1)


def test_an_even_wall_has_no_edges():
    wall = np.full((20, 30), 0.5)
    assert classical.edges(wall).magnitude.max() < 1e-12
    assert not classical.canny(wall).edges.any()
    features, picture = classical.hog(wall)
    assert not features.any()
    assert not picture.any()


def test_colours_are_turned_to_grey():
    photo = data.astronaut()[:80, 150:230] / 255
    grey = color.rgb2gray(photo)
    np.testing.assert_array_equal(classical.edges(photo).magnitude, classical.edges(grey).magnitude)
    np.testing.assert_array_equal(classical.canny(photo).edges, classical.canny(grey[..., None]).edges)


# HOG


def test_hog_counts_directions():
    """One cell, a ramp that rises to the right: all gradients are in the bin around 0°, whatever the contrast."""
    ramp = np.repeat(np.linspace(0, 0.4, 8)[None], 8, axis=0)
    features, picture = classical.hog(ramp, orientations=4, cell=8, block=1)
    assert picture.shape == (8, 8)
    np.testing.assert_allclose(features, [1, 0, 0, 0], atol=1e-4)
    np.testing.assert_allclose(classical.hog(2 * ramp + 0.1, orientations=4, block=1)[0], features, atol=1e-4)
    np.testing.assert_allclose(classical.hog(ramp[:, ::-1], orientations=4, block=1)[0], features, atol=1e-4)
    np.testing.assert_allclose(classical.hog(ramp.T.copy(), orientations=4, block=1)[0], [0, 0, 1, 0], atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    h=st.integers(8, 20), w=st.integers(8, 20), c=st.sampled_from([1, 3]), orientations=st.integers(1, 9),
    cell=st.integers(2, 4), block=st.integers(1, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_hog_features_are_hogs(h, w, c, orientations, cell, block, seed):
    x = noise(2, h, w, c, seed=seed).astype("float32")
    settings = {"orientations": orientations, "cell": cell, "block": block}
    features = classical.HOGFeatures(**settings).fit_transform(x)
    blocks = (h // cell - block + 1) * (w // cell - block + 1)
    assert features.shape == (2, blocks * block**2 * orientations)
    assert features.dtype == x.dtype
    for image, row in zip(x, features, strict=True):
        np.testing.assert_allclose(classical.hog(image, **settings)[0], row, atol=1e-6)


# Keypoints


@pytest.mark.parametrize("method, least", [("harris", 20), ("orb", 20), ("sift", 5)])
def test_keypoints_are_found_again_after_a_shift(method, least, photo):
    first = classical.keypoints(photo[:160, :160], method=method)
    second = classical.keypoints(photo[7:167, 12:172], method=method)  # the camera moves: 7 down, 12 to the right
    pairs = classical.match(first, second)
    assert 0 < len(first.positions) <= 100
    assert len(pairs) >= least
    shift = first.positions[pairs[:, 0]] - second.positions[pairs[:, 1]]
    assert np.mean(np.abs(shift - (7, 12)).max(axis=1) < 2) > 0.9


def test_the_largest_blobs_come_first(photo):
    finder = feature.SIFT()
    finder.detect_and_extract(photo)
    few = classical.keypoints(photo, method="sift", count=10).positions
    size = {tuple(position): sigma for position, sigma in zip(finder.positions, finder.sigmas, strict=True)}
    assert min(size[tuple(position)] for position in few) >= np.sort(finder.sigmas)[-10]


@pytest.mark.parametrize("method, least", [("orb", 0.5), ("sift", 0.5)])
def test_keypoints_follow_a_quarter_turn(method, least, photo):
    first = classical.keypoints(photo, method=method)
    second = classical.keypoints(np.rot90(photo).copy(), method=method)
    pairs = classical.match(first, second)
    row, col = first.positions[pairs[:, 0]].T
    turned = np.stack([photo.shape[1] - 1 - col, row], axis=1)
    right = np.abs(second.positions[pairs[:, 1]] - turned).max(axis=1) < 3
    assert right.sum() >= 10
    assert right.mean() > least


def test_harris_does_not_follow_a_turn(photo):
    """Its corners do, its BRIEF descriptors do not: that is what ORB adds."""
    turned = transform.rotate(photo, 90)
    counts = {
        method: len(classical.match(*(classical.keypoints(image, method=method) for image in (photo, turned))))
        for method in ("harris", "orb")
    }
    assert counts["orb"] > 3 * counts["harris"]


@pytest.mark.parametrize("method", ["harris", "orb", "sift"])
def test_an_empty_wall_has_no_keypoints(method, photo):
    none = classical.keypoints(np.full((64, 64), 0.5), method=method)
    some = classical.keypoints(photo, method=method, count=20)
    assert none.positions.shape == (0, 2)
    assert none.descriptors.shape == (0, some.descriptors.shape[1])
    assert none.descriptors.dtype == some.descriptors.dtype
    assert classical.match(none, some).shape == classical.match(some, none).shape == (0, 2)
    assert len(some.positions) == 20
    assert len(classical.match(some, some, max_ratio=1)) == 20


# Patch features


def loops(x, fitted):
    """Section 3.2 of Coates, Ng & Lee, one patch at a time."""
    n, h, w, _ = x.shape
    size, k = fitted.patch_size, fitted.n_centroids
    out_h, out_w = h - size + 1, w - size + 1
    rows = [list(part) for part in np.array_split(range(out_h), fitted.grid)]
    cols = [list(part) for part in np.array_split(range(out_w), fitted.grid)]
    features = np.zeros((n, fitted.grid, fitted.grid, k))
    for i, top, left in np.ndindex(n, out_h, out_w):
        patch = x[i, top : top + size, left : left + size].ravel()
        patch = (patch - patch.mean()) / np.sqrt(patch.var() + fitted.contrast)
        patch = (patch - fitted.mean_) @ fitted.whitening_
        distance = np.array([np.linalg.norm(patch - centroid.ravel()) for centroid in fitted.centroids_])
        row = next(number for number, part in enumerate(rows) if top in part)
        col = next(number for number, part in enumerate(cols) if left in part)
        features[i, row, col] += np.maximum(0, distance.mean() - distance)
    return features.reshape(n, -1)


@settings(max_examples=15, deadline=None)
@given(
    size=st.integers(1, 4), extra=st.integers(1, 3), c=st.integers(1, 3), grid=st.integers(1, 2), whiten=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_patch_features_are_the_papers(size, extra, c, grid, whiten, seed):
    if size == c == 1:
        c = 2  # a patch of one number is 0 once its mean is out
    x = noise(3, size + extra, size + extra + 1, c, seed=seed)
    features = classical.PatchFeatures(5, size, whiten=whiten, grid=grid, n_patches=200, random_state=seed)
    np.testing.assert_allclose(features.fit_transform(x), loops(x, features), rtol=1e-6, atol=1e-7)
    assert features.centroids_.shape == (5, size, size, c)
    narrow = features.transform(x.astype("float32"))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, loops(x, features), rtol=1e-2, atol=1e-2)  # |p|² - 2pc + |c|² cancels


def test_whitening_whitens():
    """Smooth pictures: neighbouring pixels are alike, until they are whitened. ZCA is the symmetric way to do it."""
    x = ndimage.gaussian_filter(noise(100, 12, 12, 1), (0, 1.5, 1.5, 0))
    x = (x - x.min()) / (x.max() - x.min())
    fitted = classical.PatchFeatures(4, 3, n_patches=5000, regularise=1e-6, contrast=1e-6, random_state=0).fit(x)
    patches = np.lib.stride_tricks.sliding_window_view(x[..., 0], (3, 3), axis=(1, 2)).reshape(-1, 9)
    patches = patches - patches.mean(axis=1, keepdims=True)
    patches = patches / np.sqrt(patches.var(axis=1, keepdims=True) + 1e-6)
    before = np.cov(patches, rowvar=False)
    after = np.cov((patches - fitted.mean_) @ fitted.whitening_, rowvar=False)
    flat = np.eye(9) - np.full((9, 9), 1 / 9)  # the mean of each patch was taken out: one direction stays empty
    assert np.abs(before - flat).max() > 0.5
    np.testing.assert_allclose(after, flat, atol=0.1)  # the covariance is that of the patches drawn, not of all
    np.testing.assert_allclose(fitted.whitening_, fitted.whitening_.T, atol=1e-9)
    raw = classical.PatchFeatures(4, 3, whiten=False, n_patches=99, random_state=0).fit(x)
    np.testing.assert_array_equal(raw.whitening_, np.eye(9))


def test_batches_change_nothing_but_memory(monkeypatch):
    x = noise(300, 10, 10, 1).astype("float32")
    fitted = classical.PatchFeatures(8, 4, n_patches=500, random_state=0).fit(x)
    at_once = fitted.transform(x)
    monkeypatch.setattr(classical, "BATCH", 5000)  # 6 images a batch
    np.testing.assert_allclose(fitted.transform(x), at_once, rtol=1e-4, atol=1e-3)
    peaks = []
    for n in (100, 300):
        tracemalloc.start()
        result = fitted.transform(x[:n])
        peaks.append(tracemalloc.get_traced_memory()[1] - result.nbytes)
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda transformer: type(transformer).__name__)
def test_transformers_are_scikit_learns(transformer):
    """Cloned, put into a pipeline, searched over; repeatable; the images are left as they were."""
    x, y = noise(40, 8, 8, 1), np.arange(40) % 2
    x[y == 1, :, 4:] *= 0.2
    before = x.copy()
    steps = make_pipeline(clone(transformer), StandardScaler(), LogisticRegression())
    assert steps.fit(x[:30], y[:30]).score(x[30:], y[30:]) > 0.8
    search = GridSearchCV(steps, {"logisticregression__C": [0.1, 1]}, cv=2, error_score="raise").fit(x, y)
    assert search.best_score_ > 0.8
    np.testing.assert_array_equal(clone(transformer).fit_transform(x), clone(transformer).fit_transform(x))
    np.testing.assert_array_equal(x, before)
    fitted = clone(transformer).fit(x)
    assert fitted.image_shape_ == (8, 8, 1)
    features = fitted.transform(x)
    assert fitted.transform(x[:0]).shape == (0, features.shape[1])
    np.testing.assert_allclose(fitted.transform(x[3:5]), features[3:5], rtol=1e-9)
    assert fitted.transform(x.astype("float16")).dtype == np.float32


def test_patch_features_search_their_own_settings():
    x, y = noise(24, 8, 8, 1), np.arange(24) % 2
    x[y == 1, :, 4:] *= 0.2
    steps = make_pipeline(classical.PatchFeatures(5, n_patches=200, random_state=0), LogisticRegression())
    settings = {"patchfeatures__whiten": [True, False], "patchfeatures__patch_size": [3, 4]}
    search = GridSearchCV(steps, settings, cv=2, error_score="raise").fit(x, y)
    assert search.best_score_ > 0.9


def test_another_seed_gives_other_patches():
    x = noise(24, 8, 8, 1)
    one, two = (classical.PatchFeatures(5, n_patches=200, random_state=seed).fit(x) for seed in (0, 1))
    assert np.abs(one.centroids_ - two.centroids_).max() > 0.01


@pytest.mark.slow
def test_whitened_patches_beat_raw_pixels_on_digits():
    """F045: raw pixels .965, k-means .981, whitened .995 on one split of these digits. The order is the anchor."""
    digits = datasets.load("digits")
    x, y = np.concatenate([digits.x_train, digits.x_test]), np.concatenate([digits.y_train, digits.y_test])
    scores = {"raw": [], "k-means": [], "whitened": []}
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(y))
        train, test = order[:1000], order[1000:]
        features = {
            "raw": classical.Pixels(),
            "k-means": classical.PatchFeatures(100, 4, whiten=False, random_state=seed),
            "whitened": classical.PatchFeatures(100, 4, random_state=seed),
        }
        for name, transformer in features.items():
            steps = make_pipeline(transformer, StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
            with threadpool_limits(1):  # small matrices: threads cost more than they save
                scores[name].append(steps.fit(x[train], y[train]).score(x[test], y[test]))
    raw, means, whitened = (np.mean(scores[name]) for name in scores)
    assert 0.94 < raw < 0.975
    assert raw + 0.01 < means < whitened
    assert whitened > 0.975


# Bad input


ONE_IMAGE = [
    classical.edges, classical.canny, classical.hog, lambda image: classical.keypoints(np.asarray(image))
]  # fmt: skip


@pytest.mark.parametrize("function", ONE_IMAGE, ids=["edges", "canny", "hog", "keypoints"])
def test_image_must_be_one_image_in_range(function):
    image = noise(64, 64)
    for wrong, match, remedy in [
        (image[None, ..., None], "must be one image", lambda x: x[0]),
        (image[..., None].repeat(4, axis=2), "must be one image", lambda x: x[..., :3]),
        ((255 * image).astype("uint8"), r"bytes by image / 255", lambda x: x / 255),
        (255 * image, r"for example by image / 255", lambda x: x / 255),
        (image * 1.5, r"np.clip\(image, 0, 1\)", lambda x: np.clip(x, 0, 1)),
        (image - 0.5, r"np.clip\(image, 0, 1\)", lambda x: np.clip(x, 0, 1)),
        (np.where(image < 0.5, np.nan, image), r"nan_to_num\(image\)", lambda x: np.clip(np.nan_to_num(x), 0, 1)),
        (image > 0.5, "floating-point", lambda x: x.astype("float32")),
    ]:
        with pytest.raises(ValueError, match=match):
            function(wrong)
        function(remedy(wrong))
    with pytest.raises(ValueError, match=r"no pixel|at least 64"):
        function(np.zeros((0, 64)))


def test_image_must_be_an_array():
    with pytest.raises(ValueError, match=r"canny: .*np.asarray\(image\)"):
        classical.canny([[0.0, 1.0], [0.0, 1.0]])
    classical.canny(np.asarray([[0.0, 1.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="must be one image"):
        classical.edges(type("Batch", (), {"shape": (2, 8, 8, 1)})())


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: classical.edge_kernel("sharr"), "'prewitt', 'sobel', 'scharr'"),
        (lambda: classical.edge_kernel("sobel", "diagonal"), "'vertical', 'horizontal'"),
        (lambda: classical.edges(noise(8, 8), kernel="canny"), "`kernel` must be one of"),
        (lambda: classical.canny(noise(8, 8), sigma=0), "`sigma` must be a number > 0"),
        (lambda: classical.canny(noise(8, 8), sigma="1"), "`sigma` must be a number > 0"),
        (lambda: classical.canny(noise(8, 8), sigma=float("nan")), "`sigma` must be a number > 0"),
        (lambda: classical.canny(noise(8, 8), low=0.3, high=0.2), "0 < low <= high"),
        (lambda: classical.canny(noise(8, 8), low=0), "0 < low <= high"),
        (lambda: classical.hog(noise(8, 8), orientations=0), "`orientations` must be an integer >= 1"),
        (lambda: classical.hog(noise(15, 40)), "Use for example block=2, cell=7"),
        (lambda: classical.hog(noise(2, 9), block=3), "Use for example block=1, cell=2"),
        (lambda: classical.hog(noise(1, 1), block=1), "Use for example images of at least 2×2"),
        (lambda: classical.hog(noise(8, 8), cell=1), "`cell` must be an integer >= 2"),
        (lambda: classical.keypoints(noise(63, 99)), "at least 64×64"),
        (lambda: classical.keypoints(noise(64, 64), method="surf"), "'orb', 'harris', 'sift'"),
        (lambda: classical.keypoints(noise(64, 64), count=0), "`count` must be an integer >= 1"),
    ],
)
def test_settings_out_of_range(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_remedies_for_hog_and_match_work(photo):
    classical.hog(noise(15, 40), block=2, cell=7)
    classical.hog(noise(2, 9), block=1, cell=2)
    classical.hog(noise(2, 2), block=1, cell=2)
    orb, sift = (classical.keypoints(photo, method=method, count=5) for method in ("orb", "sift"))
    with pytest.raises(ValueError, match="Find both with the same method"):
        classical.match(orb, sift)
    for ratio in (0, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"`max_ratio` must lie in \(0, 1\]"):
            classical.match(orb, orb, max_ratio=ratio)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda transformer: type(transformer).__name__)
def test_transformers_refuse_what_is_no_batch(transformer):
    x = noise(4, 8, 8, 1)
    with pytest.raises(NotFittedError):
        clone(transformer).transform(x)
    fitted = clone(transformer).fit(x)
    for wrong, match in [
        (x[0], r"must have 4 axes \(n, h, w, c\)"),
        ((255 * x).astype("uint8"), r"bytes by x / 255"),
        (x * 255, "for example by x / 255"),
        (np.full_like(x, np.nan), "nan_to_num"),
        (x.tolist(), r"np.asarray\(x\)"),
        (type("Tensor", (), {"shape": x.shape})(), r"must be a NumPy array"),
    ]:
        for method in (fitted.fit, fitted.transform):
            with pytest.raises(ValueError, match=match):
                method(wrong)
    with pytest.raises(ValueError, match=r"fitted size \(8, 8, 1\).*Resize them to 8×8"):
        fitted.transform(noise(4, 8, 9, 1))
    with pytest.raises(ValueError, match="Fit on one image at least"):
        fitted.fit(x[:0])


@pytest.mark.parametrize(
    "settings, match, remedy",
    [
        ({"n_centroids": 0}, "`n_centroids` must be an integer", {"n_centroids": 1}),
        ({"patch_size": 2.5}, "`patch_size` must be an integer", {"patch_size": 1}),
        ({"contrast": 0}, "`contrast` must be a number > 0", {"contrast": 0.1}),
        ({"regularise": -1}, "`regularise` must be a number > 0", {"regularise": 0.1}),
        ({"patch_size": 8}, "must have 2 places or more.*Use patch_size=7", {"patch_size": 7}),
        ({"patch_size": 1, "grid": 9}, "Use grid=8, patch_size=1", {"grid": 8, "patch_size": 1}),
        ({"n_patches": 99}, "Use n_patches=10000", {"n_patches": 10000}),
    ],
)
def test_patch_settings(settings, match, remedy):
    x = noise(60, 8, 8, 3)
    wanted = {"n_centroids": 100, "patch_size": 3, "n_patches": 300, "random_state": 0}
    with pytest.raises(ValueError, match=match):
        classical.PatchFeatures(**(wanted | settings)).fit(x)
    classical.PatchFeatures(**(wanted | settings | remedy)).fit(x)


def test_more_centroids_than_different_patches():
    x = np.zeros((2, 8, 8, 1))
    x[0, :, 4:] = 1
    with pytest.raises(ValueError, match=r"only 3 of the patches drawn are different.*Use n_centroids=3"):
        classical.PatchFeatures(4, 3, random_state=0).fit(x)
    classical.PatchFeatures(3, 3, random_state=0).fit(x)


def test_hog_needs_a_block():
    with pytest.raises(ValueError, match=r"HOGFeatures.fit: a block of 2×2 cells of 8 pixels.*block=2, cell=4"):
        classical.HOGFeatures().fit(noise(3, 8, 8, 1))
    classical.HOGFeatures(cell=4).fit(noise(3, 8, 8, 1))
