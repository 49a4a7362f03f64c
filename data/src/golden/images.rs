//! Folders of images.

use super::*;

#[test]
fn folders_of_images_are_classes_in_the_order_of_their_names() {
    let grey = load(&images("grey")).unwrap();
    assert_eq!(
        (grey.schema.shape.as_slice(), grey.schema.rows, grey.schema.scale_max),
        (&[2, 3, 1][..], 3, Some(255.0))
    );
    assert_eq!(
        (&grey.labels, &*grey.class_names),
        (&Labels::Classes(vec![0, 0, 1]), &["ant".into(), "bee".into()][..])
    );
    assert_eq!(
        grey.features,
        Features::U8((0..3).flat_map(|image| (0..6).map(move |at| 10 * image + at)).collect())
    );
    let colour = load(&images("colour")).unwrap();
    assert_eq!(colour.schema.shape, [2, 3, 3]);
    assert_eq!(
        colour.features,
        Features::U8((0..3).flat_map(|image| (0..18).map(move |at| 10 * image + at)).collect())
    );
    let jpeg = load(&images("jpeg")).unwrap();
    let Features::U8(values) = &jpeg.features else { panic!("images are bytes") };
    let near = |pixel: &[u8], expect: [u8; 3]| {
        pixel.iter().zip(expect).all(|(value, expect)| value.abs_diff(expect) <= 2)
    };
    assert!(
        values[..2 * 192].chunks(3).all(|pixel| near(pixel, [254, 0, 0]))
            && values[2 * 192..].iter().all(|value| *value == 255)
    );
}

#[test]
fn a_jpeg_file_is_whole_or_refused() {
    let read = |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            fs::create_dir_all(folder.path().join("x").join(class)).unwrap();
            fs::write(folder.path().join("x").join(class).join("1.jpg"), bytes).unwrap();
        }
        Catalog::new(folder.path()).loaded(&images("x")).map(|data| data.features.clone())
    };
    let form = |name: &str| fs::read(golden().join("jpeg-forms").join(name)).unwrap();
    let Ok(Features::U8(values)) = read(&form("baseline.jpg")) else { panic!("images are bytes") };
    let peer = form("baseline.raw");
    // Decoders round in their own ways, and spread the colours of two pixels differently.
    let far = values.iter().zip(&peer).map(|(value, peer)| value.abs_diff(*peer)).max();
    assert!(values.len() == 2 * peer.len() && far <= Some(4), "{far:?} away from libjpeg's");
    for name in ["baseline.jpg", "progressive.jpg", "restarts.jpg", "grey.jpg"] {
        let whole = form(name);
        let features = read(&whole).unwrap();
        // Some cameras write more behind the end, a film even, in which anything may stand.
        for behind in [&[0; 40][..], b"ftypmp42\xff\xda\x00\x0c\xff\xc0"] {
            assert_eq!(read(&[&whole[..], behind].concat()).unwrap(), features, "{name}");
        }
        for length in 0..whole.len() {
            let error = read(&whole[..length])
                .map(drop)
                .expect_err(&format!("{name} of {length} bytes must be refused"))
                .to_string();
            assert!(
                error.starts_with("x/a/1.jpg: ") && error.ends_with("remove it or copy it again"),
                "{error}"
            );
        }
    }
    assert_eq!(read(&form("flat.jpg")).unwrap(), Features::U8(vec![137; 2 * 28 * 28]));
    // A comment, and a segment of a program's own, between the scan and the end.
    for name in ["baseline.jpg", "restarts.jpg", "grey.jpg", "flat.jpg"] {
        let whole = form(name);
        let (image, end) = whole.split_at(whole.len() - 2);
        for segment in [b"\xff\xfe\x00\x07hello", b"\xff\xec\x00\x07hello"] {
            assert_eq!(read(&[image, segment, end].concat()).unwrap(), read(&whole).unwrap(), "{name}");
        }
    }
    // A byte of the scan that is none: what follows would be grey.
    let whole = form("baseline.jpg");
    let (begin, rest) = whole.split_at(whole.len() - 60);
    assert!(!begin.ends_with(b"\xff") && read(&[begin, b"\xff\x3c\x00\x02", rest].concat()).is_err());
    // The decoder makes other pixels of these than libjpeg does.
    for name in ["scans.jpg", "even-scans.jpg", "fine-colours.jpg"] {
        let error = read(&form(name)).map(drop).unwrap_err().to_string();
        assert!(
            error.ends_with("stored in an unusual order; save it again as an ordinary or a progressive JPEG"),
            "{name}: {error}"
        );
    }
}

