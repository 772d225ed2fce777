"""ResNets for ImageNet and for CIFAR, and the plain networks beside them."""

FIGURES = ()
