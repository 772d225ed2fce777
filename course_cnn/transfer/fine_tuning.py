"""From a new head on frozen features to all weights: how far to go with so many labelled images, and going there."""

import math
from dataclasses import dataclass

from course_cnn import _checks, training
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.transfer import freezing

FEW, MANY = 10, 100  # images per class: below FEW only the head trains, from MANY on all weights


@dataclass(frozen=True)
class Phase:
    """One part of a fine-tuning: what trains, how long and how fast.

    Attributes:
        stages: 0 for the head alone; int >= 1 for so many last stages and the head; "all"; or a tuple of their names.
        epochs: int >= 1, passes over the training images.
        learning_rate: float > 0, or what else `training.fit` takes, such as ("cosine", 0.001).
        why: str, the reason, for the reader.

    Raises:
        ValueError: an argument is out of its range.
    """

    stages: int | str | tuple
    epochs: int
    learning_rate: float
    why: str = ""

    def __post_init__(self):
        _checks.integer("Phase", "epochs", self.epochs, minimum=1)
        named = isinstance(self.stages, (tuple, list)) and all(isinstance(name, str) for name in self.stages)
        counted = isinstance(self.stages, int) and not isinstance(self.stages, bool) and self.stages >= 0
        if not (named or counted or self.stages == "all"):
            raise _checks.argument_error(
                "Phase", '`stages` must be a number of last stages, "all", or a tuple of names of stages',
                "Use stages=0 for the head alone", stages=self.stages,
            )  # fmt: skip
        if isinstance(self.learning_rate, (int, float)):
            _checks.positive("Phase", "learning_rate", self.learning_rate, 0.001)


def plan(num_images, num_classes, *, batch_size=16):
    """Say how far to fine-tune a pretrained network with so many labelled images, in which steps.

    Always the head first, the body frozen: a head of random weights would send large and meaningless gradients into
    the body. From 10 images per class on the last stage follows, from 100 on all stages, each with a tenth of the
    learning rate before. These two borders, the rates and the epochs are this course's own choice, made for Adam and a
    new task that is somewhat like the old one; the sources say which way to go, and not where the borders are. The
    lower one is on the safe side: with the extractor of the course, made for photographs of things, training all
    weights on 5 images per class (after the head, at a rate of 0.0001) gained ten points on `digits` and on `shapes`,
    and nothing on `faces` (lecture 19, over 5 seeds). Try both on images held back.

    Args:
        num_images: int >= num_classes, labelled training images.
        num_classes: int >= 2.
        batch_size: int >= 1, images per step; the fewer the steps of an epoch, the more epochs.

    Returns:
        tuple of `Phase(stages, epochs, learning_rate, why)`, for `fine_tune`.

    Raises:
        ValueError: an argument is out of its range; there is less than one image per class.

    Example:
        >>> [(phase.stages, phase.learning_rate) for phase in plan(15, 3)]          # 5 per class
        [(0, 0.01)]
        >>> [(phase.stages, phase.learning_rate) for phase in plan(3000, 10)]       # 300 per class
        [(0, 0.01), (1, 0.001), ('all', 0.0001)]

    Source: Kumar et al., "Fine-tuning can distort pretrained features and underperform out-of-distribution", 2022 (head
    first, then all weights); CS231n notes, "Transfer learning" (few images: only a linear classifier; small learning
    rates); Yosinski et al., "How transferable are features in deep neural networks?", 2014 (early stages are general).
    """
    num_classes = _checks.integer("plan", "num_classes", num_classes, minimum=2)
    num_images = _checks.integer("plan", "num_images", num_images, minimum=1)
    batch_size = _checks.integer("plan", "batch_size", batch_size, minimum=1)
    if num_images < num_classes:
        raise _checks.argument_error(
            "plan", "there must be at least one image per class", f"Label {num_classes} images or more, of each class",
            num_images=num_images, num_classes=num_classes,
        )  # fmt: skip

    def epochs(steps):
        return min(max(5, math.ceil(steps / math.ceil(num_images / batch_size))), 50)

    each = num_images / num_classes
    text = f"{each:.3g} images per class"
    last = Phase(1, epochs(150), 0.001, f"{text}: enough to fit the last stage, the most particular one, to the task")
    everything = Phase("all", epochs(150), 0.0001, f"{text}: enough to fit all weights, in small steps")
    head = "the head is new, and must fit the features before anything else moves"
    if each < FEW:
        head = f"{text} are too few to change more than the head"
    phases = (Phase(0, epochs(400), 0.01, head), last, everything)
    return phases[: 1 + (each >= FEW) + (each >= MANY)]


