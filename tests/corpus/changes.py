"""Changes of a file as bytes: of a card, of an image, of the file as a whole."""

import io
import re

from astropy.io import fits

__all__ = ["cards_of", "edited", "place_of", "sections_of", "unsealed", "with_card"]

BLOCK, CARD = 2880, 80


def sections_of(content):
    """Return for each header-data unit its name, and where its header and its data begin."""
    with fits.open(io.BytesIO(content)) as hdus:
        return [(hdu.name, hdu._header_offset, hdu._data_offset) for hdu in hdus]


def cards_of(content, *names):
    """Yield the name of the section and the `~astropy.io.fits.Card` of all cards with a keyword, each keyword once."""
    for section, start, stop in sections_of(content):
        header = fits.Header.fromstring(content[start:stop])
        seen = {"", "COMMENT", "HISTORY", "END"}
        for card in header.cards:
            if card.keyword not in seen and (not names or section in names):
                seen.add(card.keyword)
                yield section, card


def with_card(content, section, keyword, card):
    """Return the file with these 80 characters as the card of ``keyword``; a blank card for None."""
    card = str(card).encode("ascii") if isinstance(card, fits.Card) else card or b""
    place = place_of(content, section, keyword)
    return content[:place] + card.ljust(CARD)[:CARD] + content[place + CARD :]


def place_of(content, section, keyword):
    """Return where the card of ``keyword`` begins."""
    start, stop = next((start, stop) for name, start, stop in sections_of(content) if name == section)
    cards = [content[place : place + 8] for place in range(start, stop, CARD)]
    return start + CARD * cards.index(keyword.encode().ljust(8))


def unsealed(content):
    """Return the file without the checksums that products have."""
    return re.sub(rb"(CHECKSUM|DATASUM )= [ -~]{70}", b" " * CARD, content)


def edited(content, edit, **options):
    """Return the file after ``edit`` of its `~astropy.io.fits.HDUList`, written with these ``options``."""
    with fits.open(io.BytesIO(content)) as hdus:
        edit(hdus)
        file = io.BytesIO()
        hdus.writeto(file, **options)
    return file.getvalue()
