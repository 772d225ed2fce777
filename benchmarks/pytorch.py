"""The networks of the training rows in PyTorch, written as its users write them; the only place that needs it.

Eager, float32, with the optimiser and the loss of the Keras side. `load` takes the weights of the Keras network, with
which both compute the same loss.
"""

import importlib.util

import numpy as np

INSTALL = "pip install torch --index-url https://download.pytorch.org/whl/cpu"


def available():
    return importlib.util.find_spec("torch") is not None


def network(name):
    """Build "ResNet-20" (any depth 6n + 2; identity shortcuts) or "LeNet 20-50"."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, channels, filters, stride):
            super().__init__()
            self.stride, self.more = stride, filters - channels
            self.conv1, self.bn1 = conv(channels, filters, stride), norm(filters)
            self.conv2, self.bn2 = conv(filters, filters), norm(filters)

        def forward(self, x):
            y = self.bn2(self.conv2(torch.relu_(self.bn1(self.conv1(x)))))
            if self.more:  # every second pixel, and channels of zeros
                x = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
            return torch.relu_(x + y)

    def conv(channels, filters, stride=1):
        return nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)

    def norm(filters):
        return nn.BatchNorm2d(filters, eps=1.001e-5, momentum=0.1)

    if name == "LeNet 20-50":
        return nn.Sequential(
            nn.Conv2d(1, 20, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(20, 50, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(2450, 500), nn.ReLU(inplace=True), nn.Linear(500, 10),
        )  # fmt: skip
    n = (int(name.removeprefix("ResNet-")) - 2) // 6
    layers, channels = [conv(3, 16), norm(16), nn.ReLU(inplace=True)], 16
    for filters in (16, 32, 64):
        for i in range(n):
            layers.append(Block(channels, filters, 2 if filters > 16 and i == 0 else 1))
            channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def load(net, weights):
    """Give `net` the arrays of a Keras model's `get_weights()`, whose layers come in the same order."""
    import torch
    from torch import nn

    weights, channels = list(weights), None
    with torch.no_grad():
        for part in net.modules():
            names = ()
            if isinstance(part, nn.BatchNorm2d):
                names = ("weight", "bias", "running_mean", "running_var")
            elif isinstance(part, (nn.Conv2d, nn.Linear)):
                names = ("weight",) if part.bias is None else ("weight", "bias")
            for key in names:
                value = weights.pop(0)
                if value.ndim == 4:
                    value, channels = value.transpose(3, 2, 0, 1), value.shape[3]
                elif value.ndim == 2:  # after Flatten, Keras counts the channels of a pixel first, PyTorch the pixels
                    pixels = len(value) // channels
                    value = value.reshape(pixels, channels, -1).transpose(1, 0, 2).reshape(len(value), -1).T
                    channels = len(value)
                getattr(part, key).copy_(torch.from_numpy(np.ascontiguousarray(value)))
    assert not weights


def train(name, images, labels, *, channels_last, weights=None):
    """Return a function that takes one step and returns the loss before it."""
    import torch

    net = network(name)
    if weights is not None:
        load(net, weights)
    x, labels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1))), torch.from_numpy(labels)
    if channels_last:
        net, x = (thing.to(memory_format=torch.channels_last) for thing in (net, x))
    if name.startswith("ResNet"):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    else:
        optimizer = torch.optim.Adam(net.parameters(), lr=2e-3, eps=1e-7)
    cross_entropy = torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        loss = cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def matmul(a):
    import torch

    a = torch.from_numpy(a)
    return lambda: a @ a


def set_threads(threads):
    import torch

    torch.set_num_threads(threads)