#[test]
fn an_image_is_what_it_is_and_not_what_it_is_called() {
    let file = |name: &str| fs::read(golden().join(name)).unwrap();
    let read = |name: &str, bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            fs::create_dir_all(folder.path().join("x").join(class)).unwrap();
            fs::write(folder.path().join("x").join(class).join(name), bytes).unwrap();
        }
        Catalog::new(folder.path())
            .loaded(&images("x"))
            .map(|data| data.features.clone())
            .map_err(|error| error.to_string())
    };
    let jpeg = file("jpeg-forms/baseline.jpg");
    let features = read("1.jpg", &jpeg).unwrap();
    for name in ["1.png", "1.JFIF", "1.jpe"] {
        assert_eq!(read(name, &jpeg).unwrap(), features, "{name}");
    }
    let error = read("1.jpg", b"GIF89a\x01\0\x01\0\0\0\0").unwrap_err();
    assert_eq!(error, "x/a/1.jpg: is GIF, not PNG or JPEG; convert it");
    assert!(read("1.png", b"<html>").unwrap_err().contains("is not a PNG or JPEG file"));
}

/// What a folder of two classes with this one image each is read as, once for both.
fn png_form(name: &str) -> Result<(Vec<usize>, Vec<u8>), String> {
    let folder = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        fs::create_dir_all(folder.path().join("x").join(class)).unwrap();
        let file = golden().join("png-forms").join(name).with_extension("png");
        fs::copy(file, folder.path().join("x").join(class).join("1.png")).unwrap();
    }
    let dataset = Catalog::new(folder.path()).loaded(&images("x")).map_err(|error| error.to_string())?;
    let Features::U8(values) = &dataset.features else { panic!("images are bytes") };
    let (one, two) = values.split_at(values.len() / 2);
    assert_eq!(one, two, "{name}");
    Ok((dataset.schema.shape.clone(), one.to_vec()))
}

#[test]
fn a_png_of_any_form_has_the_pixels_that_it_was_made_of() {
    let grid = |value: &dyn Fn(usize, usize) -> Vec<u8>| -> Vec<u8> {
        (0..9).flat_map(|row| (0..9).flat_map(move |at| value(row, at))).collect()
    };
    let check = |name: &str, channels: usize, value: &dyn Fn(usize, usize) -> Vec<u8>| {
        assert_eq!(png_form(name), Ok((vec![9, 9, channels], grid(value))), "{name}");
    };
    for bits in [1, 2, 4, 8] {
        let count = 1usize << bits;
        let grey = move |row: usize, at: usize| vec![((at + row) % count * 255 / (count - 1)) as u8];
        check(&format!("grey-{bits}"), 1, &grey);
        if bits == 4 {
            check("grey-4-interlaced", 1, &grey);
        }
        let colour = move |row: usize, at: usize| {
            let number = ((at + row) % count.min(9)) as u8;
            vec![number, 100 + number, 200 + number]
        };
        check(&format!("palette-{bits}"), 3, &colour);
        check(&format!("palette-{bits}-interlaced"), 3, &colour);
        if bits == 8 {
            check("palette-4-opaque", 3, &colour);
        }
    }
    let colours = |row: usize, at: usize| (3 * at..3 * at + 3).map(|at| (7 * at + 11 * row) as u8).collect();
    for name in ["rgb-8", "rgb-8-interlaced", "rgb-8-gamma", "rgb-8-key-opaque"] {
        check(name, 3, &colours);
    }
    check("grey-8-key-opaque", 1, &|row, at| vec![(at + row) as u8]);
    check("grey-alpha-8-opaque", 1, &|row, at| vec![(2 * at + row) as u8]);
}

#[test]
fn a_png_that_is_transparent_or_of_16_bits_is_refused() {
    for name in [
        "grey-alpha-8-transparent",
        "grey-8-key-transparent",
        "rgb-8-key-transparent",
        "palette-4-transparent",
    ] {
        let error = png_form(name).unwrap_err();
        assert_eq!(error, "x/a/1.png: has transparent pixels; flatten it onto a background", "{name}");
    }
    for name in ["grey-16", "rgb-16", "grey-alpha-16"] {
        assert_eq!(
            png_form(name).unwrap_err(),
            "x/a/1.png: has 16 bits a channel; convert it to 8",
            "{name}"
        );
    }
}

#[test]
fn a_png_that_ends_before_its_pixels_is_refused() {
    for name in ["palette-8-interlaced", "rgb-8"] {
        let folder = tempfile::tempdir().unwrap();
        let whole = fs::read(golden().join("png-forms").join(name).with_extension("png")).unwrap();
        // The end of the pixels, and the end of the image, with their checksums.
        for length in 8..whole.len() - 12 - 4 {
            for class in ["a", "b"] {
                fs::create_dir_all(folder.path().join("x").join(class)).unwrap();
                fs::write(folder.path().join("x").join(class).join("1.png"), &whole[..length]).unwrap();
            }
            let error = Catalog::new(folder.path()).loaded(&images("x")).map(drop).unwrap_err().to_string();
            assert!(
                error.starts_with("x/a/1.png: cannot be decoded: ")
                    && error.ends_with("remove it or copy it again"),
                "{error}"
            );
        }
    }
}

