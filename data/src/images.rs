//! A folder of images: in it one folder for each class, with PNG and JPEG files of one size.
//!
//! Classes are numbered in the order of the names of their folders, rows come in the order of
//! classes and then of files (by bytes). A row is `(height, width, 1)` where the images are grey
//! and `(height, width, 3)` where they have colours, bytes of the range 255. Files whose names
//! begin with a dot are passed over, and so is what lies beside the folders of the classes, unless
//! it is an image.

mod jpeg;

use std::io::Cursor;

use crate::limits;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::Error;
use crate::dataset::{Features, Labels, Rows};
use crate::folder::Folder;
use crate::reading::Reading;
use crate::room::Room;

/// What to do about a damaged file.
const AGAIN: &str = "remove it or copy it again";

/// The images of a folder: paths in the order of the rows, and the class of each.
pub(crate) struct Images {
    classes: Vec<String>,
    files: Vec<(String, u32)>,
}

/// The images below `path`, found without reading one.
pub(crate) fn find(folder: &Folder, path: &str) -> Result<Images, Error> {
    let wrong = |detail: String| Error::Format { path: format!("{path}/"), detail };
    let (mut classes, mut files) = (Vec::new(), Vec::new());
    for (name, is_folder) in visible(folder, path)? {
        if !is_folder && is_image(&name) {
            return Err(wrong(format!(
                "the image {name:?} lies beside the folders of the classes; move it into one of them"
            )));
        }
        if !is_folder {
            continue;
        }
        let class = classes.len() as u32;
        let below = format!("{path}/{name}");
        for (file, is_folder) in visible(folder, &below)? {
            if is_folder || !is_image(&file) {
                let is = if is_folder { "a folder" } else { "no PNG or JPEG file" };
                return Err(wrong(format!("{name}/{file} is {is}; the folder of a class has images alone")));
            }
            files.push((format!("{below}/{file}"), class));
            if files.len() > limits::IMAGES_MAX {
                let what = "the number of images".into();
                return Err(Error::TooLarge {
                    path: format!("{path}/"),
                    what,
                    max: limits::IMAGES_MAX as u64,
                });
            }
        }
        if files.last().is_none_or(|(_, last)| *last != class) {
            return Err(wrong(format!(
                "the folder {name:?} has no image; a class needs some, so fill it or remove it"
            )));
        }
        classes.push(name);
    }
    match classes.len() {
        0 | 1 => Err(wrong(format!(
            "has {} folders with images; each class has a folder of its own, and at least two are needed",
            classes.len()
        ))),
        n if n > limits::DATASET_CLASSES_MAX as usize => {
            let what = "the number of folders".into();
            Err(Error::TooLarge {
                path: format!("{path}/"),
                what,
                max: u64::from(limits::DATASET_CLASSES_MAX),
            })
        }
        _ => Ok(Images { classes, files }),
    }
}

impl Images {
    /// The paths of the images, below the datasets folder.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(path, _)| path.as_str())
    }

    /// Decodes all of them.
    pub(crate) fn read(self, folder: &Folder, reading: &Reading) -> Result<Rows, Error> {
        let (mut shape, mut bytes): (Option<[usize; 3]>, Vec<u8>) = (None, Vec::new());
        for (path, _) in &self.files {
            reading.check()?;
            decode(
                folder,
                &reading.room,
                path,
                (&self.files[0].0, self.files.len()),
                &mut shape,
                &mut bytes,
            )?;
        }
        let labels = Labels::Classes(self.files.iter().map(|(_, class)| *class).collect());
        let shape = shape.unwrap_or_default().to_vec();
        Ok(Rows {
            shape,
            features: Features::U8(bytes),
            scale_max: Some(255.0),
            class_names: self.classes,
            ..Rows::of(labels)
        })
    }
}

