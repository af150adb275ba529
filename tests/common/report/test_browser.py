"""The pages as a person uses them, in headless Chromium: no error, sorting, zooming, pictures, accessibility.

REPORT_SCREENSHOTS=FOLDER in the environment keeps a picture of each.
"""

import os

import numpy as np
import pytest

import reports
from common.report import analysis, comparison_page, record, run_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=reports.chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small run's page, that of one of forty classes, and a comparison."""
    root = tmp_path_factory.mktemp("pages")
    network = run_page.Network(
        layers=[
            {"name": name, "what": "convolution", "output": (4, 4, 8), "parameters": count, "multiply_adds": 10 * count}
            | {"activation_values": 128, "receptive_field": 3}
            for name, count in (("conv1", 224), ("conv2", 1168))
        ],
        totals={"trainable_parameters": 1392, "multiply_adds": 13920, "activation_values": 256},
    )
    few = reports.predictions()
    found = analysis.analyse(few, reports.NAMES, [*reports.FILES * 4], reports.pictures(analysis.places(few, 3)))
    run_page.write(record.read(reports.run(root / "few")), network, found, "")
    answers = tuple((i % 40, (i + i % 3 // 2) % 40, 0.5 + i / 1000) for i in range(200))
    names = [f"class {number}" for number in range(40)]
    many = reports.predictions(answers)
    shown = reports.pictures(analysis.places(many, 40))
    found = analysis.analyse(many, names, [""] * 200, shown)
    run_page.write(record.read(reports.run(root / "many", classes=names)), None, found, "")
    for name, predicted in (("one", "a b b"), ("two", "a a c")):
        (reports.run(root / name, seed=len(name)) / "test").mkdir()
        lines = (f"{i},{i}.png,{'aba'[i]},{said},0.9" for i, said in enumerate(predicted.split()))
        text = "\n".join(["index,file,label,predicted,probability", *lines])
        (root / name / "test/predictions.csv").write_text(text, encoding="utf-8")
    compared = comparison_page.make([(name, record.read(root / name)) for name in ("one", "two")])
    comparison_page.write(compared, root, {2: np.zeros((8, 8, 3), np.uint8)})
    return root


@pytest.fixture
def visit(chromium, folder):
    """Opens a page; at the end nothing may have gone wrong on it."""
    faults, contexts = [], []

    def visit(name, **looks):
        context = chromium.new_context(**{"viewport": {"width": 1100, "height": 800}} | looks)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else faults.append(request.url),
        )
        page.goto((folder / name).as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert faults == []


def column(page, table, place):
    return page.locator(f"#{table} tbody tr > :nth-child({place})").all_text_contents()


def test_a_heading_sorts_and_sorts_the_other_way_and_what_is_not_defined_comes_last(visit):
    page = visit("few/report.html")
    assert page.title() == "tiny · few"  # the scripts in the names have not run
    heading = page.locator("#per-class th", has=page.get_by_role("button", name="precision"))
    assert heading.get_attribute("aria-sort") == "none"
    heading.get_by_role("button").click()
    assert column(page, "per-class", 5) == ["66.67 %", "50.00 %", ""]
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").press("Enter")
    assert column(page, "per-class", 5) == ["50.00 %", "66.67 %", ""]
    page.locator("#per-class").get_by_role("button", name="class", exact=True).click()
    assert column(page, "per-class", 2) == sorted(reports.NAMES, key=lambda name: "<gp".index(name[0]))
    assert heading.get_attribute("aria-sort") == "none"


def test_dragging_zooms_all_charts_and_a_double_click_shows_the_whole_run_again(visit):
    page = visit("few/report.html")
    loss, top1 = (page.locator(f"[data-chart={name}] svg") for name in ("loss", "top1"))
    assert loss.get_attribute("aria-label") == "Loss, steps 1 to 120"
    loss.scroll_into_view_if_needed()
    box = loss.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 60)
    page.mouse.up()
    shown = [int(word) for word in top1.get_attribute("aria-label").split() if word.isdecimal()]
    # The drawing begins 52 pixels from the left edge and ends 12 from the right one.
    inner = box["width"] - 64
    wanted = [1 + 119 * (box["width"] * share - 52) / inner for share in (0.4, 0.7)]
    assert shown == pytest.approx(wanted, abs=1)
    assert loss.get_attribute("aria-label") == f"Loss, steps {shown[0]} to {shown[1]}"
    loss.dblclick(position={"x": 200, "y": 100})
    assert top1.get_attribute("aria-label") == "Top-1, steps 1 to 120"
    top1.focus()
    page.keyboard.press("+")
    assert top1.get_attribute("aria-label") == "Top-1, steps 31 to 90"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Loss: zoom in").click()
    assert loss.get_attribute("aria-label") == "Loss, steps 31 to 90"


def test_a_curve_hides_and_a_point_is_read_off(visit):
    page = visit("few/report.html")
    chart = page.locator("[data-chart=loss]")
    assert chart.locator("polyline").count() == 4
    chart.get_by_role("button", name="first steps").click()
    assert chart.locator("polyline").count() == 3
    box = chart.locator("svg").bounding_box()
    chart.locator("svg").hover(position={"x": box["width"] - 13, "y": 50})
    assert f"validation {2 / 120 + 0.35:.5g} (step 120)" in chart.locator(".readout").text_content()


def test_a_cell_shows_its_pictures(visit):
    page = visit("few/report.html")
    page.locator(".matrix [data-cell='0,1']").click()
    panel = page.locator("#behind")
    assert panel.locator("img").count() == 2
    assert (
        panel.locator("p").text_content().startswith(f"True label {reports.NASTY}, predicted größe 猫: 2 of 2 images")
    )
    assert all(image.evaluate("one => one.naturalWidth") == 32 for image in panel.locator("img").all())
    page = visit("many/report.html")
    page.locator("#pairs .cell").first.click()
    assert page.locator("#behind img").count() > 0
    picture = page.locator("#matrix")
    side = picture.bounding_box()["width"] / 40
    picture.hover(position={"x": 8.5 * side, "y": 8.5 * side})
    assert page.locator("#matrix-cell").text_content().startswith("true label 8 class 8, predicted 8 class 8: ")
    page.get_by_label("Show classes with").fill("class 39")
    assert page.locator("#per-class tbody tr:visible").count() == 1


def test_the_colours_follow_the_system_until_they_are_chosen(visit):
    page = visit("few/report.html", color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.locator("#theme").click()
    light = page.evaluate(ground)
    assert (sum(map(int, dark[4:-1].split(","))), sum(map(int, light[4:-1].split(",")))) == (
        15 + 18 + 22,
        246 + 247 + 249,
    )
    page.locator("#theme").click()
    assert page.evaluate(ground) == dark


@pytest.mark.parametrize("name", ["few/report.html", "many/report.html", "compare.html"])
@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 400)])
def test_axe_finds_nothing_and_no_page_is_wider_than_the_screen(visit, name, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    # axe is put into the page, which the page's own policy would not allow.
    page = visit(name, color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    if page.locator(".cell:visible").count():
        page.locator(".cell:visible").first.click()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if "REPORT_SCREENSHOTS" in os.environ:
        page.screenshot(
            path=f"{os.environ['REPORT_SCREENSHOTS']}/{name.replace('/', '-')}-{scheme}.png", full_page=True
        )


def test_on_paper_everything_is_open(visit):
    page = visit("few/report.html")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.pdf()[:4] == b"%PDF"


def test_a_comparison_shows_both_runs_and_the_pictures(visit):
    page = visit("compare.html")
    assert page.locator("[data-chart=loss] .legend button").all_text_contents() == [
        *("one, validation", "one, training", "two, validation", "two, training"),
    ]
    assert page.locator("#pictures figure").count() == 2
    assert page.locator("#pictures img").count() == 1
