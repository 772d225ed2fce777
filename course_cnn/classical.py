"""Hand-made image features, from edge kernels to whitened k-means patches, by scikit-image and scikit-learn."""
