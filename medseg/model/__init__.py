"""The U-Net of the article and of the 2015 paper, and the files that carry it."""
