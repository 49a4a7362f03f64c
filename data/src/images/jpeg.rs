//! What a JPEG file is made of, as far as the decoder does not look: whether it is whole, and
//! whether it is stored in a form that the decoder reads right.

use std::borrow::Cow;

use super::AGAIN;

const FILL: u8 = 0xff;
const TEMPORARY: u8 = 0x01;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// The part of a file that is its image. What lies behind it, such as a camera's film, is nobody's
/// business; and where one scan has it all, so is what lies behind that, since a comment there
/// makes the decoder leave its last rows out. Refuses a file that ends before its image does, and
/// the forms that the decoder gets wrong: several scans of an image that is not progressive, and a
/// first component that is not the largest.
pub(super) fn image(file: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let ends = || format!("it ends before the image does; {AGAIN}");
    let mut components: Vec<u8> = Vec::new();
    let mut is_sequential = true;
    // Where the data of the one scan ends.
    let (mut is_in_scan, mut end) = (false, None);
    let mut at = 2; // behind the start of the image
    loop {
        // What is no marker is passed over: the numbers of a scan, in which FF is followed by 0 or
        // by the number of a restart, and stray bytes.
        at += file.get(at..).and_then(|rest| rest.windows(2).position(is_marker)).ok_or_else(ends)?;
        let marker = file[at + 1];
        // Anything else there is damage, which the decoder is to see.
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
            // A start of frame; the three others of these numbers are tables.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                if marker >= 0xc9 {
                    return Err("it is coded arithmetically, which few programs read; save it again as an ordinary JPEG".into());
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

/// Whether a segment may stand behind a scan of an image that has no other: those of programs,
/// comments, tables, and the end.
fn may_follow(marker: u8) -> bool {
    matches!(marker, 0xe0..=0xef | 0xfe | 0xc4 | 0xdb | 0xdd | END_OF_IMAGE)
}

/// Whether two bytes begin a segment or end the image.
fn is_marker(two: &[u8]) -> bool {
    two[0] == FILL && !matches!(two[1], 0 | TEMPORARY | FILL | 0xd0..=0xd8)
}
