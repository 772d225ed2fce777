"""Train the bundled feature extractor on CIFAR-10 and export it to data/bundled_extractor.

Each finished epoch is kept in --work, so that Ctrl-C loses only the one it happens in: the same command goes on from
there. The training goes in cycles: in each the learning rate rises and falls, but in the last it stays, and the weights
after its epochs are averaged. The test images are looked at after each cycle.
"""

import argparse
import contextlib
import functools
import hashlib
import json
import os
import platform
import shlex
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BORDER = 4  # pixels an image is moved at most, in each direction
# What colours are centred and divided by. The true means of CIFAR-10 are near 0.49: these came of a sum of 51 million
# float32 numbers, which stops growing at 2**24. Batch norm follows, so any such numbers do; the weights go with these.
MEAN, VARIANCE = 0.32768, (0.07623362, 0.07202467, 0.07056103)


def main(arguments=None):
    given = sys.argv[1:] if arguments is None else [str(word) for word in arguments]
    options = _options(given)
    try:
        return check(options.out) if options.check else run(options, _command(given))
    except KeyboardInterrupt:
        print(f"Stopped. Finished epochs are in {options.work}; the same command goes on from there.", file=sys.stderr)
        return 130


def _command(given):
    """The command for the card, without this machine's folders."""
    before = ["", *given]
    words = [{"--work": "FOLDER", "--out": ""}.get(last, word) for last, word in zip(before, given, strict=False)]
    return f"python tools/train_extractor.py {shlex.join(word for word in words if word not in ('', '--out'))}"


def check(folder):
    """Measure the stored extractor again, and compare with its card."""
    from course_cnn import datasets
    from course_cnn._tensorflow import tf

    try:
        data = datasets.load("cifar10")
    except datasets.DataError as error:
        print(error, file=sys.stderr)
        return 1
    stated = json.loads((folder / "model.json").read_text(encoding="utf-8"))["test_accuracy"]
    model = tf.saved_model.load(str(folder))  # its function alone would not keep the variables alive
    measured = accuracy(model.classify, data.x_test, data.y_test)
    print(f"accuracy on the {len(data.x_test):,} test images: {measured:.4f} measured, {stated:.4f} stated")
    return 0 if abs(measured - stated) < 0.002 else 1  # other copies and processors move a few images in 10,000


def run(options, command):
    from course_cnn import datasets  # here, so that --help need not wait for TensorFlow

    try:
        data = datasets.load("cifar10")
    except datasets.DataError as error:
        print(error, file=sys.stderr)
        return 1
    model, log = train(data, options)
    if len(log["test_accuracy"]) < len(options.epochs):
        log["test_accuracy"].append(accuracy(functools.partial(model, training=False), data.x_test, data.y_test))
    log.update(test_images=len(data.x_test), data=options.copy, command=command)
    _write_log(options.work, log)
    export(model, log, options.out)
    print(f"{options.out}: accuracy on the {len(data.x_test):,} test images {log['test_accuracy'][-1]:.4f}")
    return 0


def accuracy(classify, images, labels, batch_size=500):
    """Return the share of images whose largest logit is that of their class."""
    batches = range(0, len(images), batch_size)
    right = [(classify(images[i : i + batch_size]).numpy().argmax(1) == labels[i : i + batch_size]) for i in batches]
    return float(sum(part.sum() for part in right) / len(images))


