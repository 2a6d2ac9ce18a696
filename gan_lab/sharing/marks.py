"""What a picture's file says of its making: metadata, which change no pixel, and which anybody can remove."""

from dataclasses import dataclass
from typing import Any

from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from gan_lab import __version__
from gan_lab.runs.checkpoint import LoadedGenerator, weights_sha256

SOFTWARE = f"gan_lab {__version__}"
# IPTC Photo Metadata Standard 2023.1, Digital Source Type, from the vocabulary of its NewsCodes: of latents alone, or
# with a picture that was not generated in it.
DIGITAL_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
MADE = "made by a generative model"
MADE_OF_PICTURE = "made by a generative model, of a picture"


@dataclass(frozen=True)
class Mark:
    """Of one generator's pictures by one seed.

    Attributes:
        generator_sha256: see `gan_lab.runs.checkpoint.weights_sha256`.
        seed: of the samples.
        licence: that the generator comes with; None for none.
        of_picture: whether they are made of, or lie beside, pictures that were not generated.
    """

    generator_sha256: str
    seed: int
    licence: str | None = None
    of_picture: bool = False

    @property
    def description(self) -> str:
        """What it is, in words."""
        return MADE_OF_PICTURE if self.of_picture else MADE

    def texts(self, index: int | None = None) -> dict[str, str]:
        """Key and value of what is said in words.

        Args:
            index: of the sample, counted from 0; None where the picture is of several, or not one that
                `gan_lab.sample` numbers so.
        """
        said = {
            "Description": self.description,
            "Software": SOFTWARE,
            "gan_lab.generator_sha256": self.generator_sha256,
            "gan_lab.seed": str(self.seed),
        }
        if index is not None:
            said["gan_lab.index"] = str(index)
        if self.licence is not None:
            said["gan_lab.generator_licence"] = self.licence
        return said

    def xmp(self) -> str:
        """XMP that says "made by a trained model" in IPTC's word."""
        source = COMPOSITE_SOURCE if self.of_picture else DIGITAL_SOURCE
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
            'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
            f'Iptc4xmpExt:DigitalSourceType="{source}" xmp:CreatorTool="{SOFTWARE}"/>'
            "</rdf:RDF></x:xmpmeta>"
            '<?xpacket end="r"?>'
        )

    def info(self, index: int | None = None) -> PngInfo:
        """Chunks of a PNG: text on what made it, and XMP.

        Args:
            index: see `texts`.
        """
        info = PngInfo()
        for key, value in self.texts(index).items():
            info.add_text(key, value)
        info.add_itxt("XML:com.adobe.xmp", self.xmp())
        return info

    def comment(self) -> str:
        """All of `texts` in one line, for a format that has one place for words."""
        first, *others = self.texts().items()
        return "; ".join([first[1], *(f"{key}: {value}" for key, value in others)])

    def saved(self, kind: str) -> dict[str, Any]:
        """What `PIL.Image.Image.save` is to be given for a picture of this format.

        Args:
            kind: png, webp (EXIF and XMP) or gif (a comment).
        """
        if kind == "png":
            return {"pnginfo": self.info()}
        if kind == "gif":
            return {"comment": self.comment().encode()}
        exif = Image.Exif()
        exif[Base.Software] = SOFTWARE
        exif[Base.ImageDescription] = self.comment()
        return {"exif": exif.tobytes(), "xmp": self.xmp().encode()}


def mark_of(loaded: LoadedGenerator, seed: int, *, of_picture: bool = False) -> Mark:
    """The mark of a generator's pictures.

    Args:
        loaded: as it was loaded: truncation and sliders are no part of what is hashed.
        seed, of_picture: see `Mark`.
    """
    return Mark(weights_sha256(loaded.network), seed, loaded.licence, of_picture)
