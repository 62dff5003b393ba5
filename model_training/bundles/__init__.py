"""Bundles from fitted models: export to ONNX, cluster ids, card, report, seal."""
