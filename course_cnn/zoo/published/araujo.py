"""What units of well-known networks see: receptive field and jump in input pixels, of the last layer before pooling or
classifier. Computed by the authors' library from the networks of TF-Slim.
"""

from course_cnn.zoo.published._figure import Figure

_PAPER = (
    "Araujo, Norris & Sim, Computing receptive fields of convolutional neural networks, Distill 2019; table in "
    "github.com/google-research/receptive_field"
)
_WHAT = "receptive field and jump of a unit, pixels"

FIGURES = (
    Figure("alexnet/receptive-field", (195, 32), f"{_WHAT}; pool5 (alexnet_v2)", _PAPER),
    Figure("vgg16/receptive-field", (212, 32), f"{_WHAT}; pool5", _PAPER),
    Figure("mobilenet/receptive-field", (315, 32), _WHAT, _PAPER),
    Figure("inception-v3/receptive-field", (1311, 32), _WHAT, _PAPER),
    Figure("inception-resnet-v2/receptive-field", (3039, 32), _WHAT, _PAPER),
    # The same for the two places where a bottleneck block can put its stride: a block's first 1x1 convolution, as in
    # the paper and here, or the 3x3 convolution at the end of the stage before, as in TF-Slim. A third place, the 3x3
    # convolution of the same block, as in torchvision ("v1.5"), gives 427, 971 and 1451.
    Figure("resnet50/receptive-field", (483, 32), f"{_WHAT}; resnet_v1_50", _PAPER),
    Figure("resnet101/receptive-field", (1027, 32), f"{_WHAT}; resnet_v1_101", _PAPER),
    Figure("resnet152/receptive-field", (1507, 32), f"{_WHAT}; resnet_v1_152", _PAPER),
    Figure("vgg16/receptive-field-padding", 90, "zeros that a unit of pool5 sees before the image, pixels", _PAPER),
)
