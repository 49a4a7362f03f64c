//! PNG images of 8 bits a channel or fewer, palettes included.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Limits, Reader, Transformations};

use super::{AGAIN, Header};
use crate::limits;

/// A PNG file whose header was read.
pub(super) struct Png<'f> {
    reader: Box<Reader<Cursor<&'f [u8]>>>,
    pub(super) header: Header,
    has_alpha: bool,
}

impl<'f> Png<'f> {
    pub(super) fn open(file: &'f [u8]) -> Result<Png<'f>, String> {
        let bytes = limits::IMAGE_DECODER_BYTES_MAX as usize;
        let mut decoder = Decoder::new_with_limits(Cursor::new(file), Limits { bytes });
        // Palettes become colours, fewer bits become 8, and a transparent colour an alpha channel.
        decoder.set_transformations(Transformations::EXPAND);
        let reader = decoder.read_info().map_err(damaged)?;
        let (channels, has_alpha) = match reader.output_color_type() {
            (_, BitDepth::Sixteen) => return Err("has 16 bits a channel; convert it to 8".to_owned()),
            (ColorType::Grayscale, BitDepth::Eight) => (1, false),
            (ColorType::GrayscaleAlpha, BitDepth::Eight) => (1, true),
            (ColorType::Rgb, BitDepth::Eight) => (3, false),
            (ColorType::Rgba, BitDepth::Eight) => (3, true),
            (ColorType::Indexed, _) | (_, BitDepth::One | BitDepth::Two | BitDepth::Four) => {
                return Err("has a palette or bits that cannot be expanded; convert it to 8 bits".to_owned());
            }
        };
        let (width, height) = reader.info().size();
        let header = Header { width: width as usize, height: height as usize, channels };
        Ok(Png { reader: Box::new(reader), header, has_alpha })
    }

    /// The pixels, row by row, without an alpha channel. Refuses an image with transparent pixels.
    pub(super) fn pixels(mut self) -> Result<Vec<u8>, String> {
        let bytes = self.reader.output_buffer_size();
        let mut pixels = vec![0; bytes.ok_or("has more pixels than memory can hold")?];
        self.reader.next_frame(&mut pixels).map_err(damaged)?;
        if !self.has_alpha {
            return Ok(pixels);
        }
        let channels = self.header.channels;
        let pixels = pixels.chunks_exact(channels + 1);
        if pixels.clone().any(|pixel| pixel[channels] != 255) {
            return Err("has transparent pixels; flatten it onto a background".to_owned());
        }
        Ok(pixels.flat_map(|pixel| &pixel[..channels]).copied().collect())
    }
}

fn damaged(error: png::DecodingError) -> String {
    format!("cannot be decoded: {error}; {AGAIN}")
}
