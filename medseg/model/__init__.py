"""The U-Net of the article and of the 2015 paper, and the model files it is stored in."""
