"""Prediction with a trained model: masks at the original image size, and their scores."""
