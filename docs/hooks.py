"""What mkdocs adds to the site: a page for each claim, the changelog, formulas as MathML.

Nothing that a page loads may come from the network: what would is a warning, and so an error under
`mkdocs build --strict`.
"""

import html
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs" / "experiment"
EXPERIMENTS = sorted(CONFIGS.glob("*.yaml"))
ATLAS = sorted(path for path in (CONFIGS / "atlas").glob("*.yaml") if path.stem[0] != "_")

#: What the page of a published loss shows of its rows.
PUBLISHED = ("model", "parameters", "published_nmse", "nmse", "late_nmse", "irreducible")
PUBLISHED += ("seeds", "steps", "minutes")

log = logging.getLogger("mkdocs.hooks")


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the pages that no one writes."""
    from mkdocs.structure.files import File

    for path in [*EXPERIMENTS, *ATLAS]:
        name = path.relative_to(CONFIGS).with_suffix("").as_posix()
        files.append(File.generated(config, f"experiments/{name}.md", content=claim_page(name)))
    for drawing in sorted((ROOT / "results").rglob("*.svg")):
        place = drawing.relative_to(ROOT).as_posix()
        files.append(File.generated(config, place, content=drawing.read_bytes()))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("(docs/", "(")
    files.append(File.generated(config, "changelog.md", content=changes))
    return files


def on_config(config: "MkDocsConfig") -> "MkDocsConfig":
    """List the claims behind their overview."""
    (section,) = (entry for entry in config.nav if "Experiments" in entry)
    section["Experiments"] += [{p.stem: f"experiments/{p.stem}.md"} for p in EXPERIMENTS]
    (atlas,) = (entry for entry in config.nav if "Atlas" in entry)
    atlas["Atlas"] += [{p.stem: f"experiments/atlas/{p.stem}.md"} for p in ATLAS]
    return config


def on_page_markdown(markdown: str, page: "Page", files: "Files", **_: Any) -> str:
    """Without marks; a claim's page where the repository has its file; no menu of one entry."""
    if "<!-- atlas -->" in markdown:

        def link(task: str, model: str) -> str:
            file = files.get_file_from_path(f"experiments/atlas/{task}.md")
            return f"{file.url_relative_to(page.file)}#{model}" if file else ""

        markdown = markdown.replace("<!-- atlas -->", "\n\n".join(atlas_tables(link)))
    markdown = re.sub(r"<!-- .*? -->", "", markdown)
    if page.parent is None:
        page.meta["hide"] = ["navigation", "toc"] if page.is_homepage else ["navigation"]
    if page.file.src_uri == "atlas.md":  # whose table is wide
        page.meta["hide"] = ["navigation", "toc"]
    if not page.file.src_uri.startswith("experiments/"):
        markdown = re.sub(r"\(\.\./(results/\w+/\w+\.svg)\)", r"(\1)", markdown)
    return re.sub(r"\(\.\./configs/experiment/(\w+)\.yaml\)", r"(experiments/\1.md)", markdown)


def on_page_content(text: str, **_: Any) -> str:
    """Formulas as MathML, which browsers draw without a script."""
    mark = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
    return mark.sub(lambda m: _formula(m[1], html.unescape(m[2])), text)


def _formula(tag: str, tex: str) -> str:
    from latex2mathml.converter import convert

    display = "block" if tag == "div" else "inline"
    return f'<{tag} class="arithmatex">{convert(tex, display=display)}</{tag}>'


def on_post_page(output: str, page: "Page", **_: Any) -> str:
    """Warn of what the page would load from elsewhere."""
    for found in re.findall(
        r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"?(https?:[^\" >]+)", output
    ):
        log.warning("%s loads %s", page.file.src_uri, found)
    return output


def claim_page(name: str) -> str:
    """The page of one experiment: its claim, what came out, its commands and its file."""
    source = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")
    claim, refuted, rest = str(yaml.safe_load(source).get("claim", "")).partition("Refuted")
    folder = yaml.safe_load(source).get("name", name)
    published = name.startswith("published_")
    program = "published" if published else "report"
    parts = [f"# {name}", claim.strip()]
    if refuted:
        parts.append(f"**It would be refuted**{rest}")
    parts += ["## What came out", *outcome(name)]
    if name.startswith("atlas/"):
        parts += cells(name.removeprefix("atlas/"))
    parts += ["## Run it"]
    commands = [
        f"python train.py experiment={name}",
        *[f"python train.py -m experiment={name} 'seed=range(100,108)'  # a replication"]
        * (not published),
        f"python scripts/{program}.py outputs/{folder} json=results/{name}.json",
    ]
    parts += ["\n".join(["```bash", *commands, "```"])]
    parts += ["## Its file", f"`configs/experiment/{name}.yaml`", f"```yaml\n{source}```"]
    return "\n\n".join(parts) + "\n"


