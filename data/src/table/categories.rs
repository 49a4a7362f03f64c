//! Columns of categories, and the columns of 0 and 1 that they become.

use std::collections::HashMap;

use super::check_name;
use super::columns::Role;
use crate::bits::Number;
use crate::limits;

/// The number of the category `text`: the number of categories that were met before it.
pub(super) fn category(ids: &mut HashMap<String, u32>, text: &str) -> Result<Number, String> {
    // No more than a thousand: a float holds them exactly.
    if let Some(id) = ids.get(text) {
        return Ok(Number::from(i64::from(*id)));
    }
    check_name("category", text)?;
    let next = ids.len();
    if next == limits::CATEGORIES_MAX {
        return Err(format!("more than {next} categories; is this a column of categories?"));
    }
    ids.insert(text.to_owned(), next as u32);
    Ok(Number::from(next as i64))
}

/// The expansion of categories into columns of their own.
pub(super) struct Expansion<'r> {
    pub(super) roles: &'r [Role],
    /// By column of categories, and by the order in which they were met.
    pub(super) ranks: Vec<Vec<usize>>,
}

impl Expansion<'_> {
    /// The names of the columns that those of these `names` become.
    pub(super) fn columns(&self, names: &[String]) -> Vec<String> {
        let columns = self.roles.iter().flat_map(|role| match role {
            Role::Number(at) => std::iter::repeat_n(names[*at].clone(), 1),
            Role::Category(at, column) => std::iter::repeat_n(names[*at].clone(), self.ranks[*column].len()),
            Role::Label | Role::Weight => std::iter::repeat_n(String::new(), 0),
        });
        columns.collect()
    }

    /// The rows of `width` numbers, each expanded to `wide` numbers.
    pub(super) fn rows<T: Copy + From<u8> + Into<f64>>(
        &self,
        features: &[T],
        width: usize,
        wide: usize,
    ) -> Vec<T> {
        let mut expanded = Vec::with_capacity(features.len() / width * wide);
        for row in features.chunks_exact(width) {
            for role in self.roles {
                match role {
                    Role::Number(at) => expanded.push(row[*at]),
                    Role::Category(at, column) => {
                        let begin = expanded.len();
                        expanded.resize(begin + self.ranks[*column].len(), T::from(0));
                        let met: f64 = row[*at].into();
                        expanded[begin + self.ranks[*column][met as usize]] = T::from(1);
                    }
                    Role::Label | Role::Weight => {}
                }
            }
        }
        expanded
    }
}

/// By the order in which categories were met: their places among the sorted ones.
pub(super) fn ranks(ids: HashMap<String, u32>) -> Vec<usize> {
    let mut sorted: Vec<(String, u32)> = ids.into_iter().collect();
    let number = |text: &str| text.parse::<i64>().ok();
    if sorted.iter().all(|(text, _)| number(text).is_some()) {
        sorted.sort_unstable_by(|a, b| (number(&a.0), &a.0).cmp(&(number(&b.0), &b.0)));
    } else {
        sorted.sort_unstable();
    }
    let mut ranks = vec![0; sorted.len()];
    sorted.iter().enumerate().for_each(|(rank, (_, id))| ranks[*id as usize] = rank);
    ranks
}
