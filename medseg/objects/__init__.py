"""Files named by a manifest, and objects in a store such as S3: where they are read and where results are written."""
