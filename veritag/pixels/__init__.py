"""From Pixel Data to the tile that the model reads, and decoding under limits."""
