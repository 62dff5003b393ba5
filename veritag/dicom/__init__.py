"""Reading of Data Sets, their elements and Part 10 files."""
