"""One way to speak to every pretrained network: a SavedModel of any format, or a network of `keras.applications`.

`open_backbone(handle)` finds out what the network takes and gives, calls it once to see that it does, and hands back
an object with `call`, `variables` and `stages`. How images are brought to it, and what is trained, is `extractor`'s.
"""

import hashlib
import inspect
import json
import re
import sys
import warnings
from dataclasses import dataclass

from course_cnn import _checks
from course_cnn._tensorflow import tf  # before Keras: it quiets the import of TensorFlow
from course_cnn.transfer import handles
from course_cnn.transfer.handles import ModelError

# isort: split
import keras

WHO = "FeatureExtractor"
TRIAL_SIZE = 96  # pixels, for the trial call of a network that takes any size
OTHER_SIZES = {  # pixels that networks of keras.applications were trained with, where not 224
    "inceptionv3": 299, "inceptionresnetv2": 299, "xception": 299, "nasnetlarge": 331, "efficientnetb1": 240,
    "efficientnetb2": 260, "efficientnetb3": 300, "efficientnetb4": 380, "efficientnetb5": 456, "efficientnetb6": 528,
    "efficientnetb7": 600, "efficientnetv2b1": 240, "efficientnetv2b2": 260, "efficientnetv2b3": 300,
    "efficientnetv2s": 384, "efficientnetv2m": 480, "efficientnetv2l": 480,
}  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What is written down about a network outside of it. None where it is not."""

    size: tuple | None = None  # (h, w) in pixels
    value_range: tuple | None = None


def open_backbone(handle, *, size=None, signature=None, output=None, weights="imagenet"):
    """Return the Backbone that a handle names, tried out on one black image.

    Args:
        handle: as for `FeatureExtractor`.
        size: (h, w) in pixels, or None for what the model says.
        signature, output, weights: as for `FeatureExtractor`.

    Raises:
        ModelError: there is no model, or it cannot be read or run.
        ValueError: the model is none that turns one batch of images into one row of features each, or an argument does
            not suit it.
    """
    if handles.kind(handle) == "keras":
        for name, value in (("signature", signature), ("output", output)):
            if value is not None:
                raise _checks.argument_error(
                    WHO, f"`{name}` is for SavedModels; a network of keras.applications has one output", "Leave it out",
                    handle=handle, **{name: value},
                )  # fmt: skip
        return KerasBackbone(handle, size, weights)
    folder = handles.resolve(handle)
    return SavedModelBackbone(folder, handle, _facts(folder, handle), size, signature, output)


class Backbone:
    """What both kinds share, beside `call(images, training)`: images (n, h, w, channels) in, (n, features) out.

    Attributes:
        identity: str, sha256 of the graph of a SavedModel, of the layers and shapes of a Keras network; not of weights.
        size: (h, w) in pixels, or None where any will do.
        channels: int, of the images it takes.
        value_range: (low, high), the pixel values it expects; None where nothing says so.
        features: int, length of a feature vector.
        variables: list of the variables it reads, TensorFlow's or Keras's.
        learned: list of bool, whether each of them is meant to be trained.
        names: list of str, the name of each.
        stages: tuple of str, first to last; () where the names tell none.
        stage_of: list of str or None, the stage of each variable.
        has_training: bool, whether it can be told that it is training.
    """

    def trace(self, training, variables):
        """Trace a call, and the gradient of the features, without running it; say which variables it reaches."""

        def features(images):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(watched)
                y = tf.reduce_sum(self.call(images, training))
            found.extend(g is not None for g in tape.gradient(y, watched))
            return y

        found, watched = [], [v.value for v in variables]
        shape = (2, *(self.size or (TRIAL_SIZE, TRIAL_SIZE)), self.channels)
        tf.function(features, autograph=False).get_concrete_function(tf.TensorSpec(shape, tf.float32))
        return found

    def _note_stages(self):
        self.stages = tuple(dict.fromkeys(stage for stage in self.stage_of if stage))


class SavedModelBackbone(Backbone):
    """A SavedModel: in TF2 Hub format (it can be called), exported by Keras 3 (`serve`), or with signatures only."""

    network = None

    def __init__(self, folder, handle, facts, size, signature, output):
        self.handle, self.output = str(handle), output
        self.identity = graph_identity(folder)
        self.loaded = _load(folder, handle)
        self._choose(signature)
        self._read_input(size, facts)
        self.value_range = facts.value_range
        self._read_variables()
        self.has_training = "training" in self._arguments
        self.features = self._try()

    def call(self, images, training=False):
        images = tf.cast(images, self._dtype)
        more = {"training": training} if self.has_training else {}
        arguments = {name: tf.nest.map_structure(lambda _: images, place) for name, place in self._place.items()}
        y = self._one_output(self._function(**arguments, **more))
        return tf.reduce_mean(y, (1, 2)) if len(y.shape) == 4 else y

    def _choose(self, signature):
        """Find the function to call, the names of its arguments, and those that may be left out."""
        signatures = getattr(self.loaded, "signatures", {})
        self._arguments = self._optional = ()
        if signature is not None and signature not in signatures:
            raise _checks.argument_error(
                WHO, f"the model has no such signature; it has {_listed(signatures) or 'none'}",
                f"Use signature={_first(signatures)!r}" if signatures else "Leave `signature` out",
                handle=self.handle, signature=signature,
            )  # fmt: skip
        if signature is None:
            for function in (getattr(self.loaded, name, None) for name in ("__call__", "serve")):
                if getattr(function, "concrete_functions", None):
                    parameters = inspect.signature(function).parameters
                    self._function, self._arguments = function, tuple(parameters)
                    self._optional = [name for name, one in parameters.items() if one.default is not one.empty]
                    forms = function.concrete_functions
                    self._concrete = [form for form in forms if not _for_training(form, self._arguments)] or forms
                    return
            signature = "serving_default"
            if signature not in signatures:
                rule = "the model cannot be called" + (
                    f', and of its signatures {_listed(signatures)} none is "serving_default"' if signatures else ""
                )
                remedy = f"Use signature={_first(signatures)!r}" if signatures else "Take a TF2 SavedModel"
                raise _checks.argument_error(WHO, rule, remedy, handle=self.handle)
        self._function = signatures[signature]
        self._concrete = [self._function]

    def _read_input(self, size, facts):
        """Check that the model takes one batch of images; settle their size."""
        args, kwargs = self._concrete[0].structured_input_signature
        named = dict(zip(self._arguments, args, strict=False)) | kwargs
        specs = {name: _specs(value) for name, value in named.items() if _specs(value)}
        needed = [name for name in specs if name not in self._optional]
        taken = _listed(f"{name}: {_shape(spec)} {spec.dtype.name}" for name in needed for spec in specs[name])
        spec = specs[needed[0]][0] if len(needed) == 1 and len(specs[needed[0]]) == 1 else None
        shape = spec.shape.as_list() if spec is not None and spec.shape.rank == 4 else None
        if shape is None or not spec.dtype.is_floating or shape[3] is None:
            self._refuse(f"the model takes {taken or 'no tensor'}, not one batch of float images (n, h, w, channels)")
        if shape[0] is not None:
            self._refuse(f"the model takes batches of {shape[0]} image{'s' * (shape[0] > 1)} only ({taken})")
        self._dtype, self.channels = spec.dtype, shape[3]
        self._place = {needed[0]: named[needed[0]]}
        own = tuple(shape[1:3])
        wanted = size or facts.size
        if size and any(side not in (None, given) for side, given in zip(own, size, strict=True)):
            raise _checks.argument_error(
                WHO, f"the model takes images of {_times(own)} pixels only", f"Use size={own} or leave it out",
                handle=self.handle, size=size,
            )  # fmt: skip
        if None not in own:
            wanted = own
        elif own != (None, None):
            self._refuse(f"the model fixes one side of the images only ({taken})")
        self.size = wanted

    def _read_variables(self):
        """List what the function reads, in the order in which it does."""
        found = {}
        for function in self._concrete:
            found.update({id(v): v for v in function.variables})
        self.variables = list(found.values())
        listed = getattr(self.loaded, "trainable_variables", None)  # none in a SavedModel with signatures only
        listed = {id(v) for v in (self.variables if listed is None else listed)}
        self.learned = [bool(v.trainable) and id(v) in listed for v in self.variables]
        self.names = [v.name.split(":")[0] for v in self.variables]
        self.stage_of = _stages_by_name(self.names)
        self._note_stages()

    def _one_output(self, y):
        """Return the one tensor asked for."""
        entries = {None: y}
        if hasattr(y, "items"):
            entries = dict(sorted(y.items()))  # a signature's come in any order
        elif isinstance(y, (list, tuple)):
            entries = dict(enumerate(y))
        if self.output is None and len(entries) == 1:
            return next(iter(entries.values()))
        if self.output in entries:
            return entries[self.output]
        rule, remedy = "the model gives a single tensor, without a name", "Leave `output` out"
        if None not in entries:
            rule = f"the model has {len(entries)} output{'s' * (len(entries) > 1)}: {_listed(entries)}"
            remedy = f"Use for example output={next(reversed(entries))!r}"
        raise _checks.argument_error(WHO, rule, remedy, handle=self.handle, output=self.output)

    def _try(self):
        """Call the model with one black image; return the number of features."""
        height, width = self.size or (TRIAL_SIZE, TRIAL_SIZE)
        try:
            y = self.call(tf.zeros((1, height, width, self.channels)))
        except (tf.errors.OpError, TypeError, LookupError, AttributeError) as error:
            raise ModelError(
                f"{WHO}: the model fails on a black image of {height}×{width}×{self.channels} (handle="
                f"{str(self.handle)!r}): {_first_line(error)}. Another size=(h, w) or signature= may suit it; else it "
                "is damaged or made for another TensorFlow."
            ) from error
        shape = getattr(y, "shape", None)
        if shape is None or len(shape) != 2 or shape[0] != 1 or not y.dtype.is_floating:
            self._refuse(f"the model gives {_shape(y)} for one image, not one row of features")
        return int(shape[1])

    def _refuse(self, rule):
        raise _checks.argument_error(
            WHO, rule, "Take an image feature vector model, or another signature=… or output=… of this one",
            handle=self.handle,
        )  # fmt: skip


class KerasBackbone(Backbone):
    """A network of keras.applications, averaged over positions at its end."""

    loaded, has_training = None, True

    def __init__(self, handle, size, weights):
        build, more, own_size = keras_network(handle)
        self.size, self.channels, self.value_range = size or own_size, 3, (0, 255)
        self._preprocess = sys.modules[build.__module__].preprocess_input
        self.network = _build(
            handle, build, weights, input_shape=(*self.size, 3), include_top=False, pooling="avg", **more
        )
        layers = [[type(layer).__name__, [list(v.shape) for v in layer.weights]] for layer in self.network.layers]
        self.identity = hashlib.sha256(json.dumps([build.__name__, layers]).encode()).hexdigest()
        self.features = self.network.output_shape[-1]
        self.variables = self.network.weights
        self.learned = [v.trainable for v in self.variables]
        self.names = [v.path for v in self.variables]
        self.stage_of_layer = _stages_by_size(self.network)
        layers = zip(self.network.layers, self.stage_of_layer, strict=True)
        stage = {id(v): name for layer, name in layers for v in layer.weights}
        self.stage_of = [stage.get(id(v)) for v in self.variables]
        self._note_stages()

    def call(self, images, training=False):
        return self.network(self._preprocess(images), training=training)


def keras_network(handle):
    """Return (function of keras.applications, its further arguments, size of its images) for a "keras:…" handle."""
    name = handle.removeprefix("keras:")
    known = {_squeezed(n): n for n in dir(keras.applications) if callable(getattr(keras.applications, n))}
    base, multiplier, size = re.fullmatch(r"(.*?)(?:_(\d{3})_(\d{2,3}))?", name).groups()
    if _squeezed(base) not in known:
        raise _checks.argument_error(
            WHO, f"`handle` must name a network of keras.applications after \"keras:\": {_listed(known.values())}",
            'Use for example handle="keras:mobilenet_v2"; capitals and underscores do not matter', handle=handle,
        )  # fmt: skip
    more = {}
    if multiplier:
        if not _squeezed(base).startswith("mobilenet"):
            raise _checks.argument_error(
                WHO, "only MobileNets have a multiplier and a size in their name",
                f'Use handle="keras:{base}", size={size}', handle=handle,
            )  # fmt: skip
        more["alpha"] = int(multiplier) / 100
    side = int(size) if size else OTHER_SIZES.get(_squeezed(base), 224)
    return getattr(keras.applications, known[_squeezed(base)]), more, (side, side)


def graph_identity(folder):
    """Return the sha256 of a SavedModel's graph and assets, whatever its weights are."""
    digest = hashlib.sha256()
    files = [path for path in (folder / "assets").rglob("*") if path.is_file()] if (folder / "assets").is_dir() else []
    for path in sorted([folder / "saved_model.pb", *files]):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _facts(folder, handle):
    """Gather what the table of known models or a model.json beside the graph says."""
    entry = handles.known(handle) if isinstance(handle, str) else None
    if entry is not None:
        return Facts(_pair(entry.size), tuple(entry.value_range))
    try:
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        size, value_range = card.get("size"), card.get("value_range")
        return Facts(_pair(size) if size else None, tuple(map(float, value_range)) if value_range else None)
    except FileNotFoundError:
        return Facts()
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{WHO}: {folder / 'model.json'} cannot be read: {_first_line(error)}. Mend or remove it; it may hold "
            '{"size": 32, "value_range": [0, 1]}.'
        ) from error


