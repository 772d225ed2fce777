"""VGG-16 and VGG-19; and what seven networks reach on one crop of each image. Errors and accuracies in per cent."""

from course_cnn.zoo.published._figure import Figure

_PAPER = "Simonyan & Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015"
_RESNET = "He et al., Deep residual learning for image recognition, CVPR 2016"
_KERAS = "keras.applications, count_params()"
_COUNT = "counted from the layers"
_SINGLE = "top-1 and top-5 error of one network, validation images of ILSVRC 2012"
_CROP = "top-1 and top-5 accuracy, one central crop of each validation image of ILSVRC 2012"
_KERAS_PAGE = "keras.io/api/applications, table of models (weights converted from the authors')"

FIGURES = (
    Figure("vgg16/params", 138_357_544, "parameters of configuration D", _KERAS),
    Figure("vgg19/params", 143_667_240, "parameters of configuration E", _KERAS),
    Figure("vgg16/params-paper", 138e6, "parameters of configuration D, rounded", f"{_PAPER}, table 2"),
    Figure("vgg19/params-paper", 144e6, "parameters of configuration E, rounded", f"{_PAPER}, table 2"),
    Figure("vgg16/params-conv", 14_714_688, "parameters of the convolutions, 10.64 %", f"{_KERAS}, include_top=False"),
    Figure("vgg19/params-conv", 20_024_384, "parameters of the convolutions, 13.94 %", f"{_KERAS}, include_top=False"),
    Figure("vgg/params-dense", 123_642_856, "parameters of the three dense layers, the same in both", _COUNT),
    Figure("vgg16/weight-layers", 16, "layers with weights", f"{_PAPER}, table 1"),
    Figure("vgg19/weight-layers", 19, "layers with weights", f"{_PAPER}, table 1"),
    Figure("vgg/sizes", (112, 56, 28, 14, 7), "height and width after each max pooling, pixels", _COUNT),
    Figure("vgg/filters", (64, 128, 256, 512, 512), "filters in each block", f"{_PAPER}, table 1"),
    # As printed: of the two, only VGG-19's counts the dense layers. See tests/zoo/test_vgg.py.
    Figure("vgg16/macs", 15.3e9, "multiply-adds for 224x224 pixels, without the dense layers",
           f"{_RESNET}, section 4.1"),
    Figure("vgg19/macs", 19.6e9, "multiply-adds for 224x224 pixels", f"{_RESNET}, table 1 and section 4.1"),
    Figure("vgg16/ilsvrc2012-val", (25.6, 8.1), f"{_SINGLE}, one scale, read as a fully convolutional net",
           f"{_PAPER}, table 3"),
    Figure("vgg19/ilsvrc2012-val", (25.5, 8.0), f"{_SINGLE}, one scale, read as a fully convolutional net",
           f"{_PAPER}, table 3"),
    Figure("vgg16/10-crop", (28.07, 9.33), "top-1 and top-5 error, validation images", f"{_RESNET}, table 3"),
    # One crop each, so that networks can be compared: papers differ in crops, scales and numbers of networks.
    Figure("alexnet/one-crop", (57.1, 80.2), _CROP, "BVLC Caffe model zoo, bvlc_alexnet, readme (retrained)"),
    Figure("googlenet/one-crop", (68.7, 88.9), _CROP, "BVLC Caffe model zoo, bvlc_googlenet, readme (retrained)"),
    Figure("vgg16/one-crop", (71.3, 90.1), _CROP, _KERAS_PAGE),
    Figure("vgg19/one-crop", (71.3, 90.0), _CROP, _KERAS_PAGE),
    Figure("resnet50/one-crop", (74.9, 92.1), _CROP, _KERAS_PAGE),
    Figure("resnet101/one-crop", (76.4, 92.8), _CROP, _KERAS_PAGE),
    Figure("resnet152/one-crop", (76.6, 93.1), _CROP, _KERAS_PAGE),
)  # fmt: skip
