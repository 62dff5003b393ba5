"""Reading of Data Sets, of their elements and of Part 10 files."""
