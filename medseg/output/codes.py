"""SNOMED CT codes of the classes, so that other systems understand a segment without its label."""

import re
from dataclasses import dataclass

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

PRIVATE_SCHEME = "99MEDSEG"
"""Coding scheme of this project (PS3.3 8.2). Its codes are the names of classes that are not in the table."""

_PAIRED: dict[str, Code] = {
    "breast": codes.SCT.Breast,
    "calcaneus": codes.SCT.Calcaneus,
    "clavicle": codes.SCT.Clavicle,
    "femur": codes.SCT.Femur,
    "fibula": codes.SCT.Fibula,
    "foot": codes.SCT.Foot,
    "hand": codes.SCT.Hand,
    "hip": codes.SCT.Hip,
    "humerus": codes.SCT.Humerus,
    "ilium": codes.SCT.Ilium,
    "ischium": codes.SCT.Ischium,
    "kidney": codes.SCT.Kidney,
    "knee": codes.SCT.Knee,
    "lung": codes.SCT.Lung,
    "patella": codes.SCT.Patella,
    "radius": codes.SCT.RadiusBone,
    "scapula": codes.SCT.Scapula,
    "shoulder": codes.SCT.Shoulder,
    "talus": codes.SCT.Talus,
    "tibia": codes.SCT.Tibia,
    "ulna": codes.SCT.Ulna,
}
"""Structures with one on each side. The plural means both."""

_MANIFOLD: dict[str, Code] = {
    "bone": codes.SCT.Bone,
    "bronchus": codes.SCT.Bronchus,
    "diaphragm": codes.SCT.Diaphragm,
    "hand_bone": codes.SCT.HandBone,
    "metacarpal": codes.SCT.Metacarpal,
    "rib": codes.SCT.Rib,
    "tooth": codes.SCT.Tooth,
}
"""Structures that may lie on one side, but whose plural does not say on which."""

_SINGLE: dict[str, Code] = {
    "aorta": codes.SCT.Aorta,
    "aortic_arch": codes.SCT.AorticArch,
    "bladder": codes.SCT.Bladder,
    "carina": codes.SCT.Carina,
    "cervical_spine": codes.SCT.CervicalSpine,
    "coccyx": codes.SCT.Coccyx,
    "esophagus": codes.SCT.Esophagus,
    "heart": codes.SCT.Heart,
    "liver": codes.SCT.Liver,
    "lumbar_spine": codes.SCT.LumbarSpine,
    "mandible": codes.SCT.Mandible,
    "maxilla": codes.SCT.Maxilla,
    "mediastinum": codes.SCT.Mediastinum,
    "pelvis": codes.SCT.BoneStructureOfPelvis,
    "sacrum": codes.SCT.Sacrum,
    "skull": codes.SCT.Skull,
    "spine": codes.SCT.Spine,
    "spleen": codes.SCT.Spleen,
    "sternum": codes.SCT.Sternum,
    "stomach": codes.SCT.Stomach,
    "thoracic_spine": codes.SCT.ThoracicSpine,
    "trachea": codes.SCT.Trachea,
    "vertebra": codes.SCT.Vertebra,
    **{
        f"{name}_vertebra": getattr(codes.SCT, f"{name.upper()}Vertebra")
        for region, count in (("c", 7), ("t", 12), ("l", 5))
        for name in (f"{region}{number}" for number in range(1, count + 1))
    },
}
"""Structures without a side: the left heart is a part of the heart, not a heart on the left."""

_PLURALS = {
    "bronchi": "bronchus",
    "calcanei": "calcaneus",
    "feet": "foot",
    "femora": "femur",
    "fibulae": "fibula",
    "humeri": "humerus",
    "ilia": "ilium",
    "ischia": "ischium",
    "patellae": "patella",
    "radii": "radius",
    "scapulae": "scapula",
    "tali": "talus",
    "teeth": "tooth",
    "tibiae": "tibia",
    "ulnae": "ulna",
    "vertebrae": "vertebra",
}
_SIDES = {
    **dict.fromkeys(("left", "l"), codes.SCT.Left),
    **dict.fromkeys(("right", "r"), codes.SCT.Right),
    **dict.fromkeys(("both", "bilateral"), codes.SCT.Bilateral),
}


@dataclass(frozen=True)
class ClassCodes:
    """The codes of a segment's content (PS3.3 C.8.20.4)."""

    category: Code
    """A code of CID 7150. An unknown class is a Spatial and Relational Concept, which makes no claim about anatomy."""
    structure: Code
    side: Code | None = None
    """A code of CID 244 (laterality)."""


def find_codes(name: str) -> ClassCodes:
    """The codes of a class, from its name. Capitals, `-` for `_`, plurals, and a side at the start or end are allowed.

    If the name is not in the table, its code is the name itself in the scheme `99MEDSEG`.
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("-", "_").split("_")
    side = _SIDES.get(words[0]) or _SIDES.get(words[-1])
    if side is not None:
        words = words[1:] if words[0] in _SIDES else words[:-1]
    word = "_".join(words)
    known = _PAIRED | _MANIFOLD | ({} if side else _SINGLE)
    singular = word if word in known else _PLURALS.get(word, word.removesuffix("s"))
    if singular not in known:
        return ClassCodes(codes.SCT.SpatialAndRelationalConcept, Code(name, PRIVATE_SCHEME, name))
    if side is None and singular in _PAIRED and singular != word:
        side = codes.SCT.Bilateral
    return ClassCodes(codes.SCT.AnatomicalStructure, known[singular], side)