/// A copy of the grey images, with one file of the golden folder added as `ant/3.png`.
fn with_image(name: &str, base: &str) -> (tempfile::TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    for image in ["ant/1.png", "ant/2.PNG", "bee/1.png"] {
        fs::create_dir_all(folder.path().join("x").join(image).parent().unwrap()).unwrap();
        fs::copy(golden().join(base).join(image), folder.path().join("x").join(image)).unwrap();
    }
    fs::copy(golden().join(name), folder.path().join("x/ant/3.png")).unwrap();
    let catalog = Catalog::new(folder.path());
    (folder, catalog)
}

#[test]
fn an_image_that_does_not_fit_is_named_with_the_reason() {
    let message = |name: &str, base: &str| {
        with_image(name, base).1.loaded(&images("x")).expect_err("must be refused").to_string()
    };
    assert_eq!(
        message("other-size.png", "grey"),
        "x/ant/3.png: the image is 4 × 4 pixels, x/ant/1.png is 3 × 2; all images of a dataset must have one size"
    );
    assert!(
        message("colour/ant/1.png", "grey")
            .contains("x/ant/3.png: the image is in colours, x/ant/1.png is grey")
    );
    assert!(message("transparent.png", "colour").contains("has transparent pixels"));
    assert!(message("deep.png", "grey").contains("has 16 bits a channel"));
    assert!(message("mnist.npz", "grey").contains("x/ant/3.png: is not a PNG or JPEG file"));
    let (_folder, catalog) = with_image("opaque.png", "colour");
    let Features::U8(values) = &catalog.loaded(&images("x")).unwrap().features else {
        panic!("images are bytes")
    };
    assert_eq!(values[36..42], [1, 2, 3, 1, 2, 3], "an alpha channel that says nothing is left out");
}

#[test]
fn a_bomb_among_images_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        fs::create_dir_all(folder.path().join("x").join(class)).unwrap();
        fs::copy(golden().join("bomb.png"), folder.path().join("x").join(class).join("1.png")).unwrap();
    }
    let message = Catalog::new(folder.path()).loaded(&images("x")).unwrap_err().to_string();
    assert!(
        message.contains("12000 × 12000 pixels exceeds the bound") || message.contains("cannot be decoded"),
        "{message}"
    );
    let huge = fs::File::create(folder.path().join("x/a/0.png")).unwrap();
    huge.set_len(limits::IMAGE_FILE_BYTES_MAX + 1).unwrap();
    assert!(
        Catalog::new(folder.path())
            .loaded(&images("x"))
            .unwrap_err()
            .to_string()
            .contains("the file's size in bytes exceeds")
    );
}

#[test]
fn a_folder_that_is_none_of_images_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::new(folder.path());
    let message = |path: &str| catalog.loaded(&images(path)).expect_err("must be refused").to_string();
    let image = |path: &str| {
        fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
        fs::copy(golden().join("grey/ant/1.png"), folder.path().join(path)).unwrap();
    };
    assert_eq!(
        message("x"),
        "there is no file \"x\" in the datasets folder; put it there, or correct the path"
    );
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(message("file").contains("file/: is not a folder"));
    image("x/ant/1.png");
    assert!(message("x").contains("has 1 folders with images"));
    fs::create_dir(folder.path().join("x/bee")).unwrap();
    assert!(message("x").contains("the folder \"bee\" has no image"));
    image("x/bee/1.png");
    for passed_over in ["x/.DS_Store", "x/bee/.hidden", "x/README.md"] {
        fs::write(folder.path().join(passed_over), "").unwrap();
    }
    assert_eq!(catalog.loaded(&images("x")).unwrap().schema.rows, 2);
    image("x/1.png");
    assert!(message("x").contains("the image \"1.png\" lies beside the folders of the classes"));
    fs::remove_file(folder.path().join("x/1.png")).unwrap();
    fs::write(folder.path().join("x/bee/notes.txt"), "").unwrap();
    assert!(message("x").contains("bee/notes.txt is not a PNG or JPEG file"));
    fs::remove_file(folder.path().join("x/bee/notes.txt")).unwrap();
    std::os::unix::fs::symlink(golden().join("grey/bee/1.png"), folder.path().join("x/bee/2.png")).unwrap();
    assert!(message("x").contains("leaves the datasets folder through a link"));
}

#[test]
fn a_changed_image_is_read_again() {
    let (folder, catalog) = with_image("grey/ant/1.png", "grey");
    let before = catalog.schema(&images("x")).unwrap();
    assert_eq!(catalog.schema(&images("x")).unwrap(), before);
    fs::remove_file(folder.path().join("x/ant/3.png")).unwrap();
    fs::copy(golden().join("grey/bee/1.png"), folder.path().join("x/ant/3.png")).unwrap();
    assert_ne!(catalog.schema(&images("x")).unwrap().hash, before.hash);
}
