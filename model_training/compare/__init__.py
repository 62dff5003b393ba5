"""The comparison: our model beside the paper's methods, on the same images."""
