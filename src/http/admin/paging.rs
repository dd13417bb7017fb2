//! Lists that are answered page by page.

use crate::app::Page;
use crate::http::error::Problem;
use crate::http::fields::PageParams;
use std::str::FromStr;

/// Which page.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the API document reads it")]
pub struct Paging {
    /// At most so many entries.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of an earlier page.
    cursor: Option<String>,
}

/// The first entries of what is left of a sorted list, as a page.
pub fn first_of<T>(mut left: Vec<T>, limit: usize, cursor_of: impl Fn(&T) -> String) -> Page<T> {
    let more = left.len() > limit;
    left.truncate(limit);
    let next_cursor = left.last().filter(|_| more).map(cursor_of);
    Page { data: left, next_cursor }
}

/// The entry after which a page starts.
pub fn read_cursor<T: FromStr>(page: &PageParams) -> Result<Option<T>, Problem> {
    let cursor = page.cursor.as_deref();
    cursor.map(|text| text.parse().map_err(|_| Problem::InvalidCursor)).transpose()
}

/// A page of a sorted list from which no entry is ever taken away: a cursor that is not in it is not one of ours.
pub fn page_of<T, Id: FromStr + PartialEq + ToString>(
    mut entries: Vec<T>,
    page: &PageParams,
    id_of: impl Fn(&T) -> Id,
) -> Result<Page<T>, Problem> {
    if let Some(after) = read_cursor::<Id>(page)? {
        let last = entries.iter().position(|one| id_of(one) == after).ok_or(Problem::InvalidCursor)?;
        entries.drain(..=last);
    }
    Ok(first_of(entries, page.limit, |one| id_of(one).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_where_the_next_one_starts() {
        let page = |limit| first_of(vec![1, 2, 3], limit, ToString::to_string);
        assert_eq!((page(2).data, page(2).next_cursor), (vec![1, 2], Some("2".into())));
        assert_eq!((page(3).data, page(3).next_cursor), (vec![1, 2, 3], None));
        assert_eq!(first_of(Vec::<u8>::new(), 1, ToString::to_string).next_cursor, None);
    }

    #[test]
    fn a_page_starts_after_an_entry_of_the_list() {
        let page = |cursor: &str| {
            let page = PageParams { limit: 1, cursor: Some(cursor.to_owned()) };
            page_of(vec![30, 10, 20], &page, |one| *one).map(|page| (page.data, page.next_cursor))
        };
        assert_eq!(page("30"), Ok((vec![10], Some("10".into()))));
        assert_eq!(page("20"), Ok((vec![], None)));
        for bad in ["40", "x"] {
            assert_eq!(page(bad), Err(Problem::InvalidCursor));
        }
    }
}