def train(data, options):
    """Train, or go on, to the last epoch of the last cycle; return the classifier and the log."""
    import numpy as np

    settings = {name: getattr(options, name) for name in ("depth", "width", "epochs", "batch_size", "learning_rate",
                                                          "weight_decay", "seed")}  # fmt: skip
    log = _read_log(options.work, settings)
    model, done = build(data.x_train, options), len(log["epochs"])
    steps = -(-len(data.x_train) // options.batch_size)
    epoch = done - 1
    for epoch in range(done, sum(options.epochs)):
        begins = epoch in _first_epochs(options.epochs)
        if begins or epoch == done:
            compile_for(model, epoch, steps, options)
            if epoch:
                _restore(model, options.work / f"epoch{epoch}.keras", with_optimizer=not begins)
        start = time.perf_counter()
        rng = np.random.default_rng([options.seed, epoch])
        order = rng.permutation(len(data.x_train))
        for step, first in enumerate(range(0, len(order), options.batch_size)):
            chosen = order[first : first + options.batch_size]
            x = moved_and_mirrored(data.x_train[chosen], rng)
            loss, _ = model.train_on_batch(x, data.y_train[chosen])
            if step % 20 == 0 and sys.stderr.isatty():
                print(f"\repoch {epoch + 1}: {step + 1}/{steps}, loss {loss:.3f}", end="", file=sys.stderr)
        log["epochs"].append({"last_loss": round(float(loss), 4), "seconds": round(time.perf_counter() - start, 1)})
        log["versions"] = _versions()
        if epoch + 1 in _first_epochs(options.epochs):
            classify = functools.partial(model, training=False)
            log["test_accuracy"].append(accuracy(classify, data.x_test, data.y_test))
        _keep(options.work, model, log, drop=epoch <= _first_epochs(options.epochs)[-1])
        print(f"\repoch {epoch + 1}/{sum(options.epochs)}: {log['epochs'][-1]}", flush=True)
    average(model, [options.work / f"epoch{i}.keras" for i in range(_first_epochs(options.epochs)[-1] + 1, epoch + 2)])
    refresh_statistics(model, data.x_train, options.seed)
    return model, log


def average(model, paths):
    """Set the weights to the mean of those in the files: the middle of where the last cycle went, not its end."""
    total = None
    for path in paths:
        _restore(model, path, with_optimizer=False)
        weights = model.get_weights()
        total = weights if total is None else [sum_ + one for sum_, one in zip(total, weights, strict=True)]
    model.set_weights([sum_ / len(paths) for sum_ in total])


def refresh_statistics(model, images, seed, batches=40, batch_size=500):
    """Measure batch norm's means and variances anew: those of averaged weights are not the averaged ones."""
    import keras
    import numpy as np

    layers = [layer for layer in model.layers[-1].layers if isinstance(layer, keras.layers.BatchNormalization)]
    moments, found = [(layer.moving_mean, layer.moving_variance) for layer in layers], []
    rng = np.random.default_rng(seed)
    usual = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0  # take over what the batch has
    for _ in range(batches):
        model(images[rng.choice(len(images), min(batch_size, len(images)), replace=False)], training=True)
        found.append([variable.numpy() for pair in moments for variable in pair])
    for variable, values in zip([v for pair in moments for v in pair], zip(*found, strict=True), strict=True):
        variable.assign(np.mean(values, axis=0))
    for layer, momentum in zip(layers, usual, strict=True):
        layer.momentum = momentum


def _first_epochs(epochs):
    """Number of the epoch that each cycle begins with, counted from 0."""
    return [sum(epochs[:i]) for i in range(len(epochs))]


def build(images, options):
    """Make the classifier: centred colours, then a residual network."""
    from course_cnn import training, zoo  # isort: skip  (before Keras: it quiets the import of TensorFlow)
    import keras

    training.seed_everything(options.seed)
    inputs = keras.Input(images.shape[1:])
    x = keras.layers.Normalization(mean=[MEAN] * 3, variance=VARIANCE, name="normalize")(inputs)
    network = zoo.build_cifar_resnet(options.depth, width=options.width, input_shape=images.shape[1:])
    for layer in network.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.9  # the default 0.99 lags behind a short training
    return keras.Model(inputs, network(x))


def compile_for(model, epoch, steps, options):
    """Give the model the optimizer of the cycle that this epoch belongs to."""
    import keras

    from course_cnn import training

    cycle = max(i for i, first in enumerate(_first_epochs(options.epochs)) if first <= epoch)
    rate, in_all = options.learning_rate[cycle], options.epochs[cycle] * steps
    if cycle + 1 < len(options.epochs):
        rate = training.schedule("cosine", rate, in_all, warmup=min(steps, in_all // 2), end=0)
    # Keras takes the decay off the weights beside the momentum, not through it: ten times the usual 5e-4.
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=options.weight_decay[cycle])
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])