def _load(folder, handle):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tf.saved_model.load(str(folder))
    except Exception as error:  # a damaged file fails in any way
        if "MetaGraph" in str(error):
            raise ModelError(
                f"{WHO}: {str(handle)!r} is a module of TF1 Hub, in {folder}. Take a TF2 version of the model: its "
                "address often ends in a higher number."
            ) from error
        again = "delete that folder and try again" if handles.kind(handle) == "address" else "copy or export it again"
        raise ModelError(
            f"{WHO}: the SavedModel in {folder} cannot be read (handle={str(handle)!r}): {_first_line(error)}. It is "
            f"damaged, or not in TensorFlow 2's format: {again}."
        ) from error


def _build(handle, build, weights, **settings):
    """Build a network of keras.applications in float32, whatever the policy is; its weights are downloaded once."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        return build(weights=weights, **settings)
    except ValueError as error:
        raise _checks.argument_error(
            WHO, f"keras.applications refuses: {_first_line(error).rstrip('.')}",
            "Choose among what it names; weights=None starts from random numbers", handle=handle, weights=weights,
        ) from error  # fmt: skip
    except Exception as error:  # get_file raises a plain Exception without a network
        raise ModelError(
            f"{WHO}: the weights of {handle!r} are neither in Keras's cache nor to be downloaded: {_first_line(error)}"
            '. Call it once with a network, or use the extractor that comes with the course, handle="bundled".'
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)


def _stages_by_name(names):
    """Name the stage of each variable: the first part of its name; of "stage1_block1_1_conv/kernel" it is "stage1"."""
    parts = [name.split("/") for name in names]
    while parts and min(map(len, parts)) > 2 and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    if not parts or min(map(len, parts)) < 2:
        return [None] * len(names)
    return [re.match(r"[^_\d]+\d+(?=_)|.*", part[0]).group() for part in parts]


def _stages_by_size(network):
    """Return the stage of each layer: a new one begins where the picture is halved."""
    number, side, stages = 1, None, []
    for layer in network.layers:
        shape = layer.output.shape
        if len(shape) == 4 and (side or layer.weights):
            if side is not None and shape[1] <= 0.6 * side:
                number, side = number + 1, None
            side = side or shape[1]
        stages.append(f"stage{number}")
    return stages


def _first(signatures):
    return "serving_default" if "serving_default" in signatures else next(iter(signatures))


def _specs(structure):
    """List the tensors that an argument of a traced function stands for."""
    return [spec for spec in tf.nest.flatten(structure) if isinstance(spec, tf.TensorSpec)]


def _for_training(form, names):
    """Whether a traced form of the function is the one for training=True."""
    args, kwargs = form.structured_input_signature
    return {**dict(zip(names, args, strict=False)), **kwargs}.get("training") is True


def _pair(size):
    return (int(size), int(size)) if not isinstance(size, (tuple, list)) else tuple(int(side) for side in size)


def _squeezed(name):
    return name.lower().replace("_", "").replace("-", "")


def _listed(names):
    return ", ".join(str(name) for name in names)


def _shape(tensor):
    shape = getattr(tensor, "shape", None)
    return type(tensor).__name__ if shape is None else str(tuple(shape))


def _times(sides):
    return "×".join("any" if side is None else str(side) for side in sides)


def _first_line(error):
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
