"""Pages that need nothing else; and results as one: table, figures, configs, versions, commits and commands."""

import base64
from collections.abc import Sequence
from pathlib import Path

from bginv_jax import config as configs
from bginv_jax.evaluation import scoring, table1, test_sets
from bginv_jax.evaluation.names import in_html
from bginv_jax.evaluation.records import by_measure, heading, rows
from bginv_jax.training import provenance

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.poster { color: #666; }
img { max-width: 100%; height: auto; display: block; margin: .5rem 0 1.5rem; }
pre { background: #f4f4f4; padding: .6rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
"""

# So that a browser, too, loads and runs nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_CAPTIONS = {
    "rates.png": "As the Random background fills",
    "figure1.png": "Figure 1: a network without masks or attention on each background",
    "predictions.png": "An image on each background, with what is predicted of it",
    "figure2.png": "Figure 2: where the attention baseline looks, and what it crops",
    "figure3.png": "Figure 3: images on their way through the three networks",
    "figure4.png": "Figure 4: what the background generator makes of the same noise along the epochs",
    "figure4.gif": "Figure 4, moving",
}


def element(tag: str, text: object) -> str:
    """An HTML element with a text, which is escaped."""
    return f"<{tag}>{in_html(text)}</{tag}>"


def opening(title: str, *, style: str = "") -> str:
    """The beginning of a page that loads nothing from elsewhere, with some style of its own; `CLOSING` ends it."""
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"{element('title', title)}<style>{_STYLE}{style}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n'


CLOSING = "\n</body></html>\n"


def _row(kind: str, tag: str, cells: Sequence[str]) -> str:
    return f"<tr{kind}>" + "".join(element(tag, cell) for cell in cells) + "</tr>"


def _table(records: Sequence[dict]) -> str:
    lines = [_row("", "th", table1.heads(records))]
    for line in table1.lines(records):
        lines.append(_row(' class="poster"' if line.poster else "", "td", [line.title, *line.cells]))
    return "<table>" + "\n".join(lines) + "</table>"


def _test_sets(records: Sequence[dict]) -> list[str]:
    """The table of several test sets under its heading; [] where `test_sets.table` has none."""
    head, *lines = test_sets.table(records) or [[]]
    if not lines:
        return []
    cells = "\n".join([_row("", "th", head), *(_row("", "td", line) for line in lines)])
    return [element("h2", "Test sets, as they are"), f"<table>{cells}</table>"]


def _picture(path: Path) -> str:
    caption = in_html(_CAPTIONS[path.name])
    content = base64.b64encode(path.read_bytes()).decode()
    kind = path.suffix[1:]
    return f'<h2>{caption}</h2>\n<img alt="{caption}" src="data:image/{kind};base64,{content}">'


def _facts(names: dict[str, object]) -> str:
    return "<pre>" + "\n".join(in_html(f"{name}: {value}") for name, value in names.items()) + "</pre>"


def _origin(origin: dict) -> dict[str, object]:
    """`provenance.describe` in lines; runs of earlier versions have none."""
    versions = ", ".join(f"{name} {version}" for name, version in origin.get("versions", {}).items())
    unknown = "not recorded"
    return {
        "command": origin.get("command", unknown),
        "commit": origin.get("commit") or unknown,
        "versions": versions or unknown,
        "devices": origin.get("devices", unknown),
    }


def _run(run: scoring.TrainedRun) -> str:
    first = run.seeds[0]
    defaults = configs.flatten(configs.default_config())
    seeds = tuple(one.config.seed for one in run.seeds)
    changed = {
        name: value
        for name, value in configs.flatten(first.config).items()
        if value != defaults[name] and name not in ("seed", "seeds")
    }
    facts = _origin(first.origin) | {
        "seeds": ", ".join(map(str, seeds)),
        "steps": f"{first.steps} of {first.config.steps}",
        "data": f"{first.description.name}, SHA-256 {first.description.sha256}",
    }
    return "\n".join(
        [
            element("h3", table1.run_line(run.workdir, run.seeds)),
            _facts(facts),
            element("p", "Config, where it is not the default:" if changed else "Config: the defaults."),
            *([_facts(changed)] if changed else []),
            "<details>" + element("summary", "The whole config") + _facts(configs.flatten(first.config)) + "</details>",
        ]
    )


def render(runs: Sequence[scoring.TrainedRun], records: Sequence[dict], pictures: Sequence[Path]) -> str:
    """The page as text.

    Args:
      runs: that were scored.
      records: of all of them, and of their further test sets.
      pictures: PNG and GIF files, shown in this order; other files are passed over.
    """
    shown = [_picture(path) for path in pictures if path.name in _CAPTIONS]
    parts = [
        element("h1", "Background invariance by adversarial learning"),
        element(
            "p",
            f"{heading(records)} of the test images on the backgrounds of the poster (Cruz et al., "
            "ICPR 2020), mean ± standard deviation where there are several seeds.",
        ),
        *(map(_table, by_measure(records)) if rows(records) else []),
        *_test_sets(records),
        *shown,
        element("h2", "How it was trained"),
        *map(_run, runs),
        element("h2", "How it was scored"),
        _facts(_origin(provenance.describe())),
    ]
    return opening("Background invariance: Table 1") + "\n".join(parts) + CLOSING
