"""Halos that move with the dithers are told from what stays on the detector."""

import attrs
import numpy as np
import pytest

from nircam_flats import DeltaSkyflat, Detector, NormalizedFrame, NormalizedFrames, SkyLevel
from nircam_flats.report import peak_to_peak
from nircam_flats.simulation.geometry import FrameGeometry, displaced
from nircam_flats.skyflat import field_light

SHAPE = (512, 512)
NOISE = 0.03
DITHERS = ((0.0, 0.0), (2.4, 1.0), (1.2, -1.6), (-0.3, 2.0), (3.0, -0.5), (-1.5, -1.0))
"""Arcsec; a frame of 512 px has 16."""


class Field:
    """Frames ``response + halo``, of one or two fields, whose halos are masked where they are bright."""

    def __init__(self, *, fields=(0,) * 6, height=0.5, turn=0.0, seed=1, masked=0.02):
        self.masked, self.rng = masked, np.random.default_rng(seed)
        self.geometry = FrameGeometry(detector=Detector.get("B4"), shape=SHAPE)
        y, x = np.indices(SHAPE) / SHAPE[0]
        self.response = 1 + 0.03 * (x - 0.5) - 0.02 * (y - 0.5) + 0.04 * (x - 0.5) * (y - 0.5)
        self.response += 0.03 * np.exp(-0.5 * ((x - 0.7) ** 2 + (y - 0.6) ** 2) / 0.05**2)
        self.halos, frames = [], []
        for number, (place, dither) in enumerate(zip(fields, DITHERS, strict=True)):
            start = 30.0 + place, -20.0, 40.0
            pointing = self.geometry.pointing(*displaced(*start[:2], start[2] + turn * number, *dither))
            star = self.geometry.to_sky(self.geometry.pointing(*start), 260.0, 230.0)
            at = self.geometry.to_pixel(pointing, *star)
            distance = np.hypot(*(np.indices(SHAPE) - np.array(at)[::-1, None, None]))
            self.halos.append((height if place == 0 else 0) * (1 + (distance / 25) ** 2) ** -1.5)
            frames.append(self.frame(f"frame{number}", self.halos[-1], pointing))
        self.frames = NormalizedFrames(detector="B4", frames=frames)

    def frame(self, name, halo, pointing):
        values = (self.response + halo + NOISE * self.rng.standard_normal(SHAPE)).astype(np.float32)
        values[halo > self.masked] = np.nan
        level = SkyLevel.measure(values, halo > self.masked / 20)
        facts = {"detector": "B4", "filter": "F200W", "flat_name": None, "start": None, "end": None}
        return NormalizedFrame(name=name, level=level, pointing=pointing, values=values, **facts)


def left(frames, field):
    delta = DeltaSkyflat.from_frames(frames)
    return peak_to_peak(delta.data / field.response, delta.good, 64)


def test_frames_know_their_fields():
    frames = Field(fields=(0, 1, 0, 1, 0, 1)).frames
    assert frames.fields.tolist() == [0, 1, 0, 1, 0, 1]
    lost = [attrs.evolve(frame, pointing=None) if number == 2 else frame for number, frame in enumerate(frames.frames)]
    assert attrs.evolve(frames, frames=lost).fields.tolist() == [0, 1, -1, 1, 0, 1]


@pytest.mark.parametrize("options", [{}, {"turn": 0.2}, {"fields": (0, 1, 0, 1, 0, 1)}], ids=["one", "turned", "two"])
def test_halos_of_a_field_are_found(options):
    field = Field(**options)
    light = field_light(field.frames)
    for frame, halo in zip(field.frames.frames, field.halos, strict=True):
        around = (halo > 0.004) & (halo < 0.02)
        if around.any():
            rest = halo - light[frame.name].rows(SHAPE)
            assert abs(rest[around].mean()) < 0.5 * halo[around].mean()
            assert rest[halo < 0.002].std() < 0.001
    before, after = left(field.frames, field), left(field.frames.minus(light, field=True), field)
    assert before > 0.004
    assert after < 0.6 * before


@pytest.mark.parametrize("fields", [(0,) * 6, (0, 1, 0, 1, 0, 1)], ids=["one", "two"])
def test_a_bright_halo_that_masks_leave_does_not_grow(fields):
    field = Field(height=100, masked=3, fields=fields)
    assert max(light.mesh.max() for light in field_light(field.frames).values()) < 1.5 * field.masked


def test_what_stays_on_the_detector_is_no_light_of_the_field():
    field = Field(height=0.0)
    light = field_light(field.frames)
    assert all(np.abs(item.mesh).max() < 0.002 for item in light.values())


def test_light_of_the_field_and_of_the_detector_are_kept_apart():
    field = Field()
    light = field_light(field.frames)
    frames = field.frames.minus(light, field=True)
    both = frames.minus(light)
    assert both.minus({}).key == attrs.evolve(frames, history=both.minus({}).history).key
    expected = field.frames.frames[0].values - 2 * light["frame0"].rows(SHAPE)
    np.testing.assert_allclose(both.frames[0].values, expected, atol=1e-6)
    assert len({item.key for item in (field.frames, frames, both)}) == 3


def test_frames_of_unknown_pointing_and_few_frames_keep_theirs():
    field = Field()
    unknown = [attrs.evolve(frame, pointing=None) for frame in field.frames.frames]
    assert field_light(attrs.evolve(field.frames, frames=unknown)) == {}
    assert field_light(field.frames.only(["frame0", "frame1"])) == {}


def test_frames_without_noise_and_frames_without_pixels():
    field = Field(height=0.0)
    first, second, *rest = field.frames.frames
    flat = [attrs.evolve(frame, values=np.ones(SHAPE, np.float32), mesh=None) for frame in (first, second, *rest)]
    blind = attrs.evolve(first, values=np.full(SHAPE, np.nan, np.float32), mesh=None)
    light = field_light(attrs.evolve(field.frames, frames=[blind, *flat[1:]]))
    assert all(np.abs(item.mesh).max() < 1e-4 for item in light.values())
    assert first.name not in light
