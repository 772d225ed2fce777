"""One process that times calls on request, so that two libraries never wait on each other's threads.

BLAS threads keep spinning for a while after a call, and would slow down whatever runs next in the same process. So
NumPy, TensorFlow and PyTorch each get a process of their own: `python -m benchmarks.worker` reads one JSON request per
line and answers with one JSON line. `answer` is the same without a process.
"""

import functools
import json
import os
import signal
import sys
import time
import traceback
from importlib.metadata import version
from statistics import median

import numpy as np

from benchmarks import pytorch
from course_cnn import scratch


def arrays(shape):
    """Draw x (n, h, w, c), kernel (k, k, c, filters) and dy for a convolution without padding, all float32."""
    n, h, w, c, k, filters = shape
    rng = np.random.default_rng(0)
    sizes = (n, h, w, c), (k, k, c, filters), (n, h - k + 1, w - k + 1, filters)
    return [rng.normal(size=size).astype("float32") for size in sizes]


def scratch_pass(shape):
    """Forward and backward in NumPy: dx, dkernel and dbias."""
    x, kernel, dy = arrays(shape)
    return lambda: scratch.conv2d_backward(dy, scratch.conv2d_forward(x, kernel)[1])


def tensorflow_pass(shape):
    """Forward and backward in TensorFlow, not compiled: dx and dkernel, as NumPy arrays."""
    from course_cnn._tensorflow import tf

    x, kernel, dy = map(tf.constant, arrays(shape))

    def call():
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.nn.conv2d(x, filters=kernel, strides=1, padding="VALID")
        return [gradient.numpy() for gradient in tape.gradient(y, [x, kernel], output_gradients=dy)]

    return call


def forward(shape):
    x, kernel, _ = arrays(shape)
    return lambda: scratch.conv2d_forward(x, kernel)[0]


def loops(shape):
    x, kernel, _ = arrays(shape)
    return lambda: scratch.conv2d_loops(x, kernel)


def keras_network(name, norm="ours"):
    """Build "ResNet-20" (any depth 6n + 2; identity shortcuts, as in the paper) or "LeNet 20-50" by the zoo's builder.

    norm: "ours", as it is; or "stock", the same network with keras.layers.BatchNormalization.
    """
    from course_cnn import zoo  # which imports TensorFlow before Keras

    lenet = name == "LeNet 20-50"
    model = zoo.build_lenet5("20-50") if lenet else zoo.build_cifar_resnet(int(name.removeprefix("ResNet-")))
    if norm == "ours":
        return model
    import keras

    def stock(layer):
        kind = keras.layers.BatchNormalization if isinstance(layer, keras.layers.BatchNormalization) else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=stock)
    copy.set_weights(model.get_weights())
    return copy


def batch(name, n):
    """Draw n images of noise and their labels for one of the networks."""
    rng = np.random.default_rng(0)
    shape = (n, 28, 28, 1) if name == "LeNet 20-50" else (n, 32, 32, 3)
    return rng.normal(size=shape).astype("float32"), rng.integers(10, size=n)


def compiled(name, norm):
    """Compile as `training.fit` does: cross-entropy, accuracy, and Keras's choice about XLA, none on a processor."""
    from course_cnn._tensorflow import tf  # noqa: F401  (before Keras)

    # isort: split
    import keras

    keras.utils.set_random_seed(0)
    model = keras_network(name, norm)
    sgd = name.startswith("ResNet")
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9) if sgd else keras.optimizers.Adam(2e-3)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def _train(norm, shape):
    model, (x, labels) = compiled(shape[0], norm), batch(*shape)
    return lambda: float(model.train_on_batch(x, labels)[0])


def _infer(norm, shape):
    model, (x, _) = keras_network(shape[0], norm), batch(*shape)
    from course_cnn._tensorflow import tf

    answers, x = tf.function(lambda x: model(x, training=False)), tf.constant(x)
    return lambda: answers(x).numpy()


def train_ours(shape):
    return _train("ours", shape)


def train_stock(shape):
    return _train("stock", shape)


def infer_ours(shape):
    return _infer("ours", shape)


def infer_stock(shape):
    return _infer("stock", shape)


def train_torch_contiguous(shape):
    return pytorch.train(shape[0], *batch(*shape), channels_last=False)


def train_torch_channels_last(shape):
    return pytorch.train(shape[0], *batch(*shape), channels_last=True)


def _square(shape):
    return np.random.default_rng(0).normal(size=(shape[0], shape[0])).astype("float32")


def matmul_numpy(shape):
    a = _square(shape)
    return lambda: a @ a


def matmul_tensorflow(shape):
    from course_cnn._tensorflow import tf

    a = tf.constant(_square(shape))
    return lambda: tf.matmul(a, a)


def matmul_torch(shape):
    return pytorch.matmul(_square(shape))


def count(name):
    """Count what a step on one image takes: {"params": …, "flops": …}, a multiply-add being two operations.

    Forward, then the gradients of the layer's input and of its weights, each as much again; nobody needs the gradient
    of the images, so the first layer is spared it.
    """
    from course_cnn import report

    summary = report.summarize(keras_network(name))
    macs = [row.macs for row in summary.rows if row.macs]
    return {"params": summary.total_params, "flops": 2 * (3 * sum(macs) - macs[0])}


CALLS = {
    call.__name__: functools.cache(call)
    for call in (
        scratch_pass, tensorflow_pass, forward, loops, train_ours, train_stock, infer_ours, infer_stock,
        train_torch_contiguous, train_torch_channels_last, matmul_numpy, matmul_tensorflow, matmul_torch,
    )
}  # fmt: skip


def answer(request):
    """Time one block of calls, `{"call": name, "shape": […], "seconds": 0.2}`, or describe this process, `{}`.

    Returns:
        {"seconds": float, "best": float}, the median and the shortest of the calls, after two unmeasured ones, or one
        that takes longer than the block. A block of 0 seconds is one single call. `{"count": network}` returns what
        `count` does.
    """
    if not request:
        return about()
    if "count" in request:
        return count(request["count"])
    call, block = CALLS[request["call"]](tuple(request["shape"])), request["seconds"]
    times, end = [], time.perf_counter() + block
    for _ in range(2 * bool(block)):
        if time.perf_counter() < end:
            call()
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return {"seconds": median(times), "best": min(times)}


def about():
    """Say what computes in this process: versions and BLAS libraries."""
    import threadpoolctl

    blas = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    seen = [
        f"{b['internal_api']} {b['version']} {b.get('architecture', '?')}, {b['num_threads']} threads" for b in blas
    ]
    return {
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "tensorflow": version("tensorflow"),
        "keras": version("keras"),
        "torch": version("torch") if pytorch.available() else None,
        "blas": " and ".join(sorted(set(seen))) or "unknown to threadpoolctl",
    }


def main(threads):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes our input or kills us
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not mix with the replies
    if "tensorflow" in sys.argv:
        from course_cnn._tensorflow import tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    if "torch" in sys.argv:
        pytorch.set_threads(threads)
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception:
            reply = {"error": traceback.format_exc()}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
