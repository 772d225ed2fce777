"""What tests look for on a picture."""

from matplotlib.patches import Rectangle


def boxes(ax):
    """The frames drawn on the Axes, as (row0, col0, row1, col1)."""
    return [
        (p.get_y() + 0.5, p.get_x() + 0.5, p.get_y() + p.get_height() + 0.5, p.get_x() + p.get_width() + 0.5)
        for p in ax.patches
        if isinstance(p, Rectangle) and not p.get_fill()
    ]
