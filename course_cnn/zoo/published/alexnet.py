"""AlexNet, and ILSVRC 2010 to 2015. Errors in per cent."""

from course_cnn.zoo.published._figure import Figure

_PAPER = "Krizhevsky, Sutskever & Hinton, ImageNet classification with deep convolutional neural networks, NIPS 2012"
_ILSVRC = "ILSVRC results page of the year, task classification (image-net.org)"
_SZE = "Sze et al., Efficient processing of deep neural networks, Proc. IEEE 105(12), 2017, table II"
_COUNT = "counted from the layers as they are built today"
_LAYERS = "conv1 to conv5, fc6, fc7, output"

FIGURES = (
    Figure("alexnet/params-paper", 60_000_000, "parameters, rounded", f"{_PAPER}, abstract"),
    Figure(
        "alexnet/params-grouped", 60_965_224, "parameters with the paper's two halves of conv2, conv4 and conv5",
        "Caffe's bvlc_alexnet as counted in Hewlett Packard's Deep Learning Cookbook (table of models)",
    ),
    Figure(
        "alexnet/params", 62_378_344, "parameters without halves: every filter sees every map",
        "asserted in the tests of the model collection osmr/imgclsmob (alexnet)",
    ),
    Figure("alexnet/params-pytorch", 61_100_840, "parameters of the later net of 64 to 384 filters, called AlexNet in "
           "torchvision", "Krizhevsky, One weird trick for parallelizing CNNs, 2014; osmr/imgclsmob (alexnetb)"),
    Figure(
        "alexnet/layer-params", (34_944, 614_656, 885_120, 1_327_488, 884_992, 37_752_832, 16_781_312, 4_097_000),
        f"{_LAYERS}, no halves", _COUNT,
    ),
    Figure(
        "alexnet/layer-params-grouped", (34_944, 307_456, 885_120, 663_936, 442_624, 37_752_832, 16_781_312, 4_097_000),
        f"{_LAYERS}, two halves", _COUNT,
    ),
    Figure("alexnet/sizes", (55, 27, 13, 13, 13), "height and width of conv1 to conv5, pixels", f"{_PAPER}, figure 2"),
    Figure("alexnet/filters", (96, 256, 384, 384, 256), "filters of conv1 to conv5", f"{_PAPER}, section 3.5"),
    Figure("alexnet/units", (186_624, 64_896, 64_896, 43_264, 4_096, 4_096, 1_000), "units of conv2 to output",
           f"{_PAPER}, figure 2"),
    Figure("alexnet/units-conv1-paper", 253_440, "units of conv1 as printed; it is 55 x 48 x 96, a slip",
           f"{_PAPER}, figure 2"),
    Figure("alexnet/units-conv1", 290_400, "units of conv1: 55 x 55 x 96", _COUNT),
    Figure("alexnet/units-paper", 650_000, "units in all, rounded", f"{_PAPER}, abstract"),
    Figure("alexnet/macs-conv", 666e6, "multiply-adds of the convolutions, two halves, rounded", _SZE),
    Figure("alexnet/macs-dense", 58.6e6, "multiply-adds of the dense layers, rounded", _SZE),
    Figure("alexnet/macs-grouped", 724e6, "multiply-adds in all, two halves, rounded", _SZE),
    Figure("alexnet/lrn", (2.0, 5, 1e-4, 0.75), "k, n, alpha, beta of local response normalisation",
           f"{_PAPER}, section 3.3"),
    Figure("alexnet/ilsvrc2010", (37.5, 17.0), "top-1 and top-5 error, one net, test images", f"{_PAPER}, table 1"),
    Figure("sparse-coding/ilsvrc2010", (47.1, 28.2), "top-1 and top-5 error, winner of the contest",
           f"{_PAPER}, table 1"),
    Figure("sift-fv/ilsvrc2010", (45.7, 25.7), "top-1 and top-5 error, best published until 2012",
           f"{_PAPER}, table 1"),
    Figure("alexnet/ilsvrc2012-val", (40.7, 18.2), "top-1 and top-5 error, one net, validation images",
           f"{_PAPER}, table 2"),
    Figure("alexnet/ilsvrc2012-five", 16.4, "top-5 error, five nets, only the training images of 2012, test images",
           f"{_PAPER}, table 2; {_ILSVRC}: 0.16422"),
    Figure("alexnet/ilsvrc2012-seven", 15.3, "top-5 error, seven nets, two of them trained on more of ImageNet first, "
           "test images", f"{_PAPER}, table 2; {_ILSVRC}: 0.15315"),
    Figure("sift-fv/ilsvrc2012", 26.2, "top-5 error of the best entry that was not AlexNet, test images",
           f"{_PAPER}, table 2; {_ILSVRC}: 0.26172"),
    # Winners of the classification task without outside data.
    Figure("ilsvrc/2010", 28.2, "top-5 error, NEC-UIUC: sparse coding and SVMs", _ILSVRC),
    Figure("ilsvrc/2011", 25.8, "top-5 error, XRCE: Fisher vectors and SVMs", _ILSVRC),
    Figure("ilsvrc/2012", 16.4, "top-5 error, SuperVision: five AlexNets", _ILSVRC),
    Figure("ilsvrc/2013", 11.7, "top-5 error, Clarifai: convolutional networks after Zeiler & Fergus", _ILSVRC),
    Figure("ilsvrc/2014-second", 7.3, "top-5 error, VGG", _ILSVRC),
    Figure("ilsvrc/2014", 6.7, "top-5 error, GoogLeNet", _ILSVRC),
    Figure("ilsvrc/2015", 3.57, "top-5 error, ResNets, several nets", "He et al., Deep residual learning for image "
           "recognition, CVPR 2016, table 5"),
)  # fmt: skip
