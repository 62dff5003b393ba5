"""One training run: request, images, training, bundle, records; `veritag train`."""
