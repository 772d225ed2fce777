"""Data augmentation: new training images from old ones, on-line as Keras layers and off-line as a larger data set.

Images are float, channels last, values in [0, 1], and stay so. Every image of a batch gets its own draw. The geometry
is done by Keras's preprocessing layers; what they lack is here: a crop with a place of its own for each image, and the
colour shift.
"""

import dataclasses

import numpy as np

from course_cnn import _checks
from course_cnn._tensorflow import tf
from course_cnn.datasets import Dataset

# isort: split
import keras
from keras import ops

MAX_BYTES = 4 * 2**30  # the largest data set that `offline` makes


def shift_color(images, offsets, *, value_range=(0.0, 1.0)):
    """Add one number to each colour channel and clip what leaves the range of values.

    Args:
        images: float array or tensor (..., c), values in `value_range`.
        offsets: c numbers, one for each channel, in the units of `value_range`; or an array that broadcasts against
            `images`, such as (n, 1, 1, c) for other offsets in each image.
        value_range: (lowest, highest) value a pixel can have.

    Returns:
        float array like `images`; a tensor for a tensor.

    Raises:
        ValueError: integer images, which would wrap around at 255; not one offset per channel; an empty range.

    Example:
        >>> shift_color(np.array([250.0, 10.0, 240.0]), [20, -20, 20], value_range=(0, 255))
        array([255.,   0., 255.])

    Source: Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012, section 4.1
    (which draws the offsets along the principal components of the colours).
    """
    _checks.floating("shift_color", images=images)
    low, high = value_range
    if not low < high:
        raise _checks.argument_error(
            "shift_color", "`value_range` must be (lowest, highest)", "Use value_range=(0, 1) or (0, 255)",
            value_range=value_range,
        )  # fmt: skip
    if isinstance(offsets, (list, tuple)):
        offsets = np.asarray(offsets, float)
    if np.ndim(offsets) == 0 or offsets.shape[-1] != images.shape[-1]:
        raise _checks.argument_error(
            "shift_color", "`offsets` must hold one number for each channel",
            f"Pass {images.shape[-1]} numbers: offsets={[0.1] * images.shape[-1]}",
            **{"images.shape": tuple(images.shape), "offsets.shape": tuple(np.shape(offsets))},
        )  # fmt: skip
    if isinstance(images, np.ndarray):
        return np.clip(images + np.asarray(offsets, images.dtype), low, high)
    return ops.clip(images + ops.cast(offsets, images.dtype), low, high)


