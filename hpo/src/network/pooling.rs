//! Pooling layers: the largest value or the mean of each window.

use super::Padding;
use super::sizes::Sides;
use crate::document::Fields;

/// The pooling layers with windows. Windows are `[height, width]`; windows over steps have height
/// 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Height and width of the window.
    pub pool_size: [usize; 2],
    /// Distance between windows; `pool_size` by default.
    pub strides: [usize; 2],
    /// What happens at the edges. A mean is taken over the places inside the row only.
    pub padding: Padding,
}

impl Pool {
    pub(super) fn read<const AXES: usize>(fields: &mut Fields) -> Option<Pool> {
        let mut default = [1; 2];
        default[2 - AXES..].fill(2);
        let pool_size = fields.or("pool_size", Sides::<AXES>(default));
        let strides = fields.or::<Option<Sides<AXES>>>("strides", None);
        let padding = fields.or("padding", Padding::Valid);
        let pool_size = pool_size?.0;
        Some(Pool { pool_size, strides: strides?.map_or(pool_size, |strides| strides.0), padding: padding? })
    }
}
