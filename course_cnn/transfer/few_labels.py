"""How accuracy grows with the number of labelled images: one experiment for every way of learning.

A way of learning is a function `learn(x, y, x_test, seed)` that gives the class of every test image: `learn_linear` for
pixels, hand-made or extracted features, `FromScratch` and `FineTuned` for networks, or one of your own.
"""

import math
import time

import numpy as np
import threadpoolctl

from course_cnn import _checks, training, zoo

# isort: split
import keras

LABELS = (1, 2, 5, 10, 20, 50)

DEPTH, WIDTH, SHAPE = 14, 2, (32, 32, 3)  # of the bundled extractor's network
GRID = 4  # pixels of its second stage, of 16x16, to a place
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10's colours
BUNDLED_MEAN, BUNDLED_VARIANCE = 0.32768, (0.07623362, 0.07202467, 0.07056103)  # tools/train_extractor.py says why


def draw_labels(y, per_class, seed=0):
    """Draw so many labelled images of each class: as if a person had labelled only those.

    The draws of one seed are nested: the 2 images per class contain the 1, the 5 contain the 2, and so on, so that a
    curve over `per_class` shows what more labels bring, not what other images bring.

    Args:
        y: int array (n,), the class of every training image, numbered from 0.
        per_class: int >= 1, images to draw of each class.
        seed: int >= 0, another seed draws other images.

    Returns:
        int array (classes * per_class,), positions in `y`: the first image of every class, then the second, and so on.

    Raises:
        ValueError: a class has fewer images than that, or `y` holds no class numbers.

    Example:
        >>> y = np.array([0, 0, 0, 1, 1, 1])
        >>> two = draw_labels(y, 2)
        >>> y[two], set(draw_labels(y, 1)) < set(two)
        (array([0, 1, 0, 1]), True)

    Source: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, section 4.3 ("few-shot accuracy", its linear
    classifier on frozen features).
    """
    y = np.asarray(y)
    _checks.labels("draw_labels", "y", y, len(y))
    per_class = _checks.integer("draw_labels", "per_class", per_class, minimum=1)
    rng = np.random.default_rng(_checks.integer("draw_labels", "seed", seed, minimum=0))
    counts = np.bincount(y)
    fewest = int(counts[counts > 0].min(initial=len(y)))
    if per_class > fewest:
        raise _checks.argument_error(
            "draw_labels", f"each class must have {per_class} images, and class {np.flatnonzero(counts == fewest)[0]} "
            f"has {fewest}" if len(y) else "there is no image to draw",
            f"Use per_class={fewest} or less" if len(y) else "Pass the labels of the training images",
            per_class=per_class,
        )  # fmt: skip
    return np.stack([rng.permutation(np.flatnonzero(y == c))[:per_class] for c in np.unique(y)], axis=1).ravel()


