"""One-shot search: one network whose weights all candidates share."""
