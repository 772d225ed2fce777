"""Pictures of the course: arrays and training records in, matplotlib Axes out.

Every function draws on the Axes it is given or makes its own, returns them, and leaves `plt.show()` and the global
style to the caller. Images are grey, amounts viridis, signed values RdBu_r with white at zero; panels of one picture
share their limits.
"""

from course_cnn.plots._common import COLOURS, DASHES, MARKERS, SMALL
from course_cnn.plots.architecture import plot_costs, plot_inception
from course_cnn.plots.classification import plot_confusion, plot_decision_regions, plot_mistakes
from course_cnn.plots.convolution import coverage_counts, plot_convolution, plot_coverage, plot_padding, plot_positions
from course_cnn.plots.images import plot_feature_maps, plot_images, plot_kernel, plot_kernels, plot_matrix
from course_cnn.plots.network import plot_distributions, plot_graph, plot_weights
from course_cnn.plots.receptive import plot_gradient_field, plot_growth, plot_pyramid, plot_receptive_field
from course_cnn.plots.training import plot_bands, plot_learning_rates, plot_loss_surface, plot_schedule, plot_training

__all__ = [
    "COLOURS",
    "DASHES",
    "MARKERS",
    "SMALL",
    "coverage_counts",
    "plot_bands",
    "plot_confusion",
    "plot_convolution",
    "plot_costs",
    "plot_coverage",
    "plot_decision_regions",
    "plot_distributions",
    "plot_feature_maps",
    "plot_gradient_field",
    "plot_graph",
    "plot_growth",
    "plot_images",
    "plot_inception",
    "plot_kernel",
    "plot_kernels",
    "plot_learning_rates",
    "plot_loss_surface",
    "plot_matrix",
    "plot_mistakes",
    "plot_padding",
    "plot_positions",
    "plot_pyramid",
    "plot_receptive_field",
    "plot_schedule",
    "plot_training",
    "plot_weights",
]
