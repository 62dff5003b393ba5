"""Quality of a sealed bundle on known images."""
