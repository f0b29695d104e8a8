"""What there is to know about each architecture before building it; needs no torch.

Parameters and multiply-adds are those of the default network with 150 classes on a picture of
512x512; a test counts them again.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOGUE", "CATALOGUE_CLASSES", "CATALOGUE_SIZE", "ArchitectureFacts"]

CATALOGUE_CLASSES = 150
CATALOGUE_SIZE = 512


@dataclass(frozen=True)
class ArchitectureFacts:
    """One line of `pixelwise models --architectures`.

    Attributes:
        title: the name in the paper.
        paper: first author, venue and arXiv number.
        year: of the paper's first version.
        encoder: the default encoder.
        parameters: millions, with 150 classes.
        multiply_adds: thousand millions at 512x512, which papers call GFLOPs; a convolution's
            multiplication and addition count as one.
        upsampling: how maps become larger.
        skips: what the decoder takes from the encoder besides its deepest map.
        score: published figure with its protocol, by single-scale prediction; not measured
            here. "Public zoo" means a public re-implementation, not the paper.
    """

    title: str
    paper: str
    year: int
    encoder: str
    parameters: float
    multiply_adds: float
    upsampling: str
    skips: str
    score: str


CATALOGUE = {
    "deeplabv3": ArchitectureFacts(
        title="DeepLabV3",
        paper="Chen et al., arXiv 1706.05587",
        year=2017,
        encoder="resnet50",
        parameters=39.7,
        multiply_adds=163.7,
        upsampling="bilinear",
        skips="none",
        score="Cityscapes val 79.3 mIoU (ResNet-50, public zoo)",
    ),
    "deeplabv3plus": ArchitectureFacts(
        title="DeepLabV3+",
        paper="Chen et al., ECCV 2018, arXiv 1802.02611",
        year=2018,
        encoder="resnet50",
        parameters=26.7,
        multiply_adds=38.2,
        upsampling="bilinear",
        skips="stride 4, concatenated",
        score="Cityscapes val 80.1, ADE20K val 44.5 mIoU (ResNet-50, public zoo)",
    ),
    "fcn": ArchitectureFacts(
        title="FCN, dilated",
        paper="Long et al., CVPR 2015, arXiv 1411.4038; torchvision's form",
        year=2014,
        encoder="resnet50",
        parameters=33.0,
        multiply_adds=138.6,
        upsampling="bilinear",
        skips="none",
        score="Cityscapes val 72.3, ADE20K val 37.0 mIoU (ResNet-50, public zoo)",
    ),
    "fcn16s": ArchitectureFacts(
        title="FCN-16s",
        paper="Long et al., CVPR 2015, arXiv 1411.4038",
        year=2014,
        encoder="vgg16",
        parameters=135.3,
        multiply_adds=111.1,
        upsampling="transposed, bilinear or pixel shuffle",
        skips="stride 16, scores added",
        score="VOC 2011 val subset 62.4 mean IU (VGG-16)",
    ),
    "fcn32s": ArchitectureFacts(
        title="FCN-32s",
        paper="Long et al., CVPR 2015, arXiv 1411.4038",
        year=2014,
        encoder="vgg16",
        parameters=134.9,
        multiply_adds=110.9,
        upsampling="bilinear",
        skips="none",
        score="VOC 2011 val subset 59.4 mean IU (VGG-16)",
    ),
    "fcn8s": ArchitectureFacts(
        title="FCN-8s",
        paper="Long et al., CVPR 2015, arXiv 1411.4038",
        year=2014,
        encoder="vgg16",
        parameters=135.7,
        multiply_adds=111.7,
        upsampling="transposed, bilinear or pixel shuffle",
        skips="strides 16 and 8, scores added",
        score="VOC 2011 val subset 62.7 mean IU (VGG-16)",
    ),
    "lraspp": ArchitectureFacts(
        title="LR-ASPP",
        paper="Howard et al., ICCV 2019, arXiv 1905.02244",
        year=2019,
        encoder="mobilenet_v3_large",
        parameters=3.2,
        multiply_adds=2.0,
        upsampling="bilinear",
        skips="stride 8, scores added",
        score="COCO val in VOC classes 57.9 mIoU (torchvision)",
    ),
    "pspnet": ArchitectureFacts(
        title="PSPNet",
        paper="Zhao et al., CVPR 2017, arXiv 1612.01105",
        year=2016,
        encoder="resnet50",
        parameters=46.7,
        multiply_adds=177.5,
        upsampling="bilinear",
        skips="none",
        score="Cityscapes val 78.6, ADE20K val 42.6 mIoU (ResNet-50, public zoo)",
    ),
    "segformer": ArchitectureFacts(
        title="SegFormer",
        paper="Xie et al., NeurIPS 2021, arXiv 2105.15203",
        year=2021,
        encoder="mit_b0",
        parameters=3.8,
        multiply_adds=4.1,
        upsampling="bilinear",
        skips="strides 4, 8, 16, concatenated",
        score="Cityscapes val 76.5 (B0), 82.3 (B5), ADE20K val 37.4, 49.1 mIoU (public zoo)",
    ),
    "segnet": ArchitectureFacts(
        title="SegNet",
        paper="Badrinarayanan et al., PAMI 2017, arXiv 1511.00561",
        year=2015,
        encoder="vgg16_bn",
        parameters=29.5,
        multiply_adds=182.6,
        upsampling="max-unpooling",
        skips="pooling indices of every level",
        score="CamVid test 60.1 mIoU (11 classes, trained on 3,433 road images)",
    ),
    "unet": ArchitectureFacts(
        title="U-Net",
        paper="Ronneberger et al., MICCAI 2015, arXiv 1505.04597",
        year=2015,
        encoder="plain",
        parameters=31.0,
        multiply_adds=195.2,
        upsampling="transposed, nearest, bilinear or pixel shuffle",
        skips="every level, concatenated",
        score="cell tracking challenge PhC-U373 92.0, DIC-HeLa 77.6 IoU",
    ),
    "upernet": ArchitectureFacts(
        title="UPerNet",
        paper="Xiao et al., ECCV 2018, arXiv 1807.10221",
        year=2018,
        encoder="convnext_tiny",
        parameters=59.3,
        multiply_adds=234.6,
        upsampling="bilinear",
        skips="strides 4, 8, 16, added, then concatenated",
        score="ADE20K val 46.0 mIoU (ConvNeXt-T, single scale)",
    ),
}
