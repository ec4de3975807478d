"""Search for the settings of a training: trials in MLflow, chosen by Optuna, and the best settings trained again."""