@keras.saving.register_keras_serializable(package="course_cnn")
class RandomColorShift(keras.layers.Layer):
    """Shift each channel of each image by its own random offset and clip to [0, 1], while training.

    Args:
        amount: float in [0, 1), the largest offset; offsets are drawn evenly between -amount and amount.
        seed: int >= 0.
        **kwargs: `name`, `dtype`, … as for `keras.layers.Layer`.

    Example:
        >>> grey = np.full((1, 2, 2, 3), 0.5, "float32")
        >>> shifted = RandomColorShift(0.2, seed=0)(grey, training=True).numpy()
        >>> len(np.unique(shifted)), bool(abs(shifted - 0.5).max() < 0.2)      # one offset for each channel
        (3, True)
    """

    def __init__(self, amount, *, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.amount = _checks.rate("RandomColorShift", "amount", amount)
        self.seed = _checks.integer("RandomColorShift", "seed", seed, minimum=0)
        self.generator = keras.random.SeedGenerator(self.seed)

    def get_config(self):
        return {**super().get_config(), "amount": self.amount, "seed": self.seed}

    def call(self, images, training=False):
        if not training:
            return images
        n, channels = ops.shape(images)[0], images.shape[-1]
        offsets = keras.random.uniform((n, 1, 1, channels), -self.amount, self.amount, images.dtype, self.generator)
        return shift_color(images, offsets)


@keras.saving.register_keras_serializable(package="course_cnn")
class RandomCrop(keras.layers.Layer):
    """Cut a window out of each image, each at its own random place. (Keras's layer cuts a whole batch at one place.)

    Args:
        size: int or (height, width) of the window, pixels.
        resize: bool. True: enlarge the window to the size of the image (bilinear), and leave images alone at inference.
            False: give the window, and at inference the one in the centre, for a net that takes images of that size.
        seed: int >= 0.
        **kwargs: `name`, `dtype`, … as for `keras.layers.Layer`.

    Input: float tensor (n, h, w, c), h and w known. Output: (n, h, w, c), or (n, height, width, c) for resize=False.

    Raises:
        ValueError: the window is larger than the image, or the image's size is not known (None).

    Example:
        >>> RandomCrop(24, resize=False)(np.ones((5, 28, 28, 1), "float32"), training=True).shape
        TensorShape([5, 24, 24, 1])

    Source: Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012, section 4.1
    (windows of 224 pixels out of 256).
    """

    def __init__(self, size, *, resize=True, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.size = _window("RandomCrop", "size", size)
        self.resize = bool(resize)
        self.seed = _checks.integer("RandomCrop", "seed", seed, minimum=0)
        self.generator = keras.random.SeedGenerator(self.seed)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "resize": self.resize, "seed": self.seed}

    def __call__(self, images, *args, **kwargs):
        self.check(images)
        return super().__call__(images, *args, **kwargs)

    def call(self, images, training=False):
        if not training and self.resize:
            return images
        (height, width), (n, h, w, _) = self.size, ops.shape(images)
        if training:
            draw = keras.random.uniform((2, n, 1), seed=self.generator)  # in [0, 1)
            top = ops.cast(draw[0] * (h - height + 1), "int32")  # every place is as likely as the others
            left = ops.cast(draw[1] * (w - width + 1), "int32")
        else:
            top = ops.full((n, 1), (h - height) // 2, "int32")
            left = ops.full((n, 1), (w - width) // 2, "int32")
        rows, columns = top + ops.arange(height), left + ops.arange(width)  # (n, height) and (n, width)
        windows = ops.take_along_axis(images, rows[:, :, None, None], axis=1)
        windows = ops.take_along_axis(windows, columns[:, None, :, None], axis=2)
        return ops.image.resize(windows, (h, w), data_format="channels_last") if self.resize else windows

    def check(self, images):
        """Raise unless the window fits into the images. Before Keras gets them, which wraps errors up in its own."""
        _checks.rank("RandomCrop", "images", images, "(n, h, w, c)")
        sides = images.shape[1:3]
        if None in sides:
            raise _checks.argument_error(
                "RandomCrop", "the height and width of the images must be known", "Use for example Input((32, 32, 3))",
                **{"images.shape": tuple(images.shape)},
            )  # fmt: skip
        if any(taken > there for taken, there in zip(self.size, sides, strict=True)):
            raise _checks.argument_error(
                "RandomCrop", "the window must not be larger than the image", f"Use a window of {min(sides)} or less",
                window=self.size, **{"images.shape": tuple(images.shape)},
            )  # fmt: skip


@keras.saving.register_keras_serializable(package="course_cnn")
class Augmenter(keras.layers.Layer):
    """Apply layers one after the other while training, and nothing at all otherwise. Made by `build`.

    Values are clipped to [0, 1] after each layer. Keras's own preprocessing layers also change images in a plain call
    `layer(x)`, and in `model(x)`: their `training` is True unless somebody says otherwise. This one's is False.

    Args:
        layers: list of Keras layers, in the order of their application.
        **kwargs: `name`, `dtype`, … as for `keras.layers.Layer`.

    Raises:
        ValueError: the input is not (n, h, w, c), or does not hold floating-point numbers, or (in a direct call
            with a NumPy array, where it can be seen) has values outside [0, 1].
    """

    def __init__(self, layers, **kwargs):
        super().__init__(**kwargs)
        self.layers = list(layers)

    def get_config(self):
        return {**super().get_config(), "layers": [keras.saving.serialize_keras_object(one) for one in self.layers]}

    @classmethod
    def from_config(cls, config):
        layers = [keras.saving.deserialize_keras_object(one) for one in config["layers"]]
        return cls(**{**config, "layers": layers})

    def __call__(self, images, *args, **kwargs):  # before Keras casts what it is given
        _checks.rank("Augmenter", "images", images, "(n, h, w, c)")
        _checks.floating("Augmenter", images=images)
        if isinstance(images, np.ndarray):
            _check_values("Augmenter", "images", images)
        for layer in self.layers:
            if isinstance(layer, RandomCrop):
                layer.check(images)
        return super().__call__(images, *args, **kwargs)

    def call(self, images, training=False):
        for layer in self.layers:
            images = layer(images, training=training)
            images = ops.clip(images, 0, 1) if training else images
        return images


def build(
    *, mirror=False, crop=None, shift=0, rotation=0, scale=0, noise=0, color_shift=0, fill="constant", seed=0
):  # fmt: skip
    """Build a Keras layer that changes each training image at random and leaves images alone at inference.

    What is asked for is done in this order, each with draws of its own for each image. Every geometric step
    interpolates (bilinear), so several of them make the image a little softer than one.

    Args:
        mirror: bool, turn half of the images left to right.
        crop: None, or the int or (height, width) in pixels of a window cut at a random place and enlarged to the
            size of the image.
        shift: float in [0, 1), largest shift along each axis, as a fraction of the side: 0.1 of 28 pixels is 2.8.
        rotation: float in [0, 180], largest turn to either side, in degrees.
        scale: float in [0, 1): the picture shows between (1 - scale) and (1 + scale) of the original's height and as
            much of its width.
        color_shift: float in [0, 1), largest offset of each channel.
        noise: float in [0, 1), standard deviation of the Gaussian noise added to each value.
        fill: what stands where nothing was: "constant" (black, as around a digit), "nearest" (the border pixel
            repeated), "reflect" (the image mirrored at its border, for photographs) or "wrap".
        seed: int >= 0. Two augmenters of one seed draw alike.

    Returns:
        `Augmenter`, a Keras layer: `augmenter(images, training=True)`, float (n, h, w, c) in [0, 1], the same size out.

    Raises:
        ValueError: an argument is out of its range. The layer itself raises it for images of the wrong kind.

    Example:
        >>> augmenter = build(shift=0.1, rotation=15, noise=0.05)
        >>> x = np.random.default_rng(0).random((4, 28, 28, 1), "float32")
        >>> bool((augmenter(x).numpy() == x).all()), bool((augmenter(x, training=True).numpy() == x).all())
        (True, False)

    Source: Shorten & Khoshgoftaar, "A survey on image data augmentation for deep learning", J. Big Data 2019.
    """
    shift, scale, noise, color_shift = (
        _checks.rate("build", name, value)
        for name, value in dict(shift=shift, scale=scale, noise=noise, color_shift=color_shift).items()
    )
    if isinstance(rotation, bool) or not isinstance(rotation, (int, float)) or not 0 <= rotation <= 180:
        raise _checks.argument_error(
            "build", "`rotation` must be a number of degrees from 0 to 180", "Use for example rotation=15",
            rotation=rotation,
        )  # fmt: skip
    _checks.choice("build", "mirror", mirror, (False, True))
    _checks.choice("build", "fill", fill, ("constant", "nearest", "reflect", "wrap"))
    crop = None if crop is None else _window("build", "crop", crop)
    seed = _checks.integer("build", "seed", seed, minimum=0)

    # One seed for all layers would make the same draws in all of them.
    seeds = [int(number) for number in np.random.default_rng(seed).integers(2**31, size=7)]
    layers = [
        mirror and keras.layers.RandomFlip("horizontal", seed=seeds[0]),
        crop and RandomCrop(crop, seed=seeds[1]),
        shift and keras.layers.RandomTranslation(shift, shift, fill_mode=fill, seed=seeds[2]),
        rotation and keras.layers.RandomRotation(rotation / 360, fill_mode=fill, seed=seeds[3]),
        scale and keras.layers.RandomZoom((-scale, scale), fill_mode=fill, seed=seeds[4]),
        color_shift and RandomColorShift(color_shift, seed=seeds[5]),
        noise and keras.layers.GaussianNoise(noise, seed=seeds[6]),
    ]
    return Augmenter([layer for layer in layers if layer])


def apply(augmenter, images, draw):
    """Change a batch with random numbers that follow from the number `draw` alone.

    Keras's random layers count their draws in a variable. Batches prepared side by side would race for the next count;
    in this scope each layer reads its count from `draw` instead, and nothing is written.

    Args:
        augmenter: Keras layer, as made by `build`; called with training=True.
        images: float array or tensor (n, h, w, c), values in [0, 1].
        draw: int, or an integer tensor: another one, another change.

    Returns:
        float tensor, the changed images.

    Example:
        >>> x, shaken = np.random.default_rng(0).random((2, 8, 8, 1), "float32"), build(noise=0.1)
        >>> one, other, again = (apply(shaken, x, draw).numpy() for draw in (1, 2, 1))
        >>> bool((one == again).all()), bool((one == other).all())
        (True, False)
    """
    states = augmenter.non_trainable_variables
    values = [ops.cast(ops.stack([draw, 1000 * place]), state.dtype) for place, state in enumerate(states)]
    with keras.StatelessScope(state_mapping=list(zip(states, values, strict=True))):
        return augmenter(images, training=True)


def online(x, y, augmenter, *, batch_size=32, seed=0):
    """Shuffle images, cut them into batches and change them at random, several batches at a time beside the training.

    No image is stored: each epoch, that is each pass over what is returned, sees the images in another order and with
    other changes. The same seed gives the same epochs in the same order, however many cores share the work.

    Args:
        x: float array (n, h, w, c), values in [0, 1].
        y: array (n, …), a label for each image.
        augmenter: Keras layer, as made by `build`; called with training=True.
        batch_size: int >= 1, images per batch; the last batch has what is left.
        seed: int >= 0.

    Returns:
        `tf.data.Dataset` of (images, labels), one epoch, for `model.fit` or a loop.

    Raises:
        ValueError: the images are not what `Augmenter` takes, or the labels are not as many.

    Example:
        >>> x, y = np.zeros((10, 8, 8, 1), "float32"), np.arange(10)
        >>> [len(labels) for images, labels in online(x, y, build(mirror=True), batch_size=4)]
        [4, 4, 2]

    Source: TensorFlow guide "Better performance with the tf.data API" (parallel mapping, prefetching).
    """
    _check_images("online", x, y, "x", "y")
    _check_augmenter("online", augmenter)
    batch_size = _checks.integer("online", "batch_size", batch_size, minimum=1)
    seed = _checks.integer("online", "seed", seed, minimum=0)
    with tf.device("CPU"):
        x, y = tf.constant(x), tf.constant(y)
    numbers = tf.data.Dataset.range(len(x)).shuffle(len(x), seed=seed).batch(batch_size)
    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)

    def load(numbers, draw):
        return apply(augmenter, tf.gather(x, numbers), draw), tf.gather(y, numbers)

    return tf.data.Dataset.zip(numbers, draws).map(load, tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def offline(dataset, augmenter, *, copies, seed=0):
    """Make a data set with the training images and so many changed copies of each, once and for all.

    Args:
        dataset: `datasets.Dataset`, images in [0, 1].
        augmenter: Keras layer that keeps the size of the images, as made by `build`; called with training=True.
        copies: int >= 1, changed copies of each training image.
        seed: int >= 0.

    Returns:
        `Dataset` with (1 + copies) times the training images: first all originals, then all first copies, and so on;
        labels in the same order. The test split is the one given. Boxes and masks of the training images are
        dropped (None), for they would no longer fit.

    Raises:
        ValueError: `copies` < 1, the images are not what `Augmenter` takes, the result would need more than 4 GiB
            (`online` stores no image), or the augmenter changes the size of the images.

    Example:
        >>> from course_cnn import datasets
        >>> offline(datasets.load("digits"), build(shift=0.1), copies=4)
        Dataset('digits': 6735 train + 450 test images of 8×8×1, 10 classes)
    """
    if not isinstance(dataset, Dataset):
        raise _checks.argument_error(
            "offline", "`dataset` must be a Dataset", "Pass what datasets.load returns, or a dataclasses.replace of it",
            **{"type(dataset)": type(dataset).__name__},
        )  # fmt: skip
    x, y = dataset.x_train, dataset.y_train
    _check_images("offline", x, y, "x_train", "y_train")
    _check_augmenter("offline", augmenter)
    copies = _checks.integer("offline", "copies", copies, minimum=1)
    seed = _checks.integer("offline", "seed", seed, minimum=0)
    if (1 + copies) * x.nbytes > MAX_BYTES:
        room = MAX_BYTES // x.nbytes - 1
        raise _checks.argument_error(
            "offline", f"{1 + copies} times the training images would need {(1 + copies) * x.nbytes / 2**30:.1f} GiB, "
            f"more than {MAX_BYTES / 2**30:g}",
            (f"Use copies={room}, or " if room >= 1 else "Use ") + "online, which stores no image", copies=copies,
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    images = [x]
    for _ in range(copies):
        for first in range(0, len(x), 256):
            images.append(apply(augmenter, tf.constant(x[first : first + 256]), int(rng.integers(2**32))).numpy())
    if images[-1].shape[1:] != x.shape[1:]:
        raise _checks.argument_error(
            "offline", "the augmenter must keep the size of the images", "Use RandomCrop(…, resize=True), or online",
            before=x.shape[1:], after=images[-1].shape[1:],
        )  # fmt: skip
    return dataclasses.replace(
        dataset, x_train=np.concatenate(images), y_train=np.concatenate([y] * (1 + copies)),
        boxes_train=None, masks_train=None,
    )  # fmt: skip


def _check_images(function, x, y, x_name, y_name):
    """Raise unless x is an array of images (n, h, w, c) in [0, 1], and y has a label for each."""
    _checks.rank(function, x_name, x, "(n, h, w, c)")
    _checks.floating(function, **{x_name: x})
    _check_values(function, x_name, x)
    if len(x) != len(y) or len(x) == 0:
        raise _checks.argument_error(
            function, f"`{x_name}` and `{y_name}` must have one entry per image, at least one",
            f"Cut both alike: {x_name}[:100], {y_name}[:100]",
            **{f"{x_name}.shape": tuple(x.shape), f"{y_name}.shape": tuple(np.shape(y))},
        )  # fmt: skip


def _check_values(function, name, images):
    if images.size and not 0 <= images.min() <= images.max() <= 1:  # False for NaN, too
        raise _checks.argument_error(
            function, f"`{name}` must hold values in [0, 1]",
            f"Divide values from 0 to 255: {name} / 255; and centre them after the augmentation, inside the model",
            smallest=float(images.min()), largest=float(images.max()),
        )  # fmt: skip


def _check_augmenter(function, augmenter):
    if not isinstance(augmenter, keras.layers.Layer):
        raise _checks.argument_error(
            function, "`augmenter` must be a Keras layer", "Make one: augment.build(mirror=True)", augmenter=augmenter
        )


def _window(function, name, size):
    """Return the height and width of a window, both ints >= 1, or raise."""
    height, width = size if isinstance(size, (tuple, list)) and len(size) == 2 else (size, size)
    return tuple(_checks.integer(function, name, side, minimum=1) for side in (height, width))