def fit_head(features, y, *, C=100.0):
    """Fit a linear classifier, logistic regression, to features: the head of a frozen extractor.

    The features are centred and divided by one number, so that they have length 1 on average, and `C` means the same
    for pixels, gradients and a network's features. (Each feature by its own deviation, the usual way, fails with one
    image per class: then all deviations are chance.) Both steps are part of the weights that are returned.

    Args:
        features: float array (n, d).
        y: int array (n,), their classes, numbered from 0, at least one row of each.
        C: float > 0, scikit-learn's: small values keep the weights small, large ones fit the labelled images closely.

    Returns:
        (kernel, bias), float arrays (d, classes) and (classes,): `features @ kernel + bias` are the logits; they fit
        `keras.layers.Dense(classes).set_weights`.

    Raises:
        ValueError: rows and labels differ in number, a class has no row, there is only one class, or C is not > 0.

    Example:
        >>> kernel, bias = fit_head(np.array([[0.0, 1.0], [1.0, 0.0], [0.9, 0.1]]), np.array([0, 1, 1]))
        >>> (np.array([[0.2, 0.8], [0.8, 0.2]]) @ kernel + bias).argmax(axis=1)
        array([0, 1])

    Source: Bishop, "Pattern recognition and machine learning", 2006, section 4.3.4.
    """
    from sklearn.linear_model import LogisticRegression

    features, y = np.asarray(features), np.asarray(y)
    _checks.rank("fit_head", "features", features, "(n, d)")
    _checks.floating("fit_head", features=features)
    _checks.finite("fit_head", features=features)
    _checks.labels("fit_head", "y", y, len(features))
    C = _checks.positive("fit_head", "C", C, 100)
    counts = np.bincount(y, minlength=2)
    if not counts.all():
        raise _checks.argument_error(
            "fit_head", f"each class needs at least one row, and class {counts.argmin()} has none",
            "Draw them with draw_labels, and number the classes from 0: np.unique(y, return_inverse=True)[1]",
            classes=np.unique(y).tolist(),
        )  # fmt: skip
    centre = features.mean(axis=0, dtype=float)
    centred = features - centre
    length = math.sqrt(np.square(centred).sum(axis=1).mean()) or 1.0  # 0: all rows are the same
    with threadpoolctl.threadpool_limits(1, user_api="blas"):  # small products: threads would wait for each other
        # The best weights are sums of the rows. With fewer rows than features it is enough to look among those.
        axes = np.linalg.qr(centred.T)[0] if len(centred) < centred.shape[1] else np.eye(centred.shape[1])
        fitted = LogisticRegression(C=C, max_iter=2000).fit(centred @ axes / length, y)
        kernel = axes @ fitted.coef_.T / length
    bias = fitted.intercept_
    if len(counts) == 2:  # scikit-learn gives the difference of the two logits
        kernel, bias = np.hstack([-kernel / 2, kernel / 2]), np.concatenate([-bias / 2, bias / 2])
    return kernel, bias - centre @ kernel


def learn_linear(x, y, x_test, seed=0, *, C=100.0):
    """Learn by `fit_head` and classify the test images. Nothing is random in it: `seed` is not used.

    Args:
        x, x_test: float arrays (n, …), features or images; all axes but the first are laid out in a row.
        y: int array (n,), the classes of x.
        seed: int, for the sake of `learning_curve`.
        C: float > 0, as for `fit_head`.

    Returns:
        int array (n_test,), the class with the largest logit for each test image.

    Raises:
        ValueError: as for `fit_head`.

    Example:
        >>> images = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
        >>> learn_linear(images, np.array([0, 1]), images)
        array([0, 1])
    """
    kernel, bias = fit_head(np.reshape(x, (len(x), -1)), y, C=C)
    return (np.reshape(x_test, (len(x_test), -1)) @ kernel + bias).argmax(axis=1)


