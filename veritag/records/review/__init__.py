"""Records of the worklist and of reviewers' decisions."""
