"""`--mode visualize`: pictures of what a trained network has learnt, into RUN/visualize/."""

import html
import time
from pathlib import Path

from cli import features, flags, picture_methods, picture_source
from cli import trained as trained_networks
from cli.look import Look, NotFittingError
from common.errors import UserError, unknown
from common.progress import duration
from common.runs.config import RunConfig
from common.visualization.methods import METHODS

MOST_LAYERS = 5


def run(options: flags.Options, family: str | None) -> None:
    """`--mode visualize`: a sheet of pictures for each method, on image files or on the test split, and a page."""
    from common.visualization.activations import last_of_each_size

    trained = trained_networks.one(options, family)
    if options.images and "dataset" not in options.given:
        source = picture_source.of_files(options.images)
    else:
        data, trained = trained_networks.with_data(options, trained)
        of_files = bool(options.images)
        source = picture_source.of_files(options.images) if of_files else picture_source.of_split(data, options)
    target = _target(options.target, trained.config)
    model = trained_networks.build(trained)
    if options.layers:
        layers = [features.find_layer(model, name, "layers") for name in options.layers]
    else:
        layers = last_of_each_size(model)[-MOST_LAYERS:]
    _check_units(options.units or (), layers)
    out = Path(options.out) if options.out else trained.run / "visualize"
    look = Look(
        model=model,
        config=trained.config,
        features=features.classifier_input(model),
        source=source,
        layers=layers,
        units=options.units,
        target=target,
        most_shown=options.shown,
        batch_size=options.batch_size if "batch_size" in options.given else None,
        out=out,
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write(look, options.methods or list(METHODS))
    except OSError as error:
        raise UserError(f"--out={out}: cannot be written ({error.strerror})", 1) from error
    print(f"all of them on one page: {out / 'index.html'}")


def _target(name: str | None, config: RunConfig) -> int | None:
    """The number of the class that `--target` names, in words or as the data set does.

    Raises UserError where there is none of this name.
    """
    if name is None:
        return None
    for names in (config.classes, config.names):
        if name in names:
            return names.index(name)
    raise unknown("--target", name, config.names)


def _check_units(units: tuple[int, ...], layers: list) -> None:
    """Raises UserError for a unit that a layer does not have."""
    for layer in layers:
        most = layer.output.shape[-1]
        if any(unit >= most for unit in units):
            raise UserError(f"--units={max(units)}: {layer.name} has {most} units, 0 to {most - 1}")


def _write(look: Look, names: list[str]) -> None:
    """Makes the pictures of each method, says so, and writes the page."""
    made: dict[str, list[str]] = {}
    for name in METHODS:
        if name not in names:
            continue
        begin = time.monotonic()
        try:
            made[name] = picture_methods.DRAW[name](look)
        except NotFittingError as reason:
            print(f"{name}: left out, {reason}", flush=True)
            continue
        files = ", ".join(made[name])
        print(f"{name}: {look.out}/{files} ({duration(time.monotonic() - begin)})", flush=True)
    if len(look.compared) > 1:
        made["all"] = [picture_methods.comparison(look)]
    (look.out / "index.html").write_text(_page(look, made), encoding="utf-8")


def _page(look: Look, made: dict[str, list[str]]) -> str:
    """The page that shows all sheets, in the order of the methods."""
    title = html.escape(f"What {look.config.arch} has learnt")
    parts = []
    for name, files in made.items():
        heading, text = (METHODS[name].title, METHODS[name].look) if name in METHODS else ("All side by side", "")
        shown = "".join(f'<p><img src="{html.escape(file)}" alt="{html.escape(file)}"></p>\n' for file in files)
        parts.append(f"<h2>{html.escape(heading)}</h2>\n<p>{html.escape(text)}</p>\n{shown}")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; }}
body {{ max-width: 75rem; margin: 1rem auto; padding: 0 1rem; }}
img {{ max-width: 100%; height: auto; }}
</style></head>
<body>
<h1>{title}</h1>
{"".join(parts)}</body></html>
"""