class FromScratch:
    """Learn with a network that begins with random weights: the same number of steps however many images there are.

    Called as `learn(x, y, x_test, seed)`. The network is built and compiled once; each call draws its weights anew.

    Args:
        build: function without arguments that returns a new Keras model that ends in logits.
        steps: int >= 1, training steps, each on `batch_size` images or, if there are fewer, on all of them.
        batch_size: int >= 1.
        learning_rate: float > 0, Adam's largest; it falls to 0 along half a cosine.

    Attributes:
        model: Keras model, as the last call left it; None before.

    Raises:
        ValueError: an argument is out of its range; from a call: images and labels do not fit each other or the model.

    Example:
        >>> def build():
        ...     return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        >>> x, y = np.array([[0.0, 1.0], [1.0, 0.0]], "float32"), np.array([0, 1])
        >>> FromScratch(build, steps=200, learning_rate=0.1)(x, y, x, seed=0)
        array([0, 1])

    Source: Kingma & Ba, "Adam", ICLR 2015; Loshchilov & Hutter, "SGDR", ICLR 2017 (the cosine).
    """

    def __init__(self, build, *, steps=150, batch_size=32, learning_rate=1e-3):
        name = type(self).__name__
        if not callable(build) or hasattr(build, "weights"):
            raise _checks.argument_error(
                name, "`build` must be a function that returns a new model", "Write lambda: in front of the call",
                **{"type(build)": type(build).__name__},
            )  # fmt: skip
        self.build, self.model = build, None
        self.steps = _checks.integer(name, "steps", steps, minimum=1)
        self.batch_size = _checks.integer(name, "batch_size", batch_size, minimum=1)
        self.learning_rate = _checks.positive(name, "learning_rate", learning_rate, 0.001)

    def __call__(self, x, y, x_test, seed=0):
        """Train on (x, y) and return the class of every image in x_test, int array (n_test,)."""
        training.seed_everything(seed)
        fresh = self.build()
        if self.model is None:
            self._compile(fresh)
        else:
            for variable, value in zip(self.model.variables, fresh.variables, strict=True):
                variable.assign(value)
        return self._train(x, y, x_test, seed)

    def _compile(self, model):
        optimizer = keras.optimizers.Adam(training.schedule("cosine", self.learning_rate, self.steps, end=0))
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        optimizer.build(model.trainable_variables)
        self._begin = [variable.numpy() for variable in optimizer.variables]
        self.model = model

    def _train(self, x, y, x_test, seed):
        """Train the model from the weights it has, and classify. Each image comes once before any comes again."""
        x, y = np.asarray(x), np.asarray(y)
        training.evaluate(self.model, x[:1], y[:1])  # refuses what does not fit
        _checks.labels(type(self).__name__, "y", y, len(x), self.model.output_shape[-1])
        for variable, value in zip(self.model.optimizer.variables, self._begin, strict=True):
            variable.assign(value)
        rng, size = np.random.default_rng(seed), min(self.batch_size, len(x))
        order = np.concatenate([rng.permutation(len(x)) for _ in range(math.ceil(self.steps * size / len(x)))])
        for step in range(self.steps):
            batch = order[step * size : (step + 1) * size]
            self.model.train_on_batch(x[batch], y[batch])
        return training.evaluate(self.model, x_test, np.zeros(len(x_test), int)).predicted


class FineTuned(FromScratch):
    """Learn by fine-tuning a pretrained extractor: first a head on its features as they are, then all weights.

    Called as `learn(x, y, x_test, seed)`. The head is that of `fit_head`, so that with 0 steps this would be the frozen
    extractor; the weights start from the pretrained ones at each call.

    Args:
        extractor: `transfer.FeatureExtractor` with `trainable=True`, or another layer or model from images to features.
        num_classes: int >= 2.
        image_shape: (h, w, c) of the images.
        steps, batch_size, learning_rate: as for `FromScratch`; the rate is small, for much is learned already.
        C: float > 0, as for `fit_head`.

    Attributes:
        model: Keras model, the extractor and its head, as the last call left it.

    Raises:
        ValueError: as for `FromScratch`; nothing in the extractor can be trained.

    Example:
        >>> body = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
        >>> learn = FineTuned(body, 2, (2, 2, 1), steps=5)
        >>> x = np.stack([np.eye(2), 1 - np.eye(2)]).astype("float32")[..., None]
        >>> learn(x, np.array([0, 1]), x, seed=0)
        array([0, 1])

    Source: Kumar et al., "Fine-tuning can distort pretrained features", ICLR 2022 (the head first, then all weights).
    """

    def __init__(self, extractor, num_classes, image_shape, *, steps=150, batch_size=32, learning_rate=1e-4, C=100.0):
        super().__init__(lambda: None, steps=steps, batch_size=batch_size, learning_rate=learning_rate)
        training.seed_everything(0)  # also keeps Keras from compiling the network twice over, by XLA
        num_classes = _checks.integer("FineTuned", "num_classes", num_classes, minimum=2)
        self.C = _checks.positive("FineTuned", "C", C, 100)
        inputs = keras.Input(image_shape)
        features = extractor(inputs)
        if not extractor.trainable_variables:
            raise _checks.argument_error(
                "FineTuned", "nothing in `extractor` can be trained",
                "Use FeatureExtractor(handle, trainable=True), or learn_linear on its features", extractor=extractor,
            )  # fmt: skip
        self.extractor, self.head = extractor, keras.layers.Dense(num_classes)
        self._compile(keras.Model(inputs, self.head(features)))
        self._pretrained = [variable.numpy() for variable in extractor.variables]

    def __call__(self, x, y, x_test, seed=0):
        """Fit a head, train on (x, y) and return the class of every image in x_test, int array (n_test,)."""
        training.seed_everything(seed)
        for variable, value in zip(self.extractor.variables, self._pretrained, strict=True):
            variable.assign(value)
        features = [np.asarray(self.extractor(x[i : i + 256], training=False)) for i in range(0, len(x), 256)]
        self.head.set_weights(fit_head(np.concatenate(features), y, C=self.C))
        return self._train(x, y, x_test, seed)


