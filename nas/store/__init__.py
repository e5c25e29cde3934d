"""Where trials are kept: the only place that knows SQLAlchemy.

A study is an ordinary Optuna study, written in bulk into Optuna's tables; beside them stand ours (`nas_*`).
"""
