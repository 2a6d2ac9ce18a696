"""What a picture's file says of its making: metadata, which change no pixel, and which anybody can remove."""

from dataclasses import dataclass

from PIL.PngImagePlugin import PngInfo

from gan_lab import __version__

SOFTWARE = f"gan_lab {__version__}"
# IPTC Photo Metadata Standard 2023.1, Digital Source Type, from the vocabulary of its NewsCodes.
DIGITAL_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE}" xmp:CreatorTool="{SOFTWARE}"/>'
    "</rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)


@dataclass(frozen=True)
class Mark:
    """Of one generator's pictures by one seed.

    Attributes:
        generator_sha256: see `gan_lab.runs.checkpoint.weights_sha256`.
        seed: of the samples.
    """

    generator_sha256: str
    seed: int

    def info(self, index: int | None = None) -> PngInfo:
        """Chunks of a PNG: XMP that says "made by a trained model" in IPTC's word, and text on what made it.

        Args:
            index: of the sample, counted from 0; None where the picture is of several.
        """
        info = PngInfo()
        info.add_text("Software", SOFTWARE)
        info.add_text("gan_lab.generator_sha256", self.generator_sha256)
        info.add_text("gan_lab.seed", str(self.seed))
        if index is not None:
            info.add_text("gan_lab.index", str(index))
        info.add_itxt("XML:com.adobe.xmp", XMP)
        return info
