"""A pretrained network as one layer of a Keras 3 model: images in, features out."""

import hashlib
import json
import os

import numpy as np

from course_cnn import _checks
from course_cnn._tensorflow import tf  # before Keras: it quiets the import of TensorFlow
from course_cnn.transfer.backbone import WHO, open_backbone
from course_cnn.transfer.handles import ModelError

# isort: split
import keras
from keras import ops

SLACK = 0.01  # of the input range: how far beyond it a value may lie
PREPROCESSING = 1  # counts changes of what happens to images here, so that old cached features are not taken for new


@keras.saving.register_keras_serializable(package="course_cnn")
class FeatureExtractor(keras.layers.Layer):
    """A pretrained network without its head, frozen unless told otherwise.

    Images are brought to what the network expects: grey is repeated to three channels, other sizes are resized
    (bilinear, smoothed first where that shrinks them), and values are scaled from `input_range` to `value_range`.

    A frozen extractor is always run as at inference, whatever `fit` says: no dropout, no batch statistics, and not one
    bit of its weights changes. With `trainable=True` gradients reach them, and batch norm still uses the statistics it
    came with, as is right for few images; `train_statistics=True` changes that.

    Its weights are the model's: `summary`, optimizers and the `.keras` file hold them. Loading such a file opens the
    graph by the handle again and runs it, so load models only from people you trust.

    Args:
        handle: "bundled", the small network that comes with the course; a folder with a SavedModel (TF2 Hub format,
            exported by Keras, or with signatures only); a tfhub.dev or Kaggle Models address, fetched and kept by
            tensorflow-hub; "keras:mobilenet_v2" and any other network of `keras.applications`, also with multiplier
            and size, "keras:mobilenet_v2_035_96".
        trainable: bool, or names of stages to train; the other stages stay frozen.
        size: pixels the images are resized to, an int or (h, w); None for what the model says. A model that says
            nothing and takes any size gets the images as they are.
        input_range: (low, high), the values of the images handed in.
        value_range: (low, high), the values the network was trained with. None: what the table of known models, a
            model.json in its folder or keras.applications says, else (0, 1).
        signature: str, the signature of a SavedModel to call; None for the model itself, or "serving_default" where it
            has signatures only.
        output: the entry to take, where the model gives several.
        weights: for "keras:…": "imagenet" (downloaded once), None (random), or the path of a weights file.
        train_statistics: bool, let batch norm use and update the statistics of the batches, and dropout work, in
            training. Needs a `training` argument in the SavedModel.
        **kwargs: `name`, `dtype` as for `keras.layers.Layer`.

    Attributes:
        size: (h, w) in pixels that images are resized to, or None.
        features: int, length of a feature vector.
        backbone_params: int, numbers in the network's weights.
        value_range: (low, high) as above; for "keras:…" (0, 255), handed to the network's own preprocess_input.
        stages: tuple of str, first to last; () where nothing tells them apart.
        trainable_stages: tuple of str, those that are trained now.

    Input: float images (n, h, w, 1) or (n, h, w, 3), values in `input_range`.
    Output: (n, features).

    Raises:
        ModelError: the model cannot be had or read on this machine now.
        ValueError: an argument is out of its range or does not suit the model; fine-tuning is asked for and impossible,
            with the reason; images of another shape, of integers, or with values outside `input_range` (in a compiled
            function that is TensorFlow's InvalidArgumentError).

    Example:
        >>> extractor = FeatureExtractor("bundled")
        >>> extractor(np.zeros((2, 20, 20, 1), "float32")).shape
        TensorShape([2, 128])
        >>> model = keras.Sequential([keras.Input((20, 20, 1)), extractor, keras.layers.Dense(10)])
        >>> len(model.trainable_variables)                                      # the head's
        2

    Source: Sharif Razavian et al., "CNN features off-the-shelf", 2014; Donahue et al., "DeCAF", 2014.
    """

    def __init__(
        self, handle="bundled", *, trainable=False, size=None, input_range=(0, 1), value_range=None, signature=None,
        output=None, weights="imagenet", train_statistics=False, **kwargs,
    ):  # fmt: skip
        super().__init__(autocast=False, trainable=False, **kwargs)
        self.supports_jit = False
        self._opened(handle, size, input_range, value_range, signature, output, weights)
        self._train_statistics = False
        self.train_statistics = train_statistics
        self._train(())
        if isinstance(trainable, (bool, np.bool_)):
            self.trainable = bool(trainable)
        else:
            self.set_trainable_stages(trainable)

    def _opened(self, handle, size, input_range, value_range, signature, output, weights):
        """Check the arguments, open the model, and make its variables this layer's."""
        handle = handle.strip() if isinstance(handle, str) else handle
        self.input_range = _range("input_range", input_range)
        value_range = None if value_range is None else _range("value_range", value_range)
        size = None if size is None else _size(size)
        self._backbone = backbone = open_backbone(
            handle, size=size, signature=signature, output=output, weights=weights
        )
        if backbone.network is not None and value_range is not None:
            raise _checks.argument_error(
                WHO, "a network of keras.applications comes with its own scaling", "Leave `value_range` out",
                handle=handle, value_range=value_range,
            )  # fmt: skip
        self.handle = handle if isinstance(handle, str) else os.fspath(handle)
        self.size, self.features, self.stages = backbone.size, backbone.features, backbone.stages
        self.value_range = value_range or backbone.value_range or (0.0, 1.0)
        self._settings = {
            "size": size, "input_range": self.input_range, "value_range": value_range, "signature": signature,
            "output": output, "weights": weights,
        }  # fmt: skip
        self._graph, self._network = backbone.loaded, backbone.network  # so that export and saving see them
        if backbone.network is None:
            adopted = zip(backbone.variables, backbone.learned, backbone.names, strict=True)
            backbone.variables = [self._adopted(*variable) for variable in adopted]
        self.backbone_params = sum(int(np.prod(v.shape)) for v in backbone.variables)
        self._weights_wanted = None

    def _adopted(self, variable, learned, name):
        """Make a variable of the SavedModel one of this layer."""
        with keras.name_scope(self.name, caller=self):
            ours = keras.Variable(
                variable, trainable=learned, dtype=variable.dtype.name, autocast=False,
                name=name.replace("/", "_"),
            )  # fmt: skip
        self._track_variable(ours)
        return ours

    # What is trained

    @property
    def trainable(self):
        """Whether anything in the network is trained. Setting it frees or freezes all stages, after the same checks."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._train(self.stages, every=True) if value else self._train(())

    def __setattr__(self, name, value):
        if name == "trainable":  # Keras skips a setting that is already there; True may mean more stages than now
            type(self).trainable.fset(self, value)
        else:
            super().__setattr__(name, value)

    def set_trainable_stages(self, names):
        """Train the stages of these names and freeze the others. Compile the model again afterwards.

        Args:
            names: sequence of str out of `stages`; () freezes all.

        Raises:
            ValueError: a name is not among `stages`, or the network cannot be trained, with the reason.
        """
        if not isinstance(names, (list, tuple)) or any(name not in self.stages for name in names):
            listed = ", ".join(self.stages)
            raise _checks.argument_error(
                WHO, f"stages to train must be a sequence of names out of {listed}" if self.stages
                else "the names of this model's variables tell no stages, so it is trained as a whole or not at all",
                f"Use for example ({self.stages[-1]!r},)" if self.stages else "Use trainable=True",
                handle=self.handle, stages=names,
            )  # fmt: skip
        chosen = tuple(name for name in self.stages if name in names)
        self._train(chosen, every=bool(chosen) and chosen == self.stages)

    @property
    def train_statistics(self):
        """Whether batch norm and dropout know that they are trained. Setting it needs a model that can be told."""
        return self._train_statistics

    @train_statistics.setter
    def train_statistics(self, value):
        before, self._train_statistics = self._train_statistics, bool(value)
        try:
            if value:
                self._check_statistics()
            if self.trainable:
                self._train(self.trainable_stages, every=self._every)
        except ValueError:
            self._train_statistics = before
            raise

    def _train(self, stages, every=False):
        """Let the variables of these stages learn, or every variable that can."""
        learnable = self._learnable_variables() if stages or every else ()
        if (stages and not every) and self.train_statistics and self._network is None:
            raise _checks.argument_error(
                WHO, "a SavedModel updates the statistics of all its stages or of none",
                "Train all stages, or leave train_statistics=False", stages=stages, train_statistics=True,
            )  # fmt: skip
        self._trainable, self._every, self.trainable_stages = bool(stages) or every, every, tuple(stages)
        if self._network is not None:
            self._network.trainable = True  # of all layers, and then of those chosen
            for layer, stage in zip(self._network.layers, self._backbone.stage_of_layer, strict=True):
                layer.trainable = every or stage in stages
        for variable, stage in zip(self._backbone.variables, self._backbone.stage_of, strict=True):
            variable.trainable = id(variable) in learnable and (every or stage in stages)
            if self._network is None:  # tapes watch what TensorFlow calls trainable, and want a gradient of every step
                variable.value._trainable = variable.trainable

    def _learnable_variables(self):
        """Return the ids of the variables that a gradient reaches, or raise, saying why there are none."""
        backbone, reason = self._backbone, None
        asked = [v for v, learned in zip(backbone.variables, backbone.learned, strict=True) if learned]
        if not backbone.variables:
            reason = "it holds no variables: its weights are constants in the graph"
        elif not asked:
            reason = "none of its variables is marked as trainable"
        else:
            try:
                gradients = backbone.trace(self.train_statistics, asked)
            except (LookupError, ValueError, TypeError, tf.errors.OpError) as error:
                reason = f"TensorFlow finds no gradient through it: {str(error).strip().splitlines()[0].split('. ')[0]}"
            else:
                reached = {id(v) for v, found in zip(asked, gradients, strict=True) if found}
                if reached:
                    return reached
                reason = "no gradient reaches its variables"
        raise _checks.argument_error(
            WHO, f"this model cannot be fine-tuned: {reason}",
            "Leave trainable=False and train a head on its features, or take a model saved with its variables",
            handle=self.handle,
        )  # fmt: skip

    def _check_statistics(self):
        """Raise unless the model can be told that it is training."""
        reason = "its function has no `training` argument"
        if self._backbone.has_training:
            try:
                self._backbone.trace(True, [])
                return
            except (LookupError, ValueError, TypeError, tf.errors.OpError):
                reason = "it was saved without the part for training=True"
        raise _checks.argument_error(
            WHO, f"train_statistics=True does not suit this model: {reason}",
            "Leave train_statistics=False: batch norm then keeps the statistics it came with", handle=self.handle,
        )  # fmt: skip

    # From images to features

    def build(self, input_shape):
        self._check_shape(input_shape)
        if self._weights_wanted is not None:
            self._fetch_weights()
        super().build(input_shape)

    def compute_output_shape(self, input_shape):
        self._check_shape(input_shape)
        return (input_shape[0], self.features)

    def compute_output_spec(self, images, training=None):
        _checks.floating(WHO, images=images)
        return keras.KerasTensor(self.compute_output_shape(images.shape), self.compute_dtype)

    def call(self, images, training=False):
        _checks.floating(WHO, images=images)
        self._check_shape(images.shape)
        images = ops.cast(images, "float32")
        if not isinstance(images, keras.KerasTensor):
            images = self._within_range(images)
        learning = bool(training and self.trainable and self.train_statistics)
        y = self._backbone.call(self._prepared(images), learning)
        return ops.cast(ops.reshape(y, (-1, self.features)), self.compute_dtype)

    def _prepared(self, images):
        """Bring images to the size, the channels and the values of the model."""
        if self.size and tuple(images.shape[1:3]) != self.size:
            images = ops.image.resize(images, self.size, antialias=True, data_format="channels_last")
        if images.shape[3] == 1 and self._backbone.channels != 1:
            images = ops.concatenate([images] * self._backbone.channels, axis=3)
        (low, high), (new_low, new_high) = self.input_range, self.value_range
        if self.input_range != self.value_range:
            scale = (new_high - new_low) / (high - low)
            images = images * scale + (new_low - low * scale)
        return images

    def _check_shape(self, shape):
        channels = self._backbone.channels
        shape = tuple(shape)
        if len(shape) == 4 and shape[3] in {1 if channels == 3 else channels, channels}:
            return
        remedy = (
            "Reshape the images: x[None] makes one a batch of one, x[..., None] adds the channel axis of grey images"
        )
        if len(shape) == 4:
            remedy = f"Pass {channels} channel{'s' * (channels > 1)}"
            if channels == 1 and shape[3] == 3:
                remedy = "Pass grey images, for example x.mean(axis=3, keepdims=True)"
        wanted = "1 or 3" if channels == 3 else channels
        raise _checks.argument_error(
            WHO, f"images must be (n, h, w, channels) with {wanted} channels", remedy, **{"images.shape": shape}
        )

    def _within_range(self, images):
        """Return the images, or fail where a value lies outside of `input_range`."""
        low, high = self.input_range
        slack = SLACK * (high - low)
        smallest, largest = tf.reduce_min(images), tf.reduce_max(images)
        good = (smallest >= low - slack) & (largest <= high + slack)  # False for NaN, too
        if tf.executing_eagerly():
            if not good:
                raise self._out_of_range(smallest=float(smallest), largest=float(largest))
            return images
        with tf.control_dependencies([tf.debugging.Assert(good, [str(self._out_of_range()), smallest, largest])]):
            return tf.identity(images)

    def _out_of_range(self, **values):
        low, high = self.input_range
        return _checks.argument_error(
            WHO, f"images must hold values from {low:g} to {high:g}, and hold others or NaN",
            "Divide bytes by 255, or tell the range they have, for example input_range=(0, 255)", **values,
        )  # fmt: skip

    # Saving, and the key of cached features

    def fingerprint(self):
        """Return a sha256 of all that decides the features: graph, present weights, and what is done to images."""
        digest = hashlib.sha256()
        settings = {name: self._settings[name] for name in ("signature", "output")}
        settings |= {"size": self.size, "input_range": self.input_range, "value_range": self.value_range}
        settings |= {"preprocessing": PREPROCESSING, "graph": self._backbone.identity, "dtype": self.compute_dtype}
        digest.update(json.dumps(settings, sort_keys=True).encode())
        for variable in self._backbone.variables:
            values = variable.numpy()
            digest.update(f"{values.dtype} {values.shape}".encode() + values.tobytes())
        return digest.hexdigest()

    def get_config(self):
        config = {**super().get_config(), "handle": self.handle, **self._settings}
        trainable = list(self.trainable_stages) if self.trainable and not self._every else self.trainable
        return config | {
            "trainable": trainable, "train_statistics": self.train_statistics, "identity": self._backbone.identity
        }  # fmt: skip

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        identity, weights = config.pop("identity", None), config.pop("weights", None)
        ours = config["handle"].startswith("keras:")
        config.pop("autocast", None)
        try:
            layer = cls(**config, weights=None)
        except ModelError as error:
            raise ModelError(
                f"{error} A saved model holds the weights of its extractor, not the graph: it is opened by its handle."
            ) from error
        if ours:  # the weights are in the file, or fetched when the layer is built as a copy
            layer._weights_wanted = weights
        layer._settings["weights"] = weights
        if identity not in (None, layer._backbone.identity):
            raise ModelError(
                f"{WHO}: the model under {layer.handle!r} is not the one that was saved: its graph differs. Put "
                "the old one back there, or build the model anew with this one and train it again."
            )
        return layer

    def build_from_config(self, config):
        self._weights_wanted = None  # a file is being read, and it holds them
        super().build_from_config(config)

    def _fetch_weights(self):
        wanted, self._weights_wanted = self._weights_wanted, None
        full = open_backbone(self.handle, size=self._settings["size"], weights=wanted)
        self._network.set_weights(full.network.get_weights())

    def __repr__(self):
        taken = "any size" if self.size is None else "×".join(map(str, self.size))
        learning = ", ".join(self.trainable_stages) or ("all" if self.trainable else "")
        low, high = self.value_range
        return (
            f"FeatureExtractor({self.handle!r}: images {taken}×{self._backbone.channels} in [{low:g}, {high:g}], "
            f"{self.features} features, {self.backbone_params:,} parameters, "
            f"{f'trained: {learning}' if learning else 'frozen'})"
        )


def _range(name, value):
    """Return (low, high) as floats, or raise."""
    try:
        low, high = (float(end) for end in value)
    except (TypeError, ValueError):
        low = high = 0.0
    if not -np.inf < low < high < np.inf:
        raise _checks.argument_error(
            WHO, f"`{name}` must be two numbers, the lower first", f"Use for example {name}=(0, 1)", **{name: value}
        )
    return (low, high)


def _size(size):
    """Return (h, w) as ints, or raise."""
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2:
        raise _checks.argument_error(WHO, "`size` must be an integer or (h, w)", "Use for example size=32", size=size)
    return tuple(_checks.integer(WHO, "size", side, minimum=1) for side in sides)
