"""From what was learnt to a sealed bundle with card and report."""
