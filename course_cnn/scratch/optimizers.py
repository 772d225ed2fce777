"""Optimisers as pure steps: (params, grads, state) in, (params, state) out, over lists of arrays."""


def sgd(params, grads, state=None, *, learning_rate=0.01):
    """w <- w - learning_rate * g."""
    raise NotImplementedError


def momentum(params, grads, state=None, *, learning_rate=0.01, momentum=0.9, nesterov=False):
    """Keras: SGD(momentum=…)."""
    raise NotImplementedError


def adagrad(params, grads, state=None, *, learning_rate=0.001, initial_accumulator=0.1, epsilon=1e-7):
    """Keras: Adagrad."""
    raise NotImplementedError


def rmsprop(params, grads, state=None, *, learning_rate=0.001, rho=0.9, epsilon=1e-7):
    """Keras: RMSprop."""
    raise NotImplementedError


def adam(params, grads, state=None, *, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, epsilon_hat=False):
    """epsilon_hat=True: Keras's placement of epsilon (before the bias correction)."""
    raise NotImplementedError
