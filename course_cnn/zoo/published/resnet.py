"""ResNets for ImageNet and for CIFAR, and the plain networks beside them. Errors in per cent."""

from course_cnn.zoo.published._figure import Figure

_PAPER = "He et al., Deep residual learning for image recognition, CVPR 2016"
_IDENTITY = "He et al., Identity mappings in deep residual networks, ECCV 2016"
_KERAS = "keras.applications, count_params()"
_TORCH = "torchvision.models, number of parameters as its documentation prints it"
_COUNT = "counted from the layers"
_SINGLE = "top-1 and top-5 error of one network, validation images of ILSVRC 2012"

FIGURES = (
    # Two counts each. Keras adds up all weights of a model, the moving means and variances of batch norm among them;
    # torchvision only what is trained. And 50, 101 and 152 have a bias per filter in Keras, none in torchvision.
    Figure("resnet18/params", 11_699_112, "weights: 11,689,512 trained, 9,600 moving statistics", _COUNT),
    Figure("resnet34/params", 21_814_696, "weights: 21,797,672 trained, 17,024 moving statistics", _COUNT),
    Figure("resnet50/params", 25_636_712, "weights: 25,583,592 trained (26,560 of them biases of convolutions), 53,120 "
           "moving statistics", _KERAS),
    Figure("resnet101/params", 44_707_176, "weights: 44,601,832 trained (52,672 of them biases of convolutions), "
           "105,344 moving statistics", _KERAS),
    Figure("resnet152/params", 60_419_944, "weights: 60,268,520 trained (75,712 of them biases of convolutions), "
           "151,424 moving statistics", _KERAS),
    Figure("resnet18/params-torchvision", 11_689_512, "trained parameters", _TORCH),
    Figure("resnet34/params-torchvision", 21_797_672, "trained parameters", _TORCH),
    Figure("resnet50/params-torchvision", 25_557_032, "trained parameters, convolutions without biases", _TORCH),
    Figure("resnet101/params-torchvision", 44_549_160, "trained parameters, convolutions without biases", _TORCH),
    Figure("resnet152/params-torchvision", 60_192_808, "trained parameters, convolutions without biases", _TORCH),
    Figure("resnet18/macs", 1.8e9, "multiply-adds for 224x224 pixels, rounded", f"{_PAPER}, table 1"),
    Figure("resnet34/macs", 3.6e9, "multiply-adds for 224x224 pixels, rounded", f"{_PAPER}, table 1"),
    Figure("resnet50/macs", 3.8e9, "multiply-adds for 224x224 pixels, rounded", f"{_PAPER}, table 1"),
    Figure("resnet101/macs", 7.6e9, "multiply-adds for 224x224 pixels, rounded", f"{_PAPER}, table 1"),
    Figure("resnet152/macs", 11.3e9, "multiply-adds for 224x224 pixels, rounded", f"{_PAPER}, table 1"),
    Figure("resnet/sizes", (112, 56, 28, 14, 7), "height and width of conv1 to conv5_x, pixels", f"{_PAPER}, table 1"),
    # Plain and residual, ten crops of each image: the degradation and its cure.
    Figure("plain18/top1-10-crop", 27.94, "top-1 error, validation images", f"{_PAPER}, table 2"),
    Figure("plain34/top1-10-crop", 28.54, "top-1 error, validation images", f"{_PAPER}, table 2"),
    Figure("resnet18/top1-10-crop", 27.88, "top-1 error, validation images, option A", f"{_PAPER}, table 2"),
    Figure("resnet34/top1-10-crop", 25.03, "top-1 error, validation images, option A", f"{_PAPER}, table 2"),
    Figure("plain34/10-crop", (28.54, 10.02), "top-1 and top-5 error, validation images", f"{_PAPER}, table 3"),
    Figure("resnet34-a/10-crop", (25.03, 7.76), "the same; zeros for new channels", f"{_PAPER}, table 3"),
    Figure("resnet34-b/10-crop", (24.52, 7.46), "the same; projections where shapes differ", f"{_PAPER}, table 3"),
    Figure("resnet34-c/10-crop", (24.19, 7.40), "the same; projections everywhere", f"{_PAPER}, table 3"),
    Figure("resnet50/10-crop", (22.85, 6.71), "top-1 and top-5 error, validation images", f"{_PAPER}, table 3"),
    Figure("resnet101/10-crop", (21.75, 6.05), "top-1 and top-5 error, validation images", f"{_PAPER}, table 3"),
    Figure("resnet152/10-crop", (21.43, 5.71), "top-1 and top-5 error, validation images", f"{_PAPER}, table 3"),
    Figure("resnet34-b/ilsvrc2012-val", (21.84, 5.71), f"{_SINGLE}, several scales", f"{_PAPER}, table 4"),
    Figure("resnet34-c/ilsvrc2012-val", (21.53, 5.60), f"{_SINGLE}, several scales", f"{_PAPER}, table 4"),
    Figure("resnet50/ilsvrc2012-val", (20.74, 5.25), f"{_SINGLE}, several scales", f"{_PAPER}, table 4"),
    Figure("resnet101/ilsvrc2012-val", (19.87, 4.60), f"{_SINGLE}, several scales", f"{_PAPER}, table 4"),
    Figure("resnet152/ilsvrc2012-val", (19.38, 4.49), f"{_SINGLE}, several scales", f"{_PAPER}, table 4"),
    # CIFAR-10, 32x32 pixels, trained on 50,000 images.
    Figure("cifar-resnet20/params-paper", 0.27e6, "parameters, rounded", f"{_PAPER}, table 6"),
    Figure("cifar-resnet32/params-paper", 0.46e6, "parameters, rounded", f"{_PAPER}, table 6"),
    Figure("cifar-resnet44/params-paper", 0.66e6, "parameters, rounded", f"{_PAPER}, table 6"),
    Figure("cifar-resnet56/params-paper", 0.85e6, "parameters, rounded", f"{_PAPER}, table 6"),
    Figure("cifar-resnet110/params-paper", 1.7e6, "parameters, rounded", f"{_PAPER}, table 6"),
    Figure("cifar-resnet1202/params-paper", 19.4e6, "parameters, rounded", f"{_PAPER}, table 6"),
    Figure("cifar-resnet20/params", 269_722, "trained parameters, option A", _COUNT),
    Figure("cifar-resnet32/params", 464_154, "trained parameters, option A", _COUNT),
    Figure("cifar-resnet44/params", 658_586, "trained parameters, option A", _COUNT),
    Figure("cifar-resnet56/params", 853_018, "trained parameters, option A", _COUNT),
    Figure("cifar-resnet110/params", 1_727_962, "trained parameters, option A", _COUNT),
    Figure("cifar-resnet1202/params", 19_421_274, "trained parameters, option A", _COUNT),
    Figure("cifar-resnet20/error", 8.75, "error, test images", f"{_PAPER}, table 6"),
    Figure("cifar-resnet32/error", 7.51, "error, test images", f"{_PAPER}, table 6"),
    Figure("cifar-resnet44/error", 7.17, "error, test images", f"{_PAPER}, table 6"),
    Figure("cifar-resnet56/error", 6.97, "error, test images", f"{_PAPER}, table 6"),
    Figure("cifar-resnet110/error", 6.43, "error, test images, best of five runs", f"{_PAPER}, table 6"),
    Figure("cifar-resnet110/error-runs", (6.61, 0.16), "mean and deviation of five runs", f"{_PAPER}, table 6"),
    Figure("cifar-resnet1202/error", 7.93, "error, test images; training error below 0.1", f"{_PAPER}, table 6"),
    Figure("cifar-plain110/error", 60, "error, test images: above this", f"{_PAPER}, figure 6"),
    Figure("cifar-resnet110-preactivation/error", 6.37, "error, test images; 6.61 for the first form",
           f"{_IDENTITY}, table 2"),
)  # fmt: skip
