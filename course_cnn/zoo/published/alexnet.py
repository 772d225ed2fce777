"""AlexNet, and ILSVRC 2010 to 2015."""

FIGURES = ()
