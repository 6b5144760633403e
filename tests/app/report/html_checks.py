"""What a page has to be: balanced, and loading nothing from anywhere."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "input", "hr"}
LOADING = {"src", "href", "srcset", "poster", "data", "action", "background"}


class Page(HTMLParser):
    """Reads a page, and refuses tags that do not close one another."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        assert len(known) == len(attrs), f"an attribute twice: {tag} {attrs}"
        assert not any(name.startswith("on") for name in known), f"a handler: {tag} {attrs}"
        self.tags.append((tag, known))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> where {self.open[-3:]} are open"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def words(self):
        return " ".join(self.text.split())


def check(text: str) -> Page:
    """A page that is well formed, runs nothing and loads nothing but what it holds.

    Args:
        text: HTML.
    """
    assert text.lstrip().startswith("<!doctype html>")
    page = Page(text)
    assert not page.all("script") and not page.all("iframe") and not page.all("object")
    for tag, attrs in page.tags:
        for name in LOADING & attrs.keys():
            value = attrs[name]
            assert value.startswith(("data:", "#")), f"{tag} {name}={value[:80]}"
    assert "@import" not in text and "url(" not in text
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    (scale,) = (one for one in page.all("meta") if one.get("name") == "viewport")
    assert "width=device-width" in scale["content"]
    assert all(one.get("alt") for one in page.all("img"))
    return page
