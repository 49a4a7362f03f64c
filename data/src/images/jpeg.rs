//! JPEG images.
//!
//! The decoder paints the missing part of a truncated file grey, and decodes some unusual forms
//! wrong (github.com/etemesi254/zune-image/issues/422 and 448, several scans). So the segments of a
//! file are read here first, and such files are refused.

use std::borrow::Cow;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{AGAIN, Header};

/// A JPEG file whose header was read.
pub(super) struct Jpeg<'f> {
    file: &'f [u8],
    pub(super) header: Header,
}

impl<'f> Jpeg<'f> {
    pub(super) fn open(file: &'f [u8]) -> Result<Jpeg<'f>, String> {
        let options = DecoderOptions::default().set_strict_mode(false);
        let options = options.set_max_width(usize::MAX).set_max_height(usize::MAX);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
        decoder.decode_headers().map_err(damaged)?;
        let (Some((width, height)), Some(colours)) = (decoder.dimensions(), decoder.input_colorspace())
        else {
            return Err(damaged("it has no header"));
        };
        let channels = if matches!(colours, ColorSpace::Luma | ColorSpace::LumaA) { 1 } else { 3 };
        Ok(Jpeg { file, header: Header { width, height, channels } })
    }

    /// The pixels of a whole file, row by row.
    pub(super) fn pixels(self) -> Result<Vec<u8>, String> {
        let image = image(self.file).map_err(|detail| format!("cannot be decoded: {detail}"))?;
        let colours = if self.header.channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
        let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_out_colorspace(colours);
        JpegDecoder::new_with_options(ZCursor::new(&*image), options).decode().map_err(damaged)
    }
}

fn damaged(error: impl std::fmt::Display) -> String {
    format!("cannot be decoded: {error}; {AGAIN}")
}

const FILL: u8 = 0xff;
const TEMPORARY: u8 = 0x01;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// The part of a file that is its image. Data after the image, such as a camera's film, are left
/// out; so are data after the scan if one scan has the whole image, since a comment there makes the
/// decoder drop the last rows. Refuses a file that ends before its image, and the forms that the
/// decoder gets wrong: several scans of an image that is not progressive, and a first component that
/// is not the largest.
fn image(file: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let ends = || format!("it ends before the image does; {AGAIN}");
    let mut components: Vec<u8> = Vec::new();
    let mut is_sequential = true;
    // The end of the data of the only scan.
    let (mut is_in_scan, mut end) = (false, None);
    let mut at = 2; // after the start of the image
    loop {
        // Skips bytes that are not a marker: stray ones, and the data of a scan, in which FF is followed
        // by 0 or by the number of a restart.
        at += file.get(at..).and_then(|rest| rest.windows(2).position(is_marker)).ok_or_else(ends)?;
        let marker = file[at + 1];
        // Any other segment there is damage, and is left to the decoder.
        if std::mem::take(&mut is_in_scan) && may_follow(marker) {
            end = Some(at);
        }
        if marker == END_OF_IMAGE {
            return Ok(match end {
                Some(end) if end < at => [&file[..end], &[FILL, END_OF_IMAGE]].concat().into(),
                _ => file[..at + 2].into(),
            });
        }
        let length = file
            .get(at + 2..at + 4)
            .map(|bytes| usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
            .ok_or_else(ends)?;
        let body = file.get(at + 4..(at + 2 + length).max(at + 4)).ok_or_else(ends)?;
        match marker {
            // A start of frame; the three other markers in this range are tables.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                if marker >= 0xc9 {
                    return Err("it uses arithmetic coding, which few programs read; save it again as an ordinary JPEG".into());
                }
                is_sequential = matches!(marker, 0xc0 | 0xc1);
                components =
                    body.get(6..).unwrap_or_default().chunks_exact(3).map(|component| component[1]).collect();
            }
            START_OF_SCAN => {
                let is_part = body.first().is_some_and(|count| usize::from(*count) < components.len());
                let is_small = |part: fn(u8) -> u8| {
                    components
                        .first()
                        .is_some_and(|first| components.iter().any(|other| part(*other) > part(*first)))
                };
                if is_sequential && is_part
                    || is_small(|sampling| sampling >> 4)
                    || is_small(|sampling| sampling & 15)
                {
                    return Err("its colours are stored in an unusual order; save it again as an ordinary or a progressive JPEG".into());
                }
                is_in_scan = is_sequential && end.is_none();
            }
            _ => {}
        }
        at += 2 + length;
    }
}

/// Whether a segment may follow the only scan of an image: one of a program's own, a comment, a
/// table, or the end.
fn may_follow(marker: u8) -> bool {
    matches!(marker, 0xe0..=0xef | 0xfe | 0xc4 | 0xdb | 0xdd | END_OF_IMAGE)
}

/// Whether two bytes begin a segment or end the image.
fn is_marker(two: &[u8]) -> bool {
    two[0] == FILL && !matches!(two[1], 0 | TEMPORARY | FILL | 0xd0..=0xd8)
}
