"""Tables as plain text."""

# SPDX-License-Identifier: BSD-3-Clause


def align(lines):
    """Lines of cells in columns, the first one left and the others right aligned.

    Parameters
    ----------
    lines : list of list of str
        The headings first.

    Returns
    -------
    text : list of str
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = []
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        aligned.append(("  " + "  ".join(cells)).rstrip())
    return [aligned[0], "  " + "-" * (sum(widths) + 2 * len(widths) - 2), *aligned[1:]]
