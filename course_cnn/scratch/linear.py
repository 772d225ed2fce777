"""Linear classifiers: the perceptrons and softmax regression. Fit, predict, look at the weights."""


class Perceptron:
    """Two-class perceptron, labels -1 and +1: fit(x, y), predict(x), weights, bias, mistakes per epoch."""


class MulticlassPerceptron:
    """One weight vector per class, labels 0..c-1."""


class SoftmaxRegression:
    """Softmax layer trained by gradient descent on cross-entropy."""
