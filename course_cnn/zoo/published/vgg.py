"""VGG-16 and VGG-19."""

FIGURES = ()
