"""The worker: inspection of instances, judging of settled series, `veritag inspect`."""
