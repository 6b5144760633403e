"""Any form of image becomes upright RGB, whatever is broken a short reason; transforms are seeded, as described."""

import contextlib
import io
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from torchvision.transforms.v2 import functional as F

from hf_unlab.modalities.image.reading import EvalTransform, TrainTransform, decode_image
from hf_unlab.streams.bad_examples import BadExample

RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(256, size=(6, 8, 3), dtype=np.uint8)).resize((80, 60), Image.Resampling.BICUBIC)
RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def differ(left, right):
    return np.abs(np.asarray(left, dtype=int) - np.asarray(right, dtype=int)).max()


def test_every_form_of_a_cell_gives_the_same_picture(tmp_path):
    data, path = encoded(PHOTO), tmp_path / "photo.png"
    path.write_bytes(data)
    cells = [data, path, str(path), f"file://{path}", PHOTO, Image.open(io.BytesIO(data))]
    cells += [{"bytes": data, "path": None}, {"bytes": None, "path": str(path)}, {"bytes": data, "path": "elsewhere"}]
    for cell in cells:
        image = decode_image(cell)
        assert image.mode == "RGB" and differ(image, PHOTO) == 0


@pytest.mark.parametrize(
    "cell, reason",
    [
        (None, "missing"),
        ("", "missing"),
        ({"bytes": None, "path": None}, "missing"),
        ({"path": ""}, "missing"),
        ("/no/such/file.png", "missing file"),
        ("file:///no/such/file.png", "missing file"),
        ("/", "missing file"),
        (b"", "empty"),
        (Image.new("RGB", (0, 3)), "empty"),
        (float("nan"), "float instead of an image"),
        (b"<html>404 not found</html>", "not an image"),
        (encoded(PHOTO)[:700], "truncated image"),
        (encoded(PHOTO, "JPEG")[:700], "truncated image"),
        (encoded(PHOTO, "EPS"), "EPS is a program"),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_a_short_reason(cell, reason):
    with pytest.raises(BadExample) as caught:
        decode_image(cell)
    assert str(caught.value) == reason


def test_a_file_that_is_there_but_cannot_be_read_is_no_bad_example(monkeypatch):
    def fail(path):
        raise PermissionError("not yours")

    monkeypatch.setattr("hf_unlab.modalities.image.reading.Path.read_bytes", fail)
    with pytest.raises(PermissionError):
        decode_image("photo.png")


@pytest.mark.parametrize("side", [12_000, 40_000])  # Pillow warns of the one and refuses the other
def test_bombs_are_refused_before_they_are_decoded(side, monkeypatch):
    small = encoded(Image.new("1", (8, 8)), "PPM")
    bomb = small.replace(b"8 8", f"{side} {side}".encode())
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    with pytest.raises(BadExample, match="too many pixels"):
        decode_image(bomb)
    with pytest.raises(BadExample, match="too many pixels"):
        decode_image(small, max_pixels=63)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "La", "PA", "P"])
def test_transparency_is_laid_on_white(mode):
    if mode == "P":
        image = Image.new("P", (4, 4))
        image.putpalette([*RED, 0, 0, 0])
        cell = encoded(image, transparency=0)
    elif mode == "PA":
        cell = Image.new("PA", (4, 4), (7, 0))
    else:
        clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
        cell = clear if mode == "RGBA" else clear.convert("LA").convert(mode)
    assert decode_image(cell).getcolors() == [(16, WHITE)]
    half = Image.new("RGBA", (1, 1), (255, 0, 0, 128))
    assert differ(decode_image(encoded(half)), [[[255, 127, 127]]]) <= 1
    assert decode_image(encoded(Image.new("RGB", (2, 2), RED), transparency=RED)).getcolors() == [(4, WHITE)]


@pytest.mark.parametrize(
    "values, grey",
    [
        (np.full((2, 2), 32896, np.uint16), 128),
        (np.full((2, 2), 200, np.uint16), 1),
        (np.full((2, 2), 200, np.int32), 200),
        (np.full((2, 2), 32896, np.int32), 128),
        (np.full((2, 2), 0.5, np.float32), 128),
        (np.full((2, 2), 128, np.float32), 128),
        (np.full((2, 2), np.nan, np.float32), 0),
        (np.full((2, 2), -1, np.int32), 0),
        (np.full((2, 2), 10**6, np.int32), 255),
    ],
)
def test_wide_greys_are_scaled_and_not_cut_off(values, grey):
    image = Image.fromarray(values)
    assert decode_image(image).getpixel((0, 0)) == (grey,) * 3
    assert decode_image(encoded(image, "TIFF")).getpixel((0, 0)) == (grey,) * 3


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr", "HSV", "LAB", "RGBX"])
def test_other_modes_become_rgb(mode):
    image = decode_image(
        Image.new("RGB", (3, 2), "white").convert(mode) if mode != "LAB" else Image.new("LAB", (3, 2))
    )
    assert image.mode == "RGB" and image.size == (3, 2)
    assert mode == "LAB" or image.getpixel((0, 0)) == WHITE


def test_jpegs_in_cmyk_keep_their_colours():
    assert differ(decode_image(encoded(Image.new("RGB", (8, 8), RED).convert("CMYK"), "JPEG")), np.array(RED)) < 5


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_pictures_are_turned_upright(form):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    upright = decode_image(encoded(PHOTO, form, exif=exif))
    plain = decode_image(encoded(PHOTO, form))
    assert differ(upright, plain.transpose(Image.Transpose.ROTATE_270)) == 0
    assert differ(decode_image(upright), upright) == 0  # and not twice


