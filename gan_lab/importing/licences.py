"""What the person who made weights allows: asked of whoever imports them, and handed on with them."""

KNOWN = {
    "nvidia": (
        "NVIDIA Source Code License: non-commercial, for research or evaluation only; what is made of these weights "
        "stays under the same terms"
    ),
    "cc-by-nc-4.0": "CC BY-NC 4.0: non-commercial, naming the author",
    "cc-by-nc-sa-4.0": "CC BY-NC-SA 4.0: non-commercial, naming the author, derivatives under the same terms",
    "cc-by-4.0": "CC BY 4.0: naming the author",
    "cc-by-sa-4.0": "CC BY-SA 4.0: naming the author, derivatives under the same terms",
    "cc0-1.0": "CC0 1.0: no conditions",
    "mit": "MIT: keeping the copyright notice",
    "apache-2.0": "Apache 2.0: keeping the notices, naming changes",
    "own": "one's own weights",
    "unknown": "unknown: no licence was found, so nothing is allowed but what the law allows",
}
LONGEST = 300


def terms(licence: str | None) -> str:
    """The line that goes with the weights: a known licence's, or what was given.

    Raises:
        ValueError: none was given, or more than a line.
    """
    if licence is None or not licence.strip():
        raise ValueError(
            "licence=... is needed: what the maker of these weights allows. Networks that NVlabs published are under "
            f"licence=nvidia (non-commercial); known are {', '.join(KNOWN)}; any other is given in words, "
            "licence='...'"
        )
    given = licence.strip()
    if len(given) > LONGEST or not given.isprintable():
        raise ValueError(f"licence must be one line of at most {LONGEST} characters; give the name and a link")
    return KNOWN.get(given.lower(), given)
