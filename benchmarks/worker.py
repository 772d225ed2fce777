"""One process that times calls on request, so that two libraries never wait on each other's threads.

BLAS threads keep spinning for a while after a call, and would slow down whatever runs next in the same process. So
NumPy and TensorFlow each get a process of their own: `python -m benchmarks.worker` reads one JSON request per line and
answers with one JSON line. `answer` is the same without a process.
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


def residual_network(layer, shape):
    """Build the ResNet-20 of the CIFAR experiments with the given batch normalisation, and one batch of noise.

    shape: (n, h, w, filters, blocks): n images h by w, three stages of `blocks` residual blocks, the first with
    `filters` filters, each later one with twice as many on half as many rows and columns. Returns (model, x, labels).
    """
    from course_cnn._tensorflow import tf  # noqa: F401  (before Keras)

    # isort: split
    import keras

    n, h, w, filters, blocks = shape

    def conv_norm(x, filters, size=3, strides=1):
        return layer()(keras.layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x))

    keras.utils.set_random_seed(0)
    inputs = keras.Input((h, w, 3))
    x = keras.layers.ReLU()(conv_norm(inputs, filters))
    for stage in range(3):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            y = keras.layers.ReLU()(conv_norm(x, filters << stage, strides=strides))
            shortcut = conv_norm(x, filters << stage, size=1, strides=2) if strides == 2 else x
            x = keras.layers.ReLU()(keras.layers.Add()([conv_norm(y, filters << stage), shortcut]))
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x)))
    rng = np.random.default_rng(0)
    return model, rng.normal(size=(n, h, w, 3)).astype("float32"), rng.integers(10, size=n)


def _norm(fused):
    if fused:
        from course_cnn.layers import BatchNormalization
    else:
        from keras.layers import BatchNormalization
    return BatchNormalization


def _train(fused, shape):
    """One step of SGD, as a graph that is not compiled: what `training.fit` runs after `seed_everything`."""
    model, x, labels = residual_network(_norm(fused), shape)
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=False)
    return lambda: float(model.train_on_batch(x, labels))


def _infer(fused, shape):
    model, x, _ = residual_network(_norm(fused), shape)
    from course_cnn._tensorflow import tf

    answers, x = tf.function(lambda x: model(x, training=False)), tf.constant(x)
    return lambda: answers(x).numpy()


def train_fused(shape):
    return _train(True, shape)


def train_keras(shape):
    return _train(False, shape)


def infer_fused(shape):
    return _infer(True, shape)


def infer_keras(shape):
    return _infer(False, shape)


CALLS = {
    call.__name__: functools.cache(call)
    for call in (
        scratch_pass, tensorflow_pass, forward, loops, train_fused, train_keras, infer_fused, infer_keras,
    )
}  # fmt: skip


def answer(request):
    """Time one block of calls, `{"call": name, "shape": […], "seconds": 0.2}`, or describe this process, `{}`.

    Returns:
        {"seconds": float}, the median of one call, after two unmeasured calls. A block of 0 seconds is one single call.
    """
    if not request:
        return about()
    call, block = CALLS[request["call"]](tuple(request["shape"])), request["seconds"]
    times, end = [], time.perf_counter() + block
    for _ in range(2 * bool(block)):
        call()
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return {"seconds": median(times)}


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
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception:
            reply = {"error": traceback.format_exc()}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
