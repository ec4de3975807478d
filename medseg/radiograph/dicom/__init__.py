"""DICOM objects: header, pixel data of every transfer syntax, grey values, segmentations."""
