"""From images to a bundle: snapshot, training, calibration, check, export."""
