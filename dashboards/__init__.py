"""Who looks: Optuna Dashboard on a study database."""
