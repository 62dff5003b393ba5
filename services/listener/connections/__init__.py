"""From a TCP connection to an association, within limits."""
