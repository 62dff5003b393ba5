"""The delivery process: storage commitment reports and forwarding of instances."""
