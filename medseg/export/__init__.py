"""Models as programs that run without medseg: ONNX, OpenVINO, torch.export, MONAI bundles."""
