//! `roentgen explain`: which regions of an image support the predicted class.

use std::fs;

use image::{GrayImage, Luma};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{refuses, roentgen, text, train};

/// Writes noise; images of the class `marked` have a bright square at the top left of the model's crop.
fn write(folder: &std::path::Path) {
    let mut state = 7u32;
    for (class, is_marked) in [("marked", true), ("plain", false)] {
        fs::create_dir_all(folder.join(class)).unwrap();
        for number in 0..60 {
            let image = GrayImage::from_fn(28, 28, |x, y| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let is_square = is_marked && (5..11).contains(&x) && (5..11).contains(&y);
                Luma([if is_square { 250 } else { (state >> 24) as u8 / 2 }])
            });
            image.save(folder.join(class).join(format!("{number}.png"))).unwrap();
        }
    }
}

#[test]
fn grad_cam_and_occlusion_find_the_region_that_decides() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("data"));
    let metrics = train(&["--data", "data", "--epochs", "6", "--no-flip", "--out", "run"], folder.path());
    assert_eq!(metrics["test"]["accuracy"], 1.0, "the square is easy to learn");
    let args = ["explain", "--model", "run", "data/marked/3.png", "--out", "why.png", "--json"];
    let output = roentgen(&args, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["class"], &result["predicted"]), (&"marked".into(), &"marked".into()));
    let shown = text(&output.stderr);
    assert!(shown.contains("predicted  marked") && !shown.contains("explained"), "{shown}");
    // With --class, the predicted class is still shown.
    let args = ["explain", "--model", "run", "data/marked/3.png", "--out", "other.png", "--class", "plain"];
    let output = roentgen(&[&args[..], &["--json"]].concat(), folder.path());
    let other: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&other["class"], &other["predicted"]), (&"plain".into(), &"marked".into()));
    assert!(other["probability"].as_f64().unwrap() < 0.5);
    // However sure the prediction is, hiding the square that decides has an effect.
    assert!(result["occlusion_log_odds"].as_f64().unwrap() > 0.5, "{result}");
    assert!(result["occlusion_probability"].as_f64() < result["probability"].as_f64(), "{result}");
    let shown = text(&output.stderr);
    assert!(shown.contains("predicted  marked") && shown.contains("explained  plain"), "{shown}");

    // Three panels of 28 * 16 pixels; the square is at 80 to 176 of them, its mirror image at 272 to 368.
    let sheet = image::open(folder.path().join("why.png")).unwrap().to_rgb8();
    let side = 28 * 16;
    assert_eq!(sheet.width(), 3 * side);
    // The frame begins 2 of 28 pixels below the top of the image.
    let frame = (0..sheet.height()).find(|&y| sheet.get_pixel(side / 2, y).0 == [255, 196, 64]).unwrap();
    let top = frame - 2 * 16;
    let redness = |panel: u32, left: u32| -> f64 {
        let pixels = (left..left + 96).flat_map(|x| (80..176).map(move |y| (x, y)));
        let sum = pixels.map(|(x, y)| {
            let [r, _, b] = sheet.get_pixel(panel * side + x, top + y).0.map(f64::from);
            r - b
        });
        sum.sum::<f64>() / f64::from(96 * 96)
    };
    for panel in [1, 2] {
        let (here, elsewhere) = (redness(panel, 80), redness(panel, 272));
        assert!(here > elsewhere + 30.0, "panel {panel}: {here} at the square, {elsewhere} beside it");
    }
}

#[test]
fn what_cannot_be_explained_is_an_error() {
    let folder = TempDir::new().unwrap();
    train(&["--films", "60", "--out", "run"], folder.path());
    GrayImage::from_pixel(9, 9, Luma([7])).save(folder.path().join("grey.png")).unwrap();
    fs::write(folder.path().join("bad.png"), "no image").unwrap();
    for (args, code, message) in [
        (&["bad.png", "--out", "o.png"][..], 2, "not an image"),
        (
            &["grey.png", "--out", "o.png", "--class", "measles"],
            2,
            "no class `measles`; its classes are covid, normal, pneumonia",
        ),
        (
            &["grey.png", "--out", "no/such/folder/o.png"],
            2,
            "cannot write no/such/folder/o.png: its folder does not exist",
        ),
    ] {
        let output = roentgen(&[&["explain", "--model", "run"], args].concat(), folder.path());
        assert_eq!(output.status.code(), Some(code));
        assert!(text(&output.stderr).contains(message), "{}", text(&output.stderr));
        assert!(!folder.path().join("o.png").exists());
    }
    let args = ["explain", "--model", "run", "grey.png", "--out", "o.jpg"];
    refuses(&args, 2, &["o.jpg", "ends in .png"], folder.path());
    // A rejected image is still explained.
    let args = ["explain", "--model", "run", "grey.png", "--out", "o.png"];
    let output = roentgen(&args, folder.path());
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains("predicted  rejected\n"), "{said}");
}

#[test]
fn no_command_writes_over_its_input_or_over_what_it_did_not_write() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    train(&["--films", "24", "--out", "run"], here);
    let film = image::GrayImage::from_fn(40, 36, |x, y| image::Luma([(x * 5 + y) as u8]));
    film.save(here.join("film.png")).unwrap();
    fs::write(here.join("notes.onnx"), "mine").unwrap();
    let kept = ["film.png", "notes.onnx", "run/model.safetensors"];
    let before = kept.map(|name| fs::read(here.join(name)).unwrap());
    let cases = [
        (&["explain", "run", "film.png", "--out", "film.png", "--force"][..], "an input"),
        (&["export", "run", "--onnx", "run/model.safetensors", "--force"], "an input"),
        (&["export", "run", "--onnx", "notes.onnx"], "--force"),
        (&["export", "run", "--onnx", "model.pt", "--force"], "give a name that ends in .onnx"),
        (&["explain", "run", "film.png", "--out", "run/../film.png"], "an input"),
    ];
    for (args, words) in cases {
        let output = roentgen(args, here);
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains(words), "{args:?}: {message}");
    }
    assert!(kept.map(|name| fs::read(here.join(name)).unwrap()) == before);
    for args in
        [&["export", "run", "--onnx", "m.onnx"][..], &["explain", "run", "film.png", "--out", "why.png"]]
    {
        for call in ["first", "second"] {
            let output = roentgen(args, here);
            assert!(output.status.success(), "{args:?}, {call}: {}", text(&output.stderr));
        }
    }
}
