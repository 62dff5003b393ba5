"""Hooks of the documentation site: one set of pages for GitHub and for MkDocs.

The pages link to files of the repository as GitHub expects it. For the site the README,
CONTRIBUTING and the change log become pages, every other linked file is copied beside
them, and links are rewritten to match.
"""  # noqa: INP001 - MkDocs loads this script by its path

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# Page of the site by its path in the repository; pages in docs/ keep their names.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "veritag/starter/MODEL_CARD.md": "model_card.md",
}
SOURCES = {page: source for source, page in PAGES.items()}
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
_NESTED_ITEM = re.compile(r"^( +)(?=(?:[-*]|\d+\.) )", re.MULTILINE)
_CODE_IN_TABLE = re.compile(r"`[^`\n]*\\\|[^`\n]*`")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def site_path(source: str) -> str:
    """Return the path on the site of a file of the repository."""
    if source in PAGES:
        return PAGES[source]
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    return f"repository/{source}"


def rewrite_links(text: str, source: str) -> str:
    """Return the text with links as they are on the site; `source` is its own path."""
    here = posixpath.dirname(site_path(source))

    def rewrite(match: re.Match[str]) -> str:
        path = posixpath.join(posixpath.dirname(source), match[1])
        target = site_path(posixpath.normpath(path))
        return posixpath.relpath(target, here or ".") + (match[2] or "")

    return _LINK.sub(rewrite, text)


def linked_files() -> set[str]:
    """Return the files outside docs/ that pages link to and that become no pages."""
    pages = [*ROOT.glob("docs/**/*.md"), *(ROOT / source for source in PAGES)]
    targets = {
        (page.parent / match[1]).resolve()
        for page in pages
        for match in _LINK.finditer(page.read_text("utf-8"))
    }
    paths = {path.relative_to(ROOT).as_posix() for path in targets if path.is_file()}
    return {path for path in paths - set(PAGES) if not path.startswith("docs/")}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages and files that lie outside docs/."""
    for source in [*PAGES, *sorted(linked_files())]:
        path = str(ROOT / source)
        files.append(File.generated(config, site_path(source), abs_src_path=path))
    return files


def as_python_markdown(text: str) -> str:
    """Return Markdown outside fences as Python-Markdown reads it.

    Nested items need four spaces, on GitHub two; a pipe in code is not escaped.
    """
    text = _NESTED_ITEM.sub(r"\1\1", text)
    return _CODE_IN_TABLE.sub(lambda match: match[0].replace(r"\|", "|"), text)


def on_page_markdown(
    markdown: str, *, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Rewrite links, and what Python-Markdown reads otherwise than GitHub does."""
    del config, files
    path = page.file.src_uri
    parts = _FENCE.split(rewrite_links(markdown, SOURCES.get(path, f"docs/{path}")))
    parts[::2] = map(as_python_markdown, parts[::2])  # the others are fenced blocks
    return "".join(parts)
