//! A folder of images: in it one folder for each class, with PNG and JPEG files of one size.
//!
//! Classes are numbered in the order of the names of their folders, rows come in the order of
//! classes and then of files (by bytes). A row is `(height, width, 1)` if the images are grey and
//! `(height, width, 3)` if they have colours, bytes of the range 255. Files whose names begin with a
//! dot are skipped, and so are files beside the folders of the classes, unless they are images.

mod jpeg;
mod png;

use self::jpeg::Jpeg;
use self::png::Png;
use crate::Error;
use crate::dataset::{Features, Labels};
use crate::folder::Folder;
use crate::limits;
use crate::reading::Reading;
use crate::room::Room;
use crate::rows::Rows;

/// The advice about a damaged file.
const AGAIN: &str = "remove it or copy it again";

/// The images of a folder: paths in the order of the rows, and the class of each.
pub(crate) struct Images {
    classes: Vec<String>,
    files: Vec<(String, u32)>,
}

/// The images below `path`. None of them is read.
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
                let is = if is_folder { "a folder" } else { "not a PNG or JPEG file" };
                return Err(wrong(format!(
                    "{name}/{file} is {is}; the folder of a class may hold only images"
                )));
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
            return Err(wrong(format!("the folder {name:?} has no image; add some or remove the folder")));
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
        let first = &self.files[0].0;
        let mut pixels =
            Pixels { room: &reading.room, first, images: self.files.len(), shape: None, bytes: Vec::new() };
        for (path, _) in &self.files {
            reading.check()?;
            pixels.add(path, &folder.bytes(path, limits::IMAGE_FILE_BYTES_MAX)?)?;
        }
        let labels = Labels::Classes(self.files.iter().map(|(_, class)| *class).collect());
        Ok(Rows {
            shape: pixels.shape.unwrap_or_default().to_vec(),
            features: Features::U8(pixels.bytes),
            scale_max: Some(255.0),
            class_names: self.classes,
            ..Rows::of(labels)
        })
    }
}

/// The pixels of all images of a folder.
struct Pixels<'a> {
    room: &'a Room,
    /// The path of the first image, whose size and colours all others share.
    first: &'a str,
    /// The number of images.
    images: usize,
    /// Height, width and channels of the first image, once it was read.
    shape: Option<[usize; 3]>,
    bytes: Vec<u8>,
}

impl Pixels<'_> {
    /// Appends the pixels of the image at `path`.
    fn add(&mut self, path: &str, file: &[u8]) -> Result<(), Error> {
        let wrong = |detail: String| Error::Format { path: path.to_owned(), detail };
        let image = Image::open(file).map_err(wrong)?;
        let Header { width, height, channels } = image.header();
        match self.shape {
            None => self.shape = Some(self.first_shape(path, image.header())?),
            Some(shape) => fits(image.header(), shape, self.first).map_err(wrong)?,
        }
        let pixels = image.pixels().map_err(wrong)?;
        if pixels.len() != width * height * channels {
            return Err(wrong(format!("cannot be decoded: it has too few pixels; {AGAIN}")));
        }
        self.bytes.extend(pixels);
        Ok(())
    }

    /// The shape of the first image, if all images of this shape are within bounds.
    fn first_shape(&self, path: &str, header: Header) -> Result<[usize; 3], Error> {
        let Header { width, height, channels } = header;
        let values = height.saturating_mul(width).saturating_mul(channels);
        if values == 0 || values > limits::DATASET_ROW_VALUES_MAX {
            let what = format!("the number of values in an image of {width} × {height} pixels");
            let max = limits::DATASET_ROW_VALUES_MAX as u64;
            return Err(Error::TooLarge { path: path.to_owned(), what, max });
        }
        if !self.room.take((values as u128).saturating_mul(self.images as u128)) {
            let what = format!("the size in bytes of {} images of {width} × {height} pixels", self.images);
            return Err(self.room.exceeded(path, what));
        }
        Ok([height, width, channels])
    }
}

/// Whether an image has the shape of the first one.
fn fits(
    header: Header,
    [first_height, first_width, first_channels]: [usize; 3],
    first: &str,
) -> Result<(), String> {
    let Header { width, height, channels } = header;
    if (height, width) != (first_height, first_width) {
        return Err(format!(
            "the image is {width} × {height} pixels, {first} is {first_width} × {first_height}; all images of a dataset must have one size"
        ));
    }
    if channels != first_channels {
        let is = |channels: usize| if channels == 1 { "grey" } else { "in colours" };
        let (this, that) = (is(channels), is(first_channels));
        return Err(format!("the image is {this}, {first} is {that}; convert one of them"));
    }
    Ok(())
}

/// The header of an image.
#[derive(Debug, Clone, Copy)]
struct Header {
    width: usize,
    height: usize,
    /// 1 or 3, an alpha channel not included.
    channels: usize,
}

/// An image whose header was read.
enum Image<'f> {
    Png(Png<'f>),
    Jpeg(Jpeg<'f>),
}

/// Other formats that collections from the web hold: the position and the bytes that tell them.
const OTHERS: [(usize, &[u8], &str); 6] = [
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (4, b"ftypavif", "AVIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
];

impl<'f> Image<'f> {
    /// The image in a file, whose content says which format it has: many a file from the web that is
    /// called .jpg is a PNG.
    fn open(file: &'f [u8]) -> Result<Image<'f>, String> {
        if file.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Png::open(file).map(Image::Png);
        }
        if file.starts_with(b"\xff\xd8\xff") {
            return Jpeg::open(file).map(Image::Jpeg);
        }
        let is = |at: usize, bytes: &[u8]| file.get(at..).is_some_and(|rest| rest.starts_with(bytes));
        Err(match OTHERS.iter().find(|(at, bytes, _)| is(*at, bytes)) {
            Some((.., name)) => format!("is {name}, not PNG or JPEG; convert it"),
            None => format!("is not a PNG or JPEG file; {AGAIN}"),
        })
    }

    fn header(&self) -> Header {
        match self {
            Image::Png(png) => png.header,
            Image::Jpeg(jpeg) => jpeg.header,
        }
    }

    /// The pixels, row by row.
    fn pixels(self) -> Result<Vec<u8>, String> {
        match self {
            Image::Png(png) => png.pixels(),
            Image::Jpeg(jpeg) => jpeg.pixels(),
        }
    }
}

/// Whether a file is an image by its name.
pub(crate) fn is_image(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["png", "jpg", "jpeg", "jpe", "jfif"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn visible(folder: &Folder, path: &str) -> Result<Vec<(String, bool)>, Error> {
    let mut entries = folder.entries(path)?;
    entries.retain(|(name, _)| !name.starts_with('.'));
    Ok(entries)
}
