"""Check that every relative link of the Markdown pages leads to a file, and every anchor to a heading."""

import re
import sys
from pathlib import Path

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Anchors as forges make them from headings."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub(lambda code: code.group().strip("`"), page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(root: Path) -> list[str]:
    """Return one line a broken link below ``root``."""
    pages = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("protocols/**/*.md")]
    broken = []
    for page in pages:
        for match in LINK.finditer(CODE.sub("", page.read_text())):
            target = match.group(1) or match.group(2)
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            destination = (page.parent / file).resolve() if file else page
            if not destination.exists():
                broken.append(f"{page.relative_to(root)}: found a link to {target}; wanted an existing file")
            elif anchor and destination.suffix == ".md" and anchor not in anchors(destination):
                broken.append(f"{page.relative_to(root)}: found the anchor {target}; wanted a heading of that name")
    return broken


if __name__ == "__main__":
    lines = broken_links(Path(__file__).parent.parent)
    sys.stderr.writelines(f"{line}\n" for line in lines)
    sys.exit(1 if lines else 0)
