"""GoogLeNet, with the two columns of its table that say what each row costs."""

from course_cnn.zoo.published._figure import Figure

_PAPER = "Szegedy et al., Going deeper with convolutions, CVPR 2015"
_COUNT = "counted from the layers"
_ROWS = "rows conv1, conv2 with its reduction, 3a, 3b, 4a, 4b, 4c, 4d, 4e, 5a, 5b, linear"

FIGURES = (
    Figure("googlenet/params", 6_998_552, "parameters without the auxiliary heads",
           "Caffe's bvlc_googlenet as counted in Hewlett Packard's Deep Learning Cookbook (table of models)"),
    Figure("googlenet/params-heads", 13_378_280, "parameters with the two auxiliary heads", _COUNT),
    Figure("googlenet/params-torchvision", 6_624_904, "trained parameters of torchvision's net: batch norm and no "
           "biases in its convolutions, and kernels of 3x3 where the paper has 5x5",
           "torchvision.models, number of parameters as its documentation prints it"),
    # The column counts in units of 1024, weights without biases. Five rows agree to 1 unit with the filters that the
    # same table gives (conv2, 3a, 3b, 4b, linear); the others cannot come from them. 2.7 and 34 for conv1 fit a
    # separable convolution, 8 maps of 7x7 per colour and then 1x1 to 64: 2,712 weights. Ioffe & Szegedy 2015
    # (appendix) describe the first layer of their Inception net like that.
    Figure("googlenet/row-params-paper", (2.7, 112, 159, 380, 364, 437, 463, 580, 840, 1072, 1388, 1000),
           f"thousands of parameters, {_ROWS}", f"{_PAPER}, table 1, column params"),
    # In millions. All but conv1 (118 as the table describes it) and 5a (51) agree to 1 million.
    Figure("googlenet/row-macs-paper", (34, 360, 128, 304, 73, 88, 100, 119, 170, 54, 71, 1),
           f"millions of multiply-adds, {_ROWS}", f"{_PAPER}, table 1, column ops"),
    Figure("googlenet/macs-paper", 1.5e9, "multiply-adds of the budget, rounded", f"{_PAPER}, section 1"),
    Figure("googlenet/weight-layers-deep", 22, "layers with weights on the longest way", f"{_PAPER}, section 5"),
    Figure("googlenet/layers-deep", 27, "the same with the pooling layers between them", f"{_PAPER}, section 5"),
    Figure("googlenet/sizes", (112, 56, 28, 14, 7), "height and width after conv1, pool1, pool2, pool3, pool4",
           f"{_PAPER}, table 1"),
    Figure("googlenet/channels", (256, 480, 512, 512, 512, 528, 832, 832, 1024), "channels of 3a to 5b",
           f"{_PAPER}, table 1"),
    Figure("googlenet/head-sizes", (4, 4), "height and width of the heads' pooled maps", f"{_PAPER}, section 5"),
    Figure("googlenet/top5", 10.07, "top-5 error of one network on one crop of each validation image of ILSVRC 2012",
           f"{_PAPER}, table 3"),
    Figure("googlenet/ilsvrc2014", 6.67, "top-5 error, seven networks, 144 crops, test images", f"{_PAPER}, table 2"),
)  # fmt: skip
