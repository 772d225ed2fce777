"""Multiply-adds of one image, layer by layer, and the memory that tensors take.

1 MAC, one multiplication and one addition, is 2 FLOPs. Zeros at the border are counted like pixels, as in
`shapes.conv_macs`. Counted are the products of inputs with weights; biases, normalisation, activations, pooling without
weights and sums of branches are not: they cost one or a few operations per number where a convolution costs thousands.

Source: Sze et al., "Efficient processing of deep neural networks", Proc. IEEE 2017, section III (counting MACs).
"""

from math import prod


def free(step):
    """No products with weights."""
    return 0


def convolution(step):
    """Every output number: one product per tap and channel of its group."""
    layer, channels = step.layer, _split(step.inputs[0].shape, step.layer)[1]
    return _positions(step) * prod(layer.kernel_size) * (channels // layer.groups) * layer.filters


def transposed(step):
    """Every input number meets every tap of every filter, products that fall over the border included."""
    layer = step.layer
    spatial, channels = _split(step.inputs[0].shape, layer)
    return prod(spatial) * prod(layer.kernel_size) * channels * layer.filters


def depthwise(step):
    """Every output number: one product per tap of its own channel."""
    layer, channels = step.layer, _split(step.inputs[0].shape, step.layer)[1]
    return _positions(step) * prod(layer.kernel_size) * channels * layer.depth_multiplier


def separable(step):
    """A depthwise convolution, then one of size 1."""
    layer = step.layer
    channels = _split(step.inputs[0].shape, layer)[1] * layer.depth_multiplier
    return depthwise(step) + _positions(step) * channels * layer.filters


def dense(step):
    """Every output number: one product per input. On more than two axes, the same matrix at every position."""
    return prod(step.inputs[0].shape[1:]) * step.layer.units


def learned_pooling(step):
    """Every output number: one product per tap of its own channel."""
    return prod(step.outputs[0].shape[1:]) * prod(step.layer.pool_size)


def tensor_bytes(tensors, batch_size):
    """Bytes that tensors of a batch take, each number in its own dtype."""
    return sum(batch_size * prod(x.shape[1:]) * _item_bytes(x.dtype) for x in tensors)


def weight_bytes(variables):
    """Bytes that variables take."""
    return sum(prod(v.shape) * _item_bytes(v.dtype) for v in variables)


def peak(inputs, steps, outputs, batch_size):
    """Return the most bytes of tensors alive at once when the steps run one after another.

    A tensor lives from the step that makes it until the last step that reads it; the model's outputs live to the end.
    """
    last = {id(x): number for number, step in enumerate(steps) for x in step.inputs}
    last |= {id(x): len(steps) for x in outputs}
    alive = most = tensor_bytes(inputs, batch_size)
    leaving = {}
    for x in inputs:
        leaving.setdefault(last.get(id(x), 0), []).append(x)
    for number, step in enumerate(steps):
        alive += tensor_bytes(step.outputs, batch_size)
        most = max(most, alive)
        for x in step.outputs:
            leaving.setdefault(last.get(id(x), number), []).append(x)
        alive -= tensor_bytes(leaving.get(number, []), batch_size)
    return most


def _split(shape, layer):
    """Return (spatial sizes, channels) of a batch."""
    if layer.data_format == "channels_first":
        return shape[2:], shape[1]
    return shape[1:-1], shape[-1]


def _positions(step):
    return prod(_split(step.outputs[0].shape, step.layer)[0])


def _item_bytes(dtype):
    size = {"bool": 8, "bfloat16": 16}.get(str(dtype)) or "".join(filter(str.isdigit, str(dtype)[-2:]))
    return int(size or 64) // 8
