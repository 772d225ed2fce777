"""A scalar computational graph: values that remember how they were made, and send gradients back."""


class Value:
    """One number in a graph: `data`, `grad`, `label`, `op`, `parents`; + - * / **, exp, log, relu, tanh, sigmoid, max."""

    def backward(self):
        """Set `grad` of every value this one was made from."""
        raise NotImplementedError

    def draw(self, *, ax=None, title=None):
        """Draw the graph with values and gradients; return the Axes."""
        raise NotImplementedError
