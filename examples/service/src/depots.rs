//! Depots, from a table that is compiled in: name, city, places.

use crate::json;

const TABLE: &str = include_str!("../data/depots.csv");

pub fn to_json() -> String {
    let depots: Vec<String> = TABLE.lines().filter_map(depot).collect();
    format!("{{\"count\":{},\"depots\":[{}]}}", depots.len(), depots.join(","))
}

/// A line of the table; `None` for what is none.
fn depot(line: &str) -> Option<String> {
    let mut cells = line.split(',').map(str::trim);
    let (name, city) = (cells.next()?, cells.next()?);
    let places: u32 = cells.next()?.parse().ok()?;
    let (name, city) = (json::string(name), json::string(city));
    Some(format!("{{\"name\":{name},\"city\":{city},\"places\":{places}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_and_passes_over_what_is_none() {
        let expect = r#"{"name":"north","city":"Hamburg","places":40}"#;
        assert_eq!(depot("north, Hamburg, 40").as_deref(), Some(expect));
        assert_eq!(depot("north, Hamburg"), None);
        assert_eq!(depot("north, Hamburg, many"), None);
    }
}