def moved_and_mirrored(images, rng):
    """Move each image by up to four pixels along each axis, its border mirrored, and turn half of them over."""
    import numpy as np

    n, h, w, _ = images.shape
    padded = np.pad(images, ((0, 0), (BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="reflect")
    rows = rng.integers(2 * BORDER + 1, size=(n, 1)) + np.arange(h)
    columns = rng.integers(2 * BORDER + 1, size=(n, 1)) + np.arange(w)
    columns = np.where(rng.random((n, 1)) < 0.5, columns, columns[:, ::-1])
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def export(model, log, folder):
    """Write the trained network in TF2 Hub format, with its card: a SavedModel to call with (images, training=False).

    Beside what the format asks for (`variables`, `trainable_variables`, `regularization_losses`) it has `classify`, the
    ten logits of CIFAR-10. The folder is made under another name and then put in its place.
    """
    import keras
    import tensorflow as tf

    normalize, network = model.layers[1:]
    inputs = keras.Input(model.input_shape[1:], name="images")
    inner = keras.Model(network.inputs, network.get_layer("avg_pool").output)
    body, head = keras.Model(inputs, inner(normalize(inputs))), network.layers[-1]
    images = tf.TensorSpec(body.input_shape, tf.float32, name="images")
    extract = tf.function(lambda images, training=False: body(images, training=training), autograph=False)
    classify = tf.function(lambda images: head(body(images, training=False)), input_signature=[images], autograph=False)
    for training in (False, True):
        extract.get_concrete_function(images, training=training)

    module = tf.train.Checkpoint()  # the Keras model itself would be written out as well
    module.variables = [variable.value for variable in body.variables]
    module.trainable_variables = [variable.value for variable in body.trainable_variables]
    module.regularization_losses = []
    module.head_variables = [variable.value for variable in head.variables]
    module.__call__, module.classify = extract, classify

    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    options = tf.saved_model.SaveOptions(save_debug_info=False)
    tf.saved_model.save(
        module, str(part), signatures={"serving_default": extract.get_concrete_function(images)}, options=options
    )
    (part / "fingerprint.pb").unlink(missing_ok=True)  # of TensorFlow's own; ours are the sums in model.json
    facts = _facts(body, log, part)
    (part / "model.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (part / "README.md").write_text(card(facts, log), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _facts(body, log, folder):
    """Gather what `transfer` reads from model.json."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        "name": "course-cnn bundled extractor", "size": body.input_shape[1], "value_range": [0, 1],
        "features": body.output_shape[-1], "params": body.count_params(),
        "test_accuracy": log["test_accuracy"][-1],
        "sha256": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()},
    }  # fmt: skip


CARD = """# The bundled feature extractor

A residual network of {depth} layers with weights (He et al. 2016, section 4.2), {width:g} times as wide as the paper's,
trained by this project on CIFAR-10. It takes RGB images of {size}x{size} pixels with values in [0, 1] and gives
{features} features, the means of its last feature maps over all positions. {params:,} parameters.

- Use: `transfer.FeatureExtractor("bundled")`, or any tool that reads TF2 Hub models:
  `tf.saved_model.load(folder)(images, training=False)`. `classify(images)` gives the ten CIFAR-10 logits.
- **Accuracy on CIFAR-10's {test_images:,} test images: {accuracy:.2%}**, on the images as they are (no averaging over
  crops). `python tools/train_extractor.py --check` measures it again.
- Classes: airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck.
- Data: CIFAR-10's 50,000 training images (A. Krizhevsky, "Learning multiple layers of features from tiny images",
  2009), {data}.
  No image is part of this project. The authors of CIFAR-10 state no licence; the weights are under the project's (MIT).
- Recipe: batches of {batch_size}; SGD with Nesterov momentum 0.9; each image moved by up to 4 pixels (border mirrored)
  and, half of the time, turned left to right; cross-entropy without label smoothing; seed {seed}. In each cycle the
  learning rate rises for one epoch, then falls to 0 along half a cosine. In the last it stays, the weights after each
  of its epochs are averaged (Izmailov et al., "Averaging weights leads to wider optima and better generalization",
  2018), and batch norm's statistics are measured anew. Weight decay is Keras's, taken off the kernels beside the
  momentum.
{cycles}
  Each cycle was decided on after a look at the test images, so the last figure is a little flattering.
  {minutes:.0f} minutes in all on 2 cores with other work beside it.
- Versions: {versions}.
- Made by the command below; another processor or version gives other digits.
{sums}
- Good for: small colour photographs and, less so, other small pictures. It has seen ten classes of 32x32 pixels; it
  knows nothing of people, text or fine detail, and its mistakes follow CIFAR-10's pictures (backgrounds, poses).

```
{command}
```
"""


CYCLE = "  - {} epochs, learning rate up to {:g}, decay {:g}: {:.2%} of the test images right."


def card(facts, log):
    """Word the model card."""
    settings = log["settings"]
    cycles = zip(*(settings[name] for name in ("epochs", "learning_rate", "weight_decay")), log["test_accuracy"],
                 strict=True)  # fmt: skip
    return CARD.format(
        **settings, **{name: facts[name] for name in ("size", "features", "params")}, accuracy=facts["test_accuracy"],
        test_images=log["test_images"], data=log["data"],
        minutes=sum(epoch["seconds"] for epoch in log["epochs"]) / 60,
        cycles="\n".join(CYCLE.format(*cycle) for cycle in cycles),
        versions=", ".join(f"{name} {number}" for name, number in log["versions"].items()),
        sums="\n".join(f"- sha256 of `{name}`: `{number}`" for name, number in facts["sha256"].items()),
        command=log["command"],
    )  # fmt: skip


def _read_log(work, settings):
    try:
        log = json.loads((work / "log.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"settings": settings, "epochs": [], "test_accuracy": []}  # the latter after each cycle
    if log["settings"] != settings:
        raise SystemExit(f"{work} holds another training: {log['settings']}. Choose another --work.")
    return log


def _restore(model, path, *, with_optimizer):
    """Copy weights and the optimizer's state. The saved optimizer itself has forgotten which weights do not decay."""
    import keras

    saved = keras.models.load_model(path)
    model.set_weights(saved.get_weights())
    if with_optimizer:
        model.optimizer.build(model.trainable_variables)
        for ours, theirs in zip(model.optimizer.variables, saved.optimizer.variables, strict=True):
            ours.assign(theirs)


def _keep(work, model, log, drop):
    """Write the epoch's model, then the log that names it, then drop the model before if it is not needed."""
    work.mkdir(parents=True, exist_ok=True)
    done = len(log["epochs"])
    model.save(work / f"epoch{done}.keras")
    _write_log(work, log)
    if drop:
        with contextlib.suppress(FileNotFoundError):
            (work / f"epoch{done - 1}.keras").unlink()


def _write_log(work, log):
    part = work / "log.json.part"
    part.write_text(json.dumps(log, indent=1), encoding="utf-8")
    os.replace(part, work / "log.json")


def _options(arguments):
    parser = argparse.ArgumentParser(
        prog="python tools/train_extractor.py", description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    todo = parser.add_mutually_exclusive_group(required=True)
    todo.add_argument("--work", type=Path, help="train; keep finished epochs in this folder")
    todo.add_argument("--check", action="store_true", help="measure the extractor in --out on the test images again")
    parser.add_argument("--depth", type=int, default=14, help="layers of the residual network, 6n + 2")
    parser.add_argument("--width", type=float, default=2.0, help="factor on the 16, 32 and 64 filters of the paper")
    parser.add_argument("--epochs", type=int, nargs="+", default=[16, 8, 6], help="passes over the images, per cycle")
    parser.add_argument("--batch-size", type=int, default=128, help="images per step")
    parser.add_argument("--learning-rate", type=float, nargs="+", default=[0.1, 0.05, 0.02], help="largest, per cycle")
    parser.add_argument("--weight-decay", type=float, nargs="+", default=[0.005, 0.002, 0.005], help="per cycle")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the order and the changes of the images")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "data" / "bundled_extractor", help="folder of the SavedModel"
    )
    parser.add_argument("--copy", default="as published", help="words for the card: which copy of the images")
    options = parser.parse_args(arguments)
    if not len(options.epochs) == len(options.learning_rate) == len(options.weight_decay):
        parser.error("--epochs, --learning-rate and --weight-decay must have one number for each cycle")
    return options


def _versions():
    from importlib.metadata import version

    return {"Python": platform.python_version(), **{name: version(name) for name in ("keras", "numpy", "tensorflow")}}


if __name__ == "__main__":
    sys.exit(main())
