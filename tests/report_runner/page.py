"""Reading a finished page back the way a browser does: elements, attributes, visible text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset({"meta", "link", "br", "img", "hr"})
_INVISIBLE = frozenset({"style", "script", "title", "desc"})


@dataclass
class Element:
    """An element with its attributes and children; text is a child too."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def visible_text(self) -> str:
        """The text that a reader sees, blocks apart."""
        if self.tag in _INVISIBLE:
            return ""
        return " ".join(
            child if isinstance(child, str) else child.visible_text for child in self.children
        )

    def find(self, tag: str | None = None, name: str | None = None) -> list["Element"]:
        """All elements inside with this tag and this class."""
        found = []
        for child in self.children:
            if isinstance(child, str):
                continue
            if tag in {None, child.tag} and (
                name is None or name in child.attributes.get("class", "").split()
            ):
                found.append(child)
            found += child.find(tag, name)
        return found


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(document: bytes) -> Element:
    """Return the page as a tree; unbalanced tags fail."""
    builder = _Builder()
    builder.feed(document.decode("utf-8"))
    builder.close()
    assert builder.open == [builder.root]
    return builder.root
