//! The windows of a convolution or a pooling on an image of (height, width, channels), as in Keras.

use hpo::network::Padding;

/// The windows over an image. Sizes are (height, width).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// The image.
    pub(crate) input: [usize; 2],
    /// The image's channels.
    pub(crate) channels: usize,
    /// One window.
    pub(crate) size: [usize; 2],
    /// Steps from one window to the next.
    pub(crate) strides: [usize; 2],
    /// Steps from one pixel of a window to the next.
    pub(crate) dilation: [usize; 2],
    /// By how much the first windows overlap the edge, above and on the left.
    pub(crate) before: [usize; 2],
    /// How many windows there are.
    pub(crate) output: [usize; 2],
}

impl Window {
    /// The windows over an image of `input` = (height, width, channels), which must fit (see
    /// [`hpo::shape::output_shape`]).
    pub(crate) fn new(input: [usize; 3], size: [usize; 2], strides: [usize; 2], padding: Padding) -> Window {
        Window::dilated(input, size, strides, [1, 1], padding)
    }

    /// As [`Window::new`], with windows whose pixels are `dilation` apart.
    pub(crate) fn dilated(
        input: [usize; 3],
        size: [usize; 2],
        strides: [usize; 2],
        dilation: [usize; 2],
        padding: Padding,
    ) -> Window {
        let [height, width, channels] = input;
        let extent = |axis: usize| (size[axis] - 1) * dilation[axis] + 1;
        let output = |input: usize, axis: usize| match padding {
            Padding::Valid => (input - extent(axis)) / strides[axis] + 1,
            Padding::Same => input.div_ceil(strides[axis]),
        };
        let output = [output(height, 0), output(width, 1)];
        // Half of what the windows overlap the image by; the odd one is added at the end.
        let before = |input: usize, axis: usize| {
            ((output[axis] - 1) * strides[axis] + extent(axis)).saturating_sub(input) / 2
        };
        let before = match padding {
            Padding::Valid => [0, 0],
            Padding::Same => [before(height, 0), before(width, 1)],
        };
        Window { input: [height, width], channels, size, strides, dilation, before, output }
    }

    /// One window over the whole image.
    pub(crate) fn whole(input: [usize; 3]) -> Window {
        Window::new(input, [input[0], input[1]], [1, 1], Padding::Valid)
    }

    /// Numbers in an image.
    pub(crate) fn image(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    /// Windows on an image.
    pub(crate) fn places(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Numbers in a window.
    pub(crate) fn patch(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    /// Whether some window reaches beyond the image.
    pub(crate) fn overhangs(&self) -> bool {
        (0..2).any(|axis| (self.output[axis] - 1) * self.strides[axis] + self.extent(axis) > self.input[axis])
    }

    /// From the first pixel of a window along `axis` to its last, both counted.
    fn extent(&self, axis: usize) -> usize {
        (self.size[axis] - 1) * self.dilation[axis] + 1
    }

    /// Whether windows are two by two and lie side by side, as in nearly all networks that pool.
    #[inline(always)]
    pub(crate) fn is_quartered(&self) -> bool {
        self.size == [2, 2] && self.strides == [2, 2] && !self.overhangs()
    }

    /// The four pixels of window `place`, where windows are [quartered](Self::is_quartered).
    #[inline(always)]
    pub(crate) fn quarter(&self, place: usize) -> [usize; 4] {
        let at = (place / self.output[1] * self.input[1] + place % self.output[1]) * 2;
        [at, at + 1, at + self.input[1], at + self.input[1] + 1]
    }

    /// The pixel of window number `index` along `axis` at its place `tap`; none beside the image.
    #[inline(always)]
    pub(crate) fn pixel(&self, axis: usize, index: usize, tap: usize) -> Option<usize> {
        (index * self.strides[axis] + tap * self.dilation[axis])
            .checked_sub(self.before[axis])
            .filter(|at| *at < self.input[axis])
    }

    /// The part of window number `index` along `axis` that lies on the image: the first and last
    /// position (exclusive), and how much was cut before. Windows are not dilated.
    #[inline(always)]
    pub(crate) fn span(&self, axis: usize, index: usize) -> (usize, usize, usize) {
        let start = index * self.strides[axis];
        let (from, to) = (
            start.max(self.before[axis]),
            (start + self.size[axis]).min(self.input[axis] + self.before[axis]),
        );
        (from - self.before[axis], to - self.before[axis], from - start)
    }

    /// The pixels of window `place` that lie on the image, row by row.
    #[inline(always)]
    pub(crate) fn inside(&self, place: usize) -> impl Iterator<Item = usize> + use<> {
        let (top, bottom, _) = self.span(0, place / self.output[1]);
        let (left, right, _) = self.span(1, place % self.output[1]);
        let width = self.input[1];
        (top..bottom).flat_map(move |row| (left..right).map(move |column| row * width + column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_adds_the_odd_one_at_the_end() {
        let window = Window::new([5, 4, 2], [3, 2], [2, 1], Padding::Same);
        assert_eq!((window.output, window.before), ([3, 4], [1, 0]));
        assert_eq!(
            (window.span(0, 0), window.span(0, 2), window.span(1, 3)),
            ((0, 2, 1), (3, 5, 0), (3, 4, 0))
        );
        assert_eq!(window.inside(3).collect::<Vec<_>>(), [3, 7]);
        let valid = Window::new([5, 4, 2], [3, 2], [2, 1], Padding::Valid);
        assert_eq!(
            (valid.output, valid.before, valid.patch(), valid.image(), valid.places()),
            ([2, 3], [0, 0], 12, 40, 6)
        );
    }
}