/// Whether a file is one by its name.
pub(crate) fn is_image(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["png", "jpg", "jpeg", "jpe", "jfif"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn visible(folder: &Folder, path: &str) -> Result<Vec<(String, bool)>, Error> {
    let mut entries = folder.entries(path)?;
    entries.retain(|(name, _)| !name.starts_with('.'));
    Ok(entries)
}

/// Appends the bytes of the image at `path`, whose size and colours are those of the first. The
/// first says how much memory all will take.
fn decode(
    folder: &Folder,
    room: &Room,
    path: &str,
    (first, images): (&str, usize),
    shape: &mut Option<[usize; 3]>,
    bytes: &mut Vec<u8>,
) -> Result<(), Error> {
    let wrong = |detail: String| Error::Format { path: path.to_owned(), detail };
    let damaged = |error: &dyn std::fmt::Display| wrong(format!("can't be decoded: {error}; {AGAIN}"));
    let file = folder.bytes(path, limits::IMAGE_FILE_BYTES_MAX)?;
    // By what it is: collections from the web have many a PNG called .jpg.
    let format = match image::guess_format(&file) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => format,
        Ok(other) => return Err(wrong(format!("is {other:?}, not PNG or JPEG; convert it"))),
        Err(_) => return Err(wrong(format!("is no PNG or JPEG file inside; {AGAIN}"))),
    };
    let mut reader = ImageReader::with_format(Cursor::new(&file), format);
    let mut bounds = Limits::default();
    bounds.max_alloc = Some(limits::IMAGE_DECODER_BYTES_MAX);
    reader.limits(bounds);
    let decoder = reader.into_decoder().map_err(|error| damaged(&error))?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    if let Some([first_height, first_width, _]) = shape
        && (*first_height, *first_width) != (height, width)
    {
        return Err(wrong(format!(
            "the image is {width} × {height} pixels, {first} is {first_width} × {first_height}; all images of a dataset must have one size"
        )));
    }
    let channels = match decoder.color_type() {
        ColorType::L8 | ColorType::La8 => 1,
        ColorType::Rgb8 | ColorType::Rgba8 => 3,
        other => {
            return Err(wrong(format!(
                "has {} bits a channel; convert it to 8",
                8 * other.bytes_per_pixel() / other.channel_count()
            )));
        }
    };
    match shape {
        None => {
            let values = height.saturating_mul(width).saturating_mul(channels);
            if values == 0 || values > limits::DATASET_ROW_VALUES_MAX {
                let what = format!("the number of values in an image of {width} × {height} pixels");
                return Err(Error::TooLarge {
                    path: path.to_owned(),
                    what,
                    max: limits::DATASET_ROW_VALUES_MAX as u64,
                });
            }
            if !room.take((values as u128).saturating_mul(images as u128)) {
                return Err(room.exceeded(
                    path,
                    format!("the size in bytes of {images} images of {width} × {height} pixels"),
                ));
            }
            *shape = Some([height, width, channels]);
        }
        Some([.., expect]) if *expect != channels => {
            let is = |channels: usize| if channels == 1 { "grey" } else { "in colours" };
            return Err(wrong(format!(
                "the image is {}, {first} is {}; convert one of them",
                is(channels),
                is(*expect)
            )));
        }
        Some(_) => {}
    }
    if format == ImageFormat::Jpeg {
        bytes.extend(jpeg(&file, channels).map_err(|error| wrong(format!("can't be decoded: {error}")))?);
        return Ok(());
    }
    let (opaque, values) = match DynamicImage::from_decoder(decoder).map_err(|error| damaged(&error))? {
        DynamicImage::ImageLumaA8(image) => {
            (image.pixels().all(|pixel| pixel.0[1] == 255), image.pixels().map(|pixel| pixel.0[0]).collect())
        }
        DynamicImage::ImageRgba8(image) => {
            let colours = image.pixels().flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2]]);
            (image.pixels().all(|pixel| pixel.0[3] == 255), colours.collect())
        }
        other => (true, other.into_bytes()),
    };
    if !opaque {
        return Err(wrong(
            "has transparent pixels, which have no place in a row; flatten it onto a background".into(),
        ));
    }
    bytes.extend(values);
    Ok(())
}

/// The pixels of a whole JPEG file in one channel or three. Where a part is missing, `image` would
/// paint it grey and say nothing.
fn jpeg(file: &[u8], channels: usize) -> Result<Vec<u8>, String> {
    let image = jpeg::image(file)?;
    let colours = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_out_colorspace(colours);
    JpegDecoder::new_with_options(ZCursor::new(&*image), options)
        .decode()
        .map_err(|error| format!("{error}; {AGAIN}"))
}
