"""The prediction of a folder on the nodes of a Ray cluster. It needs the extra `ray`."""