def build_untrained(num_classes):
    """Build the network of the bundled extractor with random weights and a head: what transfer is measured against.

    Args:
        num_classes: int >= 1, number of logits.

    Returns:
        `keras.Model` for images (n, 32, 32, 3) in [0, 1], which it centres and divides by the mean and deviation of
        CIFAR-10's colours. Not compiled. Its moving statistics follow the batches faster than Keras's default, which
        lags behind a short training.

    Raises:
        ValueError: `num_classes` is out of its range.

    Example:
        >>> seen = [w.shape[-1] for w in build_untrained(7).trainable_weights]
        >>> seen[0], seen[-1]
        (32, 7)

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2.
    """
    network = zoo.build_cifar_resnet(DEPTH, width=WIDTH, input_shape=SHAPE, num_classes=num_classes)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    normalize = keras.layers.Normalization(mean=MEAN, variance=np.square(DEVIATION), name="normalize")
    return keras.Sequential([keras.Input(SHAPE), normalize, network])


def stage_features(extractor, images, *, batch_size=64):
    """Read the bundled extractor at two stages: the middle one on a grid of 4x4 places, and the last as usual.

    An extractor ends in a mean over all positions of its last stage, which forgets where in the image something was.
    That costs little with photographs of things and much with characters; and earlier stages are less bound to what the
    network was trained on. One pass gives both. The square roots weaken the few largest features.

    Args:
        extractor: `transfer.FeatureExtractor("bundled")`, as it is or fine-tuned. A SavedModel gives its end only: the
            weights are copied into the network that `build_untrained` builds.
        images: float array (n, 32, 32, 1 or 3), values in [0, 1].
        batch_size: int >= 1, images per step; changes the memory needed and not the result.

    Returns:
        float32 array (n, 1152): square roots of the means of stage 2 (4 * 4 places, 64 channels each) and of stage 3
        (128).

    Raises:
        ValueError: the extractor is another one, or the images have another size.

    Example:
        >>> from course_cnn import transfer
        >>> extractor = transfer.FeatureExtractor("bundled")
        >>> stage_features(extractor, np.zeros((2, 32, 32, 1), "float32")).shape
        (2, 1152)

    Source: Yosinski et al., "How transferable are features in deep neural networks?", NIPS 2014 (earlier stages
    transfer further); Razavian et al., "CNN features off-the-shelf", CVPR workshops 2014 (powers of features).
    """
    _checks.rank("stage_features", "images", images, "(n, h, w, c)")
    _checks.floating("stage_features", images=images)
    batch_size = _checks.integer("stage_features", "batch_size", batch_size, minimum=1)
    if images.shape[1:3] != SHAPE[:2] or images.shape[3] not in (1, 3):
        raise _checks.argument_error(
            "stage_features", "the images must be of 32×32 pixels, grey or in colours", "Load them with size=32",
            **{"images.shape": tuple(images.shape)},
        )  # fmt: skip
    network = _unpacked(extractor)
    normalize = keras.layers.Normalization(mean=[BUNDLED_MEAN] * 3, variance=BUNDLED_VARIANCE)
    outputs = [network.get_layer(name).output for name in ("stage2_block2_out", "avg_pool")]
    body, parts = keras.Model(network.inputs, outputs), []
    for start in range(0, len(images), batch_size):
        batch = np.repeat(images[start : start + batch_size], 3 // images.shape[3], axis=3)
        middle, last = body(normalize(batch), training=False)
        grid = keras.ops.average_pool(middle, GRID, GRID)
        parts.append(np.hstack([np.reshape(grid, (len(batch), -1)), last]))
    return np.sqrt(np.concatenate(parts))


def _unpacked(extractor):
    """Return the extractor's network as the Keras model that it was, with a head that means nothing."""
    network = build_untrained(1).layers[-1]
    head = {id(variable) for variable in network.layers[-1].variables}
    wanted = {v.path.replace("/", "_"): v for v in network.variables if id(v) not in head}
    held = {v.name: v for v in getattr(extractor, "variables", ())}
    if {name: tuple(v.shape) for name, v in held.items()} != {name: tuple(v.shape) for name, v in wanted.items()}:
        raise _checks.argument_error(
            "stage_features", "`extractor` must be the bundled one, the only one whose stages are known here",
            'Use FeatureExtractor("bundled")', extractor=extractor,
        )  # fmt: skip
    for name, variable in wanted.items():
        variable.assign(held[name])
    return network


def learning_curve(learn, dataset, *, labels=LABELS, seeds=range(5), each=None):
    """Measure how the accuracy on the test split grows with the number of labelled training images per class.

    Args:
        learn: function (x, y, x_test, seed) that returns the class of every test image: `learn_linear`, a
            `FromScratch`, a `FineTuned`, or your own.
        dataset: what `datasets.load` or `cache_features` returns: x_train, y_train, x_test, y_test.
        labels: sequence of int >= 1, images per class to learn from.
        seeds: sequence of int >= 0; each draws other labelled images, and other first weights where `learn` draws any.
        each: None, or a function called with every run as soon as it is there, to keep it.

    Returns:
        list of dict with `labels`, `seed`, `accuracy` on all test images (in [0, 1]) and `seconds` (learning and
        classifying), one per seed and number of labels.

    Raises:
        ValueError: a class has fewer images than asked for, `learn` returns something else, or as `learn` does.

    Example:
        >>> from course_cnn import datasets
        >>> runs = learning_curve(learn_linear, datasets.load("digits"), labels=(1, 10), seeds=[0])
        >>> [run["labels"] for run in runs], runs[0]["accuracy"] < runs[1]["accuracy"]
        ([1, 10], True)

    Source: Hestness et al., "Deep learning scaling is predictable, empirically", 2017 (learning curves).
    """
    if not callable(learn):
        raise _checks.argument_error(
            "learning_curve", "`learn` must be a function (x, y, x_test, seed)", "Use learn_linear",
            **{"type(learn)": type(learn).__name__},
        )  # fmt: skip
    drawn = [(k, seed, draw_labels(dataset.y_train, k, seed)) for seed in seeds for k in labels]
    runs = []
    for k, seed, chosen in drawn:
        start = time.perf_counter()
        predicted = np.asarray(learn(dataset.x_train[chosen], dataset.y_train[chosen], dataset.x_test, seed))
        seconds = time.perf_counter() - start
        if predicted.shape != np.shape(dataset.y_test):
            raise _checks.argument_error(
                "learning_curve", f"`learn` must return one class per test image, {len(dataset.y_test)} in all",
                "End it with .argmax(axis=1)", returned=predicted.shape,
            )  # fmt: skip
        accuracy = float(np.mean(predicted == dataset.y_test))
        runs.append({"labels": int(k), "seed": int(seed), "accuracy": accuracy, "seconds": seconds})
        if each:
            each(runs[-1])
    return runs


def curve_table(runs):
    """Sum runs up over their seeds: mean, lowest and highest accuracy, and the number of seeds.

    Args:
        runs: list of dict, as `learning_curve` returns them; further keys such as "data" and "method" become rows.

    Returns:
        `pandas.DataFrame`, one row per kind of run and number of labels, columns mean, low, high, seeds.

    Raises:
        ValueError: there are no runs, or they are something else.

    Example:
        >>> runs = [{"method": "frozen", "labels": 5, "seed": s, "accuracy": a} for s, a in enumerate([0.5, 0.75])]
        >>> curve_table(runs)
                        mean  low  high  seeds
        method labels
        frozen 5       0.625  0.5  0.75      2
    """
    frame, kinds = _frame("curve_table", runs)
    found = frame.groupby([*kinds, "labels"], sort=False)["accuracy"]
    return found.agg(mean="mean", low="min", high="max", seeds="count").sort_index()


def curve_array(runs):
    """Lay runs of one kind out for `plots.plot_bands`: a row per seed, a column per number of labels.

    Args:
        runs: list of dict, as `learning_curve` returns them.

    Returns:
        (labels, accuracies): int array (points,), ascending, and float array (seeds, points). A seed that was not run
        at every number of labels is left out.

    Raises:
        ValueError: there are no runs, a pair of seed and labels comes twice (several kinds of runs), or no seed is
            complete.

    Example:
        >>> runs = [{"labels": k, "seed": s, "accuracy": k / 10 + s / 100} for s in (0, 1) for k in (5, 2)]
        >>> curve_array(runs)
        (array([2, 5]), array([[0.2 , 0.5 ],
               [0.21, 0.51]]))
    """
    frame, kinds = _frame("curve_array", runs)
    if frame.duplicated(["labels", "seed"]).any():
        raise _checks.argument_error(
            "curve_array", "`runs` must be of one kind, and some seeds come twice",
            'Choose some: [run for run in runs if run["method"] == "frozen"]', kinds=kinds,
        )  # fmt: skip
    table = frame.pivot(index="seed", columns="labels", values="accuracy").dropna()
    if table.empty:
        raise _checks.argument_error(
            "curve_array", "no seed was run at every number of labels", "Leave the incomplete number of labels out",
            labels=sorted(frame["labels"].unique().tolist()),
        )  # fmt: skip
    return table.columns.to_numpy(), table.to_numpy()


def compare_methods(runs, method, over):
    """Compare two methods seed by seed: both learned from the same images, so their luck with the draw cancels.

    Args:
        runs: list of dict, as `learning_curve` returns them, with "method" added, and other keys such as "data".
        method, over: str, the methods to compare; seeds that only one of them has are left out.

    Returns:
        `pandas.DataFrame`, one row per other key and number of labels. Columns: gain, the mean of accuracy of `method`
        minus that of `over`; error, its standard error (NaN for one seed); better, the share of seeds with a gain > 0;
        seeds.

    Raises:
        ValueError: a method has no runs, or the two share none.

    Example:
        >>> runs = [{"method": m, "labels": 5, "seed": s, "accuracy": a} for m, s, a in
        ...         [("frozen", 0, 0.8), ("frozen", 1, 0.6), ("scratch", 0, 0.5), ("scratch", 1, 0.5)]]
        >>> compare_methods(runs, "frozen", over="scratch")
                gain  error  better  seeds
        labels
        5        0.2    0.1     1.0      2
    """
    frame, kinds = _frame("compare_methods", runs)
    known = sorted(frame["method"].unique()) if "method" in kinds else []
    for name, value in (("method", method), ("over", over)):
        _checks.choice("compare_methods", name, value, known or ('("method" of the runs; they have none)',))
    keys = [kind for kind in kinds if kind != "method"] + ["labels"]
    table = frame.pivot(index=[*keys, "seed"], columns="method", values="accuracy")
    gains = (table[method] - table[over]).dropna()
    if gains.empty:
        raise _checks.argument_error(
            "compare_methods", "the two methods share no seed at the same number of labels", "Run both with seeds=[0]",
            method=method, over=over,
        )  # fmt: skip
    found = gains.groupby(level=keys).agg(["mean", "sem", lambda gain: (gain > 0).mean(), "count"])
    return found.set_axis(["gain", "error", "better", "seeds"], axis=1)


def _frame(function, runs):
    """Return (runs as a pandas.DataFrame, the names of their further keys)."""
    import pandas as pd

    frame = pd.DataFrame(list(runs))
    missing = [name for name in ("labels", "seed", "accuracy") if name not in frame]
    if missing:
        raise _checks.argument_error(
            function, f"`runs` must be what learning_curve returns; there is no {missing[0]!r}",
            "Pass its list of dict, with one run at least", runs=len(frame),
        )  # fmt: skip
    return frame, [name for name in frame if name not in ("labels", "seed", "accuracy", "seconds")]
