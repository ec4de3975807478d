"""The article's network and its two loops as published, the reference of the benchmark.

http://baikelwang.github.io/2025/07/04/Unet神经网络图像分割研究与应用/, section 3.1 (network), 3.2 (training), 4 (test).
All differences from the article:
  The article does not print the class UNet. Here it is assembled from its blocks: c1 d1 c2 d2 c3 d3 c4 d4 c5 u1 c6 u2
    c7 u3 c8 u4 c9 out, channels 64 to 1024, a 3x3 convolution, and a sigmoid at the end, as nn.BCELoss requires.
  `width`, `size` (with `columns` if the image is not square) and the number of steps can be chosen; the article has
    64, 512 and 689 epochs.
  `train` is a generator, so that a caller can stop after any step; it prints to a file, not to the terminal.
    It loads no weights at the start. Without a folder, it saves neither weights nor strips.
  For the strip, label and output are cut to the image's number of channels: of several classes it shows the first.
  `predict` has no progress bar and receives the network as an argument.
  The article does not print the data set class either; any loader of (image, label) works.
  Pillow replaces cv2 and torchvision, which nothing else here needs. Unlike cv2's INTER_LINEAR, its BILINEAR averages
    over more pixels when it shrinks an image; its conversion to grayscale assumes RGB.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn, optim

_GAP = 2  # black pixels around each image of `save_image`, as in torchvision


class Conv_Block(nn.Module):  # noqa: N801
    """Section 3.1, 1.1."""

    def __init__(self, in_channel: int, out_channel: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(in_channel, out_channel, 3, 1, 1, padding_mode="reflect", bias=False),
            nn.BatchNorm2d(out_channel),
            nn.Dropout2d(0.3),
            nn.LeakyReLU(),
            nn.Conv2d(out_channel, out_channel, 3, 1, 1, padding_mode="reflect", bias=False),
            nn.BatchNorm2d(out_channel),
            nn.Dropout2d(0.3),
            nn.LeakyReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Section 3.1, 1.4."""
        return self.layer(x)  # type: ignore[no-any-return]


class DownSample(nn.Module):
    """Section 3.1, 1.3."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(channel, channel, 3, 2, 1, padding_mode="reflect", bias=False),
            nn.BatchNorm2d(channel),
            nn.LeakyReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Section 3.1, 1.4."""
        return self.layer(x)  # type: ignore[no-any-return]


class UpSample(nn.Module):
    """Section 3.1, 1.2."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channel, channel // 2, 1, 1)

    def forward(self, x: Tensor, feature_map: Tensor) -> Tensor:
        """Section 3.1, 1.4."""
        up = F.interpolate(x, scale_factor=2, mode="nearest")
        out = self.layer(up)
        return torch.cat((out, feature_map), dim=1)


class UNet(nn.Module):
    """Probabilities `(batch, n_classes, rows, columns)` of images `(batch, n_channels, rows, columns)`."""

    def __init__(self, n_channels: int = 1, n_classes: int = 1, width: int = 64) -> None:
        super().__init__()
        down = [width, 2 * width, 4 * width, 8 * width, 16 * width]
        for number, channels in enumerate([(n_channels, width), *pairwise(down), *pairwise(down[::-1])], 1):
            self.add_module(f"c{number}", Conv_Block(*channels))
        for number in range(1, 5):
            self.add_module(f"d{number}", DownSample(down[number - 1]))
            self.add_module(f"u{number}", UpSample(down[5 - number]))
        self.out = nn.Conv2d(width, n_classes, 3, 1, 1)
        self.Th = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities of a batch of images."""
        block, kept = self.get_submodule, []
        for number in range(1, 5):
            kept.append(block(f"c{number}")(x))
            x = block(f"d{number}")(kept[-1])
        x = block("c5")(x)
        for number in range(1, 5):
            x = block(f"c{number + 5}")(block(f"u{number}")(x, kept.pop()))
        return self.Th(self.out(x))  # type: ignore[no-any-return]


def train(
    net: nn.Module,
    data_loader: Iterable[tuple[Tensor, Tensor]],
    device: torch.device,
    folder: Path | None,
    log: TextIO,
) -> Iterator[int]:
    """The loop of section 3.2. Yields the number of steps after each step. Weights and strips go to `folder`."""
    opt = optim.Adam(net.parameters())
    loss_fun = nn.BCELoss()
    epoch, steps = 1, 0
    while epoch <= 689:
        for i, (image, label) in enumerate(data_loader):
            image, label = image.to(device), label.to(device)

            out_image = net(image)
            train_loss = loss_fun(out_image, label)

            opt.zero_grad()
            train_loss.backward()
            opt.step()

            if i % 5 == 0:
                print(f"{epoch}--{i}-train_loss===>>{train_loss.item()}", file=log)

            if i % 10 == 0 and folder is not None:
                torch.save(net.state_dict(), folder / "weights.pth")

            _image = image[0]
            _label = label[0, : len(_image)]
            _out_image = out_image[0, : len(_image)]

            img = torch.stack([_image, _label, _out_image], dim=0)
            if folder is not None:
                save_image(img, folder / f"{i}.png")
            steps += 1
            yield steps

        epoch = epoch + 1


def predict(
    net: Callable[[Tensor], Tensor],
    device: torch.device,
    test_dir: Path,
    pred_dir: Path,
    size: int = 512,
    columns: int | None = None,
) -> None:
    """The loop of section 4: one PNG in `pred_dir` for each JPEG file of `test_dir`; `net` is in evaluation mode."""
    if not os.path.exists(pred_dir):  # noqa: PTH110
        os.makedirs(pred_dir)  # noqa: PTH103
    img_names = os.listdir(test_dir)  # noqa: PTH208
    image_ids = [image_name.split(".")[0] for image_name in img_names]
    for image_id in image_ids:
        image_path = os.path.join(test_dir, image_id + ".jpg")  # noqa: PTH118
        img = np.asarray(Image.open(image_path).convert("RGB"))
        origin_shape = img.shape
        img = np.asarray(Image.fromarray(img).convert("L"))
        img = np.array(Image.fromarray(img).resize((columns or size, size), Image.Resampling.BILINEAR))
        img = img.reshape(1, 1, img.shape[0], img.shape[1])
        img_tensor = torch.from_numpy(img)
        img_tensor = img_tensor.to(device=device, dtype=torch.float32)
        pred_tensor = net(img_tensor)
        pred = np.array(pred_tensor.data.cpu()[0].numpy())[0]
        pred[pred >= 0.5] = 255
        pred[pred < 0.5] = 0
        mask = Image.fromarray(pred.astype(np.uint8))
        mask = mask.resize((origin_shape[1], origin_shape[0]), Image.Resampling.NEAREST)
        mask.save(os.path.join(pred_dir, image_id + ".png"))  # noqa: PTH118


def save_image(pictures: Tensor, path: Path) -> None:
    """Save up to eight images `(image, channel, rows, columns)` side by side, as torchvision's `save_image` does."""
    gaps = F.pad(pictures.detach().cpu().expand(-1, 3, -1, -1), (_GAP, 0, _GAP, _GAP))
    grid = F.pad(torch.cat(list(gaps), dim=-1), (0, _GAP))
    bytes_ = grid.mul(255).add_(0.5).clamp_(0, 255).permute(1, 2, 0).to(torch.uint8)
    Image.fromarray(bytes_.numpy()).save(path)
