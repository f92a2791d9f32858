"""Draws lines with ANSI colours as an SVG picture of a terminal."""

import html
import re
import unicodedata

# Column, line, edge and title bar, in pixels.
CELL, LINE, EDGE, BAR = 8.4, 19, 20, 36
SIZE = 14
PAPER, INK, FRAME, BAR_PAPER = "#0d1117", "#d1d9e0", "#30363d", "#161b22"
COLOURS = {31: "#ff7b72", 32: "#56d364", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#56d4dd"}


def bare(line):
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


class Style:
    def __init__(self):
        self.colour, self.bold, self.dim, self.inverted = None, False, False, False

    def apply(self, codes):
        for code in codes:
            if code == 0:
                self.__init__()
            elif code == 1:
                self.bold = True
            elif code == 2:
                self.dim = True
            elif code == 7:
                self.inverted = True
            elif code in COLOURS:
                self.colour = COLOURS[code]

    def attributes(self):
        fill = PAPER if self.inverted else self.colour
        out = f' fill="{fill}"' if fill else ""
        out += ' font-weight="bold"' if self.bold else ""
        return out + (' opacity=".6"' if self.dim else "")


def columns(text):
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(bool(unicodedata.combining(c)) for c in text)


def draw(line, y):
    """The elements of one line. Each piece is put at its column, whatever the font's width is."""
    style, column, out = Style(), 0, []
    for n, piece in enumerate(re.split(r"\x1b\[([0-9;]*)m", line)):
        if n % 2:
            style.apply(int(code or 0) for code in piece.split(";"))
            continue
        width = columns(piece)
        if not piece.strip() and not style.inverted:
            column += width
            continue
        if style.inverted:
            out.append(
                f'<rect x="{EDGE + column * CELL:.1f}" y="{y - LINE + 5:.1f}" width="{width * CELL:.1f}"'
                f' height="{LINE}" fill="{style.colour or INK}"/>'
            )
        # Leading spaces are columns, not text, and inner ones do not break: viewers merge spaces.
        text = piece.lstrip(" ")
        column, width = column + len(piece) - len(text), width - len(piece) + len(text)
        text = text.rstrip(" ").replace(" ", "\N{NO-BREAK SPACE}")
        out.append(
            f'<text x="{EDGE + column * CELL:.1f}" y="{y:.1f}" textLength="{columns(text) * CELL:.1f}"'
            f'{style.attributes()}>{html.escape(text, quote=False)}</text>'
        )
        column += width
    return out


def frame(width, height, title, bar, style=""):
    """The beginning of a picture: the window with its title bar."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}"'
        f' height="{height}" font-size="{SIZE}" fill="{INK}" font-family="ui-monospace,'
        " SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace\">",
        f"<title>{html.escape(title)}</title>",
        *([f"<style>{style}</style>"] if style else []),
        f'<rect x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1}" rx="10" fill="{PAPER}" stroke="{FRAME}"/>',
        f'<path d="M.5 {BAR}V10.5a10 10 0 0 1 10-10H{width - 10.5:.1f}a10 10 0 0 1 10 10V{BAR}z" fill="{BAR_PAPER}"'
        f' stroke="{FRAME}"/>',
    ]
    for n, colour in enumerate(["#ff5f57", "#febc2e", "#28c840"]):
        out.append(f'<circle cx="{EDGE + 2 + n * 20}" cy="{BAR / 2:.0f}" r="6" fill="{colour}"/>')
    out.append(
        f'<text x="{width / 2:.0f}" y="{BAR / 2 + 5:.0f}" text-anchor="middle" opacity=".6">{html.escape(bar)}</text>'
    )
    return out
