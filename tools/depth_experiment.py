"""Train plain and residual networks of growing depth and store every learning curve.

Lecture 18 shows such files beside its own short measurement. Each finished training is written at once, so that Ctrl-C
loses only the one it happens in: the same command goes on from there, and more depths or seeds can be added later.
"""

import argparse
import contextlib
import json
import os
import platform
import shlex
import sys
import tempfile
from pathlib import Path

KINDS = ("plain", "residual")
FREE = ("depths", "seeds", "kinds")  # may grow from call to call; everything else must stay


def main(arguments=None):
    given = sys.argv[1:] if arguments is None else [str(word) for word in arguments]
    options = _options(given)
    try:
        return _measure(options, f"python tools/depth_experiment.py {shlex.join(given)}")
    except KeyboardInterrupt:
        kept = f"What was finished is in {options.out}" if options.out.exists() else "Nothing was finished yet"
        print(f"Stopped. {kept}; the same command goes on from there.", file=sys.stderr)
        return 130


def _measure(options, command):
    from course_cnn import datasets, training  # here, so that --help need not wait for TensorFlow

    settings = {key: value for key, value in vars(options).items() if key not in (*FREE, "out")}
    record = _resume(options.out, settings)
    try:
        data = _some(datasets.load(options.data, **_size(options)), options.images)
    except (datasets.DataError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    record.update(
        commands=[*record["commands"], *([] if command in record["commands"] else [command])], versions=_versions(),
        data={"train": len(data.x_train), "test": len(data.x_test), "shape": data.x_train.shape[1:]},
    )  # fmt: skip
    runs = record["runs"]
    done = {(run["kind"], run["depth"], run["seed"]) for run in runs}
    missing = [
        (kind, depth, seeds)
        for depth in options.depths
        for kind in options.kinds
        if (seeds := [seed for seed in range(options.seeds) if (kind, depth, seed) not in done])
    ]
    total = len(done) + sum(len(seeds) for _, _, seeds in missing)
    for kind, depth, seeds in missing:

        def keep(result, kind=kind, depth=depth):
            if result.interrupted:
                raise KeyboardInterrupt
            runs.append({"kind": kind, "depth": depth, "seed": result.seed, "params": result.params,
                         "seconds": round(result.seconds, 1), **_rounded(result.history)})  # fmt: skip
            write(options.out, record)
            print(f"[{len(runs)}/{total}] {kind} {depth} layers, seed {result.seed}: {_ends(result)}", flush=True)

        training.fit_seeds(
            _builder(kind, depth, data, options.width), data, seeds=seeds, each=keep, **_how(options, data)
        )
    write(options.out, record)
    return 0


def _builder(kind, depth, data, width):
    from course_cnn import zoo

    build = {"plain": zoo.build_cifar_plain, "residual": zoo.build_cifar_resnet}[kind]
    shape, classes = data.x_train.shape[1:], len(data.class_names)
    return lambda: build(depth, input_shape=shape, num_classes=classes, width=width)


def _how(options, data):
    """Turn the options into those of `training.fit`."""
    import keras

    from course_cnn import training

    rate, steps = options.learning_rate, options.epochs * -(-len(data.x_train) // options.batch_size)
    if options.schedule != "constant":
        rate = training.schedule(options.schedule, rate, steps)
    return {
        "epochs": options.epochs, "batch_size": options.batch_size,
        "optimizer": keras.optimizers.SGD(rate, momentum=0.9),
    }  # fmt: skip


def _size(options):
    return {"size": options.size} if options.size else {}


def _some(data, images):
    """Draw so many of the training images, always the same; 0 keeps all."""
    from dataclasses import replace

    import numpy as np

    if not images:
        return data
    drawn = np.random.default_rng(0).permutation(len(data.x_train))[:images]
    return replace(data, x_train=data.x_train[drawn], y_train=data.y_train[drawn])


def _rounded(history):
    return {name: [round(value, 5) if abs(value) < 1e9 else None for value in values]
            for name, values in history.items()}  # fmt: skip


def _ends(result):
    final = result.final
    return (
        f"training loss {final['loss']:.3f}, accuracy {final['accuracy']:.3f}, "
        f"test accuracy {final['val_accuracy']:.3f}, {result.seconds:.0f} s"
    )


def _versions():
    from importlib.metadata import version

    names = ("course-cnn", "keras", "numpy", "tensorflow")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _resume(path, settings):
    """Read what is there, or begin; refuse a file of another experiment."""
    if not path.exists():
        return {"settings": settings, "commands": [], "runs": []}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = record["settings"]
    except (ValueError, KeyError, TypeError):
        raise SystemExit(f"{path} is no file of this experiment. Choose another --out.") from None
    differ = [f"{key} {known.get(key)!r} there, {value!r} here" for key, value in settings.items()
              if known.get(key) != value]  # fmt: skip
    if differ:
        raise SystemExit(f"{path} holds another experiment: {'; '.join(differ)}. Choose another --out.")
    return record


def write(path, record, order=("depth", "kind", "seed")):
    """Replace the file in one step: whoever reads it finds the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record["runs"].sort(key=lambda run: [run[name] for name in order])
    head = json.dumps({key: value for key, value in record.items() if key != "runs"}, indent=1)
    runs = ",\n  ".join(json.dumps(run) for run in record["runs"])  # one line per training
    handle, part = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f'{head[:-2]},\n "runs": [\n  {runs}\n ]\n}}\n')
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise


def _options(given):
    parser = argparse.ArgumentParser(
        prog="python tools/depth_experiment.py", description=__doc__.splitlines()[0],
        epilog="Example: python tools/depth_experiment.py --depths 8 20 32 44 56 --seeds 3 --width 0.5",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data", choices=("digits", "shapes", "cifar10"), default="digits", help="images to learn")
    parser.add_argument(
        "--size", type=_number, default=0, help="pixels along a side of digits or shapes; 0: as they are"
    )
    parser.add_argument("--images", type=_number, default=0, help="train on so many, drawn once and for all; 0: on all")
    parser.add_argument("--depths", type=_depth, nargs="+", default=[8, 20, 32], help="layers, of the form 6n + 2")
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=list(KINDS), help="which networks")
    parser.add_argument("--seeds", type=_count, default=3, help="trainings of each network, from seeds 0, 1, …")
    parser.add_argument("--epochs", type=_count, default=5, help="passes over the training images")
    parser.add_argument("--batch-size", type=_count, default=113, help="images per step")
    parser.add_argument("--learning-rate", type=_rate, default=0.03, help="of SGD with momentum 0.9")
    parser.add_argument("--schedule", choices=("constant", "step", "cosine"), default="constant", help="its course")
    parser.add_argument("--width", type=_rate, default=0.5, help="factor on the 16, 32 and 64 filters of the paper")
    parser.add_argument("--out", type=Path, help="file to write; data/experiments/depth_DATA.json if left out")
    options = parser.parse_args(given)
    folder = Path(__file__).resolve().parent.parent / "data" / "experiments"
    options.out = options.out or folder / f"depth_{options.data}.json"
    return options


def _depth(text):
    depth = int(text)
    if depth < 8 or (depth - 2) % 6:
        near = 6 * max(1, round((depth - 2) / 6)) + 2
        raise argparse.ArgumentTypeError(f"{depth} is not 6n + 2 with n >= 1; the nearest is {near}")
    return depth


def _count(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number >= 1")
    return int(text)


def _number(text):
    if int(text) < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number >= 0")
    return int(text)


def _rate(text):
    if not 0 < float(text) < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a number > 0")
    return float(text)


if __name__ == "__main__":
    sys.exit(main())
