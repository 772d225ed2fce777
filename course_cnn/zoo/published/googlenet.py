"""GoogLeNet."""

FIGURES = ()
