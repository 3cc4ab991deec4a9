"""Radiographs show the finding, its site and extent, and the body of the person."""

import hashlib
import io
import sys
from itertools import combinations

import numpy as np
import pytest

from expunge.errors import InputError
from expunge.random import pick
from expunge.synthetic.hospital.vocabulary import POOLS
from expunge.synthetic.radiology.findings import AIR, FINDINGS_BY_NAME
from expunge.synthetic.radiology.render import PLACES, RADII, TILTS, png, radiograph

SIZE = 48
FINDINGS, SITES, SIZES, VIEWS = (POOLS[kind] for kind in ("finding", "site", "size", "view"))


def film(person=1, finding="lung nodule", site="left apex", extent="15 mm", view="axial", size=SIZE, seed=0):
    return radiograph(seed, person, finding, site, extent, view, size).astype(float)


def test_every_finding_can_be_drawn():
    assert set(FINDINGS_BY_NAME) == set(FINDINGS)
    assert (tuple(PLACES), tuple(RADII), tuple(TILTS)) == (SITES, SIZES, VIEWS)


def test_pixels_are_the_same_everywhere():
    pixels = radiograph(0, 1, "liver cyst", "hilum", "22 mm", "frontal", SIZE)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (SIZE, SIZE))
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == "424e73a68afc71f6"
    assert (film() == film()).all()
    assert (film() != film(seed=1)).mean() > 0.5


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_change_on_one_side_is_seen_on_that_side(finding):
    mean = {}
    for site, other in (("left apex", "left base"), ("right apex", "right base")):
        change = np.abs(film(finding=finding, site=site) - film(finding=finding, site=other))
        mean[site] = change[:, : SIZE // 2].mean(), change[:, SIZE // 2 :].mean()  # what is left lies at the right
    assert mean["left apex"][1] > 20 * mean["left apex"][0]
    assert mean["right apex"][0] > 20 * mean["right apex"][1]


@pytest.mark.parametrize("site", SITES)
def test_a_sign_lies_at_its_site(site):
    other = "left base" if site == "right apex" else "right apex"
    bright = np.clip(film(site=site, size=96) - film(site=other, size=96), 0, None)
    rows, columns = np.mgrid[:96, :96] / 48 - 1
    result = (bright * columns).sum() / bright.sum(), (bright * rows).sum() / bright.sum()
    assert result == pytest.approx(PLACES[site], abs=0.08)  # seen from the body's axes, this view is tilted by 1.4°


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_larger_extent_is_a_larger_sign(finding):
    signed = -1 if finding == AIR else 1
    shown = [signed * film(finding=finding, extent=extent).sum() for extent in SIZES]
    assert shown == sorted(shown)
    assert min(np.diff(shown)) > 200


def test_findings_look_different_at_every_size_and_the_view_tilts():
    for extent in SIZES:
        films = [film(finding=finding, extent=extent, size=96) for finding in FINDINGS]
        assert min(np.abs(a - b).sum() for a, b in combinations(films, 2)) > 1000  # five pixels from dark to bright
    films = [film(view=view) for view in VIEWS]
    assert min(np.abs(a - b).mean() for a, b in combinations(films, 2)) > 1


def test_a_person_looks_alike_in_both_studies_and_unlike_others():
    people, drawn = range(12), []
    usual = {view: np.mean([film(p, view=view) for p in range(50, 80)], axis=0) for view in VIEWS}
    for study in (1, 2):
        rows = []
        for p in people:
            facts = [pick(pool, 0, p, study, purpose=str(k)) for k, pool in enumerate((FINDINGS, SITES, SIZES, VIEWS))]
            rows.append(np.clip(film(p, *facts) - usual[facts[3]], -60, 60).ravel())
        drawn.append(rows)
    alike = np.corrcoef(np.array(drawn[0] + drawn[1]))[:12, 12:]
    same, others = alike.diagonal(), alike[~np.eye(12, dtype=bool)]
    assert same.mean() > others.mean() + 0.25
    assert same.min() > np.median(others)


def test_an_image_is_a_grayscale_png_of_the_same_pixels(monkeypatch):
    image = pytest.importorskip("PIL.Image")
    pixels = radiograph(0, 1, "free air", "midline", "60 mm", "lateral", SIZE)
    with image.open(io.BytesIO(png(pixels))) as held:
        assert (held.format, held.mode) == ("PNG", "L")
        assert (np.asarray(held) == pixels).all()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match="Pillow is not installed; pip install pillow"):
        png(pixels)