def outcome(name: str) -> Iterator[str]:
    """What is stored of an experiment's results."""
    path = ROOT / "results" / f"{name}.json"
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored.get("verdict"):
            yield f"**{stored['verdict'].capitalize()}**, by `refuted_if` of the file below."
        if stored.get("agreement"):
            yield f"**{stored['agreement']}**"
        for part in stored.get("sets", []):
            yield f"**{part['title']}: {part['verdict']}.** {part['sentence']}"
            if part["power"]:
                yield f"*Power of the design:* {part['power']}."
        for law in stored.get("laws", []):
            if "exponential" in law:
                yield f"{law.get('set', 'first').capitalize()}: {law['sentence']}"
        for figure in stored.get("figures", []):
            shown = figure.replace("_", " ").capitalize()
            up = "../" * (1 + name.count("/"))
            yield f"![{shown} of {name}]({up}results/{name}/{figure}.svg)"
        if "laws" in stored:
            yield from settings(stored["rows"], stored.get("event", "plateau"))
        else:
            yield table(
                [{key: row[key] for key in PUBLISHED if key in row} for row in stored["rows"]]
            )
        origin = stored["provenance"]
        made = [f"`{text}`" for text in stored.get("runs", {}).get("command", [])]
        sets = stored.get("sets", [])
        minutes = sum(part["minutes"] for part in sets)
        on_cpu = [part.get("cpu_minutes") for part in sets]
        work = f" ({sum(on_cpu):,.1f} of the processor)" if sets and all(on_cpu) else ""
        yield (
            f"*Stored on {origin['date']} by `{origin['command']}`, version {origin['version']}, "
            f"commit {origin['commit']}, {origin['machine']}"
            + (f"; trained in {minutes:,.0f} minutes{work} by {', '.join(made)}" if made else "")
            + ".*"
        )
        return
    yield "*No number of it is known; not yet stored by a command.*"


def atlas_tables(link: Callable[[str, str], str]) -> Iterator[str]:
    """The atlas as it is stored, and the published numbers beside it; `link` as in its `table`."""
    from seq2seq.analysis.report import atlas

    groups = atlas.read(ROOT / "results" / "atlas")
    if not groups:
        yield "*Nothing of it is stored yet: the commands above train it and store it.*"
        return
    yield atlas.table(groups, link)
    stored = {(group.task, model): cell for group in groups for model, cell in group.cells.items()}
    yield "## Published numbers beside it"
    yield "Their tasks are larger, and trained for longer: what can be compared is who succeeds."
    for entry in yaml.safe_load((ROOT / "docs" / "atlas_published.yaml").read_text("utf-8")):
        yield f"**{entry['task'].replace('_', ' ')}**: {entry['setting']} ({entry['from']})."
        rows = []
        for row in entry["models"]:
            cell = stored.get((entry["task"], row["ours"]))
            rows.append(row | (of_a_cell(cell) if cell else {}))
        yield table(rows)


def of_a_cell(cell: dict[str, Any]) -> dict[str, Any]:
    """What stands beside a published number."""
    from seq2seq.analysis.report import atlas

    measured = cell["target"][0].replace("val/", "test/")
    return {
        "success": f"{atlas.share(cell)} ({atlas.interval(cell)})",
        "in steps": atlas.steps(cell),
        "reached": f"{measured} {show(cell[measured])}" if measured in cell else None,
    }


def cells(task: str) -> Iterator[str]:
    """Every cell of a group of the atlas: what came out, its curve, its command."""
    from seq2seq.analysis.report import atlas

    for group in atlas.read(ROOT / "results" / "atlas"):
        for model, cell in group.cells.items() if group.task == task else ():
            yield f"### {model}"
            metric, target = cell["target"]
            row, said = of_a_cell(cell), atlas.verdict(cell)
            told = f"{row['success']} runs reached `{metric}` {target:g} within "
            told += f"{cell['budget']:,.0f} steps; median of the steps: {row['in steps']}"
            told += f"; {row['reached']}." if row["reached"] else "."
            yield told + f" **{said.capitalize()}.** {atlas.reason(cell)}" * bool(said)
            yield atlas.drawing(cell)
            yield f"```bash\n{atlas.command(task, model)}\n```"


def settings(rows: list[dict[str, Any]], event: str) -> Iterator[str]:
    """A table of the runs that differ by the seed only; times are those to an `event`."""
    yield "Geometric means over seeds with 95% intervals; lower bounds (≥) where runs are censored."
    shown = []
    for row in rows:
        told = {"set": row["set"]} if "set" in row else {}
        line = told | {"setting": row["setting"] or "all runs", "runs": row["runs"]}
        names = {"plateau": "steps to success" if event == "success" else event}
        for key in ("success", "plateau", "test/nmse", "test/loss"):
            if key in row:
                mean, low, high = (row[key][end] for end in ("mean", "low", "high"))
                name = names.get(key, key)
                ends = "" if low is None else f" ({short(low)} to {short(high)})"  # of one run
                line[name] = f"{short(mean)}{ends}"
                if key == "plateau" and row["censored"]:
                    line[name] = f"≥ {short(mean)}"
        shown.append(line | {"censored": row["censored"], "parameters": row["parameters"]})
    yield table(shown)


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown."""
    keys = list(
        dict.fromkeys(key for row in rows for key in row if key not in ("experiment", "source"))
    )
    lines = [keys, ["---"] * len(keys), *([show(row.get(key)) for key in keys] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def short(value: float) -> str:
    """Three digits, thousands set apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def show(value: Any) -> str:
    """A value in a table."""
    if isinstance(value, dict):
        return f"{value['mean']:.2g} ({value['low']:.2g} to {value['high']:.2g})"
    if isinstance(value, list):
        return ", ".join(map(show, value))
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.2g}"
    return (
        "" if value is None else f"{value:,.0f}" if isinstance(value, int | float) else str(value)
    )
