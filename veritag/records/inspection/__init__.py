"""Records of verdicts, findings, judgements and dead letters."""
