"""Networks as their papers describe them, one file each: the paper's table as data, then a short builder.

Every builder takes `input_shape`, `num_classes` and `width`, defaults to the paper's, and ends in logits. `published`
holds the figures that the papers print. Nothing here loads TensorFlow before a builder is used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["published"],
    submod_attrs={
        "lenet": ["build_lenet5"],
        "mlp": ["build_mlp"],
        "alexnet": ["build_alexnet"],
        "vgg": ["build_vgg16", "build_vgg19"],
        "googlenet": ["build_googlenet"],
        "resnet": ["build_resnet"],
        "cifar_resnet": ["build_cifar_resnet", "build_cifar_plain"],
    },
)
