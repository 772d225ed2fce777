"""A network out of the scratch layers: `Sequential`, and the layers as objects that keep their parameters."""
