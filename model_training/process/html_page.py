"""HTML pages of one file, made from jinja2 templates."""

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def render_page(package: str, template: str, **values: Any) -> str:
    """Return the page that a template of a package makes of `values`.

    Values are escaped, except `markupsafe.Markup`. Templates extend `page.html` of this
    package, which has the title, the style sheet and the block `body`.

    Parameters
    ----------
    package
        Whose folder `templates` holds the template.
    template
        Name of the file.

    Raises
    ------
    jinja2.UndefinedError
        If the template uses a value that was not given.
    """
    loader = ChoiceLoader([PackageLoader(package), PackageLoader(__package__)])
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)
