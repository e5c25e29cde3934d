"""Alembic migrations of our tables; Optuna's are Optuna's own business."""
