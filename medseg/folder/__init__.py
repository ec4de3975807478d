"""The batch prediction of a folder: files found, examined, predicted, written, journaled."""
