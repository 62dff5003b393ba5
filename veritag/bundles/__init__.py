"""The sealed model bundle, its ONNX contract, and the registry of bundles."""