def test_broken_notes_about_a_picture_do_not_spoil_it():
    assert (
        decode_image(encoded(PHOTO, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12garbage")).size == PHOTO.size
    )


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_animations_the_first_frame_is_taken(form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 255, 0))]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    assert differ(decode_image(data), np.array(RED)) < 5


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
@settings(derandomize=True, database=None, max_examples=30, deadline=None)
@given(data=st.data())
def test_damage_ends_in_a_picture_or_a_bad_example(form, data):
    good = bytearray(encoded(PHOTO.resize((16, 12)), form))
    for _ in range(data.draw(st.integers(0, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(good[: data.draw(st.integers(1, len(good)))])
    with contextlib.suppress(BadExample):
        assert decode_image(cut, max_pixels=10**5).mode == "RGB"


def test_pillows_warnings_do_not_leak_and_no_file_stays_open(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(Image.new("1", (9500, 9500))))  # above Pillow's line
    with warnings.catch_warnings(record=True, action="always") as seen:
        assert decode_image(path, max_pixels=10**8).size == (9500, 9500)
        path.write_bytes(encoded(PHOTO)[:700])
        with pytest.raises(BadExample):
            decode_image(path)
    assert seen == []


def raw(transform):
    """The same transform with pixels of 0 to 1."""
    return type(transform)(**{**vars(transform), "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})


@pytest.mark.parametrize("size", [(96, 64), (64, 128), (40, 40)])
def test_evaluation_takes_the_central_square_as_torchvision_does(size):
    image = PHOTO.resize(size)
    want = F.resize(image, [32], F.InterpolationMode.BICUBIC, antialias=True)
    want = F.center_crop(want, [32, 32])
    want = F.normalize(F.to_dtype(F.pil_to_tensor(want), torch.float32, scale=True), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    pixels = EvalTransform(32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))(image)
    assert pixels.dtype == torch.float32 and pixels.is_contiguous() and pixels.shape == (3, 32, 32)
    torch.testing.assert_close(pixels, want, atol=1 / 255 / 0.2 + 1e-5, rtol=0)  # one level of grey, from rounding


def test_training_without_choice_is_evaluation():
    square = PHOTO.resize((48, 48))
    train = TrainTransform(32, scale=(1.0, 1.0), ratio=(1.0, 1.0))(square, np.random.default_rng(0))
    torch.testing.assert_close(train, EvalTransform(32)(square))


def test_only_the_given_generator_decides():
    transform = TrainTransform(32, scale=(0.3, 1.0), flip_probability=0.5)
    first, same, other = (transform(PHOTO, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)
    used, fresh = np.random.default_rng(1), np.random.default_rng(1)
    transform(PHOTO, used)
    fresh.random(5)
    assert used.random() == fresh.random()


def test_nothing_is_flipped_unless_asked_for():
    ramp = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3)))
    shares = {}
    for probability in (0.0, 0.5, 1.0):
        transform = raw(TrainTransform(16, flip_probability=probability))
        rows = [transform(ramp, np.random.default_rng(seed))[0, 8] for seed in range(200)]
        shares[probability] = np.mean([bool(row[0] > row[-1]) for row in rows])
    assert shares[0.0] == 0 and shares[1.0] == 1 and 0.4 < shares[0.5] < 0.6


def test_crops_have_the_area_and_ratio_asked_for():
    transform = TrainTransform(8, scale=(0.2, 0.5), ratio=(0.5, 1.5))
    areas, ratios, centres = [], [], []
    for numbers in np.random.default_rng(0).random((2000, 4)):
        left, top, right, bottom = transform._crop((100, 100), *numbers.tolist())
        areas.append((right - left) * (bottom - top) / 10_000)
        ratios.append((right - left) / (bottom - top))
        centres.append(((left + right) / 2, (top + bottom) / 2))
    assert 0.2 <= min(areas) < 0.21 and 0.49 < max(areas) <= 0.5 + 1e-9
    assert 0.5 - 1e-9 <= min(ratios) < 0.52 and 1.45 < max(ratios) <= 1.5 + 1e-9
    np.testing.assert_allclose(np.mean(centres, axis=0), 50, atol=1)


@settings(derandomize=True, database=None, max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 100))
def test_images_of_any_shape_are_taken(width, height, seed):
    image = Image.new("RGB", (width, height), "white")
    for pixels in (
        raw(TrainTransform(8, scale=(0.01, 1.0)))(image, np.random.default_rng(seed)),
        raw(EvalTransform(8))(image),
    ):
        torch.testing.assert_close(pixels, torch.ones(3, 8, 8))


def test_transforms_can_be_pickled_and_compared():
    for transform in (TrainTransform(32), EvalTransform(32)):
        assert pickle.loads(pickle.dumps(transform)) == transform
    assert EvalTransform(8, mean=[0.5] * 3, std=[0.5] * 3)(PHOTO).shape == (3, 8, 8)  # as YAML gives them


@pytest.mark.parametrize(
    "settings, word",
    [
        ({"size": 0}, "size"),
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"scale": (0.9, 0.5)}, "scale"),
        ({"scale": (0.5, 1.5)}, "scale"),
        ({"ratio": (0.0, 1.0)}, "ratio"),
        ({"ratio": (2.0, 1.0)}, "ratio"),
        ({"flip_probability": 2}, "flip_probability"),
        ({"mean": (0.5,)}, "mean and std"),
        ({"std": (0.5, 0.5, 0.0)}, "mean and std"),
    ],
)
def test_settings_out_of_range_are_refused(settings, word):
    with pytest.raises(ValueError, match=f"{word}.*not|{word}.*given"):
        TrainTransform(**settings)