def fine_tune(model, dataset, phases=None, *, train_statistics=False, **settings):
    """Train a model with a pretrained body phase by phase: freeze, thaw what the phase says, and fit.

    A phase starts with a new optimiser, where the one before left the weights. While only the head trains, the frozen
    body still computes every image in every epoch; `cache_features` saves that.

    Args:
        model: as for `stages`; ends in logits, one per class of the dataset (`replace_head`).
        dataset: as for `training.fit`.
        phases: sequence of `Phase`, or None for `plan(…)` by the number of training images and of logits.
        train_statistics: as for `unfreeze`.
        **settings: those of `training.fit`, except epochs and learning_rate, which the phases have. With a fraction for
            `validation` also a seed, so that every phase holds back the same images.

    Returns:
        list of `training.Record`, one per phase. If the training was interrupted, the one it happened in is the last.

    Raises:
        ValueError: as for `training.fit` and `unfreeze`; before any training starts.

    Example:
        >>> from types import SimpleNamespace
        >>> from course_cnn import zoo
        >>> x, y = np.random.default_rng(0).random((6, 8, 8, 1), "float32"), np.arange(6) % 2
        >>> model = zoo.build_cifar_resnet(8, input_shape=(8, 8, 1), num_classes=2, width=0.25)
        >>> few = SimpleNamespace(x_train=x, y_train=y)
        >>> fine_tune(model, few, [Phase(0, 2, 0.01), Phase(1, 1, 0.001)], validation=None)  # doctest: +ELLIPSIS
        [Record: 2 epochs, training accuracy ..., Record: 1 epoch, training accuracy ...]

    Source: as for `plan`.
    """
    function = "fine_tune"
    _check_settings(function, settings)
    if phases is None:
        phases = _default_phases(function, model, dataset, settings)
    phases = list(phases) if isinstance(phases, (list, tuple)) else [phases]
    if not phases or not all(isinstance(phase, Phase) for phase in phases):
        raise _checks.argument_error(
            function, "`phases` must be Phase objects, at least one, or None",
            "Use plan(num_images, num_classes), or for example [Phase(0, epochs=5, learning_rate=0.01)]", phases=phases,
        )  # fmt: skip
    for phase in reversed(phases):  # ends with the first; what cannot be thawed is refused before anything is trained
        _thaw(model, phase, train_statistics)
    records = []
    for phase in phases:
        _thaw(model, phase, train_statistics)
        rate = phase.learning_rate
        records.append(training.fit(model, dataset, epochs=phase.epochs, learning_rate=rate, **settings))
        if records[-1].interrupted:
            break
    return records


def _default_phases(function, model, dataset, settings):
    freezing.stages(model)  # refuses what has no graph
    if not hasattr(dataset, "x_train"):
        raise _checks.argument_error(
            function, "`dataset` must have x_train and y_train", "Pass what datasets.load returns",
            **{"type(dataset)": type(dataset).__name__},
        )  # fmt: skip
    return plan(len(dataset.x_train), model.output_shape[-1], batch_size=settings.get("batch_size", 16))


def _thaw(model, phase, train_statistics):
    freezing.freeze(model)
    if phase.stages:
        freezing.unfreeze(model, phase.stages, train_statistics=train_statistics)


def _check_settings(function, settings):
    for name in ("epochs", "learning_rate"):
        if name in settings:
            raise _checks.argument_error(
                function, f"the phases have their own `{name}`", "Use phases=[Phase(0, epochs=5, learning_rate=0.01)]",
                **{name: settings[name]},
            )  # fmt: skip
    if isinstance(settings.get("optimizer"), keras.optimizers.Optimizer):
        raise _checks.argument_error(
            function, "an optimizer object cannot serve several phases, each of which trains other weights",
            f'Use its name: optimizer="{type(settings["optimizer"]).__name__.lower()}"',
        )  # fmt: skip
    if isinstance(settings.get("validation"), float) and settings.get("seed") is None:
        raise _checks.argument_error(
            function, "a fraction for `validation` needs a `seed`, or each phase would judge by images that another "
            "trained on", "Use seed=0", validation=settings["validation"],
        )  # fmt: skip
