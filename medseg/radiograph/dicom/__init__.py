"""DICOM objects: header, pixel data of all supported transfer syntaxes, gray values, segmentations."""
